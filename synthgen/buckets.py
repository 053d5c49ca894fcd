"""Shapes that photos are learned in where a base takes others than squares, and rows of tensors of several shapes.

A photo's shape has about its own proportions, no more pixels than the square that the base draws, and none that the
photo does not have: nothing is enlarged. A batch is of one shape. The web UIs' trainers call such shapes buckets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from synthgen.errors import RequestError

CHOICES = ("auto", "on", "off")
GRID_PX = 64  # what sides are multiples of at 512 px and more; an eighth of the side below
LONGEST = 2.0  # the longer side of a shape by the shorter; longer photos are filled up at their long sides


def grid(side: int, step: int) -> int:
    """px: what the sides of shapes are multiples of.

    side  px of the square that the base draws
    step  px: what the base wants sides to be multiples of
    """
    return step * max(1, round(min(GRID_PX, side / 8) / step))


def shape(photo: tuple[int, int], side: int, step: int) -> tuple[int, int]:
    """(width, height) in px that a photo of this (width, height) is learned in; see `grid` for the rest."""
    unit, most = grid(side, step), side * side
    pixels = min(most, photo[0] * photo[1])
    proportion = min(LONGEST, max(1 / LONGEST, photo[0] / photo[1]))
    wide, high = math.sqrt(pixels * proportion), math.sqrt(pixels / proportion)
    across = unit * max(1, round(wide / unit) if pixels == most else int(wide / unit + 1e-9))
    up = unit * max(1, int((most / across if pixels == most else high) / unit + 1e-9))
    return across, up


def told(shapes: Iterable[tuple[int, int]]) -> str:
    """ "832 x 1216 (12), 1024 x 1024 (3)": shapes and how many photos are of each, the commonest first."""
    counted = Counter(shapes)
    return ", ".join(
        f"{wide} x {high} ({count})"
        for (wide, high), count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    )


def require(wanted: str, squares_only: bool, base: str) -> bool:
    """Whether photos are learned in shapes of their own. Raises RequestError where the base takes squares alone.

    wanted  one of CHOICES; "auto" is whatever the base takes
    """
    if wanted == "on" and squares_only:
        raise RequestError(
            f"--buckets on: base '{base}' was made for squares and draws nothing else. Leave it out. Nothing was "
            "trained."
        )
    return wanted != "off" and not squares_only


class Shelves:
    """Rows of several tensors, counted through: rows of one shape lie side by side."""

    def __init__(self, parts: Sequence[Any]) -> None:
        """parts  (n, ...) each, of different shapes"""
        self.parts = list(parts)
        ends = [sum(len(part) for part in self.parts[: number + 1]) for number in range(len(self.parts))]
        self.ranges = [range(end - len(part), end) for part, end in zip(self.parts, ends, strict=True)]

    def __len__(self) -> int:
        return self.ranges[-1].stop

    def __getitem__(self, rows: Any) -> Any:
        """The rows of these numbers, an int64 tensor; all must be of one shape."""
        for part, of in zip(self.parts, self.ranges, strict=True):
            if int(rows.min()) in of and int(rows.max()) in of:
                return part[rows - of.start]
        raise IndexError("rows of several shapes make no tensor")


def joined(blocks: Sequence[Any]) -> Any:
    """Blocks of rows as one tensor where all have one shape, else as Shelves; blocks of one shape follow another."""
    import torch

    parts: list[list[Any]] = []
    for block in blocks:
        if parts and parts[-1][0].shape[1:] == block.shape[1:]:
            parts[-1].append(block)
        else:
            parts.append([block])
    made = [torch.cat(part) for part in parts]
    return made[0] if len(made) == 1 else Shelves(made)


def ranges(held: Any) -> list[range]:
    """The rows of each shape, of a tensor or of Shelves."""
    return held.ranges if isinstance(held, Shelves) else [range(len(held))]


def sorted_out(held: Any, rows: Sequence[int]) -> list[list[int]]:
    """The places in `rows` that belong together, as their rows are of one shape; no list is empty."""
    found = [[place for place, row in enumerate(rows) if row in of] for of in ranges(held)]
    return [places for places in found if places]
