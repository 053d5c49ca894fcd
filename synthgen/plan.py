"""From a recipe and a count to jobs, one for each picture. Pure and seeded: the same request gives the same jobs.

Every value of every axis is asked for within one of its even share, whatever the count, and pairs of values are as
even as a greedy draw and a search by swaps make them. A run's digest and each job's id are digests of their content.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthgen.errors import RequestError, UnknownName
from synthgen.provenance import canonical_json
from synthgen.types import AdapterUse, Job, Recipe

MOST = 1_000_000  # jobs in one plan; more belong in several runs
SWAPS_PER_JOB, SWAPS_AT_MOST = 200, 1_000_000  # about 0.3 s for 500 jobs, 5 s for 20,000
Row = dict[str, int]  # axis -> index of its value


@dataclass(frozen=True)
class Request:
    """All that a plan follows from."""

    recipe: Recipe
    count: int
    seed: int = 0
    adapters: tuple[AdapterUse, ...] = ()
    base: str = "mini"
    subject: str = ""  # the noun phrase that fills {subject}
    category: str = ""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # axis -> the values to keep to
    hashes: Mapping[str, str] = field(default_factory=dict)  # name of base or adapter -> sha256 of its weights


def content(request: Request) -> dict[str, Any]:
    """The request as plain values for JSON or TOML: what the digest is of. Paths and machine are not part of it."""
    _checked_count(request.count)
    recipe = request.recipe
    return {
        "recipe": {
            "name": recipe.name,
            "domain": recipe.domain,
            "prompt": recipe.prompt,
            "negative_prompt": recipe.negative_prompt,
            "axes": {axis: list(values) for axis, values in _axes(request).items()},
            "settings": dict(recipe.settings),
            "gates": dict(recipe.gates),
        },
        "adapters": [{"name": use.name, "weight": float(use.weight)} for use in request.adapters],
        "hashes": dict(request.hashes),
        "base": request.base,
        "subject": request.subject,
        "category": request.category,
        "count": request.count,
        "seed": str(request.seed),
    }


def digest(request: Request) -> str:
    """The run's name: the first 8 hex digits of the plan's content."""
    return _sha256(canonical_json(content(request)))[:8]


def described(request: Request) -> dict[str, Any]:
    """The content with its digest, as `store.Run.open` wants it."""
    return {"digest": digest(request), **content(request)}


def jobs(
    request: Request,
    say: Callable[[Mapping[str, str]], str],
    add: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None,
) -> tuple[Job, ...]:
    """One job for each picture of the request.

    say   the prompt for one set of requested labels (a domain's grammar, handed in so that no import climbs)
    add   labels that follow from the requested ones, if the domain has any
    Raises RequestError for a count that is no whole number from 1 to 1,000,000, UnknownName for a value of `only`.
    """
    whole = _sha256(canonical_json(content(request)))
    axes = _axes(request)
    made = []
    for index, row in enumerate(_balanced(axes, request.count, int(whole[:16], 16))):
        requested = {axis: values[row[axis]] for axis, values in axes.items()}
        requested = {**(add(requested) if add else {}), **requested}
        ordered = {**{axis: requested[axis] for axis in axes}, **requested}
        made.append(_job(whole, index, say(ordered), ordered, request))
    return tuple(made)


def retry(job: Job) -> Job:
    """The same job once more with a new seed, after a gate rejected it. Its id keeps the first try's as its root."""
    attempt, first = job.attempt + 1, root(job.id)
    seed = _seed(f"{first}:{attempt}")
    return dataclasses.replace(job, id=f"{first}-{attempt}", seed=seed, attempt=attempt)


def root(job_id: str) -> str:
    """The id of a job's first try."""
    return job_id.split("-", 1)[0]


def cells(jobs: Sequence[Job]) -> dict[str, dict[str, int]]:
    """How many jobs ask for each value of each axis, values in alphabetical order."""
    counts: dict[str, dict[str, int]] = {}
    for job in jobs:
        for axis, value in job.requested.items():
            axis_counts = counts.setdefault(axis, {})
            axis_counts[value] = axis_counts.get(value, 0) + 1
    return {axis: dict(sorted(values.items())) for axis, values in counts.items()}


def parse_only(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """("pose=walking,sitting", "place=beach") as a mapping. Raises RequestError for a text of another form."""
    only: dict[str, tuple[str, ...]] = {}
    for text in texts:
        axis, mark, values = text.partition("=")
        wanted = tuple(value.strip() for value in values.split(",") if value.strip())
        if not mark or not axis.strip() or not wanted:
            raise RequestError(
                f"--only '{text}' was not understood. Wanted AXIS=VALUE,VALUE as in pose=walking,sitting."
            )
        only[axis.strip()] = tuple(dict.fromkeys((*only.get(axis.strip(), ()), *wanted)))
    return only


def _job(whole: str, index: int, prompt: str, requested: Mapping[str, str], request: Request) -> Job:
    body: dict[str, Any] = {
        "plan": whole,
        "index": index,
        "prompt": prompt,
        "negative_prompt": request.recipe.negative_prompt,
        "requested": dict(requested),
        "category": requested.get("category", request.category),
    }
    seed = _seed(canonical_json(body))
    job_id = _sha256(canonical_json({**body, "seed": str(seed)}))[:16]
    return Job(job_id, index, prompt, request.recipe.negative_prompt, seed, requested, body["category"])


def _axes(request: Request) -> dict[str, tuple[str, ...]]:
    """The recipe's axes, each kept to the values that `only` names, in the recipe's order."""
    recipe = request.recipe
    for axis, wanted in request.only.items():
        if axis not in recipe.axes:
            raise UnknownName(f"pipeline '{recipe.name}'", axis, recipe.axes)
        for value in wanted:
            if value not in recipe.axes[axis]:
                raise UnknownName(f"axis '{axis}' of pipeline '{recipe.name}'", value, recipe.axes[axis])
    kept = {
        axis: tuple(value for value in values if value in request.only.get(axis, values))
        for axis, values in recipe.axes.items()
    }
    empty = [axis for axis, values in kept.items() if not values]
    if empty:
        raise RequestError(f"axis '{empty[0]}' of pipeline '{recipe.name}' has no value left. Name at least one.")
    return kept


def _checked_count(count: Any) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
        raise RequestError(
            f"count is {count!r}; wanted a whole number of pictures from 1 to {MOST:,}. Nothing was planned."
        )


def _balanced(axes: Mapping[str, Sequence[str]], count: int, seed: int) -> list[Row]:
    """`count` rows in which every value of an axis comes within one of its even share, and pairs evenly.

    Each row takes for each axis the value least used so far, so shares stay within one at every step; among those, the
    one least seen with the row's other values. Swapping an axis between two rows then leaves the shares as they are.
    """
    draw = random.Random(seed)
    sizes = {axis: len(axes[axis]) for axis in sorted(axes)}
    used = {axis: [0] * size for axis, size in sizes.items()}
    pairs = _Pairs(sizes)
    rows: list[Row] = []
    for _ in range(count):
        row: Row = {}
        for axis in sorted(
            sizes, key=lambda _: draw.random()
        ):  # no axis is always the last, which has the least choice
            least = min(used[axis])
            free = [value for value, times in enumerate(used[axis]) if times == least]
            row[axis] = min((pairs.seen(axis, value, row), draw.random(), value) for value in free)[2]
        for axis, value in row.items():
            used[axis][value] += 1
        pairs.add(row)
        rows.append(row)
    names = list(sizes)
    for step in range(min(SWAPS_PER_JOB * count, SWAPS_AT_MOST)):
        pairs.swap(names[step % len(names)], rows[int(draw.random() * count)], rows[int(draw.random() * count)])
    return rows


class _Pairs:
    """How often each two values of two axes stand in one row."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.counts = {
            (one, two): [[0] * sizes[two] for _ in range(sizes[one])] for one in sizes for two in sizes if one != two
        }
        # a pair of large axes has few rows for each cell, so one too many there weighs more
        self.weights = {(one, two): sizes[one] * sizes[two] for one, two in self.counts}

    def seen(self, axis: str, value: int, row: Row) -> int:
        """How often this value came with the row's other values, each weighed by the number of cells."""
        return sum(self.counts[axis, other][value][at] * self.weights[axis, other] for other, at in row.items())

    def add(self, row: Row) -> None:
        for one, two in self.counts:
            self.counts[one, two][row[one]][row[two]] += 1

    def swap(self, axis: str, first: Row, second: Row) -> None:
        """Exchange the two rows' values of an axis where that leaves the pairs no less even (sum of squares)."""
        here, there = first[axis], second[axis]
        if here == there:
            return
        others = [other for other in first if other != axis and first[other] != second[other]]
        change = 0
        for other in others:
            mine, theirs = self.counts[axis, other][here], self.counts[axis, other][there]
            at, to = first[other], second[other]
            change += (theirs[at] + mine[to] - mine[at] - theirs[to] + 2) * self.weights[axis, other]
        if change > 0:
            return
        first[axis], second[axis] = there, here
        for other in others:
            at, to = first[other], second[other]
            for value, place, by in ((here, at, -1), (there, to, -1), (there, at, 1), (here, to, 1)):
                self.counts[axis, other][value][place] += by
                self.counts[other, axis][place][value] += by


def _seed(text: str) -> int:
    """A seed below 2**53, the largest range that JSON readers and CSV tables keep exactly."""
    return int(_sha256(text)[:16], 16) >> 11


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
