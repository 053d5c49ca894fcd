"""What engines have in common: a loaded base, asked for one batch after another, and how a plan is cut."""

from __future__ import annotations

import gc
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthgen.engines import _loss as device_loss
from synthgen.engines._heap import give_back, keep
from synthgen.types import AdapterUse, Guide, Job, Picture

Steer = Callable[[Job], tuple[Job, Guide]]
Wanted = Callable[[Job], bool]  # whether a job is still to be drawn


def batches(jobs: Iterable[Job], size: int, wanted: Wanted) -> Iterator[tuple[list[Job], set[str]]]:
    """The plan cut into batches by position, those in which at least one job is wanted, and the ids of these.

    Results differ in their last bits with the make-up of a batch. So a batch is always drawn whole, also where a run
    was killed in its middle: the pictures of a resumed run equal those of an undisturbed one. Of the plan no more than
    a batch is held.
    """
    rest = iter(jobs)
    while batch := list(itertools.islice(rest, size)):
        if here := {job.id for job in batch if wanted(job)}:
            yield batch, here


@dataclass(frozen=True)
class Work:
    """All that a process needs to know before it can draw. Nothing in it is loaded."""

    family: Any
    identity: Any
    device: str
    settings: Mapping[str, Any]
    steer: Steer  # a job with what its guide adds to its labels, and the guide: 0.2 MB, so asked batch by batch


class Drawer:
    """One loaded base, asked for one batch after another."""

    def __init__(self, work: Work, tolerance: int | None = None) -> None:
        """Loads the base.

        tolerance  grey levels by which a picture changes with the size of its batch; measured where it is None
        """
        keep()
        self._base = work.family.load(work.identity, work.device)
        self._steer, self._settings = work.steer, work.settings
        self._size = int(work.settings["batch"])
        self.tolerance = tolerance

    def attach(self, uses: Sequence[AdapterUse]) -> None:
        """The adapters that the next pictures are drawn with."""
        self._base.attach(uses)

    def redraw(self, pixels: Any, jobs: Sequence[Job], strength: float, settings: Any) -> Any:
        """Image-to-image, see Base.redraw."""
        with device_loss.told(str(getattr(self._base, "device", "cpu"))):
            return self._base.redraw(pixels, jobs, strength, settings)

    def draw(self, jobs: Iterable[Job], wanted: Wanted) -> Iterator[list[Picture]]:
        """Pictures of the wanted jobs, a list for each batch; each picture says how it was drawn.

        Where memory does not suffice, the batch is halved, for good, until it is one picture; MemoryError then.
        """
        for batch, here in batches(jobs, int(self._settings["batch"]), wanted):
            yield self.batch(batch, here)

    def batch(self, batch: Sequence[Job], wanted: set[str]) -> list[Picture]:
        """Pictures of one batch, of the jobs with these ids."""
        return [picture for picture in self._drawn([self._steer(job) for job in batch]) if picture.job.id in wanted]

    def _drawn(self, steered: Sequence[tuple[Job, Guide]]) -> list[Picture]:
        """The pictures of a planned batch, drawn in as many parts as memory asks for."""
        made: list[Picture] = []
        while len(made) < len(steered):
            part = steered[len(made) : len(made) + self._size]
            pictures = self._fitting(part)
            if pictures:
                device = str(getattr(self._base, "device", "cpu")).partition(":")[0]  # which of several is no matter
                how: dict[str, Any] = {"device": device, "batch": len(pictures)}
                if (levels := self._measured(part, pictures)) is not None:
                    how["batch_tolerance_levels"] = levels
                made += [replace(picture, drawn={**how, "row": row}) for row, picture in enumerate(pictures)]
        return made

    def _fitting(self, part: Sequence[tuple[Job, Guide]]) -> list[Picture]:
        """The pictures of a part; none, and half the size from now on, where it did not fit into memory."""
        try:
            return self._rendered(part)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if len(part) == 1:
                raise MemoryError("not even one picture fits") from error
        self._size = math.ceil(len(part) / 2)
        gc.collect()
        give_back()
        print(f"out of memory with {len(part)} pictures at once; from now on {self._size}", file=sys.stderr, flush=True)
        return []

    def _rendered(self, part: Sequence[tuple[Job, Guide]]) -> list[Picture]:
        with device_loss.told(str(getattr(self._base, "device", "cpu"))):
            return list(self._base.render([job for job, _ in part], [guide for _, guide in part], self._settings))

    def _measured(self, part: Sequence[tuple[Job, Guide]], pictures: Sequence[Picture]) -> int | None:
        """By how many grey levels the first picture differs from itself drawn alone; measured once a run.

        0 for a picture that was drawn alone; None where memory did not reach for measuring, which must stop no run.
        """
        if self.tolerance is None and len(pictures) > 1:
            gc.collect()
            try:
                alone = self._rendered(part[:1])[0]
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                return None
            self.tolerance = int(np.abs(alone.pixels.astype(np.int16) - pictures[0].pixels).max())
        return self.tolerance or 0


def _is_out_of_memory(error: BaseException) -> bool:
    """torch says it by a class of its own on a GPU, and by words on the CPU."""
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in said
        or "could not create a primitive" in said  # oneDNN, where its own working memory is refused
        or "out of memory" in said
    )
