"""What engines of several processes have in common: which batches are on their way, and in which order they come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from synthgen.engines._drawer import Wanted, batches
from synthgen.types import AdapterUse, Job, Picture

AHEAD = 2  # batches for each process that could draw: one that is drawn and one that waits


class Spread(ABC):
    """Asks processes for one batch after another; only a few batches are on their way at a time."""

    def __init__(self, batch: int, tolerance: int | None) -> None:
        """tolerance  grey levels by which a picture changes with the size of its batch; None: the first batch tells"""
        self._batch = batch
        self._tolerance = tolerance
        self._told = tolerance is not None  # whether it is settled what batches say of the tolerance
        self._uses: tuple[AdapterUse, ...] = ()

    def attach(self, uses: Sequence[AdapterUse]) -> None:
        """The adapters that the next pictures are drawn with; each process reads them for itself."""
        self._uses = tuple(uses)

    def draw(self, jobs: Iterable[Job], wanted: Wanted) -> Iterator[list[Picture]]:
        """Pictures of the wanted jobs, a list for each batch, in the order of the plan whoever is ready first.

        The first batch goes alone where it is not known yet by how much pictures change with the size of a batch: all
        others tell what it told.
        Raises MemoryError as on this machine, SynthgenError for a batch whose process dies again and again.
        """
        waiting: deque[Any] = deque()
        try:
            for batch, here in batches(jobs, self._batch, wanted):
                waiting.append(self.send(batch, here))
                while len(waiting) >= (max(1, AHEAD * self.processes()) if self._told else 1):
                    yield self._drawn(waiting.popleft())
            while waiting:
                yield self._drawn(waiting.popleft())
        finally:
            for ticket in waiting:
                self.drop(ticket)

    def _drawn(self, ticket: Any) -> list[Picture]:
        pictures, self._tolerance = self.result(ticket)
        self._told = True
        return list(pictures)

    @abstractmethod
    def processes(self) -> int:
        """How many could draw just now."""

    @abstractmethod
    def send(self, batch: list[Job], wanted: set[str]) -> Any:
        """Ask for the pictures of a batch; a ticket for `result`."""

    @abstractmethod
    def result(self, ticket: Any) -> Any:
        """What was asked for: of a batch its pictures, and the tolerance as it is known then."""

    @abstractmethod
    def drop(self, ticket: Any) -> None:
        """It is not wanted any more."""
