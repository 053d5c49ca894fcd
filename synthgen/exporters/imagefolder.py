"""Hugging Face imagefolder: a folder for each split with its pictures and a metadata.jsonl.

`datasets.load_dataset("imagefolder", data_dir=...)` opens it. JSON lines and not CSV, because that reader turns
texts of digits ("007") from a CSV into numbers. https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from synthgen import labelled_set, photo_table, splits
from synthgen.export_pictures import Place
from synthgen.export_set import ExportSet
from synthgen.types import FoundPicture

LOAD = """
from datasets import load_dataset

splits = load_dataset("imagefolder", data_dir=".")
first = splits["train"][0]["image"]
"""


def check(export: ExportSet) -> None:
    """Every set goes out as an imagefolder."""


def write(export: ExportSet, folder: Path) -> Place:
    """<split>/<job_id>.png, and in each split metadata.jsonl with `file_name` first."""
    for split in export.splits:
        (folder / split).mkdir()
        with (folder / split / "metadata.jsonl").open("w", encoding="utf-8") as table:
            for picture in export.pictures.of(split):
                export.place(picture, folder / split / picture.name)
                row = {"file_name": picture.name, **export.cells(picture)}
                table.write(f"{json.dumps(row, ensure_ascii=False)}\n")
    return lambda picture: (f"{picture.split}/{picture.name}", "")


def without(folder: Path, jobs: Collection[str]) -> None:
    """The table of each split without the rows of these jobs."""
    for path in sorted(folder.glob("*/metadata.jsonl")):
        photo_table.drop(path, jobs)


def recognises(folder: Path) -> bool:
    """A metadata file at the top, or in a folder named as a split."""
    places = [folder, *(path for path in folder.iterdir() if path.is_dir() and splits.normal(path.name))]
    return any((place / name).is_file() for place in places for name in photo_table.NAMES)


def read(folder: Path) -> Iterator[FoundPicture]:
    """The rows of the metadata files, files as they lie."""
    yield from labelled_set.found(folder)
