"""What is said of each photo: the user's own words where there are any, else words made from the category."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from synthgen import photo_table, vocabulary
from synthgen.errors import RequestError
from synthgen.types import ImageSet

COLUMNS = ("text", "caption", "prompt")  # of metadata.csv and metadata.jsonl, first one that has words wins
MAX_BYTES = 64 * 2**10  # of one caption file
UNKNOWN_NOUN = "garment"


def write(image_set: ImageSet, trigger: str) -> ImageSet:
    """The same set with a caption on every photo, each with the trigger word in it.

    First of: FOLDER/<stem>.txt; the row in metadata.csv or metadata.jsonl; "a photo of a <trigger> <noun>, flat lay".
    A user's caption without the trigger word gets "<trigger> <noun>, " in front. Nothing is written to disk.
    Raises RequestError for a trigger that is no single word, a caption file that is not UTF-8, a wrong table.
    """
    if not re.fullmatch(r"[^\s,<>:()\[\]{}]{1,40}", trigger):
        raise RequestError(f"the trigger word is '{trigger}'; wanted one word without spaces or signs, such as sks.")
    words = stated(image_set)
    photos = []
    for photo in image_set.photos:
        said = words.get(photo.path.name, "")
        noun = subject(trigger, photo.category or image_set.category)
        photos.append(replace(photo, caption=_with_trigger(said, trigger, noun) if said else flat_lay(noun)))
    return replace(image_set, photos=tuple(photos))


def stated(image_set: ImageSet) -> dict[str, str]:
    """File name -> the user's own words about the photo, for the photos that have any."""
    table = photo_table.read(image_set.folder)
    texts = [entry for entry in image_set.folder.iterdir() if entry.suffix.lower() == ".txt" and entry.is_file()]
    sidecars = {photo_table.key(entry.stem): entry for entry in texts}
    found = {}
    for photo in image_set.photos:
        sidecar = sidecars.get(photo_table.key(photo.path.stem))
        said = _one_line(photo_table.read_text(sidecar, MAX_BYTES)) if sidecar else ""
        said = said or _cell(table.get(photo_table.key(photo.path.name), {}))
        if said:
            found[photo.path.name] = said
    return found


def subject(trigger: str, category: str) -> str:
    """The noun phrase that means this product, without article: "sks shirt"; "sks garment" for an unknown category."""
    return (
        f"{trigger} {vocabulary.CATEGORIES.get(category, category.replace('-', ' ').replace('_', ' ') or UNKNOWN_NOUN)}"
    )


def flat_lay(noun: str) -> str:
    """The caption of a product photo that has none: "a photo of a sks shirt, flat lay"."""
    return f"a photo of {vocabulary.article(noun)}{noun}, flat lay"


def has_trigger(said: str, trigger: str) -> bool:
    """Whole words count: "asks" does not hold "sks"."""
    return bool(re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", said, flags=re.IGNORECASE))


def _with_trigger(said: str, trigger: str, noun: str) -> str:
    return said if has_trigger(said, trigger) else f"{noun}, {said}"


def _cell(row: Mapping[str, str]) -> str:
    return next((_one_line(row[column]) for column in COLUMNS if row.get(column)), "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
