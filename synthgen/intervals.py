"""How sure a number is: Wilson where pictures are independent, the bootstrap by group where they are not.

A unit is what was drawn independently: a patient, a product, a picture. Pictures of one unit are drawn together or not
at all. A cell with too few pictures or units is not judged, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95
DRAWS = 1000
LEAST = 30  # pictures, and units, that a cell needs before anything is said of it
BLOCK = 4_000_000  # weights held at once, 8 bytes each

Statistic = Callable[["np.ndarray"], "np.ndarray"]  # (draws, n) weights -> (draws,) values


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and its null. None where it was not measured; `reason` then says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0  # pictures
    units: int = 0  # independent ones among them
    method: str = ""
    null: float | None = None  # what the same number is where there is nothing to find
    null_is: str = ""
    reason: str = ""


def refused(n: int, units: int) -> str:
    """Why a cell of this size is not judged; "" where it is."""
    if n < LEAST:
        return f"{n} pictures; at least {LEAST} are needed"
    if units < LEAST:
        return f"{n} pictures of only {units} independent units; at least {LEAST} are needed"
    return ""


def wilson(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The Wilson score interval of a proportion, by scipy. n must be at least 1."""
    from scipy.stats import binomtest

    found = binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def proportion(hits: np.ndarray, units: np.ndarray, seed: int = 0) -> Estimate:
    """A share of pictures: Wilson where every picture is a unit of its own, else the bootstrap by unit.

    hits   (n,) bool
    units  (n,) int
    Where every picture gives the same answer a bootstrap would claim certainty: Wilson over units is taken then.
    """
    import numpy as np

    n, several = len(hits), len(np.unique(units))
    if why := refused(n, several):
        return Estimate(None, n=n, units=several, reason=why)
    value = float(hits.mean())
    if several == n:
        low, high = wilson(int(hits.sum()), n)
        return Estimate(value, low, high, n, several, "Wilson")
    if value in (0.0, 1.0):
        low, high = wilson(round(value * several), several)
        return Estimate(value, low, high, n, several, "Wilson over units")
    low, high = bootstrap(lambda weights: weights @ hits / weights.sum(axis=1), units, seed)
    return Estimate(value, low, high, n, several, "bootstrap by unit")


def unit_weights(units: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draws, n) float64: how often each picture is drawn when units are drawn with replacement."""
    import numpy as np

    _, index = np.unique(units, return_inverse=True)
    several = int(index.max()) + 1
    times = rng.multinomial(several, np.full(several, 1 / several), size=draws)
    return times[:, index].astype(np.float64)


def bootstrap(
    statistic: Statistic, units: np.ndarray, seed: int = 0, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float]:
    """The percentile interval of a statistic over units drawn with replacement; draws where it is NaN are left out."""
    import numpy as np

    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // max(1, len(units)))
    parts = [
        np.asarray(statistic(unit_weights(units, min(block, draws - start), rng))) for start in range(0, draws, block)
    ]
    return percentiles(np.concatenate(parts), level)


def percentiles(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of the values; NaN twice where there are none."""
    import numpy as np

    good = values[~np.isnan(values)]
    if not len(good):
        return float("nan"), float("nan")
    low, high = np.quantile(good, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def halves(units: np.ndarray, size: int, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint parts of one set, `draws` times: (draws, n) float64 of 0 and 1, no unit in both.

    size  pictures that a part has at most; the last unit that would go beyond it is left out
    """
    import numpy as np

    _, index, counts = np.unique(units, return_inverse=True, return_counts=True)
    order = rng.permuted(np.tile(np.arange(len(counts)), (draws, 1)), axis=1)
    filled = np.cumsum(counts[order], axis=1)  # pictures up to and with each unit, in its order
    before = np.where(filled <= len(units) / 2, filled, 0).max(axis=1, keepdims=True)
    places = np.argsort(order, axis=1)  # unit -> its place in the order
    first = filled <= np.minimum(before, size)
    second = (filled > before) & (filled - before <= size)
    one, other = (np.take_along_axis(part, places, axis=1)[:, index].astype(np.float64) for part in (first, second))
    return one, other


def double_bootstrap(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray], left: np.ndarray, right: np.ndarray, seed: int = 0
) -> np.ndarray:
    """A statistic of paired scores with the models drawn with replacement, on top of draws of test pictures.

    statistic     (draws, k) and (draws, k) scores -> (draws,)
    left, right   (draws, k): the scores of k models on two sets, for as many draws of the sets' units
    Returns (draws,): `percentiles` makes an interval of it.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, left.shape[1], size=left.shape)
    return statistic(np.take_along_axis(left, chosen, axis=1), np.take_along_axis(right, chosen, axis=1))
