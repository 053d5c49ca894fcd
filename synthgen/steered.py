"""How a job is steered in a process that draws: with the labels and the guide that its plan gives it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from synthgen import sweep
from synthgen.guides import Guides
from synthgen.retouch import Photos
from synthgen.types import Guide, Job


@dataclass(frozen=True)
class Steered:
    """Called with a job; can be sent to another process."""

    along: Guides
    skeletons: bool  # whether the base is shown them
    photos: Photos | None  # what is drawn into

    def __call__(self, job: Job) -> tuple[Job, Guide]:
        """The job with what its guide adds to its labels, and the guide."""
        planned = sweep.steered_as(job)
        labels, guide = self.along.of(planned, self.skeletons, self.photos.of(planned) if self.photos else None)
        return replace(job, requested={**job.requested, **labels}), guide
