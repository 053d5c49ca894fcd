"""Files that survive a crash: whole files by temporary name and rename, and lines of JSON that count once written."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synthgen.provenance import canonical_json

UNFINISHED = ".part"  # suffix of temporary names; they begin with a dot, so that dataset loaders pass them by


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all. Raises OSError, with nothing left behind."""
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


class Ledger:
    """One JSON object a line. A line counts when it is on the disk whole; a torn last line is as if never written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """The good lines in order, and whether all that stood there was good."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], True
        lines, sound = [], not data or data.endswith(b"\n")
        for raw in data.splitlines():
            try:
                line = json.loads(raw)
            except ValueError:
                line = None
            if isinstance(line, dict):
                lines.append(line)
            else:
                sound = False
        return lines, sound

    def rewrite(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines at once."""
        write_whole(self.path, b"".join(_line(line) for line in lines))

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line and wait until it is on the disk. Raises OSError, with the lines before it as they were."""
        data = _line(line)
        with self.path.open("ab", buffering=0) as file:  # a buffer would write its rest after the truncation below
            before = file.tell()
            try:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(before)
                raise


def _line(line: Mapping[str, Any]) -> bytes:
    return canonical_json(line).encode("utf-8") + b"\n"
