"""Pictured people are adults: words of a prompt or a caption that tell of a minor.

Names of colours and cuts that only sound so (baby blue, boy shorts) are no such words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from synthgen.errors import RequestError
from synthgen.types import Photo

AGE = 18  # years
_WORDS = (
    "child", "children", "childlike", "kid", "kids", "baby", "babies", "toddler", "infant", "newborn", "boy", "boys",
    "girl", "girls", "teen", "teens", "teenage", "teenager", "teenagers", "tween", "preteen", "adolescent", "juvenile",
    "minor", "minors", "underage", "schoolboy", "schoolgirl", "schoolchild", "kindergartner", "loli", "shota",
)  # fmt: skip
_HARMLESS = re.compile(
    r"\b(baby[ -](blue|pink|doll|cord|rib)|boy[ -](shorts?|leg|fit)|minor (finding|change|defect)s?)\b",
    re.I,
)
_SAID = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.I)
_YEARS = re.compile(r"\b(\d{1,2})[ -]?(?:years?|yrs?|y/?o)\b|\b(?:aged?|age of)[ :]+(\d{1,2})\b", re.I)


def minor(text: str) -> str:
    """The words of a text that ask for somebody younger than AGE, or ""."""
    left = _HARMLESS.sub(" ", text)
    if said := _SAID.search(left):
        return said[0]
    young = (found for found in _YEARS.finditer(left) if int(found[1] or found[2]) < AGE)
    return next((found[0] for found in young), "")


def require(prompts: Iterable[str]) -> None:
    """Raises RequestError for the first prompt that asks for a minor."""
    for prompt in prompts:
        if said := minor(prompt):
            raise RequestError(
                f"a prompt says '{said}': \"{prompt}\". Pictured people are adults. Change the recipe's words or its "
                "values. Nothing was drawn."
            )


def require_captions(domain: Any, photos: Iterable[Photo]) -> None:
    """Raises RequestError for the first photo of a domain of people whose caption tells of a minor."""
    for photo in photos if getattr(domain, "PEOPLE", False) else ():
        if said := minor(photo.caption):
            raise RequestError(
                f"{photo.path}: its caption says '{said}': \"{photo.caption}\". Pictured people are adults. Reword the "
                "caption where none is to be seen, or leave the photo out. Nothing was learned."
            )
