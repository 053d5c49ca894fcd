"""Draws jobs on this machine: in this process, or in one process for each of several devices."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from synthgen.engines._drawer import Drawer, Work
from synthgen.engines._process import Ended, Process
from synthgen.engines._spread import Spread
from synthgen.errors import RequestError, SynthgenError
from synthgen.types import Job

RETRIES = 5  # of a batch whose process dies: more mean that the batch itself kills it


@contextmanager
def start(work: Work, tolerance: int | None = None, address: str = "") -> Iterator[Drawer | Crew]:
    """An engine in this process, its base loaded; where several devices are named, one process for each of them.

    Raises RequestError where a cluster's address is given.
    """
    if address:
        raise RequestError(f"--address {address} names a cluster: say --engine ray too. Nothing was drawn.")
    if "," not in work.device:
        yield Drawer(work, tolerance)
        return
    if len({device.partition(":")[0] for device in work.device.split(",")}) > 1:
        raise RequestError(
            f"--device {work.device} names devices of several kinds, which draw the same picture with other last bits. "
            "Name those of one kind. Nothing was drawn."
        )
    crew = Crew(work, tolerance)
    try:
        yield crew
    finally:
        crew.end()


class Crew(Spread):
    """One process for each device; a batch goes to whoever is free, and again to another where a process dies."""

    def __init__(self, work: Work, tolerance: int | None) -> None:
        super().__init__(int(work.settings["batch"]), tolerance)
        self._all = [Process(replace(work, device=device)) for device in work.device.split(",")]
        self._free: queue.Queue[Process] = queue.Queue()
        for process in self._all:
            self._free.put(process)
        self._threads = ThreadPoolExecutor(len(self._all), "synthgen-device")
        self._over = False

    def redraw(self, pixels: Any, jobs: Sequence[Job], strength: float, settings: Any) -> Any:
        """Image-to-image, see Base.redraw; by one process."""
        told = (self._uses, pixels, tuple(jobs), strength, dict(settings))
        return self.result(self._threads.submit(self._ask, "redraw", *told))

    def processes(self) -> int:
        """One for each device."""
        return len(self._all)

    def send(self, batch: list[Job], wanted: set[str]) -> Future[Any]:
        """To the next process that is free."""
        return self._threads.submit(self._ask, "batch", self._uses, self._tolerance, batch, wanted)

    def result(self, ticket: Future[Any]) -> Any:
        """What the process answers, once it does."""
        return ticket.result()

    def drop(self, ticket: Future[Any]) -> None:
        """Never begin it."""
        ticket.cancel()

    def end(self) -> None:
        """Let all processes go, whatever they do."""
        self._over = True
        for process in self._all:
            process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._all:
            process.end()

    def _ask(self, what: str, *told: Any) -> Any:
        for _ in range(RETRIES + 1):
            process = self._free.get()
            try:
                return process.ask(what, *told)
            except Ended:
                if self._over:
                    raise
            finally:
                self._free.put(process)
        raise SynthgenError(
            f"a batch could not be drawn: its process died {RETRIES + 1} times. What is finished is kept; the same "
            "command makes the rest."
        )
