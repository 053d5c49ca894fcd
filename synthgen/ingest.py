"""Somebody's labelled set in a standard format in, a plain labelled set out, for evaluation.

zip.unpack -> exporters.recognises -> exporters.read -> image_file.decode -> images/, metadata.csv -> rename
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from synthgen import image_file, labelled_set, rooms
from synthgen.errors import RequestError, UnreadableImage
from synthgen.ledger import UNFINISHED
from synthgen.types import FoundPicture

ORDER = ("coco", "yolo", "croissant", "parquet", "webdataset", "imagefolder", "csv", "torchvision")  # narrow ones first
FIRST = ("file_name", "label", "split", "group", "source_name")
LISTED = 10


@dataclass(frozen=True)
class IngestRequest:
    """What to bring in."""

    source: Path
    out: Path
    format: str = ""  # "" is guessed
    label: str = ""  # "" is category, finding or label


@dataclass(frozen=True)
class IngestResult:
    """What came in."""

    folder: Path
    format: str
    pictures: int
    labels: Mapping[str, int]
    skipped: tuple[tuple[str, str], ...]  # (file name, reason)


@dataclass
class _Kept:
    rows: list[dict[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def run(request: IngestRequest) -> IngestResult:
    """Copy every readable, labelled picture. Raises RequestError where there is none, or the place is taken."""
    if request.out.exists():
        raise RequestError(f"{request.out} exists. --out wants a folder that is not there yet. Nothing was changed.")
    if not request.source.exists():
        raise RequestError(f"there is no '{request.source}'. Name a folder or a zip of labelled pictures.")
    part = request.out.with_name(f".{request.out.name}{UNFINISHED}")
    with _unfinished(part, request.out):
        folder = _unpacked(request, part)
        name, member = _format(request, folder)
        kept = _keep(member.read(folder), part, request.label)
        if not kept.rows:
            raise RequestError(f"{request.source} has no labelled picture as {name}. {_listed(kept.skipped)}")
        shutil.rmtree(part / "unpacked", ignore_errors=True)
        if (folder / "rights.toml").is_file():
            shutil.copyfile(folder / "rights.toml", part / "rights.toml")
        (part / "metadata.csv").write_bytes(_table(kept.rows))
    if kept.skipped:
        print(f"{len(kept.skipped)} left out. {_listed(kept.skipped)}", file=sys.stderr, flush=True)
    labels = Counter(row["label"] for row in kept.rows)
    return IngestResult(request.out, name, len(kept.rows), dict(sorted(labels.items())), tuple(kept.skipped))


@contextmanager
def _unfinished(part: Path, target: Path) -> Iterator[None]:
    """Work in a hidden folder that becomes the target at the end, or goes."""
    shutil.rmtree(part, ignore_errors=True)
    (part / "images").mkdir(parents=True)
    try:
        yield
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _unpacked(request: IngestRequest, part: Path) -> Path:
    """The folder to read: the source itself, or what a zip holds."""
    if request.source.is_dir():
        return request.source
    packer = rooms.member("exporters", "zip")
    if not packer.recognises(request.source):
        raise RequestError(f"{request.source} is neither a folder nor a zip. Nothing was changed.")
    target = part / "unpacked"
    target.mkdir()
    packer.unpack(request.source, target)
    inside = list(target.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else target


def _format(request: IngestRequest, folder: Path) -> tuple[str, ModuleType]:
    """The member that reads this folder: the one that was named, else the first that recognises it."""
    if request.format:
        member = rooms.member("exporters", request.format)
        if not hasattr(member, "read"):
            raise RequestError(
                f"--format {request.format} says how a set is packed; name the format of what is inside."
            )
        if not member.recognises(folder):
            raise RequestError(f"{request.source} does not look like {request.format}. Leave --format out to guess.")
        return request.format, member
    names = [*ORDER, *(name for name in rooms.members("exporters") if name not in ORDER)]
    for name in names:
        member = rooms.member("exporters", name)
        if hasattr(member, "read") and member.recognises(folder):
            return name, member
    raise RequestError(
        f"{request.source} is in no format that is known: {', '.join(ORDER)}. The simplest is a sub-folder of pictures "
        "for each class. Nothing was changed."
    )


def _keep(found: Iterator[FoundPicture], part: Path, label: str) -> _Kept:
    """Copy what is good, under names of our own: a name that a stranger chose is data, kept in the table."""
    kept = _Kept()
    for number, picture in enumerate(found):
        reason = picture.skipped
        chosen = (labelled_set.label_of(picture.cells, label) if label else picture.label) or labelled_set.label_of(
            picture.cells, label
        )
        if not reason and not chosen:
            reason = f"no '{label}'" if label else "no label"
        suffix = Path(picture.name).suffix.lower()
        target = part / "images" / f"{number:06d}{suffix if suffix in image_file.SUFFIXES else '.png'}"
        if not reason:
            reason = _copy(picture, target)
        if reason:
            kept.skipped.append((picture.name, reason))
            continue
        cells = {name: cell for name, cell in picture.cells.items() if name not in FIRST and name != "keypoints"}
        kept.rows.append(
            {
                "file_name": f"images/{target.name}",
                "label": chosen,
                "split": picture.split,
                "group": picture.group or picture.cells.get("group", "") or picture.cells.get("patient_id", ""),
                "source_name": picture.name,
                **cells,
            }
        )
    return kept


def _copy(picture: FoundPicture, target: Path) -> str:
    """Put the picture's bytes in their place if they decode; else the reason, and nothing is left."""
    if isinstance(picture.content, bytes):
        target.write_bytes(picture.content)
    else:
        shutil.copyfile(picture.content, target)
    try:
        image_file.decode(target, image_file.MIN_SIDE_PX)
    except UnreadableImage as error:
        target.unlink()
        return str(error)
    return ""


def _table(rows: list[dict[str, Any]]) -> bytes:
    columns = list(dict.fromkeys([*FIRST, *(name for row in rows for name in row)]))
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode("utf-8")


def _listed(skipped: list[tuple[str, str]]) -> str:
    told = "; ".join(f"{name}: {reason}" for name, reason in skipped[:LISTED])
    return told + (f"; and {len(skipped) - LISTED} more." if len(skipped) > LISTED else "." if told else "")
