"""What a picture with a label is called in words, for networks that compare pictures with sentences."""

from __future__ import annotations

from collections.abc import Mapping

from synthgen import vocabulary as words

PERSON = "a photo of a person"
WORN: Mapping[str, str] = {
    name: f"{PERSON} wearing {words.article(noun)}{noun}" for name, noun in words.CATEGORIES.items()
}
LYING: Mapping[str, str] = {name: f"a photo of {words.article(noun)}{noun}" for name, noun in words.CATEGORIES.items()}
SENTENCES: Mapping[str, Mapping[str, str]] = {  # label's name -> its value -> a sentence; values are told from these
    "place": {name: f"{PERSON} {phrase}" for name, phrase in words.PLACES.items()},
    "view": {name: f"a {phrase} photo of a person" for name, phrase in words.VIEWS.items()},
    "skin_tone": {name: f"{PERSON} with {phrase}" for name, (_, phrase) in words.SKIN_TONES.items()},
    "body_type": {name: f"a photo of a {phrase} person" for name, phrase in words.BODY_TYPES.items()},
    "age": {name: f"a photo of a {phrase} person" for name, phrase in words.AGE_BANDS.items()},
    "hair_style": {
        name: f"{PERSON} with {'hair in a bun' if name == 'bun' else f'{name} hair'}" for name in words.HAIR_STYLES
    },
    "hair_colour": {name: f"{PERSON} with {name} hair" for name in words.HAIR_COLOURS},
    "finding": {name: f"a chest X-ray with {phrase}" for name, phrase in words.FINDINGS.items()},
}


def sentences(label: str, worn: bool) -> Mapping[str, str]:
    """Each value of a label with its sentence; empty for a label that no sentence is known for.

    worn  whether somebody wears what the category names
    """
    return (WORN if worn else LYING) if label == "category" else SENTENCES.get(label, {})
