"""What must be true of a run's folder, and of a picture in it, before it is written to or believed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthgen.errors import RequestError
from synthgen.ledger import UNFINISHED
from synthgen.provenance import lineage_id


def holds(folder: Path, line: Mapping[str, Any]) -> bool:
    """Whether a line of the ledger has what a line must have, and its picture is there, byte for byte."""
    name, lineage = str(line.get("file_name", "")), line.get("lineage")
    if not isinstance(lineage, dict) or name != f"images/{line.get('job_id')}.png":
        return False
    if line.get("lineage_id") != lineage_id(lineage):
        return False
    try:
        data = (folder / name).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == line.get("file_sha256")


def make(folder: Path) -> None:
    """The folder, there and writable. Raises RequestError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise RequestError(f"{folder} cannot be made ({error.strerror}). Choose another folder with --out.") from error
    if not writable:
        raise RequestError(f"{folder} cannot be written to. Choose another folder with --out. Nothing was changed.")


def check_empty(folder: Path) -> None:
    """Raises RequestError where something stands in it that no run of ours left."""
    foreign = sorted(path.name for path in folder.iterdir() if not path.name.endswith(UNFINISHED))
    if foreign:
        raise RequestError(
            f"{folder} is not empty and is no run of synthgen (it holds '{foreign[0]}'). "
            "Choose another folder with --out. Nothing was changed."
        )
