"""Predictions made elsewhere, as CSV: `file_name`, then a column of scores for each class, or one named `predicted`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthgen import photo_table
from synthgen.errors import RequestError
from synthgen.types import LabelledPicture, LabelledSet

if TYPE_CHECKING:
    import numpy as np

KEY, PREDICTED = "file_name", "predicted"
BESIDE = (PREDICTED, "set", "label", "split", "group")  # columns that are no class
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Table:
    """Scores by file name."""

    path: Path
    classes: tuple[str, ...]
    rows: Mapping[str, Sequence[float]]
    scored: bool  # False: the file has only the chosen class

    def scores(self, pictures: LabelledSet) -> np.ndarray:
        """(n, c) float64, rows with sum 1, in the order of the set.

        A picture is found as `set/file`, as its file name inside the set's folder, or as its bare name.
        Raises RequestError with how many are missing and the first.
        """
        import numpy as np

        bare = [item.path.name for item in pictures.pictures]
        single = len(set(bare)) == len(bare)
        found, missing = [], []
        for item in pictures.pictures:
            row = next((self.rows[name] for name in names(item, pictures, single) if name in self.rows), None)
            if row is None:
                missing.append(item)
            else:
                found.append(row)
        if missing:
            first = names(missing[0], pictures, True)[1]
            raise RequestError(
                f"{self.path} has no row for {len(missing)} of {len(bare)} pictures of {pictures.folder}; the first is "
                f"'{first}'. Every picture needs one. Nothing was judged."
            )
        said = np.asarray(found, dtype=np.float64)
        return np.asarray(said / said.sum(axis=1, keepdims=True))


def names(item: LabelledPicture, pictures: LabelledSet, single: bool) -> list[str]:
    """What a row may call a picture, the most exact first. Merged sets have pictures in several folders."""
    inside = item.path.relative_to(pictures.folder) if item.path.is_relative_to(pictures.folder) else item.path
    return [f"{pictures.name}/{inside.as_posix()}", inside.as_posix(), *([item.path.name] if single else [])]


def read(path: Path) -> Table:
    """A CSV of predictions. Raises RequestError with file and line for what is no such table."""
    reader = csv.DictReader(io.StringIO(photo_table.read_text(path, MAX_BYTES)))
    columns = [name for name in reader.fieldnames or [] if name]
    scored = [name for name in columns if name != KEY and name not in BESIDE]
    if KEY not in columns or not (scored or PREDICTED in columns):
        raise RequestError(
            f"{path} has the columns {', '.join(columns) or 'none'}; wanted '{KEY}', and one column of scores for each "
            f"class or one named '{PREDICTED}'. Nothing was judged."
        )
    lines = [(reader.line_num, row) for row in reader]
    classes = tuple(scored) or tuple(sorted({row[PREDICTED] or "" for _, row in lines}))
    rows: dict[str, Sequence[float]] = {}
    for line, row in lines:
        where, name = f"{path} line {line}", row[KEY] or ""
        if name in rows or not name:
            raise RequestError(f"{where}: '{name}' is {'named twice' if name else 'no file name'}. Nothing was judged.")
        rows[name] = _numbers(row, classes, where) if scored else [float(row[PREDICTED] == item) for item in classes]
    return Table(path, classes, rows, bool(scored))


def write(pictures: LabelledSet, classes: Sequence[str], scores: np.ndarray) -> str:
    """The same form, so that what was once computed can be given back as a classifier."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([KEY, "label", PREDICTED, *classes])
    for item, row in zip(pictures.pictures, scores, strict=True):
        name = names(item, pictures, False)[0]
        writer.writerow([name, item.label, classes[int(row.argmax())], *(f"{value:.9g}" for value in row)])
    return buffer.getvalue()


def _numbers(row: Mapping[str, str], classes: Sequence[str], where: str) -> list[float]:
    try:
        values = [float(row[name]) for name in classes]
    except (TypeError, ValueError):
        values = []
    if not values or not all(math.isfinite(value) and value >= 0 for value in values) or sum(values) <= 0:
        raise RequestError(
            f"{where}: wanted a score of 0 or more for each of {', '.join(classes)}. Nothing was judged."
        )
    return values
