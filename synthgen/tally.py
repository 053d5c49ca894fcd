"""Counts by key in a file of their own, so that memory does not grow with how many there are."""

from __future__ import annotations

import sqlite3
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

HELD = 5000  # counts in memory before they go to the file


def scratch(*tables: str) -> sqlite3.Connection:
    """A data base that sqlite keeps in its own memory of 2 MB, beyond that in a temporary file; gone once let go.

    tables  what follows CREATE TABLE
    """
    made = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=OFF", "synchronous=OFF"):
        made.execute(f"PRAGMA {pragma}")
    for table in tables:
        made.execute(f"CREATE TABLE {table}")
    return made


class Tally:
    """How often each value of each key was added."""

    def __init__(self) -> None:
        self._held: Counter[tuple[str, str]] = Counter()
        self._db = scratch("seen (key TEXT, value TEXT, times INTEGER, PRIMARY KEY (key, value)) WITHOUT ROWID")
        weakref.finalize(self, self._db.close)

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Count each of these keys with its value once more."""
        self._held.update(pairs)
        if len(self._held) > HELD:
            self._put()

    def keys(self) -> list[str]:
        """In alphabetical order."""
        return [key for (key,) in self._asked("SELECT DISTINCT key FROM seen ORDER BY key")]

    def different(self, key: str) -> int:
        """How many values a key has."""
        return int(next(iter(self._asked("SELECT count(*) FROM seen WHERE key = ?", key)))[0])

    def total(self, key: str) -> int:
        """How often a key was added."""
        return int(next(iter(self._asked("SELECT total(times) FROM seen WHERE key = ?", key)))[0])

    def times(self, key: str, value: str) -> int:
        """How often a value was added."""
        return sum(times for (times,) in self._asked("SELECT times FROM seen WHERE key = ? AND value = ?", key, value))

    def values(self, key: str) -> Iterator[tuple[str, int]]:
        """Each value of a key with its count, in alphabetical order."""
        yield from self._asked("SELECT value, times FROM seen WHERE key = ? ORDER BY value", key)

    def commonest(self, key: str, most: int = -1) -> Iterator[tuple[str, int]]:
        """The same, the commonest first; -1 for all."""
        yield from self._asked(
            "SELECT value, times FROM seen WHERE key = ? ORDER BY times DESC, value LIMIT ?", key, most
        )

    def _asked(self, question: str, *told: Any) -> sqlite3.Cursor:
        self._put()
        return self._db.execute(question, told)

    def _put(self) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET times = times + excluded.times",
            [(key, value, times) for (key, value), times in self._held.items()],
        )
        self._db.execute("COMMIT")
        self._held.clear()
