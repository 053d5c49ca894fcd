"""Files that survive a crash: whole files by temporary name and rename, and lines of JSON that count once written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synthgen.provenance import canonical_json

UNFINISHED = ".part"  # suffix of temporary names; they begin with a dot, so that dataset loaders pass them by

EVENT, PREVIOUS = "event", "previous"
START = "0" * 64  # what the first line follows


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
    """One JSON object a line, each with the sha256 of the line before it: nothing is changed or taken out unseen.

    A line counts when it is on the disk whole; a torn last line is as if never written. Lines of the ledger about
    itself have the key EVENT; see `events`. Who can write here can also write the whole chain anew: that a picture is
    ours is proved by its signature, and the chain tells accidents and patchwork.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._head: str | None = None  # sha256 of the last line, once it is known

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """The good lines in order, without events, and whether all that stood there was good and in its chain."""
        found = list(self._lines())
        return [line for line, _ in found if line is not None and EVENT not in line], not _break(found)

    def located(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The good lines in order, without events, one after the other, each with the byte that it begins at."""
        start = 0
        for line, raw in self._lines():
            if line is not None and EVENT not in line:
                yield start, line
            start += len(raw)

    def events(self) -> list[dict[str, Any]]:
        """What happened to the ledger: "rechained" and "revoked", oldest first."""
        return [line for line, _ in self._lines() if line is not None and EVENT in line]

    def broken(self) -> str:
        """Where the chain breaks: "line 7 does not follow line 6". "" where it holds."""
        return _break(self._lines())

    def head(self) -> str:
        """sha256 of the last line: with it, a ledger that was cut short is told from a whole one."""
        if self._head is None:
            self._head = START
            for _, raw in self._lines():
                self._head = _digest(raw.rstrip(b"\n"))
        return self._head

    def rewrite(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Keep only these lines. A torn last line is cut off; where more goes, an event tells of the ledger before."""
        kept = [*self.events(), *lines]
        old = self.path.read_bytes() if self.path.is_file() else b""
        data = _chained(kept)
        if not old.startswith(data) or b"\n" in old[len(data) :]:
            data = _chained([{EVENT: "rechained", "sha256_before": _digest(old)}, *kept])
        write_whole(self.path, data)
        self._head = None

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line and wait until it is on the disk. Raises OSError, with the lines before it as they were."""
        raw = _line({**line, PREVIOUS: self.head()})
        data = raw + b"\n"
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
        self._head = _digest(raw)

    def _lines(self) -> Iterator[tuple[dict[str, Any] | None, bytes]]:
        """Each line with its bytes, one at a time; None for what is no whole line of JSON."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            for raw in file:
                try:
                    line = json.loads(raw) if raw.endswith(b"\n") else None
                except (ValueError, RecursionError):
                    line = None
                yield (line if isinstance(line, dict) else None), raw


def _break(lines: Iterable[tuple[dict[str, Any] | None, bytes]]) -> str:
    before = START
    for number, (line, raw) in enumerate(lines, 1):
        if line is None:
            return f"line {number} is no whole line of JSON"
        if line.get(PREVIOUS) != before:
            return f"line {number} does not follow {f'line {number - 1}' if number > 1 else 'the beginning'}"
        before = _digest(raw.rstrip(b"\n"))
    return ""


def _chained(lines: Iterable[Mapping[str, Any]]) -> bytes:
    data, head = [], START
    for line in lines:
        raw = _line({**line, PREVIOUS: head})
        data.append(raw + b"\n")
        head = _digest(raw)
    return b"".join(data)


def _line(line: Mapping[str, Any]) -> bytes:
    return canonical_json(line).encode("utf-8")


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
