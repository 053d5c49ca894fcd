"""How good is a classifier on this set, in every class and cell, and does the set say what reality says?

Every number has an interval and its null. For one set the null is what the same metric gives where there is nothing to
find: labels dealt out anew (for the calibration error: labels drawn from the scores themselves). For synthetic against
real it is the difference between two disjoint parts of the real set, at equal size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from synthgen import answers as measures
from synthgen.answers import Answers
from synthgen.intervals import DRAWS, Estimate, bootstrap, halves, proportion, refused, unit_weights

if TYPE_CHECKING:
    import numpy as np

NULL_DRAWS = 200
LABELS_ANEW = "labels dealt out anew"
FROM_SCORES = "labels drawn from the scores"
CELLS_ANEW = "pictures dealt out to the cells anew"
REAL_HALVES = "95 % of differences between two disjoint parts of the real set"
GRID = tuple(place / 20 for place in range(21))  # shares of false alarms at which a receiver curve is told
MOST_VALUES = 24  # an axis with more values is a name or a measurement, not a set of cells
_Statistic = Callable[[Answers, "np.ndarray"], "np.ndarray"]


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram."""

    confidence: float  # mean of the highest score
    accuracy: float
    n: int


@dataclass(frozen=True)
class Gap:
    """The best and the worst cell of an axis, of those that are large enough."""

    worst: str
    best: str
    difference: Estimate  # best less worst; its null is the largest in 95 % of random deals
    p: float  # how often a random deal gives as large a difference


@dataclass(frozen=True)
class Judged:
    """One classifier on one set."""

    n: int
    units: int
    overall: Mapping[str, Estimate]  # metric ->
    recall: Mapping[str, Estimate]  # class ->
    precision: Mapping[str, Estimate]  # class ->
    auroc: Mapping[str, Estimate]  # class ->
    confusion: tuple[tuple[int, ...], ...]  # rows are the truth, columns the choice
    reliability: tuple[Bin, ...]
    curves: Mapping[str, tuple[float, ...]]  # class -> share of it found at each share of false alarms in GRID
    subgroups: Mapping[str, Mapping[str, Estimate]]  # axis -> value -> accuracy
    gaps: Mapping[str, Gap]  # axis -> where at least two cells could be judged
    left_out: Mapping[str, str]  # axis -> why it makes no cells


@dataclass(frozen=True)
class Difference:
    """A metric on the synthetic set less the same on the real one."""

    synthetic: float
    real: float
    difference: Estimate
    beyond_null: bool  # the interval has no value within the null's band


def judge(answers: Answers, seed: int = 0) -> Judged:
    """Everything that one set says of one classifier."""
    import numpy as np

    units = len(np.unique(answers.units))
    chosen, truth = answers.choice, answers.truth
    shares = {name: float((truth == index).mean()) for index, name in enumerate(answers.classes)}
    axes, left_out = usable_axes(answers.cells)
    subgroups = {axis: cells(answers, axis, seed) for axis in axes}
    gaps = {axis: gap for axis in axes if (gap := worst(answers, axis, subgroups[axis], seed)) is not None}
    recall, precision, auroc = {}, {}, {}
    for index, name in enumerate(answers.classes):
        mine, said = truth == index, chosen == index
        recall[name] = _with_null(proportion(answers.hits[mine], answers.units[mine], seed), float(said.mean()))
        precision[name] = _with_null(proportion(answers.hits[said], answers.units[said], seed), shares[name])
        if answers.scored:
            auroc[name] = _area(answers, index, seed)
    return Judged(
        len(truth), units, {name: overall(answers, name, seed) for name in measures.METRICS}, recall, precision, auroc,
        tuple(tuple(int(cell) for cell in row) for row in measures.confusion(answers)),
        reliability(answers) if answers.scored else (), curves(answers) if answers.scored else {}, subgroups, gaps,
        left_out,
    )  # fmt: skip


def overall(answers: Answers, name: str, seed: int = 0) -> Estimate:
    """One metric over the whole set."""
    import numpy as np

    n, units = len(answers.truth), len(np.unique(answers.units))
    why = refused(n, units)
    if name not in answers.measured():
        why = "the predictions have no scores, only the class chosen"
    if why:
        return Estimate(None, n=n, units=units, reason=why)
    null, null_is = _null(answers, name, seed)
    if name == "accuracy":
        return _with_null(proportion(answers.hits, answers.units, seed), null)
    value = float(measures.measure(answers, name, measures.even(answers))[0])
    if np.isnan(value):
        return Estimate(None, n=n, units=units, reason="only one class occurs")
    low, high = bootstrap(lambda weights: measures.measure(answers, name, weights), answers.units, seed)
    return Estimate(value, low, high, n, units, "bootstrap by unit", null, null_is)


def cells(answers: Answers, axis: str, seed: int = 0) -> dict[str, Estimate]:
    """The accuracy in every cell of an axis; its null is the accuracy over all cells."""
    import numpy as np

    values = answers.cells[axis]
    found = {}
    for value in sorted(set(values) - {""}):
        mine = values == value
        estimate = proportion(answers.hits[mine], answers.units[mine], seed)
        found[str(value)] = _with_null(estimate, float(np.mean(answers.hits)), "accuracy over all cells")
    return found


def worst(answers: Answers, axis: str, found: Mapping[str, Estimate], seed: int = 0) -> Gap | None:
    """The worst cell of an axis and how far it lies from the best; None with fewer than two cells to judge.

    The largest of several differences is never 0, so its null deals the pictures out to cells of the same sizes.
    """
    import numpy as np

    values = answers.cells[axis]
    judged = [value for value, estimate in found.items() if estimate.value is not None]
    if len(judged) < 2:
        return None
    kept = answers.part(np.isin(values, judged))
    member = np.stack([kept.cells[axis] == value for value in judged], axis=1).astype(float)  # (n, cells)
    rates = kept.hits @ member / member.sum(axis=0)
    low, *_, high = (int(place) for place in rates.argsort(kind="stable"))  # two cells, even where all are alike
    pair = member[:, [high, low]]

    def between(weights: np.ndarray) -> np.ndarray:
        sums = weights @ pair
        both = (weights * kept.hits) @ pair / np.where(sums > 0, sums, np.nan)
        return np.asarray(both[:, 0] - both[:, 1])

    rng = np.random.default_rng(seed)
    dealt = np.stack([rng.permutation(kept.hits) for _ in range(DRAWS)]) @ member / member.sum(axis=0)
    null = np.ptp(dealt, axis=1)
    spread = float(rates[high] - rates[low])
    interval = bootstrap(between, kept.units, seed)
    estimate = Estimate(
        spread, *interval, len(kept.truth), len(np.unique(kept.units)), "bootstrap by unit",
        float(np.quantile(null, 0.95)), CELLS_ANEW,
    )  # fmt: skip
    return Gap(judged[low], judged[high], estimate, float((1 + (null >= spread - 1e-12).sum()) / (1 + DRAWS)))


def reliability(answers: Answers) -> tuple[Bin, ...]:
    """Confidence against accuracy, bin by bin; empty bins left out."""
    import numpy as np

    bins, highest = measures.confidence_bins(answers), answers.scores.max(axis=1)
    return tuple(
        Bin(float(highest[bins == bin].mean()), float(answers.hits[bins == bin].mean()), int((bins == bin).sum()))
        for bin in np.unique(bins)
    )


def curves(answers: Answers) -> dict[str, tuple[float, ...]]:
    """Class -> its receiver curve against the rest, at each of GRID; classes that are all or nothing have none."""
    import numpy as np

    found = {}
    for index, name in enumerate(answers.classes):
        mine = answers.truth == index
        if not mine.any() or mine.all():
            continue
        scores = answers.scores[:, index].round(9)
        order = np.argsort(-scores, kind="stable")
        last = np.r_[np.diff(scores[order]) != 0, True]  # equal scores are taken together
        hits = np.r_[0, np.cumsum(mine[order])[last]] / mine.sum()
        alarms = np.r_[0, np.cumsum(~mine[order])[last]] / (~mine).sum()
        found[name] = tuple(float(value) for value in np.interp(GRID, alarms, hits))
    return found


def compare(synthetic: Answers, real: Answers, seed: int = 0) -> dict[str, Difference]:
    """Metric -> how far the synthetic set's answer lies from the real one's, beside two parts of the real set.

    Keys are the metrics, `recall of CLASS` and `AXIS VALUE` for the accuracy in a cell. Those that one side cannot
    judge are not there.
    """
    import numpy as np

    n = min(len(synthetic.truth), len(real.truth) // 2)
    statistics = _statistics(synthetic, real)
    if not statistics or refused(n, len(np.unique(real.units)) // 2):
        return {}
    rng = np.random.default_rng(seed)
    first, second = halves(real.units, n, NULL_DRAWS, rng)
    draws = [unit_weights(item.units, DRAWS // 2, rng) for item in (synthetic, real)]
    found = {}
    for name, statistic in statistics.items():
        one, other = (float(statistic(item, measures.even(item))[0]) for item in (synthetic, real))
        spread = statistic(synthetic, draws[0]) - statistic(real, draws[1])
        null = float(np.nanquantile(np.abs(statistic(real, first) - statistic(real, second)), 0.95))
        low, high = (float(value) for value in np.nanquantile(spread, [0.025, 0.975]))
        estimate = Estimate(
            one - other, low, high, len(synthetic.truth), len(np.unique(real.units)), "bootstrap by unit of both sets",
            null, f"{REAL_HALVES}, {n} pictures each",
        )  # fmt: skip
        found[name] = Difference(one, other, estimate, low > null or high < -null)
    return found


def _statistics(synthetic: Answers, real: Answers) -> dict[str, _Statistic]:
    """What both sides can judge, by name."""
    import numpy as np

    both = (synthetic, real)
    named: dict[str, _Statistic] = {
        name: lambda item, weights, name=name: measures.measure(item, name, weights)  # type: ignore[misc]
        for name in measures.METRICS
        if all(name in item.measured() for item in both)
    }
    for index, label in enumerate(real.classes):
        if all(_enough(item, item.truth == index) for item in both):
            named[f"recall of {label}"] = lambda item, weights, index=index: measures.recall(item, index, weights)  # type: ignore[misc]
    axes = [set(usable_axes(item.cells)[0]) for item in both]
    for axis in sorted(axes[0] & axes[1]):
        for value in sorted(set(np.unique(real.cells[axis])) - {""}):
            if all(_enough(item, item.cells[axis] == value) for item in both):
                named[f"{axis} {value}"] = lambda item, weights, axis=axis, value=value: measures.accuracy(  # type: ignore[misc]
                    item, weights * (item.cells[axis] == value)
                )
    return named


def usable_axes(columns: Mapping[str, np.ndarray]) -> tuple[list[str], dict[str, str]]:
    """The axes that make cells, and why the others do not."""
    import numpy as np

    axes, left_out = [], {}
    for axis, values in sorted(columns.items()):
        several = len(set(np.unique(values)) - {""})
        if several < 2:
            left_out[axis] = "one value only"
        elif several > MOST_VALUES:
            left_out[axis] = f"{several} different values; at most {MOST_VALUES} make cells"
        elif all(map(_measurement, set(np.unique(values)) - {""})):
            left_out[axis] = "numbers with a fraction, which make no cells"
        else:
            axes.append(axis)
    return axes, left_out


def _measurement(text: str) -> bool:
    """Whether a value is a number such as 0.41, and not a grade such as 3."""
    try:
        return "." in text and math.isfinite(float(text))
    except ValueError:
        return False


def _enough(item: Answers, mine: np.ndarray) -> bool:
    import numpy as np

    return not refused(int(mine.sum()), len(np.unique(item.units[mine])))


def _area(answers: Answers, index: int, seed: int) -> Estimate:
    import numpy as np

    mine = answers.truth == index
    for side, which in ((mine, "of it"), (~mine, "of the rest")):
        several = len(np.unique(answers.units[side]))
        if why := refused(int(side.sum()), several):
            return Estimate(None, n=int(side.sum()), units=several, reason=f"{which}: {why}")
    value = float(measures.class_auroc(answers, index, measures.even(answers))[0])
    low, high = bootstrap(lambda weights: measures.class_auroc(answers, index, weights), answers.units, seed)
    units = len(np.unique(answers.units))
    return Estimate(value, low, high, len(answers.truth), units, "bootstrap by unit", 0.5, LABELS_ANEW)


def _null(answers: Answers, name: str, seed: int) -> tuple[float, str]:
    """What a metric gives where there is nothing to find."""
    import numpy as np

    rng = np.random.default_rng(seed)
    n = len(answers.truth)
    if name == "calibration_error":
        highest, bins = answers.scores.max(axis=1), measures.confidence_bins(answers)
        surplus = highest - (rng.random((NULL_DRAWS, n)) < highest)
        apart = sum(np.abs(surplus[:, bins == bin].sum(axis=1)) for bin in np.unique(bins))
        return float(np.mean(apart) / n), FROM_SCORES
    values = []
    for _ in range(NULL_DRAWS):
        dealt = Answers(answers.classes, rng.permutation(answers.truth), answers.scores, answers.units)
        values.append(measures.measure(dealt, name, np.ones((1, n)))[0])
    return float(np.mean(values)), LABELS_ANEW


def _with_null(estimate: Estimate, null: float, null_is: str = LABELS_ANEW) -> Estimate:
    return estimate if estimate.value is None else replace(estimate, null=null, null_is=null_is)
