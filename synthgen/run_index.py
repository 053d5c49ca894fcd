"""Which jobs of a run are done and which were rejected, in a file of its own, so that a large run needs no more memory.

It is made anew from the ledgers whenever a run is opened, and is gone when the run is let go.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any

from synthgen.plan import root
from synthgen.tally import scratch


class RunIndex:
    """What was made of a run's jobs; a job is named by the id of any of its tries.

    Asked from the thread that draws and told by the one that judges.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db = scratch(
            "done (root TEXT PRIMARY KEY, job TEXT, at INTEGER, place INTEGER) WITHOUT ROWID",
            "refused (root TEXT PRIMARY KEY, tries INTEGER) WITHOUT ROWID",
        )
        weakref.finalize(self, self._db.close)
        self.done = self.rejected = self.most_tries = 0  # jobs; tries of all jobs; tries of the job that has most

    def add(self, job: str, at: int, place: int) -> None:
        """A job is done, by this try.

        at     the byte of the ledger at which its line begins
        place  of the job in the plan
        """
        self.done += not self.is_done(job)
        self._ask("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?)", root(job), job, at, place)

    def is_done(self, job: str) -> bool:
        """Whether a job's picture is there."""
        return bool(self._ask("SELECT 1 FROM done WHERE root = ?", root(job)))

    def is_kept(self, job: str) -> bool:
        """Whether it is the picture of this very try that is there."""
        return bool(self._ask("SELECT 1 FROM done WHERE root = ? AND job = ?", root(job), job))

    def forget_done(self) -> None:
        """Nothing is done any more."""
        self._ask("DELETE FROM done")
        self.done = 0

    def lines(self, by: str = "place") -> Iterator[int]:
        """Where the lines of what is done begin, by their "place" in the plan, or as they stand: "at"."""
        yield from (at for (at,) in self._db.execute(f"SELECT at FROM done ORDER BY {by}, root"))

    def refuse(self, job: str) -> None:
        """A try of a job was rejected."""
        self._ask("INSERT INTO refused VALUES (?, 1) ON CONFLICT DO UPDATE SET tries = tries + 1", root(job))
        self.rejected += 1
        self.most_tries = max(self.most_tries, self.tries(job))

    def tries(self, job: str) -> int:
        """How many tries of a job were rejected."""
        return sum(tries for (tries,) in self._ask("SELECT tries FROM refused WHERE root = ?", root(job)))

    def _ask(self, question: str, *told: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(question, told).fetchall()
