"""The pictures of an export, made one at a time from the records of their runs: a set may be larger than memory.

Of each picture a line number, its label, group and split, and two digests are held; everything else is read again when
it is asked for.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import export_rights
from synthgen.errors import SynthgenError
from synthgen.labelled_set import REQUESTED
from synthgen.records import Records
from synthgen.types import Verdict

Cell = str | float | None
SHA256_BYTES = 32


@dataclass(frozen=True)
class ExportPicture:
    """One picture of a run and all that goes out with it."""

    number: int  # its place in the set, from 0
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


Place = Callable[[ExportPicture], tuple[str, str]]  # in which file a picture is, and its name inside that or ""


class Digests:
    """Pairs of sha256, in 64 bytes each."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, one: str, two: str) -> None:
        """Two digests as hex."""
        self._bytes += bytes.fromhex(one) + bytes.fromhex(two)

    def __getitem__(self, place: int) -> tuple[str, str]:
        start = place * 2 * SHA256_BYTES
        both = self._bytes[start : start + 2 * SHA256_BYTES].hex()
        return both[: 2 * SHA256_BYTES], both[2 * SHA256_BYTES :]


@dataclass(frozen=True)
class Pictures:
    """The pictures of some runs in the order of their plans, each made when it is asked for, as often as it is."""

    runs: tuple[tuple[Path, Records], ...]
    labels: Sequence[str]  # one for each picture, as the two that follow
    groups: Sequence[str]
    splits: Sequence[str]
    digests: Digests  # lineage id and sha256 of the file
    verdict: Verdict
    changed: Callable[[ExportPicture], ExportPicture] | None = None  # what is another in a copy of it

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[ExportPicture]:
        return self.of("")

    def of(self, split: str) -> Iterator[ExportPicture]:
        """The pictures of one split, or all. Raises SynthgenError where a record is not what it was."""
        before = 0
        for folder, records in self.runs:
            mine = array("q", (at for at in range(len(records)) if split in ("", self.splits[before + at])))
            for at, line in zip(mine, records.at(mine), strict=True):
                yield self._made(folder, before + at, line)
            before += len(records)

    def _made(self, folder: Path, number: int, line: Mapping[str, Any]) -> ExportPicture:
        if line.get("lineage_id") != self.digests[number][0]:
            raise SynthgenError(
                f"{folder}: records were changed while they were exported. Give the same command again."
            )
        where = (self.labels[number], self.groups[number], self.splits[number])
        lineage = line["lineage"]
        picture = ExportPicture(
            number=number,
            source=folder / str(line["file_name"]),
            name=f"{line['job_id']}.png",
            job_id=str(line["job_id"]),
            lineage_id=str(line["lineage_id"]),
            sha256=str(line["file_sha256"]),
            pixel_sha256=str(line["pixel_sha256"]),
            width=int(lineage["width"]),
            height=int(lineage["height"]),
            label=where[0],
            category=str(lineage["job"].get("category", "")),
            split=where[2],
            group=where[1],
            license=export_rights.expression(lineage),
            row=row(line, where, self.verdict),
            keypoints=_keypoints(lineage["requested"].get("keypoints", "")),
        )
        return self.changed(picture) if self.changed else picture


def row(line: Mapping[str, Any], where: tuple[str, str, str], verdict: Verdict) -> dict[str, Cell]:
    """The cells of a picture's row by column. `where` is its label, group and split."""
    lineage, (label, group, split) = line["lineage"], where
    used, told = lineage.get("adapters", ()), labels(line)
    cells: dict[str, Cell] = {
        "job_id": str(line["job_id"]),
        "split": split,
        "label": label,
        "sku": "+".join(str(item["name"]) for item in used),
        "category": told["category"],
        "prompt": str(lineage.get("prompt", "")),
        "seed": str(lineage.get("seed", "")),
        "base": str(lineage["base"].get("id", "")),
        "adapters": ";".join(f"{item['name']}:{item['weight']:g}" for item in used),
        "license_verdict": verdict.answer,
        "license_reason": next(iter(verdict.reasons), ""),
        "license": export_rights.expression(lineage),
        "group": group,
        "lineage_id": str(line["lineage_id"]),
        **{f"{REQUESTED}{name}": value for name, value in told.items() if name != "category"},
        **{f"measured_{name}": value for name, value in lineage["measured"].items()},
    }
    if "category" in lineage["requested"]:
        cells["requested_category"] = str(lineage["requested"]["category"])
    return cells


def labels(line: Mapping[str, Any]) -> dict[str, str]:
    """What was asked for, by axis, and the category."""
    lineage = line["lineage"]
    return {"category": str(lineage["job"].get("category", "")), **{k: str(v) for k, v in lineage["requested"].items()}}


def _keypoints(text: str) -> tuple[tuple[float, float, float], ...]:
    """The skeleton as recorded; a text that is none is no skeleton."""
    try:
        points = json.loads(text) if text else []
        found = tuple((float(x), float(y), float(v)) for x, y, v in points)
    except (ValueError, TypeError):
        return ()
    return found if len(found) == 18 else ()
