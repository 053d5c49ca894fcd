"""Are real pictures of the evaluation among the synthetic ones, again or nearly?

Nearness is the root mean square difference of grey levels at 64 px. A synthetic picture counts as close where it lies
nearer to some real picture than all but one in twenty real pictures lie to one of another unit; so 5 % are close where
the set is as reality is, and none is private for being far. Whether the photos that taught an adapter come back is
another question, which the copy gate asks while pictures are made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from synthgen.intervals import Estimate, proportion, refused, wilson

if TYPE_CHECKING:
    import numpy as np

NEAR = 0.05  # share of real pictures that lie as near to another
SAME = 4.0  # grey levels: what saving again as JPEG leaves
CLOSEST = 16
BLOCK = 512  # rows of distances held at once
AS_REAL = "real pictures that lie as near to one of another unit"


@dataclass(frozen=True)
class Pair:
    """A synthetic picture and the real one that is nearest."""

    synthetic: int  # place in its set
    real: int
    distance: float  # grey levels


@dataclass(frozen=True)
class Leakage:
    """How many synthetic pictures are close to a real one, beside how many real ones are."""

    close: Estimate
    same: int  # synthetic pictures that are a real one over again
    beyond_null: bool  # its interval lies above that of the real share
    near: float  # grey levels: what counts as close
    median: float  # of synthetic pictures to the nearest real one
    median_real: float  # of real pictures to the nearest of another unit
    closest: tuple[Pair, ...]


def measure(real: np.ndarray, units: np.ndarray, made: np.ndarray) -> Leakage | str:
    """What is close, or why nothing is said.

    real, made   (n, side, side, 3) uint8
    units        (n,) int: real pictures of one unit may be near without meaning anything
    """
    import numpy as np

    if why := refused(len(real), len(np.unique(units))):
        return f"real: {why}"
    own = _nearest(real, real, units, units)[1]
    place, far = _nearest(made, real, None, None)
    near = float(np.quantile(own, NEAR))
    close = proportion(far <= near, np.arange(len(made)))
    null = float((own <= near).mean())
    bar = wilson(round(null * len(np.unique(units))), len(np.unique(units)))[1]  # the quantile is itself a sample's
    beyond = close.low is not None and close.low > bar
    order = far.argsort(kind="stable")[:CLOSEST]
    return Leakage(
        replace(close, null=null, null_is=AS_REAL) if close.value is not None else close,
        int((far < SAME).sum()), beyond, near, float(np.median(far)), float(np.median(own)),
        tuple(Pair(int(index), int(place[index]), float(far[index])) for index in order),
    )  # fmt: skip


def _nearest(
    some: np.ndarray, others: np.ndarray, units: np.ndarray | None, other_units: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) place and (n,) distance of the nearest of the others, leaving out those of the same unit."""
    import numpy as np

    flat = _greys(others)
    squares = (flat**2).sum(axis=1)
    places, distances = [], []
    for start in range(0, len(some), BLOCK):
        block = _greys(some[start : start + BLOCK])
        apart = (block**2).sum(axis=1)[:, None] + squares - 2 * block @ flat.T
        if units is not None and other_units is not None:
            apart[units[start : start + BLOCK, None] == other_units] = np.inf
        places.append(apart.argmin(axis=1))
        distances.append(np.sqrt(np.maximum(0, apart.min(axis=1)) / flat.shape[1]))
    return np.concatenate(places), np.concatenate(distances)


def _greys(pixels: np.ndarray) -> np.ndarray:
    """(n, side, side, 3) uint8 -> (n, side * side) float64, ITU-R BT.601; float32 would lose what identity leaves."""
    import numpy as np

    return np.asarray(pixels.astype(np.float64) @ (0.299, 0.587, 0.114)).reshape(len(pixels), -1)
