"""The records of a run, read one at a time: what is held of each is where its line begins."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from synthgen import store
from synthgen.errors import SynthgenError
from synthgen.ledger import Ledger


class Records:
    """The lines of a run's records.jsonl in plan order, those of revoked pictures left out; nothing is locked.

    As store.read, for runs whose records are too many to hold. May be gone through again and again.
    Raises RequestError for a folder that is no run.
    """

    def __init__(self, folder: Path) -> None:
        store.about(folder)
        self.path = folder / store.RECORDS
        revoked = store.revocations(folder)
        starts, indexes = array("q"), array("q")
        for start, line in Ledger(self.path).located():
            if line.get("job_id") not in revoked:
                starts.append(start)
                indexes.append(_index(line.get("index", 0)))
        order = sorted(range(len(starts)), key=indexes.__getitem__)
        self._starts = array("q", (starts[at] for at in order))

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.at(range(len(self)))

    def at(self, places: Iterable[int]) -> Iterator[dict[str, Any]]:
        """The lines at these places. Raises SynthgenError where the file is not what it was."""
        with self.path.open("rb") as file:
            for place in places:
                file.seek(self._starts[place])
                try:
                    line = json.loads(file.readline())
                except ValueError:
                    line = None
                if not isinstance(line, dict):
                    raise SynthgenError(f"{self.path} was changed while it was read. Give the same command again.")
                yield line


def _index(told: Any) -> int:
    """A place in the plan; 0 for what can be none."""
    return told if isinstance(told, int) and 0 <= told < 2**62 else 0
