"""Folders of patients' pictures in, a clean folder out: what points to a person is cut off or held back, and listed.

What lies beside the pixels (file and folder names, EXIF, text chunks, DICOM attributes of the PS3.15 basic profile,
dates in captions) is cut off: the clean picture is new, called after its digest. What is burned into the pixels cannot
be cut off: that picture is held back. Side markers and view words stay, or are filled in where that is asked for.
Nothing is silently passed: `write` lists every item, with a contact sheet.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import burned_in, captions, case_table, dicom_file, identifiers, image_file, photo_table, rights_file
from synthgen.errors import Refused, RequestError, UnreadableImage
from synthgen.identifiers import Found
from synthgen.progress import Progress
from synthgen.types import Photo

LIST, SHEET = "identifiers.csv", "identifiers.png"
COLUMNS = ("patient_id", "condition", "view", "side", "severity", "stain", "sex", "age", "site", "split")
TILE, ACROSS, MOST_TILES = 240, 6, 60
CUT, HELD, LEFT, FILLED = "cut off", "held back", "left in place", "filled in"
SPOKEN = re.compile(r"\b(?:mr|mrs|ms|dr|prof|herr|frau|patient|name|born|dob)\b\.?:?\s+[^\W\d_]{2,}", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A folder of pictures, and the condition that they show where no table says otherwise."""

    folder: Path
    condition: str


@dataclass
class Taken:
    """What came in, and what was found on the way."""

    folder: Path  # clean pictures with a metadata.csv
    pictures: int = 0
    held_back: set[str] = field(default_factory=set)  # names of files
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # (name, reason)
    found: list[Found] = field(default_factory=list)
    tiles: list[tuple[Any, list[burned_in.Mark]]] = field(default_factory=list)  # pictures for the contact sheet
    rows: list[dict[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many items of each place and kind, such as {"attribute": 120, "pixels text": 2}."""
        return dict(Counter(f"{one.where} {one.what}" if one.where == "pixels" else one.where for one in self.found))


def take_in(sources: Sequence[Source], table: Path | None, target: Path, mask_markers: bool = False) -> Taken:
    """Clean copies of all pictures of some folders in `target`, a new folder, with a table of their cases.

    Raises RequestError for folders and tables as they should not be, Refused where no picture is left.
    """
    target.mkdir(parents=True)
    taken = Taken(target)
    files = [(source, path) for source in sources for path in _offered(source.folder)]
    rows = {source.folder: case_table.read(table, source.folder) for source in sources}
    for source in sources:
        here = tuple(Photo(path, "", 0, 0, "") for of, path in files if of is source)
        where = str(table or source.folder / photo_table.NAMES[0])
        case_table.check(here, rows[source.folder], where)
        taken.found += identifiers.in_name(source.folder.resolve(), "folder name")
    with Progress(len(files), "de-identify", "files") as progress:
        for source, path in files:
            row = rows[source.folder].get(photo_table.key(path.name), {})
            _take(taken, path, {"condition": source.condition, **row}, mask_markers)
            progress.step(1, f"{len(taken.held_back)} held back")
    _keep_rights(sources, target)
    if not taken.pictures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in taken.unreadable[:3])
        if taken.held_back:
            raise AllHeld(taken)
        raise RequestError(f"no picture in {sources[0].folder} can be read. {reasons}. Nothing was learned.")
    _write_table(taken)
    return taken


class AllHeld(Refused):
    """Every picture has something burned in. Carries what was found, so that it can be listed."""

    def __init__(self, taken: Taken) -> None:
        super().__init__(
            f"all {len(taken.held_back)} readable pictures have text in their pixels and are held back. Cut it out or "
            "cover it, then come again. Nothing was learned."
        )
        self.taken = taken


def write(taken: Taken, folder: Path) -> Path:
    """identifiers.csv with every item and identifiers.png with what is held back; for the owner's eyes."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "where", "what", "value", "action"])
    writer.writerows([one.file, one.where, one.what, one.value, one.action] for one in taken.found)
    for name, content in ((LIST, buffer.getvalue().encode()), (SHEET, _sheet(taken.tiles))):
        if content:
            unfinished = folder / f".{name}.part"
            unfinished.write_bytes(content)
            unfinished.chmod(0o600)
            os.replace(unfinished, folder / name)
    return folder / LIST


def said(taken: Taken, listed: Path) -> list[str]:
    """What a person should know, a line each."""
    lines = [f"skipped {name}: {reason}" for name, reason in taken.unreadable]
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(taken.counts().items()))
    if found:
        lines.append(f"found what may point to persons: {found}; listed in {listed}")
    if taken.held_back:
        share = len(taken.held_back) / (len(taken.held_back) + max(1, taken.pictures))
        lines.append(f"{len(taken.held_back)} files held back ({share:.0%}): text in their pixels, see {SHEET} there")
    return lines


def _offered(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RequestError(f"there is no folder '{folder}'. Name the folder that holds the pictures.")
    home = folder.resolve()
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.resolve().is_relative_to(home) and not path.name.startswith(".")
        if path.suffix.lower() in image_file.SUFFIXES or dicom_file.is_dicom(path)
    ]
    if not paths:
        raise RequestError(f"{folder} has no picture. Put PNG, JPEG, TIFF or DICOM files into it. Nothing was learned.")
    return paths


def _take(taken: Taken, path: Path, row: Mapping[str, str], mask_markers: bool) -> None:
    """One file: its name, its metadata, its frames."""
    taken.found += identifiers.in_name(path)
    try:
        frames, labels = _opened(taken, path)
    except UnreadableImage as error:
        taken.unreadable.append((path.name, str(error)))
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    words = _caption(taken, path)
    for number, frame in enumerate(frames):
        marks = burned_in.find(frame)
        if marks:
            _note(taken, path, frame, marks, mask_markers)
        if any(mark.kind == "text" for mark in marks):
            taken.held_back.add(path.name)
            continue
        name = f"{digest}-{number:03}.png" if len(frames) > 1 else f"{digest}.png"
        if (taken.folder / name).exists():
            continue  # the same bytes again
        _save(burned_in.masked(frame, marks) if mask_markers else frame, taken.folder / name)
        patient = row.get("patient_id") or labels.get("patient_id") or (digest if len(frames) > 1 else "")
        told = {"view": labels.get("view", ""), "side": labels.get("side", ""), **_person(labels), **row}
        taken.rows.append({"file_name": name, **told, "patient_id": case_table.group(patient), "text": words})
        taken.pictures += 1


def _person(labels: Mapping[str, str]) -> dict[str, str]:
    sex = case_table.SEX_WORDS.get(labels.get("sex", "").lower(), "")
    return {"sex": sex, "age": case_table.age_band(labels["age"]) if labels.get("age") else ""}


def _opened(taken: Taken, path: Path) -> tuple[Sequence[Any], Mapping[str, str]]:
    """The frames of a file, and what a DICOM file says of the case; its identifiers go to the list."""
    if dicom_file.is_dicom(path):
        opened = dicom_file.read(path)
        for keyword, value in opened.attributes:
            taken.found.append(Found(path.name, "attribute", keyword, identifiers.masked(value), CUT))
        return opened.frames, opened.labels
    taken.found += identifiers.in_file(path)
    return [np.asarray(image_file.decode(path).image)], {}


def _note(taken: Taken, path: Path, frame: Any, marks: list[burned_in.Mark], mask_markers: bool) -> None:
    for mark in marks:
        action = HELD if mark.kind == "text" else FILLED if mask_markers else LEFT
        place = f"{mark.word or f'{mark.letters} letters'} at {mark.box[0]}, {mark.box[1]} px"
        taken.found.append(Found(path.name, "pixels", mark.kind, place, action))
    text = any(mark.kind == "text" for mark in marks)
    if text:
        taken.tiles.insert(sum(any(m.kind == "text" for m in of) for _, of in taken.tiles), _tile(frame, marks))
    elif len(taken.tiles) < MOST_TILES:
        taken.tiles.append(_tile(frame, marks))
    del taken.tiles[4 * MOST_TILES :]


def _tile(frame: Any, marks: Sequence[burned_in.Mark]) -> tuple[Any, list[burned_in.Mark]]:
    """A picture small enough for the sheet, its marks moved with it."""
    from PIL import Image

    scale = min(1.0, TILE / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    small = np.asarray(Image.fromarray(frame).convert("RGB").resize(size))
    moved = [replace(mark, box=tuple(round(value * scale) for value in mark.box)) for mark in marks]
    return small, moved


def _sheet(tiles: Sequence[tuple[Any, list[burned_in.Mark]]]) -> bytes:
    """The pictures that are held back, text in red; then some with markers, in yellow."""
    from PIL import Image, ImageDraw

    if not tiles:
        return b""
    high = -(-len(tiles) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * (TILE + 4), high * (TILE + 4)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (small, marks) in enumerate(tiles):
        left, top = number % ACROSS * (TILE + 4), number // ACROSS * (TILE + 4)
        sheet.paste(Image.fromarray(small), (left, top))
        for mark in marks:
            x0, y0, x1, y1 = mark.box
            colour = "red" if mark.kind == "text" else "yellow"
            pen.rectangle((left + x0 - 2, top + y0 - 2, left + x1 + 2, top + y1 + 2), outline=colour, width=2)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _caption(taken: Taken, path: Path) -> str:
    """The user's own words beside a picture, unless they hold a date, a number or somebody's name."""
    beside = path.with_suffix(".txt")
    words = " ".join(photo_table.read_text(beside, captions.MAX_BYTES).split()) if beside.is_file() else ""
    bad = [*identifiers.DATE.finditer(words), *identifiers.NUMBER.finditer(words), *SPOKEN.finditer(words)]
    taken.found += [Found(beside.name, "caption", "words", identifiers.masked(one.group()), CUT) for one in bad]
    return "" if bad else words


def _save(frame: Any, path: Path) -> None:
    from PIL import Image

    image = Image.fromarray(frame)
    if max(image.size) > burned_in.LONGEST:
        image.thumbnail((burned_in.LONGEST, burned_in.LONGEST), Image.Resampling.LANCZOS)
    image.save(path, "PNG", compress_level=1)


def _keep_rights(sources: Sequence[Source], target: Path) -> None:
    """The rights beside the first folder; others must say the same or nothing."""
    told = {of.folder: (of.folder / rights_file.NAME).read_bytes() for of in sources if _has_rights(of.folder)}
    if len(set(told.values())) > 1:
        raise RequestError(f"{' and '.join(map(str, told))} state different rights. State one licence for both.")
    for content in list(told.values())[:1]:
        (target / rights_file.NAME).write_bytes(content)


def _has_rights(folder: Path) -> bool:
    return (folder / rights_file.NAME).is_file()


def _write_table(taken: Taken) -> None:
    with (taken.folder / photo_table.NAMES[0]).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("file_name", *COLUMNS, "text"), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(_sorted(taken.rows))


def _sorted(rows: Sequence[Mapping[str, str]]) -> Iterator[Mapping[str, str]]:
    yield from sorted(rows, key=lambda row: row["file_name"])
