"""A folder of labelled pictures, real or synthetic, read for evaluation: a run, an imagefolder, or class sub-folders.

Pictures are named, not decoded. A table is metadata.csv or metadata.jsonl with `file_name`, at the top or in folders of
splits; where there is none, sub-folders are classes, below folders of splits or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgen import image_file, photo_table, splits, store
from synthgen.errors import RequestError, UnknownName
from synthgen.types import LabelledPicture, LabelledSet

__all__ = ["LabelledPicture", "LabelledSet", "read"]

DEFAULTS = ("category", "finding", "label")  # columns that hold the label where none is named, the first that is filled
FOLDER = "folder"  # the column that stands for the names of sub-folders
GROUPS = ("group", "patient_id")
NO_LABELS = ("file_name", "split", "group", "keypoints")
REQUESTED = "requested_"


@dataclass(frozen=True)
class _Row:
    path: Path
    cells: Mapping[str, str]
    split: str
    group: str


def read(path: Path, label: str = "") -> LabelledSet:
    """The labelled pictures of a folder, in the order of its table, or of names.

    path    a run, a Hugging Face imagefolder, an export of synthgen that has a table, or a folder of class sub-folders
    label   the column that holds the label; where none is named: category, finding, label, else the sub-folder's name.
            A column `requested_x` is called `x`.
    Raises RequestError for no folder, no picture, a row without a picture, a picture without a label or outside the
    folder; UnknownName for a column that is none.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise RequestError(f"there is no folder '{path}'. Name a folder of labelled pictures. Nothing was read.")
    rows = list(_rows(folder))
    if not rows:
        raise RequestError(
            f"{folder} holds no labelled picture: no {' or '.join(photo_table.NAMES)}, and no sub-folders of "
            "pictures named by class. Nothing was read."
        )
    column = _column(folder, rows, label)
    bare = [row.path.name for row in rows if not row.cells.get(column)]
    if bare:
        raise RequestError(
            f"{folder}: {len(bare)} of {len(rows)} pictures have no '{column}' (the first is {bare[0]}). Fill it in, "
            "remove these rows, or name another column with --label. Nothing was read."
        )
    pictures = tuple(
        LabelledPicture(
            row.path,
            row.cells[column],
            row.split,
            row.group,
            {name: cell for name, cell in row.cells.items() if cell and name != column and name not in NO_LABELS},
        )
        for row in rows
    )
    return LabelledSet(folder, folder.resolve().name, column, pictures)


def _column(folder: Path, rows: list[_Row], label: str) -> str:
    known = dict.fromkeys(name for row in rows for name, cell in row.cells.items() if cell and name not in NO_LABELS)
    if label:
        name = label if label in known else label.removeprefix(REQUESTED)
        if name not in known:
            raise UnknownName(f"the labels of {folder}", label, known)
        return name
    for name in (*DEFAULTS, FOLDER):
        if name in known:
            return name
    raise RequestError(
        f"{folder} has none of the columns {', '.join(DEFAULTS)}. Name the one to use with --label: {', '.join(known)}."
    )


def _rows(folder: Path) -> Iterator[_Row]:
    if (folder / store.ABOUT).is_file():
        yield from _of_run(folder)
        return
    places = [folder, *_folders(folder)]
    tables = [(place, table) for place in places if (table := _table(place))]
    if tables and tables[0][0] == folder:
        tables = tables[:1]
    for place, table in tables:
        yield from _of_table(folder, place, table)
    if not tables:
        yield from _of_classes(folder)


def _of_run(folder: Path) -> Iterator[_Row]:
    """A run's own records: its table is written when it ends, they with every picture."""
    lines = store.read(folder)
    groups = splits.groups([splits.keys(line["lineage"]) for line in lines])
    for line, group in zip(lines, groups, strict=True):
        lineage = line["lineage"]
        measured = {f"measured_{key}": str(value) for key, value in lineage["measured"].items()}
        cells = {**measured, "category": lineage["job"]["category"], **lineage["requested"]}
        yield _Row(_inside(folder, folder, str(line["file_name"]), store.RECORDS), cells, splits.NAMES[0], group)


def _of_table(folder: Path, place: Path, table: Path) -> Iterator[_Row]:
    """The rows of one metadata.csv or metadata.jsonl; files are named from where the table stands."""
    seen: set[Path] = set()
    for line, raw in photo_table.rows(table):
        where = f"{table} line {line}"
        if not raw.get(photo_table.KEY):
            raise RequestError(f"{where}: the '{photo_table.KEY}' cell is empty. Every row names one picture.")
        path = _inside(folder, place, raw[photo_table.KEY], where)
        if path in seen:
            raise RequestError(f"{where}: '{raw[photo_table.KEY]}' has a row already. Keep one.")
        seen.add(path)
        cells = {name.removeprefix(REQUESTED): cell for name, cell in raw.items()}
        parts = path.relative_to(folder).parts
        split = splits.normal(raw.get("split", "")) or splits.normal(parts[0] if len(parts) > 1 else "")
        if len(parts) > 1 and not splits.normal(parts[-2]):
            cells.setdefault(FOLDER, parts[-2])
        group = next((raw[name] for name in GROUPS if raw.get(name)), "/".join(parts))
        yield _Row(path, cells, split, group)


def _of_classes(folder: Path) -> Iterator[_Row]:
    """Sub-folders named by class; those named train, val, test hold the classes of that split."""
    for outer in _folders(folder):
        split = splits.normal(outer.name)
        for inner in _folders(outer) if split else [outer]:
            for path in sorted(inner.iterdir()):
                if path.suffix.lower() in image_file.SUFFIXES and not path.name.startswith(".") and _own(folder, path):
                    yield _Row(path, {FOLDER: inner.name}, split, path.relative_to(folder).as_posix())


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _table(place: Path) -> Path | None:
    return next((place / name for name in photo_table.NAMES if (place / name).is_file()), None)


def _own(folder: Path, path: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _inside(folder: Path, place: Path, name: str, where: str) -> Path:
    """The picture that a row names. Raises RequestError where it is missing, or leads out of the folder."""
    path = place / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not path.resolve().is_relative_to(folder.resolve()):
        raise RequestError(f"{where}: '{name}' leads out of {folder}. Only pictures in it are read.")
    if not path.is_file():
        raise RequestError(f"{where}: there is no '{name}' in {place}. Remove the row or add the picture.")
    return path
