"""Runs as one set to hand on: every picture with its row of labels, its group and its split.

Pictures stay where they are. What leaves is checked on the way: a picture whose bytes are not those of its record
stops the export.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from synthgen import export_rights, splits, store
from synthgen.errors import RequestError, SynthgenError, UnknownName
from synthgen.labelled_set import DEFAULTS, REQUESTED
from synthgen.provenance import lineage_id
from synthgen.types import Asset, Verdict

Cell = str | float | None
FIRST = ("file_name", "job_id", "split", "label", "sku", "category", "prompt", "seed", "base", "adapters",
         "license_verdict", "license_reason")  # fmt: skip  # the columns of a run's own metadata.csv, in its order
_JOB_ID = re.compile(r"[0-9a-f]{16}(-\d+)?\Z")
_SAFE = re.compile(r"[^\w.+ -]")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?\Z", re.IGNORECASE)  # names that Windows keeps for itself
LONGEST_NAME = 80


@dataclass(frozen=True)
class Source:
    """One run as it was found."""

    folder: Path
    about: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ExportPicture:
    """One picture of a run and all that goes out with it."""

    source: Path
    name: str  # file name without folder, one of its kind in the set
    job_id: str
    lineage_id: str
    sha256: str  # of the file's bytes
    pixel_sha256: str
    width: int  # px
    height: int  # px
    label: str
    category: str
    split: str
    group: str
    license: str  # SPDX expression of all that went into it
    row: Mapping[str, Cell]  # the columns of the table but for file_name
    keypoints: tuple[tuple[float, float, float], ...] = ()  # 18 x (x, y, v) px, OpenPose order, or none


@dataclass(frozen=True)
class ExportSet:
    """What one export holds, whatever its format."""

    name: str
    created: str  # of the newest run, ISO 8601: an export of the same runs has the same bytes on another day
    label: str  # the column that the labels came from
    pictures: tuple[ExportPicture, ...]
    verdict: Verdict
    assets: tuple[Asset, ...]
    runs: tuple[Mapping[str, Any], ...]  # name, plan, count, made
    versions: Mapping[str, str]  # library -> its version, or versions, when the pictures were drawn
    shared: Mapping[str, int]  # what still stands in several splits: key -> number of its values
    on_read: Callable[[], None] = field(default=lambda: None)  # called with every picture that is read

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels in alphabetical order; a class's number is its place."""
        return tuple(sorted({picture.label for picture in self.pictures}))

    @cached_property
    def splits(self) -> dict[str, int]:
        """Split -> number of its pictures, train first."""
        counts = Counter(picture.split for picture in self.pictures)
        return {name: counts[name] for name in splits.NAMES if counts[name]}

    @cached_property
    def columns(self) -> dict[str, bool]:
        """Column -> whether it holds numbers, in the order of the table; file_name is not among them."""
        names = dict.fromkeys(name for picture in self.pictures for name in picture.row)
        first = [name for name in FIRST if name in names]
        order = [*first, *(name for name in names if name not in FIRST)]
        return {name: all(_number(picture.row.get(name)) for picture in self.pictures) for name in order}

    def of(self, split: str) -> list[ExportPicture]:
        """The pictures of one split, in the order of the runs' plans."""
        return [picture for picture in self.pictures if picture.split == split]

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

    def table(self, file_of: Callable[[ExportPicture], str], pictures: Iterable[ExportPicture] | None = None) -> bytes:
        """metadata.csv: a row for each picture, `file_name` first; an empty cell is a value that is not known."""
        columns = list(self.columns)
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["file_name", *columns])
        for picture in self.pictures if pictures is None else pictures:
            cells = [picture.row.get(name) for name in columns]
            writer.writerow([file_of(picture), *("" if cell is None else cell for cell in cells)])
        return buffer.getvalue().encode("utf-8")

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
    found = []
    for folder in dict.fromkeys(Path(run).expanduser() for run in runs):
        lines = store.read(folder)
        if not lines:
            raise RequestError(f"{folder} has no finished picture yet. Run its `generate` command first.")
        strange = next((line for line in lines if not _sound(line)), None)
        if strange is not None:
            raise RequestError(
                f"{folder / store.RECORDS}: the line of picture '{str(strange.get('job_id'))[:40]}' is not as "
                "`generate` wrote it: its id does not fit its content. Restore the file. Nothing was exported."
            )
        found.append(Source(folder, store.about(folder), lines))
    names = Counter(str(line["job_id"]) for source in found for line in source.lines)
    twice = next((name for name, times in names.items() if times > 1), "")
    if twice:
        raise RequestError(f"picture {twice} is in two of these runs: they are copies of one. Name each run once.")
    return found


def assets(sources: Sequence[Source]) -> list[Asset]:
    """Everything that went into these runs, each once."""
    return list(
        dict.fromkeys(one for run in sources for one in export_rights.assets(run.lines, run.folder / store.RECORDS))
    )


def collect(sources: Sequence[Source], verdict: Verdict, label: str, shares: splits.Shares) -> ExportSet:
    """The pictures of all runs as one set, split by shares.

    label  the column that is the class; where none is named: category, finding, label, the first that is filled
    Raises UnknownName for a column that is none, RequestError where pictures have no label or are too few to split.
    """
    lines = [line for source in sources for line in source.lines]
    places = [source.folder for source in sources for _ in source.lines]
    column = _label_column(lines, label)
    labels = [_labels(line)[column] for line in lines]
    keys = [splits.keys(line["lineage"]) for line in lines]
    groups = splits.groups(keys)
    chosen = splits.assign(groups, labels, shares)
    pictures = tuple(
        _picture(place, line, (label, group, split), verdict)
        for place, line, label, group, split in zip(places, lines, labels, groups, chosen, strict=True)
    )
    runs = tuple(
        {
            "name": source.folder.resolve().name,
            "plan": str(source.about.get("plan", {}).get("digest", "")),
            "count": int(source.about.get("count", len(source.lines))),
            "made": len(source.lines),
        }
        for source in sources
    )
    return ExportSet(
        name="-".join(str(run["name"]) for run in runs)[:LONGEST_NAME],
        created=max(str(source.about.get("created", "")) for source in sources),
        label=column,
        pictures=pictures,
        verdict=verdict,
        assets=tuple(assets(sources)),
        versions=_versions(lines),
        runs=runs,
        shared=splits.shared(keys, chosen) if len(shares.wanted) > 1 else {},
    )


def _picture(place: Path, line: Mapping[str, Any], where: tuple[str, str, str], verdict: Verdict) -> ExportPicture:
    lineage, (label, group, split) = line["lineage"], where
    told, category = _labels(line), str(lineage["job"].get("category", ""))
    used = lineage.get("adapters", ())
    license_id = export_rights.expression(lineage)
    row: dict[str, Cell] = {
        "job_id": str(line["job_id"]),
        "split": split,
        "label": label,
        "sku": "+".join(str(item["name"]) for item in used),
        "category": category,
        "prompt": str(lineage.get("prompt", "")),
        "seed": str(lineage.get("seed", "")),
        "base": str(lineage["base"].get("id", "")),
        "adapters": ";".join(f"{item['name']}:{item['weight']:g}" for item in used),
        "license_verdict": verdict.answer,
        "license_reason": next(iter(verdict.reasons), ""),
        "license": license_id,
        "group": group,
        "lineage_id": str(line["lineage_id"]),
        **{f"{REQUESTED}{name}": value for name, value in told.items() if name != "category"},
        **{f"measured_{name}": value for name, value in lineage["measured"].items()},
    }
    if "category" in lineage["requested"]:
        row["requested_category"] = str(lineage["requested"]["category"])
    return ExportPicture(
        source=place / str(line["file_name"]),
        name=f"{line['job_id']}.png",
        job_id=str(line["job_id"]),
        lineage_id=str(line["lineage_id"]),
        sha256=str(line["file_sha256"]),
        pixel_sha256=str(line["pixel_sha256"]),
        width=int(lineage["width"]),
        height=int(lineage["height"]),
        label=label,
        category=category,
        split=split,
        group=group,
        license=license_id,
        row=row,
        keypoints=_keypoints(lineage["requested"].get("keypoints", "")),
    )


def _sound(line: Mapping[str, Any]) -> bool:
    """Whether a record is one of ours, unchanged; names in it become names of files."""
    job_id, lineage = str(line.get("job_id", "")), line.get("lineage")
    return (
        isinstance(lineage, dict)
        and bool(_JOB_ID.match(job_id))
        and line.get("file_name") == f"{store.IMAGES}/{job_id}.png"
        and line.get("lineage_id") == lineage_id(lineage)
        and line.get("pixel_sha256") == lineage.get("pixel_sha256")
        and isinstance(line.get("file_sha256"), str)
    )


def _versions(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Library -> version; of runs that were drawn with several, all of them."""
    found: dict[str, set[str]] = {}
    for line in lines:
        for name, version in line["lineage"].get("versions", {}).items():
            found.setdefault(str(name), set()).add(str(version))
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _labels(line: Mapping[str, Any]) -> dict[str, str]:
    """What was asked for, by axis, and the category."""
    lineage = line["lineage"]
    return {"category": str(lineage["job"].get("category", "")), **{k: str(v) for k, v in lineage["requested"].items()}}


def _label_column(lines: Sequence[Mapping[str, Any]], label: str) -> str:
    told = [_labels(line) for line in lines]
    known = dict.fromkeys(name for row in told for name, value in row.items() if value and name != "keypoints")
    if label and label.removeprefix(REQUESTED) not in known:
        raise UnknownName("the labels of these runs", label, known)
    column = label.removeprefix(REQUESTED) or next((name for name in DEFAULTS if name in known), "")
    if not column:
        raise RequestError(f"these runs name no category. Say which label is the class: --label {'|'.join(known)}.")
    bare = sum(not row.get(column) for row in told)
    if bare:
        raise RequestError(f"{bare} of {len(told)} pictures have no '{column}'. Choose another --label.")
    return column


def _keypoints(text: str) -> tuple[tuple[float, float, float], ...]:
    """The skeleton as recorded; a text that is none is no skeleton."""
    try:
        points = json.loads(text) if text else []
        found = tuple((float(x), float(y), float(v)) for x, y, v in points)
    except (ValueError, TypeError):
        return ()
    return found if len(found) == 18 else ()


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
