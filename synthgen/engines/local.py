"""Draws jobs on this machine, in this process, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from synthgen.types import Job, Picture

Steer = Callable[[Job], tuple[Job, Any]]


def batches(jobs: Sequence[Job], size: int, wanted: set[str]) -> Iterator[list[Job]]:
    """The plan cut into batches by position, those in which at least one job is wanted.

    Results differ in their last bits with the make-up of a batch. So a batch is always drawn whole, also where a run
    was killed in its middle: the pictures of a resumed run equal those of an undisturbed one.
    """
    for start in range(0, len(jobs), size):
        batch = list(jobs[start : start + size])
        if any(job.id in wanted for job in batch):
            yield batch


def draw(
    base: Any, jobs: Sequence[Job], wanted: set[str], steer: Steer, settings: Mapping[str, Any]
) -> Iterator[list[Picture]]:
    """Pictures of the wanted jobs, a list for each batch.

    steer  a job with what its pose adds to its labels, and its control picture (s, s, 3) uint8 or None; asked batch by
           batch, for a skeleton takes 0.2 MB
    """
    for batch in batches(jobs, int(settings["batch"]), wanted):
        steered = [steer(job) for job in batch]
        drawn = base.render([job for job, _ in steered], [control for _, control in steered], settings)
        yield [picture for picture in drawn if picture.job.id in wanted]
