"""Runs as one set to hand on: every picture with its row of labels, its group and its split.

Pictures stay where they are. What leaves is checked on the way: a picture whose bytes are not those of its record
stops the export.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from synthgen import export_pictures, export_rights, splits, store
from synthgen.errors import RequestError, SynthgenError, UnknownName
from synthgen.export_pictures import Cell, Digests, ExportPicture, Pictures
from synthgen.labelled_set import DEFAULTS, REQUESTED
from synthgen.provenance import lineage_id
from synthgen.records import Records
from synthgen.types import Asset, Verdict

FIRST = ("file_name", "job_id", "split", "label", "sku", "category", "prompt", "seed", "base", "adapters",
         "license_verdict", "license_reason")  # fmt: skip  # the columns of a run's own metadata.csv, in its order
_JOB_ID = re.compile(r"[0-9a-f]{16}(-\d+)?\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_SAFE = re.compile(r"[^\w.+ -]")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?\Z", re.IGNORECASE)  # names that Windows keeps for itself
LONGEST_NAME = 80


@dataclass(frozen=True)
class Source:
    """One run as it was found."""

    folder: Path
    about: Mapping[str, Any]
    lines: Records
    filled: Counter[str]  # label -> how many records have a value for it
    assets: tuple[Asset, ...]  # everything that went into its pictures


@dataclass(frozen=True)
class ExportSet:
    """What one export holds, whatever its format."""

    name: str
    created: str  # of the newest run, ISO 8601: an export of the same runs has the same bytes on another day
    label: str  # the column that the labels came from
    pictures: Pictures
    columns: Mapping[str, bool]  # in the table's order, without file_name: whether it holds numbers
    licenses: tuple[str, ...]  # SPDX expressions of the pictures, each once
    verdict: Verdict
    assets: tuple[Asset, ...]
    runs: tuple[Mapping[str, Any], ...]  # name, plan, count, made
    versions: Mapping[str, str]  # library -> its version, or versions, when the pictures were drawn
    shared: Mapping[str, int]  # what still stands in several splits: key -> number of its values
    ending: str = ".png"  # of the pictures' names
    on_read: Callable[[], None] = field(default=lambda: None)  # called with every picture that is read

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels in alphabetical order; a class's number is its place."""
        return tuple(sorted(set(self.pictures.labels)))

    @cached_property
    def splits(self) -> dict[str, int]:
        """Split -> number of its pictures, train first."""
        counts = Counter(self.pictures.splits)
        return {name: counts[name] for name in splits.NAMES if counts[name]}

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """(label, split) -> number of pictures."""
        return Counter(zip(self.pictures.labels, self.pictures.splits, strict=True))

    def data(self, picture: ExportPicture) -> bytes:
        """The bytes of a picture, unchanged. Raises SynthgenError where they are not those of its record."""
        try:
            data = picture.source.read_bytes()
        except OSError as error:
            raise SynthgenError(_changed(picture, f"cannot be read ({error.strerror})")) from error
        if hashlib.sha256(data).hexdigest() != picture.sha256:
            raise SynthgenError(_changed(picture, "is not the file that its record was written for"))
        self.on_read()
        return data

    def place(self, picture: ExportPicture, target: Path) -> None:
        """Write a picture's bytes to a place, its folder made where there is none."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.data(picture))

    @contextlib.contextmanager
    def table(self, path: Path) -> Iterator[Callable[[ExportPicture, str], None]]:
        """metadata.csv, row by row: gives what takes a picture and its file's name, which comes first in the row.

        An empty cell is a value that is not known.
        """
        columns = list(self.columns)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["file_name", *columns])

            def add(picture: ExportPicture, file_name: str) -> None:
                cells = (picture.row.get(name) for name in columns)
                writer.writerow([file_name, *("" if cell is None else cell for cell in cells)])

            yield add

    def cells(self, picture: ExportPicture) -> dict[str, Cell]:
        """The row of a picture with every column in it and one type in each: numbers, or text that may be empty."""
        return {
            name: _cell(picture.row.get(name), numeric) if name in picture.row else (None if numeric else "")
            for name, numeric in self.columns.items()
        }

    def folders(self) -> dict[str, str]:
        """Class -> a folder name that is safe everywhere and its own; the label itself stands in the table."""
        found: dict[str, str] = {}
        taken: set[str] = set()
        for label in self.classes:
            safe = _SAFE.sub("_", label).strip(". ")[:LONGEST_NAME] or "_"
            if _DEVICES.match(safe):
                safe = f"_{safe}"
            name, number = safe, 2
            while name.casefold() in taken:
                name, number = f"{safe}_{number}", number + 1
            taken.add(name.casefold())
            found[label] = name
        return found


def sources(runs: Sequence[Path]) -> list[Source]:
    """The runs as they stand on the disk. Raises RequestError for what is no run, is empty, or is named twice."""
    found, names = [], set[str]()
    for folder in dict.fromkeys(Path(run).expanduser() for run in runs):
        lines = Records(folder)
        if not len(lines):
            raise RequestError(f"{folder} has no finished picture yet. Run its `generate` command first.")
        filled = Counter[str]()
        for line in lines:
            if not _sound(line):
                raise RequestError(
                    f"{folder / store.RECORDS}: the line of picture '{str(line.get('job_id'))[:40]}' is not as "
                    "`generate` wrote it: its id does not fit its content. Restore the file. Nothing was exported."
                )
            name = str(line["job_id"])
            if name in names:
                raise RequestError(
                    f"picture {name} is in two of these runs: they are copies of one. Name each run once."
                )
            names.add(name)
            filled.update(axis for axis, value in export_pictures.labels(line).items() if value)
        used = export_rights.assets(lines, folder / store.RECORDS)
        found.append(Source(folder, store.about(folder), lines, filled, tuple(used)))
    return found


def assets(sources: Sequence[Source]) -> list[Asset]:
    """Everything that went into these runs, each once."""
    return list(dict.fromkeys(one for run in sources for one in run.assets))


def collect(sources: Sequence[Source], verdict: Verdict, label: str, shares: splits.Shares) -> ExportSet:
    """The pictures of all runs as one set, split by shares.

    verdict  on the `assets` of these runs
    label    the column that is the class; where none is named: category, finding, label, the first that is filled
    Raises UnknownName for a column that is none, RequestError where pictures have no label or are too few to split.
    """
    column = _label_column(sources, label)
    noted = _noted(sources, column, verdict)
    groups = splits.groups(noted.keys)
    chosen = splits.assign(groups, noted.labels, shares)
    runs = tuple(
        {
            "name": source.folder.resolve().name,
            "plan": str(source.about.get("plan", {}).get("digest", "")),
            "count": int(source.about.get("count", len(source.lines))),
            "made": len(source.lines),
        }
        for source in sources
    )
    first = [name for name in FIRST if name in noted.columns]
    return ExportSet(
        name="-".join(str(run["name"]) for run in runs)[:LONGEST_NAME],
        created=max(str(source.about.get("created", "")) for source in sources),
        label=column,
        pictures=Pictures(
            tuple((source.folder, source.lines) for source in sources),
            noted.labels, groups, chosen, noted.digests, verdict,
        ),
        columns={name: noted.columns[name] for name in dict.fromkeys([*first, *noted.columns])},
        licenses=tuple(sorted(noted.licenses)),
        verdict=verdict,
        assets=tuple(assets(sources)),
        versions={name: ", ".join(sorted(versions)) for name, versions in sorted(noted.versions.items())},
        runs=runs,
        shared=splits.shared(noted.keys, chosen) if len(shares.wanted) > 1 else {},
    )  # fmt: skip


@dataclass
class _Noted:
    """What is kept of records when all of them were gone through once."""

    keys: splits.Keys
    labels: list[str]
    digests: Digests
    columns: dict[str, bool]
    licenses: set[str]
    versions: dict[str, set[str]]


def _noted(sources: Sequence[Source], column: str, verdict: Verdict) -> _Noted:
    noted, known = _Noted(splits.Keys(()), [], Digests(), {}, set(), {}), dict[str, str]()  # equal labels once

    def keys() -> Iterator[Mapping[str, str]]:
        for line in (line for source in sources for line in source.lines):
            lineage = line["lineage"]
            label = export_pictures.labels(line)[column]
            noted.labels.append(known.setdefault(label, label))
            noted.digests.add(line["lineage_id"], line["file_sha256"])
            noted.licenses.add(export_rights.expression(lineage))
            for name, value in export_pictures.row(line, ("", "", ""), verdict).items():
                noted.columns[name] = noted.columns.get(name, True) and _number(value)
            for name, version in lineage.get("versions", {}).items():
                noted.versions.setdefault(str(name), set()).add(str(version))
            yield splits.keys(lineage)

    noted.keys = splits.Keys(keys())
    return noted


def _sound(line: Mapping[str, Any]) -> bool:
    """Whether a record is one of ours, unchanged; names in it become names of files."""
    job_id, lineage = str(line.get("job_id", "")), line.get("lineage")
    return (
        isinstance(lineage, dict)
        and bool(_JOB_ID.match(job_id))
        and line.get("file_name") == f"{store.IMAGES}/{job_id}.png"
        and line.get("lineage_id") == lineage_id(lineage)
        and line.get("pixel_sha256") == lineage.get("pixel_sha256")
        and bool(_SHA256.match(str(line.get("file_sha256"))))
    )


def _label_column(sources: Sequence[Source], label: str) -> str:
    filled = sum((source.filled for source in sources), Counter[str]())
    known = [name for name in filled if name != "keypoints"]
    if label and label.removeprefix(REQUESTED) not in known:
        raise UnknownName("the labels of these runs", label, known)
    column = label.removeprefix(REQUESTED) or next((name for name in DEFAULTS if name in known), "")
    if not column:
        raise RequestError(f"these runs name no category. Say which label is the class: --label {'|'.join(known)}.")
    count = sum(len(source.lines) for source in sources)
    if filled[column] < count:
        raise RequestError(f"{count - filled[column]} of {count} pictures have no '{column}'. Choose another --label.")
    return column


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Cell, numeric: bool) -> Cell:
    if numeric:
        return None if value is None else float(value)
    return "" if value is None else str(value)


def _changed(picture: ExportPicture, what: str) -> str:
    return (
        f"{picture.source} {what}. Give the run's `generate` command again: it makes what is missing or changed. "
        "Nothing was exported."
    )
