"""Who is drawn in which round: the plan, then all that was rejected, with new seeds, and so on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from synthgen import plan
from synthgen.store import Run
from synthgen.types import Job


def tries(store: Run, jobs: Iterable[Job], attempt: int) -> Iterator[Job]:
    """The jobs of a round, at this try: those that were rejected so often before, whether drawn yet or not.

    One at a time, and none is asked about before its turn: what is judged meanwhile changes nobody's place.
    """
    if store.most_tries < attempt:
        return
    for job in jobs:
        if store.rejections(job) >= attempt:
            yield _at(job, attempt)


def _at(job: Job, attempt: int) -> Job:
    """The job at its so-manyeth try."""
    for _ in range(attempt):
        job = plan.retry(job)
    return job
