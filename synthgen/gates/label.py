"""Compares the labels that a picture was asked to have with those that are read from it.

The embedded base's pictures are read by its judge, which knows that world and no other; those of any base by a CLIP or
SigLIP of the user's, where one is named.
"""

from __future__ import annotations

from collections.abc import Mapping

from synthgen import label_words, vocabulary
from synthgen.gates._sentences import Reader
from synthgen.mini import judge as judges
from synthgen.types import Judgement, Picture, RunFacts

BASES = ("mini",)  # the judge knows the embedded base's world and no other
READ = ("category", "pattern", "colour", "skin_tone", "body_type", "age", "hair_style", "hair_colour", "place", "view",
        "pose", "finding", "side", "severity", "stain")  # fmt: skip
DECIDING = (
    "category",
    "place",
    "view",
    "skin_tone",
    "finding",
    "side",
)  # a picture that has these wrong is another one
TONES = tuple(vocabulary.SKIN_TONES)


def knows(run: RunFacts, base: str) -> bool:
    """Whether there is somebody who can read this base's pictures."""
    return base in BASES or run.label_judge is not None


def open(run: RunFacts) -> Sentences | None:
    """What reads in place of the embedded judge; None where nothing is named."""
    return Sentences(Reader(run.label_judge)) if run.label_judge else None


class Sentences:
    """A reader of the user's, asked as `judge` asks the embedded one."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def judge(self, picture: Picture) -> Judgement:
        """The same, of those labels that are in the vocabulary and have a sentence."""
        asked, worn = _asked(picture), _worn(picture)
        asked = {key: value for key, value in asked.items() if value in label_words.sentences(key, worn)}
        read = self._reader.labels(picture.pixels, dict.fromkeys(asked, worn))
        return _judgement(asked, read, self._reader.name)


def judge(picture: Picture) -> Judgement:
    """Accepts a picture in which every deciding label that was asked for is read; a neighbouring skin tone counts.

    A garment on a person is read as one of those that are worn at its place, in the colour that is there: what else the
    person wears does not count.
    Measured: each label that was asked for as the judge reads it, the share of them that agree, and the judge's name.
    """
    asked = {key: value for key, value in _asked(picture).items() if value in judges.LABELS.get(key, ())}
    reader = judges.load()
    reading = reader.read_one(picture.pixels)
    read = dict(reading.labels)
    if "category" in asked and _worn(picture):  # someone wears it, with another garment
        read["category"] = reading.among("category", vocabulary.rivals(asked["category"]))
        if zone := vocabulary.worn_where(asked["category"]):
            read |= reader.worn(picture.pixels, zone)
    return _judgement(asked, read, reader.name)


def _asked(picture: Picture) -> dict[str, str]:
    asked = {key: str(value) for key, value in {**picture.job.requested, "category": picture.job.category}.items()}
    return {key: asked[key] for key in READ if key in asked}


def _worn(picture: Picture) -> bool:
    return "pose" in picture.job.requested or picture.guide.into is not None


def _judgement(asked: Mapping[str, str], read: Mapping[str, str], name: str) -> Judgement:
    wrong = [key for key in asked if not agrees(key, asked[key], read[key])]
    measured: dict[str, float | str] = {key: read[key] for key in asked}
    if asked:
        measured["label_agreement"] = round(1 - len(wrong) / len(asked), 3)
    deciding = [f"{key} is {read[key]}, asked for {asked[key]}" for key in wrong if key in DECIDING]
    reason = f"label: {'; '.join(deciding)}" if deciding else ""
    return Judgement("label", not deciding, reason, {**measured, "label_judge": name})


def agrees(key: str, asked: str, read: str) -> bool:
    """Whether a reading fits what was asked for: equal, or the next tone of the Monk scale."""
    if key == "skin_tone":
        return abs(TONES.index(asked) - TONES.index(read)) <= 1
    return asked == read
