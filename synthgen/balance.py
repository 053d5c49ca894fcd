"""Even rows: every value of every axis at its share, pairs of values as even as a greedy draw and swaps make them.

A row names one value of each axis. Axes that are crossed stand as one axis whose values are all combinations.
"""

from __future__ import annotations

import itertools
import math
import random
from array import array
from collections.abc import Iterator, Mapping, Sequence

from synthgen.errors import RequestError, UnknownName

SWAPS_PER_JOB, SWAPS_AT_MOST = 200, 1_000_000  # in a whole plan
BLOCK = 20_000  # rows in memory at a time
MOST_CELLS = 2000  # of crossed axes
UNIFORM = "uniform"
Group = tuple[str, ...]
Row = dict[str, int]  # axis -> index of its value
Axes = Mapping[str, Sequence[str]]
Weights = Mapping[str, Mapping[str, int]]  # axis -> value -> weight; 1 where nothing is said


def parse_weights(texts: Sequence[str]) -> dict[str, dict[str, int]]:
    """("place=street:3,beach:1", "skin_tone=uniform") as a mapping; whole numbers of 1 and more.

    Raises RequestError for a text of another form.
    """
    weights: dict[str, dict[str, int]] = {}
    for text in texts:
        axis, mark, told = text.partition("=")
        parts = [part.strip().rpartition(":") for part in told.split(",") if part.strip()]
        uniform = told.strip() == UNIFORM
        good = all(value and number.isdecimal() and int(number) > 0 for value, _, number in parts) and parts
        if not mark or not axis.strip() or not (uniform or good):
            raise RequestError(
                f"--weight '{text}' was not understood. Wanted AXIS=VALUE:WEIGHT,VALUE:WEIGHT with whole weights of 1 "
                f"and more, as in place=street:3,beach:1, or AXIS={UNIFORM}. Nothing was planned."
            )
        weights[axis.strip()] = {} if uniform else {value: int(number) for value, _, number in parts}
    return weights


def parse_cross(texts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """("pose,body_type",) as groups of axes. Raises RequestError for fewer than two axes, or one in two groups."""
    groups = tuple(tuple(axis.strip() for axis in text.split(",") if axis.strip()) for text in texts)
    named = [axis for group in groups for axis in group]
    if any(len(group) < 2 for group in groups) or len(set(named)) < len(named):
        raise RequestError(
            f"--cross {' '.join(texts)!r} was not understood. Wanted two or more axes, each named once, as in "
            "pose,body_type. Nothing was planned."
        )
    return groups


def check(axes: Axes, weights: Weights, cross: Sequence[Sequence[str]]) -> None:
    """Raises UnknownName for an axis or value that is none, RequestError where crossing gives too many cells."""
    for axis in [*weights, *(axis for group in cross for axis in group)]:
        if axis not in axes:
            raise UnknownName("the pipeline's axes", axis, axes)
    for axis, told in weights.items():
        for value in told:
            if value not in axes[axis]:
                raise UnknownName(f"axis '{axis}'", value, axes[axis])
    for group in cross:
        size = math.prod(len(axes[axis]) for axis in group)
        if size > MOST_CELLS:
            raise RequestError(
                f"--cross {','.join(group)} has {size} cells; at most {MOST_CELLS}. Keep fewer values with --only, or "
                "cross fewer axes. Nothing was planned."
            )


def rows(axes: Axes, count: int, seed: int, weights: Weights, cross: Sequence[Sequence[str]]) -> Iterator[Row]:
    """`count` rows in which every value, and every cell of crossed axes, comes within one of its share.

    Each row takes for each axis the value furthest below its share; among those, the one least seen with the row's
    other values. Swapping an axis between two rows then leaves the shares as they are. No more than BLOCK rows are
    held, and swapped among themselves, at a time; what was drawn before counts on.
    """
    merged = _merged(axes, cross)
    shares = [
        [math.prod(_weight(axes, weights, axis, at) for axis, at in zip(group, cell, strict=True)) for cell in cells]
        for group, cells in merged.items()
    ]
    for drawn in _balanced(shares, count, random.Random(seed)):
        row: Row = {}
        for (group, cells), cell in zip(merged.items(), drawn, strict=True):
            row.update(zip(group, cells[cell], strict=True))
        yield row


def half_width(count: int) -> float:
    """Half of the 95 % Wilson interval of a share seen in `count` pictures, where it is widest: at one half."""
    z = 1.959964
    return z * math.sqrt(0.25 / count + z * z / (4 * count * count)) / (1 + z * z / count)


def _merged(axes: Axes, cross: Sequence[Sequence[str]]) -> dict[Group, list[tuple[int, ...]]]:
    """Group of axes -> its cells; an axis that is not crossed is a group of its own."""
    crossed = {axis for group in cross for axis in group}
    groups = [*(tuple(group) for group in cross), *((axis,) for axis in axes if axis not in crossed)]
    return {group: list(itertools.product(*(range(len(axes[axis])) for axis in group))) for group in sorted(groups)}


def _weight(axes: Axes, weights: Weights, axis: str, at: int) -> int:
    return weights.get(axis, {}).get(axes[axis][at], 1)


def _balanced(shares: Sequence[Sequence[int]], count: int, draw: random.Random) -> Iterator[Sequence[int]]:
    """Rows as the index of a cell for each group."""
    used = [[0] * len(weights) for weights in shares]
    pairs = _Pairs([len(weights) for weights in shares])
    swaps = min(SWAPS_PER_JOB * count, SWAPS_AT_MOST)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        made = array("I")
        for number in range(start + 1, start + size + 1):
            made.extend(_row(shares, number, used, pairs, draw))
        wide = len(shares)
        for step in range(swaps * size // count):
            first, second = int(draw.random() * size) * wide, int(draw.random() * size) * wide
            pairs.swap(step % wide, made, first, second)
        for at in range(0, size * wide, wide):
            yield made[at : at + wide]


def _row(
    shares: Sequence[Sequence[int]], number: int, used: list[list[int]], pairs: _Pairs, draw: random.Random
) -> list[int]:
    """The so-manyeth row, counted from 1; it is added to what was used."""
    row: dict[int, int] = {}
    for group in sorted(range(len(shares)), key=lambda _: draw.random()):  # none is always last, with the least choice
        whole = sum(shares[group])
        missing = [number * weight - times * whole for weight, times in zip(shares[group], used[group], strict=True)]
        most = max(missing)
        free = [value for value, lack in enumerate(missing) if lack == most]
        row[group] = min((pairs.seen(group, value, row), draw.random(), value) for value in free)[2]
    for group, value in row.items():
        used[group][value] += 1
    pairs.add(row)
    return [row[group] for group in range(len(shares))]


class _Pairs:
    """How often each two values of two groups of axes stand in one row."""

    def __init__(self, sizes: Sequence[int]) -> None:
        groups = range(len(sizes))
        self._groups = groups
        self.counts = [[[[0] * sizes[two] for _ in range(sizes[one])] for two in groups] for one in groups]
        # a pair of large axes has few rows for each cell, so one too many there weighs more
        self.weights = [[sizes[one] * sizes[two] for two in groups] for one in groups]

    def seen(self, group: int, value: int, row: Mapping[int, int]) -> int:
        """How often this value came with the row's other values, each weighed by the number of cells."""
        return sum(self.counts[group][other][value][at] * self.weights[group][other] for other, at in row.items())

    def add(self, row: Mapping[int, int]) -> None:
        for one, two in itertools.permutations(row, 2):
            self.counts[one][two][row[one]][row[two]] += 1

    def swap(self, group: int, made: array[int], first: int, second: int) -> None:
        """Exchange the values of a group in two rows where that leaves the pairs no less even (sum of squares).

        first, second  where the rows begin in `made`
        """
        here, there = made[first + group], made[second + group]
        if here == there:
            return
        others = [one for one in self._groups if one != group and made[first + one] != made[second + one]]
        change = 0
        for other in others:
            mine, theirs = self.counts[group][other][here], self.counts[group][other][there]
            at, to = made[first + other], made[second + other]
            change += (theirs[at] + mine[to] - mine[at] - theirs[to] + 2) * self.weights[group][other]
        if change > 0:
            return
        made[first + group], made[second + group] = there, here
        for other in others:
            at, to = made[first + other], made[second + other]
            for value, place, by in ((here, at, -1), (there, to, -1), (there, at, 1), (here, to, 1)):
                self.counts[group][other][value][place] += by
                self.counts[other][group][place][value] += by
