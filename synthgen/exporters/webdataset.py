"""WebDataset: tar shards of a picture, its row (.json) and its class number (.cls), the same bytes every time.

Opened by `webdataset.WebDataset`; classes.txt names the classes by number. https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from synthgen import splits
from synthgen.errors import RequestError
from synthgen.export_pictures import ExportPicture, Place
from synthgen.export_set import ExportSet
from synthgen.image_file import SUFFIXES
from synthgen.types import FoundPicture

LOAD = """
import glob

import webdataset

train = webdataset.WebDataset(sorted(glob.glob("train-*.tar")), shardshuffle=False).decode("pil")
first = next(iter(train))["png"]
"""
SHARD_PICTURES = 1000
MOST_BYTES = 256 * 2**20  # of one member that is read


def check(export: ExportSet) -> None:
    """Every set goes out as shards."""


def write(export: ExportSet, folder: Path) -> Place:
    """<split>-NNNNNN.tar with SHARD_PICTURES samples each, and classes.txt."""
    shards = [""] * len(export.pictures)  # in which each picture is, by its number
    for split in export.splits:
        pictures = export.pictures.of(split)
        for number in range(-(-export.splits[split] // SHARD_PICTURES)):
            name = f"{split}-{number:06d}.tar"
            with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as shard:
                for picture in itertools.islice(pictures, SHARD_PICTURES):
                    for member, data in _sample(export, picture):
                        _add(shard, member, data)
                    shards[picture.number] = name
    (folder / "classes.txt").write_text("".join(f"{json.dumps(name)}\n" for name in export.classes), encoding="utf-8")
    return lambda picture: (shards[picture.number], picture.name)


def recognises(folder: Path) -> bool:
    """Tar files at the top."""
    return any(folder.glob("*.tar"))


def read(folder: Path) -> Iterator[FoundPicture]:
    """Sample by sample: the picture, the texts of its .json, its .cls through classes.txt. Only plain files are read.

    Raises RequestError for a tar that is broken.
    """
    classes = _classes(folder / "classes.txt")
    for path in sorted(folder.glob("*.tar")):
        split = splits.normal(path.stem.rpartition("-")[0] or path.stem)
        try:
            with tarfile.open(path) as shard:
                yield from _found(shard, classes, split)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise RequestError(f"{path} is no sound tar file ({error}). Nothing was brought in.") from error


def _sample(export: ExportSet, picture: ExportPicture) -> list[tuple[str, bytes]]:
    row = {"file_name": picture.name, **export.cells(picture)}
    return [
        (picture.name, export.data(picture)),
        (f"{picture.job_id}.json", json.dumps(row, ensure_ascii=False, sort_keys=True).encode("utf-8")),
        (f"{picture.job_id}.cls", str(export.classes.index(picture.label)).encode("ascii")),
    ]


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    """A member without clock, owner or machine in it."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    shard.addfile(member, io.BytesIO(data))


def _classes(path: Path) -> list[str]:
    """One class a line, as JSON text or bare."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(str(json.loads(line)))
        except ValueError:
            found.append(line.strip())
    return found


def _found(shard: tarfile.TarFile, classes: list[str], split: str) -> Iterator[FoundPicture]:
    """Samples are members in a row that share a name up to its first dot."""
    key = ""
    parts: dict[str, bytes] = {}
    for member in shard:
        if not member.isfile() or member.size > MOST_BYTES:
            continue
        place, _, name = member.name.rpartition("/")
        stem, _, suffix = name.partition(".")
        if f"{place}/{stem}" != key:
            yield from _picture(key, parts, classes, split)
            key, parts = f"{place}/{stem}", {}
        file = shard.extractfile(member)
        parts[suffix.lower()] = file.read() if file else b""
    yield from _picture(key, parts, classes, split)


def _picture(key: str, parts: dict[str, bytes], classes: list[str], split: str) -> Iterator[FoundPicture]:
    suffix = next((name for name in parts if f".{name}" in SUFFIXES), "")
    if not suffix:
        return
    try:
        told = json.loads(parts.get("json", b"{}"))
    except ValueError:
        told = {}
    cells = (
        {str(name): str(value) for name, value in told.items() if value is not None} if isinstance(told, dict) else {}
    )
    number = parts.get("cls", b"").strip().decode("ascii", "replace")
    label = classes[int(number)] if number.isdecimal() and int(number) < len(classes) else number
    name = f"{key.rpartition('/')[2]}.{suffix}"
    yield FoundPicture(
        name, parts[suffix], cells.get("label", "") or label, cells.get("split", "") or split, cells=cells
    )
