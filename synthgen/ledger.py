"""Files that survive a crash: whole files by temporary name and rename, and lines of JSON that count once written."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synthgen import file_hash
from synthgen.provenance import canonical_json

UNFINISHED = ".part"  # suffix of temporary names; they begin with a dot, so that dataset loaders pass them by

EVENT, PREVIOUS = "event", "previous"
START = "0" * 64  # what the first line follows


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all. Raises OSError, with nothing left behind."""
    write_pieces(path, [data])


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """The same of a file that is made piece by piece, so that it need not fit into memory."""
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        os.replace(unfinished, path)
    except BaseException:
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

    def at(self, places: Iterable[int]) -> Iterator[dict[str, Any]]:
        """The lines that begin at these bytes, in this order."""
        with self.path.open("rb") if self.path.is_file() else io.BytesIO() as file:
            for place in places:
                file.seek(place)
                yield json.loads(file.readline())

    def events(self) -> list[dict[str, Any]]:
        """What happened to the ledger: "rechained" and "revoked", oldest first."""
        return [line for line, _ in self._lines(only=f'"{EVENT}"'.encode()) if line is not None and EVENT in line]

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

    def rewrite(self, lines: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Keep only these lines. A torn last line is cut off; where more goes, an event tells of the ledger before.

        lines  asked twice, if need be; they may be read from this ledger meanwhile
        """
        events = self.events()
        if not self._begins_with(_chained([*events, *lines()])):
            old = file_hash.sha256(self.path) if self.path.is_file() else _digest(b"")
            events = [{EVENT: "rechained", "sha256_before": old}, *events]
        write_pieces(self.path, _chained(itertools.chain(events, lines())))
        self._head = None

    def _begins_with(self, lines: Iterable[bytes]) -> bool:
        """Whether these lines stand here, with no whole line after them."""
        if not self.path.is_file():
            return not any(True for _ in lines)
        with self.path.open("rb") as file:
            same = all(file.readline() == line for line in lines)
            return same and not file.readline().endswith(b"\n")

    def append(self, line: Mapping[str, Any]) -> int:
        """Add a line and wait until it is on the disk; the byte at which it begins.

        Raises OSError, with the lines before it as they were.
        """
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
        return before

    def _lines(self, only: bytes = b"") -> Iterator[tuple[dict[str, Any] | None, bytes]]:
        """Each line with its bytes, those alone in which `only` stands; None for what is no whole line of JSON."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            for raw in file:
                if only not in raw:
                    continue
                try:
                    line = json.loads(raw) if raw.endswith(b"\n") else None
                except (ValueError, RecursionError):
                    line = None
                yield (line if isinstance(line, dict) else None), raw


class Again:
    """Lines that can be gone through more than once and are not held."""

    def __init__(self, lines: Callable[[], Iterator[dict[str, Any]]]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._lines()


def _break(lines: Iterable[tuple[dict[str, Any] | None, bytes]]) -> str:
    before = START
    for number, (line, raw) in enumerate(lines, 1):
        if line is None:
            return f"line {number} is no whole line of JSON"
        if line.get(PREVIOUS) != before:
            return f"line {number} does not follow {f'line {number - 1}' if number > 1 else 'the beginning'}"
        before = _digest(raw.rstrip(b"\n"))
    return ""


def _chained(lines: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    head = START
    for line in lines:
        raw = _line({**line, PREVIOUS: head})
        yield raw + b"\n"
        head = _digest(raw)


def _line(line: Mapping[str, Any]) -> bytes:
    return canonical_json(line).encode("utf-8")


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
