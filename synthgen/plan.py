"""From a recipe and a count to jobs, one for each picture. Pure and seeded: the same request gives the same jobs.

Every value of every axis is asked for within one of its even share, whatever the count, and pairs of values are as
even as a greedy draw and a search by swaps make them. A run's digest and each job's id are digests of their content.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from synthgen import balance
from synthgen.errors import RequestError, UnknownName
from synthgen.provenance import canonical_json
from synthgen.types import AdapterUse, Job, Recipe

MOST = 1_000_000  # jobs in one plan; more belong in several runs


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
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # axis -> value -> weight, 1 if not said
    cross: tuple[tuple[str, ...], ...] = ()  # groups of axes whose combinations are all to come evenly
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
        "adapters": [
            {"name": use.name, "weight": float(use.weight), **({"blocks": dict(use.blocks)} if use.blocks else {})}
            for use in request.adapters
        ],
        "hashes": dict(request.hashes),
        "base": request.base,
        "subject": request.subject,
        "category": request.category,
        "count": request.count,
        "seed": str(request.seed),
        **({"weights": {axis: dict(told) for axis, told in request.weights.items()}} if request.weights else {}),
        **({"cross": [list(group) for group in request.cross]} if request.cross else {}),
    }


def digest(request: Request) -> str:
    """The run's name: the first 8 hex digits of the plan's content."""
    return _sha256(canonical_json(content(request)))[:8]


def described(request: Request) -> dict[str, Any]:
    """The content with its digest, as `store.Run.open` wants it."""
    return {"digest": digest(request), **content(request)}


class Jobs(Sequence[Job]):
    """Jobs that are made when they are asked for and not kept: a million takes no more memory than one."""

    def __init__(self, make: Callable[[int], Job], places: range) -> None:
        """make(place) gives the same job each time; `places` are those in this sequence."""
        self._make, self._places = make, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> Job: ...
    @overload
    def __getitem__(self, at: slice) -> Jobs: ...
    def __getitem__(self, at: int | slice) -> Job | Jobs:
        return Jobs(self._make, self._places[at]) if isinstance(at, slice) else self._make(self._places[at])

    def __iter__(self) -> Iterator[Job]:
        return map(self._make, self._places)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def jobs(
    request: Request,
    say: Callable[[Mapping[str, str]], str],
    add: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None,
) -> Jobs:
    """One job for each picture of the request.

    say   the prompt for one set of requested labels (a domain's grammar, handed in so that no import climbs)
    add   labels that follow from the requested ones, if the domain has any; they win, as no side without a finding
    Raises RequestError for a count that is no whole number from 1 to 1,000,000, UnknownName for an axis or a value of
    `only`, `weights` or `cross` that is none.
    """
    whole = _sha256(canonical_json(content(request)))
    axes = _axes(request)
    balance.check(axes, request.weights, request.cross)
    drawn = _Rows(
        tuple(axes), balance.rows(axes, request.count, int(whole[:16], 16), request.weights, request.cross)
    )  # fmt: skip

    def make(index: int) -> Job:
        requested = {axis: values[at] for (axis, values), at in zip(axes.items(), drawn.row(index), strict=True)}
        requested = {**requested, **(add(requested) if add else {})}
        ordered = {**{axis: requested[axis] for axis in axes}, **requested}
        return _job(whole, index, say(ordered), ordered, request)

    return Jobs(make, range(request.count))


class _Rows:
    """Which value of each axis each job asks for: a few bytes a job, in a temporary file once they are many."""

    IN_MEMORY = 2**18  # bytes

    def __init__(self, axes: Sequence[str], rows: Iterable[balance.Row]) -> None:
        self._form = struct.Struct(f"<{len(axes)}I")
        self._file = tempfile.SpooledTemporaryFile(self.IN_MEMORY)  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        for row in rows:
            self._file.write(self._form.pack(*(row[axis] for axis in axes)))

    def row(self, index: int) -> tuple[int, ...]:
        """Indices of values in the order of the axes."""
        with self._lock:
            self._file.seek(index * self._form.size)
            return self._form.unpack(self._file.read(self._form.size))


def retry(job: Job) -> Job:
    """The same job once more with a new seed, after a gate rejected it. Its id keeps the first try's as its root."""
    attempt, first = job.attempt + 1, root(job.id)
    seed = _seed(f"{first}:{attempt}")
    return dataclasses.replace(job, id=f"{first}-{attempt}", seed=seed, attempt=attempt)


def root(job_id: str) -> str:
    """The id of a job's first try."""
    return job_id.split("-", 1)[0]


def cells(jobs: Iterable[Job], crossed: Sequence[tuple[str, ...]] = ()) -> dict[str, dict[str, int]]:
    """How many jobs ask for each value of each axis, values in alphabetical order.

    crossed  groups of axes whose combinations are counted too: "place x view" -> "beach x full"
    """
    counts: dict[str, dict[str, int]] = {}
    for job in jobs:
        groups = {" x ".join(axes): " x ".join(job.requested[axis] for axis in axes) for axes in crossed}
        for axis, value in {**job.requested, **groups}.items():
            axis_counts = counts.setdefault(axis, {})
            axis_counts[value] = axis_counts.get(value, 0) + 1
    return {axis: dict(sorted(values.items())) for axis, values in counts.items()}


def commonest(jobs: Iterable[Job], most: int = 5) -> str:
    """The cells that most of these jobs ask for, such as "place=beach (4), view=full (3)"."""
    rows = cells(jobs).items()
    found = sorted(((count, axis, value) for axis, row in rows for value, count in row.items()), reverse=True)
    return ", ".join(f"{axis}={value} ({count})" for count, axis, value in found[:most])


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


def _seed(text: str) -> int:
    """A seed below 2**53, the largest range that JSON readers and CSV tables keep exactly."""
    return int(_sha256(text)[:16], 16) >> 11


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
