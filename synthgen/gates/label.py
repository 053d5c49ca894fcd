"""Compares the labels that a picture was asked to have with those that the embedded base's judge reads from it."""

from __future__ import annotations

from synthgen import vocabulary
from synthgen.mini import judge as judges
from synthgen.types import Judgement, Picture

BASES = ("mini",)  # the judge knows the embedded base's world and no other
READ = ("category", "pattern", "colour", "skin_tone", "body_type", "age", "hair_style", "hair_colour", "place", "view",
        "pose", "finding", "side")  # fmt: skip
DECIDING = (
    "category",
    "place",
    "view",
    "skin_tone",
    "finding",
    "side",
)  # a picture that has these wrong is another one
TONES = tuple(vocabulary.SKIN_TONES)


def judge(picture: Picture) -> Judgement:
    """Accepts a picture in which every deciding label that was asked for is read; a neighbouring skin tone counts.

    A garment on a person is read as one of those that are worn at its place, in the colour that is there: what else the
    person wears does not count.
    Measured: each label that was asked for as the judge reads it, the share of them that agree, and the judge's name.
    """
    asked = {key: str(value) for key, value in {**picture.job.requested, "category": picture.job.category}.items()}
    asked = {key: asked[key] for key in READ if asked.get(key) in judges.LABELS[key]}
    reader = judges.load()
    reading = reader.read_one(picture.pixels)
    read = dict(reading.labels)
    worn = "pose" in picture.job.requested or picture.guide.into is not None
    if "category" in asked and worn:  # someone wears it, with another garment
        read["category"] = reading.among("category", vocabulary.rivals(asked["category"]))
        if zone := vocabulary.worn_where(asked["category"]):
            read |= reader.worn(picture.pixels, zone)
    wrong = [key for key in asked if not agrees(key, asked[key], read[key])]
    measured: dict[str, float | str] = {key: read[key] for key in asked}
    if asked:
        measured["label_agreement"] = round(1 - len(wrong) / len(asked), 3)
    deciding = [f"{key} is {read[key]}, asked for {asked[key]}" for key in wrong if key in DECIDING]
    reason = f"label: {'; '.join(deciding)}" if deciding else ""
    return Judgement("label", not deciding, reason, {**measured, "label_judge": reader.name})


def agrees(key: str, asked: str, read: str) -> bool:
    """Whether a reading fits what was asked for: equal, or the next tone of the Monk scale."""
    if key == "skin_tone":
        return abs(TONES.index(asked) - TONES.index(read)) <= 1
    return asked == read
