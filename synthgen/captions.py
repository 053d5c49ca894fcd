"""What is said of each photo: the user's own words where there are any, else words made from the category."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from synthgen import photo_table, vocabulary
from synthgen.errors import RequestError
from synthgen.types import ImageSet, Photo

COLUMNS = ("text", "caption", "prompt")  # of metadata.csv and metadata.jsonl, first one that has words wins
MAX_BYTES = 64 * 2**10  # of one caption file
UNKNOWN_NOUN = "garment"


Grammar = Callable[[Photo], tuple[str, str]]  # photo -> its noun phrase, and the caption where the user says nothing


def write(image_set: ImageSet, trigger: str, grammar: Grammar | None = None) -> ImageSet:
    """The same set with a caption on every photo, each with the trigger word in it.

    First of: FOLDER/<stem>.txt; the row in metadata.csv or metadata.jsonl; the grammar's caption, which for garments
    is "a photo of a <trigger> <noun>, flat lay". A user's caption without the trigger word gets the noun phrase, such
    as "<trigger> <noun>, ", in front. Nothing is written to disk.
    Raises RequestError for a trigger that is no single word, a caption file that is not UTF-8, a wrong table.
    """
    if not re.fullmatch(r"[^\s,<>:()\[\]{}]{1,40}", trigger):
        raise RequestError(f"the trigger word is '{trigger}'; wanted one word without spaces or signs, such as sks.")
    words = stated(image_set)
    photos = []
    for photo in image_set.photos:
        said = words.get(photo.path, "")
        if grammar is None:
            noun = subject(trigger, photo.category or image_set.category)
            made = flat_lay(noun)
        else:
            noun, made = grammar(photo)
        photos.append(replace(photo, caption=_with_trigger(said, noun.split()[0], noun) if said else made))
    return replace(image_set, photos=tuple(photos))


def stated(image_set: ImageSet) -> dict[Path, str]:
    """Photo -> the user's own words about the photo, for the photos that have any."""
    table = photo_table.read(image_set.folder)
    folders = dict.fromkeys([image_set.folder, *(photo.path.parent for photo in image_set.photos)])
    entries = [entry for folder in folders for entry in folder.iterdir()]
    texts = [entry for entry in entries if entry.suffix.lower() == ".txt" and entry.is_file()]
    sidecars = {(entry.parent, photo_table.key(entry.stem)): entry for entry in texts}
    found = {}
    for photo in image_set.photos:
        sidecar = sidecars.get((photo.path.parent, photo_table.key(photo.path.stem)))
        said = _one_line(photo_table.read_text(sidecar, MAX_BYTES)) if sidecar else ""
        if photo.path.parent == image_set.folder:
            said = said or _cell(table.get(photo_table.key(photo.path.name), {}))
        if said:
            found[photo.path] = said
    return found


def subject(trigger: str, category: str, look: str = "") -> str:
    """The noun phrase that means this product, without article: "sks shirt", "sks blue striped shirt".

    An unknown category is a "garment".
    """
    noun = vocabulary.CATEGORIES.get(category, category.replace("-", " ").replace("_", " ") or UNKNOWN_NOUN)
    return " ".join(word for word in (trigger, look, noun) if word)


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
