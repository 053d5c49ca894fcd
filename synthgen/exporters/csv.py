"""CSV + images: metadata.csv with a row for each picture, images/ beside it.

The columns are those of a run, with `group`, `license` and `lineage_id`. Any reader of CSV (RFC 4180) opens it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from synthgen import labelled_set, photo_table
from synthgen.export_pictures import Place
from synthgen.export_set import ExportSet
from synthgen.types import FoundPicture

LOAD = """
import pandas
from PIL import Image

table = pandas.read_csv("metadata.csv", dtype=str, keep_default_na=False)
first = Image.open(table["file_name"][0])
"""


def check(export: ExportSet) -> None:
    """Every set goes out as CSV."""


def write(export: ExportSet, folder: Path) -> Place:
    """images/<job_id>.png, and the table."""
    with export.table(folder / "metadata.csv") as add:
        for picture in export.pictures:
            export.place(picture, folder / "images" / picture.name)
            add(picture, f"images/{picture.name}")
    return lambda picture: (f"images/{picture.name}", "")


def without(folder: Path, jobs: Collection[str]) -> None:
    """The table without the rows of these jobs."""
    photo_table.drop(folder / "metadata.csv", jobs)


def recognises(folder: Path) -> bool:
    """A metadata.csv at the top; where none of its pictures stand does not matter."""
    return (folder / "metadata.csv").is_file()


def read(folder: Path) -> Iterator[FoundPicture]:
    """The rows of the table, files as they lie."""
    yield from labelled_set.found(folder)
