"""Draws jobs on a Ray cluster: the same plan, the same batches, the same bytes, in the same order as on this machine.

A batch is a task. A process that draws loads the base once and keeps it; one that dies is replaced and its batch drawn
again, and processes on machines that join get batches like the others. Only a few batches are on their way at a time.
Every machine needs the same versions of the libraries, and base, adapters and photos at the same paths.
"""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from synthgen.engines._drawer import Drawer, Work
from synthgen.engines._spread import Spread
from synthgen.errors import RequestError, SynthgenError
from synthgen.types import AdapterUse, Job, Picture

RETRIES = 20  # of a batch whose process dies: more mean that the batch itself kills it
DECIDING = ("synthgen", "torch", "diffusers", "transformers", "numpy")  # libraries whose versions change pictures

_DRAWERS: dict[str, Drawer] = {}  # in a worker process: a run's mark -> what draws for it


@dataclass(frozen=True)
class Run:
    """What every process of a run is told once."""

    mark: str  # no other run has it
    work: Work
    versions: Mapping[str, str]  # of DECIDING, where the plan was made


@contextmanager
def start(work: Work, tolerance: int | None = None, address: str = "") -> Iterator[Cluster]:
    """An engine on the cluster at an address: "auto" or HOST:PORT; "local" starts one on this machine for the run.

    Raises RequestError where Ray is not installed or no cluster answers.
    """
    if "," in work.device:
        raise RequestError(f"--device {work.device} names several of this machine: say one kind with --engine ray.")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers otherwise
    try:
        import ray
    except ImportError as error:
        raise RequestError("--engine ray needs Ray: pip install 'synthgen[ray]'. Nothing was drawn.") from error
    own = not ray.is_initialized()
    if own:
        where = {"include_dashboard": False} if address == "local" else {"address": address or "auto"}
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **where)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RequestError(
                f"--address {address or 'auto'}: no Ray cluster answers ({_line(error)}). Start one with `ray start "
                "--head`, or say --address local. Nothing was drawn."
            ) from error
    try:
        yield Cluster(work, tolerance)
    finally:
        if own:
            ray.shutdown()


class Cluster(Spread):
    """Asks processes of the cluster for one batch after another."""

    def __init__(self, work: Work, tolerance: int | None) -> None:
        import ray

        super().__init__(int(work.settings["batch"]), tolerance)
        self._run, self._threads = ray.put(Run(uuid.uuid4().hex, work, _versions())), int(work.settings["threads"])
        gpus = 1 if work.device in ("", "cuda") and ray.cluster_resources().get("GPU") else 0
        needs = {"num_cpus": self._threads, "num_gpus": gpus, "max_retries": RETRIES}
        self._draw, self._redraw = (ray.remote(**needs)(task) for task in (_draw, _redraw))

    def redraw(self, pixels: Any, jobs: Sequence[Job], strength: float, settings: Any) -> Any:
        """Image-to-image, see Base.redraw; by one process."""
        return self.result(self._redraw.remote(self._run, self._uses, (pixels, tuple(jobs), strength, dict(settings))))

    def processes(self) -> int:
        """For the cluster as it is now."""
        import ray

        return int(ray.cluster_resources().get("CPU", 1)) // self._threads

    def send(self, batch: list[Job], wanted: set[str]) -> Any:
        """As a task."""
        return self._draw.remote(self._run, self._uses, self._tolerance, batch, wanted)

    def result(self, ticket: Any) -> Any:
        """What a task gives."""
        return _result(ticket)

    def drop(self, ticket: Any) -> None:
        """Cancel the task."""
        import ray

        ray.cancel(ticket)


def _result(task: Any) -> Any:
    """What a task gives. A process's own refusals are raised as they would be here."""
    import ray

    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise SynthgenError(
            f"a batch could not be drawn: its process died {RETRIES + 1} times ({_line(error)}). What is finished is "
            "kept; the same command makes the rest."
        ) from error


def _line(error: Exception) -> str:
    """The beginning of what an error says."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _versions() -> dict[str, str]:
    return {name: version(name) for name in DECIDING}


def _drawer(run: Run, uses: tuple[AdapterUse, ...]) -> Drawer:
    """In a worker process: what draws for a run, made when it is first wanted; that of another run is let go."""
    if run.mark not in _DRAWERS:
        here = _versions()
        if other := [f"{name} {here[name]}, not {told}" for name, told in run.versions.items() if here[name] != told]:
            raise RequestError(
                f"{platform.node()} has {'; '.join(other)}: its pictures would be others. Install the same versions on "
                "every machine of the cluster. What is finished is kept."
            )
        _DRAWERS.clear()
        _DRAWERS[run.mark] = Drawer(run.work)
    _DRAWERS[run.mark].attach(uses)
    return _DRAWERS[run.mark]


def _draw(
    run: Run, uses: tuple[AdapterUse, ...], tolerance: int | None, batch: Sequence[Job], wanted: set[str]
) -> tuple[list[Picture], int | None]:
    """The task: pictures of one batch, and the tolerance between batch sizes as it is known then."""
    drawer = _drawer(run, uses)
    drawer.tolerance = tolerance
    return drawer.batch(batch, wanted), drawer.tolerance


def _redraw(run: Run, uses: tuple[AdapterUse, ...], given: tuple[Any, ...]) -> Any:
    """The task: image-to-image."""
    return _drawer(run, uses).redraw(*given)
