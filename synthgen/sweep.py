"""A sweep: the same prompts, skeletons and seeds at every strength of one or two adapters, and the grid of them.

With two adapters each picture is asked for one of the two concepts by its own words while both are attached; that is
what shows how one bleeds into the other, see `synthgen.blend`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from synthgen import blend, grid, plan, severity, store
from synthgen.adapters import MAX_WEIGHT
from synthgen.errors import RequestError, UnknownName
from synthgen.types import AdapterUse, Job

GRID = "sweep.png"
MOST = 21  # strengths of one adapter
ROW, OF, CONCEPT, STRENGTH = "sweep_row", "sweep_of", "concept", "strength_"  # labels of a job in a sweep


@dataclass(frozen=True)
class Sweep:
    """The strengths of one adapter, in the order asked for."""

    name: str
    strengths: tuple[float, ...]


def parse(texts: Sequence[str], uses: Sequence[AdapterUse]) -> tuple[Sweep, ...]:
    """("a=0:1.2:0.2",) or ("a=0,0.5,1",) for adapters in use. Raises RequestError, UnknownName."""
    found = tuple(_one(text, [use.name for use in uses]) for text in texts)
    if len({sweep.name for sweep in found}) < len(found) or len(found) > 2:
        raise RequestError("--sweep takes one adapter or two, each once. Nothing was drawn.")
    return found


def _one(text: str, names: Sequence[str]) -> Sweep:
    name, mark, told = text.partition("=")
    if not mark or not told:
        raise _wrong(text, "no strengths")
    if name not in names:
        raise UnknownName("--sweep", name, names)
    try:
        numbers = [Decimal(part) for part in told.replace(":", ",").split(",")]
        ranged = ":" in told
        if ranged and (len(numbers) != 3 or numbers[2] <= 0 or numbers[1] < numbers[0]):
            raise _wrong(text, "no range from low to high by steps above 0")
        values = _range(*numbers) if ranged else numbers
        strengths = tuple(dict.fromkeys(float(value) for value in values))
    except InvalidOperation:
        raise _wrong(text, "something that is no number") from None
    if not all(math.isfinite(value) and abs(value) <= MAX_WEIGHT for value in strengths):
        raise _wrong(text, f"a strength beyond {MAX_WEIGHT:g}")
    if not 2 <= len(strengths) <= MOST:
        raise _wrong(text, f"{len(strengths)} strengths where 2 to {MOST} are wanted")
    return Sweep(name, strengths)


def _range(low: Decimal, high: Decimal, step: Decimal) -> list[Decimal]:
    """In decimals, so that 0:1.2:0.2 ends with 1.2."""
    count = min(int((high - low) / step), MOST)
    return [low + number * step for number in range(count + 1)]


def _wrong(text: str, found: str) -> RequestError:
    return RequestError(
        f"--sweep '{text}' has {found}. Wanted NAME=LOW:HIGH:STEP, such as shirts=0:1.2:0.2, or NAME=0,0.5,1. "
        "Nothing was drawn."
    )


def said(sweeps: Sequence[Sweep]) -> dict[str, str]:
    """The sweeps as the plan keeps them."""
    return {f"sweep {sweep.name}": ",".join(f"{value:g}" for value in sweep.strengths) for sweep in sweeps}


def jobs(planned: Sequence[Job], sweeps: Sequence[Sweep], concepts: Mapping[str, Callable[[Job], Job]]) -> plan.Jobs:
    """Every planned job at all combinations of strengths, in each of the concepts; one combination after another.

    planned   the rows of the grid
    concepts  name of an adapter -> a job that asks for what it alone was taught
    """
    combinations = list(itertools.product(itertools.product(*(sweep.strengths for sweep in sweeps)), concepts or ("",)))

    def make(index: int) -> Job:
        (strengths, name), job = combinations[index // len(planned)], planned[index % len(planned)]
        told = {STRENGTH + sweep.name: f"{value:g}" for sweep, value in zip(sweeps, strengths, strict=True)}
        spoken = concepts[name](job) if concepts else job
        about = {**told, **({CONCEPT: name} if concepts else {}), ROW: str(job.index), OF: job.id}
        whole = "|".join((job.id, *(f"{key}={value}" for key, value in about.items())))
        new = hashlib.sha256(whole.encode()).hexdigest()[: len(job.id)]
        return replace(spoken, id=new, index=index, requested={**spoken.requested, **about})

    return plan.Jobs(make, range(len(combinations) * len(planned)))


def steered_as(job: Job) -> Job:
    """The planned job whose skeleton a job of a sweep has."""
    of = job.requested.get(OF)
    return replace(job, id=of, index=int(job.requested[ROW])) if of else job


def groups(
    uses: Sequence[AdapterUse], planned: Sequence[Job]
) -> Iterator[tuple[tuple[AdapterUse, ...], Sequence[Job]]]:
    """The jobs by the strengths that they want, each group with its adapters; one group where there is no sweep."""
    if not any(label.startswith(STRENGTH) for job in planned[:1] for label in job.requested):
        yield tuple(uses), planned
        return

    def strengths(job: Job) -> tuple[float, ...]:
        return tuple(float(job.requested.get(STRENGTH + use.name, use.weight)) for use in uses)

    start = 0
    for weights, members in itertools.groupby(planned, strengths):
        end = start + sum(1 for _ in members)
        yield tuple(replace(use, weight=weight) for use, weight in zip(uses, weights, strict=True)), planned[start:end]
        start = end


def write(folder: Path, sweeps: Sequence[Sweep], graded: bool = False) -> list[str]:
    """sweep.png of a finished run, and what two adapters do to one another; lines for people.

    graded  whether a sweep of one adapter is of pictures that the embedded judge can read a severity from
    """
    lines = store.read(folder)
    by: dict[tuple[str, ...], Path] = {}
    for line in lines:
        asked = line["lineage"]["requested"]
        place = (asked.get(CONCEPT, ""), asked[ROW], *(asked[STRENGTH + sweep.name] for sweep in sweeps))
        by[place] = folder / str(line["file_name"])
    found = blend.measured(by, [sweep.name for sweep in sweeps]) if len(sweeps) == 2 else None
    _draw(folder, sweeps, by)
    if found is not None:
        blend.write(folder, found)
        return [str(folder / GRID), *blend.told(found)]
    if graded and len(sweeps) == 1:
        read = severity.measured({place[1:]: picture for place, picture in by.items()}, sweeps[0].name)
        severity.write(folder, read)
        return [str(folder / GRID), *severity.told(read)]
    return [str(folder / GRID)]


def _draw(folder: Path, sweeps: Sequence[Sweep], by: Mapping[tuple[str, ...], Path]) -> None:
    """Rows: concept, prompt and the first sweep's strength where there are two; columns: the last sweep's strengths."""
    *others, last = sweeps
    columns = [f"{value:g}" for value in last.strengths]
    rows = []
    for concept, row in sorted({(place[0], place[1]) for place in by}, key=lambda key: (key[0], int(key[1]))):
        for outer in itertools.product(*([f"{value:g}" for value in sweep.strengths] for sweep in others)):
            label = [f"prompt {row}", *([f"of {concept}"] if concept else [])]
            label += [f"{sweep.name} {value}" for sweep, value in zip(others, outer, strict=True)]
            rows.append((label, [by[(concept, row, *outer, column)] for column in columns]))
    grid.write(folder / GRID, [f"{last.name} {column}" for column in columns], rows)
