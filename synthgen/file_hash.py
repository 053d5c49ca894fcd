"""sha256 of a file; of one that may be tens of gigabytes, remembered until its size or time changes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from synthgen import resources

REMEMBERED_BYTES = 64 * 2**20  # smaller ones are read again: a second of reading is a gigabyte or two


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes as they are now. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered(path: Path) -> str:
    """The same, of a large file not read again. What is remembered stands in SYNTHGEN_HOME; it only saves time."""
    found = path.stat()
    if found.st_size < REMEMBERED_BYTES:
        return sha256(path)
    mark = f"{path.resolve()}|{found.st_size}|{found.st_mtime_ns}|{found.st_ino}"
    known = _known()
    if mark not in known:
        known[mark] = sha256(path)
        _remember(known)
    return known[mark]


def _place() -> Path:
    return resources.home() / "cache" / "file-hashes.json"


def _known() -> dict[str, str]:
    try:
        told = json.loads(_place().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _remember(known: dict[str, str]) -> None:
    place = _place()
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(known, indent=0), encoding="utf-8")
        os.replace(fresh, place)
    except OSError:  # a home that cannot be written costs time, nothing else
        fresh.unlink(missing_ok=True)
