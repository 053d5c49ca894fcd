"""Zip of any other format: one file to send. `--format imagefolder --format zip` packs the imagefolder.

Alone it packs CSV + images. Pictures are stored as they are, names sorted, without clock or owner: the same export
gives the same bytes.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from synthgen.errors import RequestError

PACKED = "csv"  # what is packed where no other format is asked for
STORED = (".png", ".jpg", ".webp", ".tar", ".parquet")  # packed already; another pass only takes time
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that the format knows
MOST_MEMBERS = 2_000_000
MOST_TIMES = 200  # a file that grows by more than this as it is unpacked was made to fill the disk
LOAD = """
import glob
import zipfile

packed = zipfile.ZipFile(glob.glob("*.zip")[0])
names = packed.namelist()
"""


def pack(source: Path, target: Path) -> None:
    """All files of a folder as one zip, paths as they stand in it."""
    with zipfile.ZipFile(target, "w") as packed:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(source).as_posix(), EPOCH)
                entry.compress_type = zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                entry.file_size = path.stat().st_size
                with path.open("rb") as file, packed.open(entry, "w") as member:
                    shutil.copyfileobj(file, member, 1 << 20)


def recognises(path: Path) -> bool:
    """A zip file."""
    return path.is_file() and zipfile.is_zipfile(path)


def unpack(path: Path, target: Path) -> None:
    """A zip into an empty folder. Raises RequestError for one that is broken, or made to write elsewhere or burst."""
    try:
        with zipfile.ZipFile(path) as packed:
            for entry in _members(path, packed):
                place = target / entry.filename
                place.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(entry) as member, place.open("wb") as file:
                    shutil.copyfileobj(member, file, 1 << 20)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise RequestError(f"{path} cannot be unpacked ({error}). Nothing was brought in.") from error


def _members(path: Path, packed: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    entries = packed.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_MEMBERS or unpacked > max(MOST_TIMES * path.stat().st_size, 1 << 20):
        raise RequestError(
            f"{path} would unpack {len(entries)} files with {unpacked} bytes; it was refused. Nothing was brought in."
        )
    for entry in entries:
        parts = Path(entry.filename.replace("\\", "/")).parts
        link = (entry.external_attr >> 16) & 0o170000 == 0o120000
        if entry.filename.startswith(("/", "\\")) or ".." in parts or ":" in entry.filename or link:
            raise RequestError(f"{path}: '{entry.filename}' leads out of the archive. Nothing was brought in.")
        if not entry.is_dir():
            yield entry
