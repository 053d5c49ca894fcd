"""Do classifiers rank on the synthetic set as they rank on reality, and what is lost by choosing with it?

A score is the share found, every class counting the same, so that the two sets may have other mixes of classes. The
verdict is `yes` only where the rank correlation passes the exact two-sided 5 % bar for this many classifiers, its
double-bootstrap interval (classifiers and test pictures) stays above 0, and the null passes the bar too. The null is
the real set against itself: the same question asked of two disjoint parts of it, at equal size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from synthgen.answers import Answers
from synthgen.intervals import DRAWS, Estimate, double_bootstrap, halves, percentiles, refused, unit_weights

if TYPE_CHECKING:
    import numpy as np

LEAST_MODELS = 12
BAR_LEVEL = 0.05
MOST_EXACT = 14  # above this many the count over all orders is replaced by draws
BAR_DRAWS = 200_000
NULL_DRAWS = 200
LINE_LEVEL = 0.9
REAL_AGAINST_REAL = "median over two disjoint parts of the real set"
YES, NO, OPEN = "yes", "no", "not enough evidence"


@dataclass(frozen=True)
class Line:
    """real = intercept + slope x synthetic, and how well a classifier that was left out is foretold."""

    slope: float
    intercept: float
    slope_range: tuple[float, float]  # over fits that leave one classifier out
    half_width: float  # `level` of the classifiers left out lie within it
    level: float
    explained: float  # 1 less the squared error of the fits by that of the others' mean; below 0: the line misleads


@dataclass(frozen=True)
class Ranked:
    """The agreement of two orders of the same classifiers."""

    models: int
    synthetic: tuple[float, ...]
    real: tuple[float, ...]
    spearman: Estimate
    kendall: Estimate
    p: float  # exact, two-sided
    bar: float  # what |Spearman| has to reach
    regret: Estimate  # real score of the best less that of the one chosen; null: chosen with another real sample
    regret_at_random: float
    line: Line | None
    reason: str = ""  # why nothing is said


@dataclass(frozen=True)
class Ranking:
    """The answer to the question, in a sentence, and what it rests on."""

    verdict: str  # YES, NO or OPEN
    sentence: str
    names: tuple[str, ...]
    overall: Ranked
    per_class: Mapping[str, Ranked]
    subgroups: Mapping[str, Mapping[str, Ranked]]  # axis -> value ->
    adjusted: Mapping[str, float]  # part -> p after Benjamini and Hochberg over all parts


@dataclass(frozen=True)
class Side:
    """k classifiers on one set."""

    hits: np.ndarray  # (k, n) bool
    truth: np.ndarray  # (n,) int
    units: np.ndarray  # (n,) int
    cells: Mapping[str, np.ndarray]

    def part(self, chosen: np.ndarray) -> Side:
        """The same classifiers on some of the pictures; `chosen` is (n,) bool."""
        return Side(self.hits[:, chosen], self.truth[chosen], self.units[chosen], {})

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """(draws, n) weights -> (draws, k): mean over classes of the share found; NaN where one is not drawn."""
        import numpy as np

        shares = []
        for label in np.unique(self.truth):
            mine = self.truth == label
            total = weights[:, mine].sum(axis=1, keepdims=True)
            shares.append(weights[:, mine] @ self.hits[:, mine].T / np.where(total > 0, total, np.nan))
        return np.mean(shares, axis=0)

    def why_not(self) -> str:
        """Why this is too little to judge; "" where it is not."""
        import numpy as np

        return refused(len(self.truth), len(np.unique(self.units)))


def side(answers: Sequence[Answers]) -> Side:
    """The answers of several classifiers to the same pictures in the same order."""
    import numpy as np

    first = answers[0]
    labels = np.asarray(first.classes)[first.truth]
    hits = np.stack([np.asarray(item.classes)[item.choice] == labels for item in answers])
    return Side(hits, np.unique(labels, return_inverse=True)[1], first.units, first.cells)


def answer(names: Sequence[str], synthetic: Side, real: Side, labels: Sequence[str], seed: int = 0) -> Ranking:
    """The whole question: overall, per class, per subgroup.

    labels   the names of the classes, by the index in `truth` of both sides
    """
    import numpy as np
    from scipy.stats import false_discovery_control

    whole = rank(synthetic, real, seed)
    per_class = {
        label: rank(synthetic.part(synthetic.truth == index), real.part(real.truth == index), seed)
        for index, label in enumerate(labels)
    }
    subgroups: dict[str, dict[str, Ranked]] = {}
    for axis in sorted(synthetic.cells.keys() & real.cells.keys()):
        shared = set(np.unique(synthetic.cells[axis])) & set(np.unique(real.cells[axis])) - {""}
        parts = {
            str(value): rank(synthetic.part(synthetic.cells[axis] == value), real.part(real.cells[axis] == value), seed)
            for value in sorted(shared)
        }
        if parts:
            subgroups[axis] = parts
    tested = {f"class {label}": item for label, item in per_class.items() if not item.reason}
    for axis, parts in subgroups.items():
        tested |= {f"{axis} {value}": item for value, item in parts.items() if not item.reason}
    adjusted = (
        dict(zip(tested, false_discovery_control([item.p for item in tested.values()]), strict=True)) if tested else {}
    )
    verdict, sentence = decide(whole)
    return Ranking(
        verdict, sentence, tuple(names), whole, per_class, subgroups, {name: float(p) for name, p in adjusted.items()}
    )


def rank(synthetic: Side, real: Side, seed: int = 0, draws: int = DRAWS) -> Ranked:
    """The agreement on one part of the two sets."""
    import numpy as np
    from scipy.stats import kendalltau, spearmanr

    k = len(real.hits)
    why = synthetic.why_not() and f"synthetic: {synthetic.why_not()}"
    why = why or (real.why_not() and f"real: {real.why_not()}")
    empty = Estimate(None, reason=why)
    if why:
        return Ranked(k, (), (), empty, empty, 1.0, 1.0, empty, 0.0, None, why)
    b, a = (item.scores(np.ones((1, len(item.truth))))[0] for item in (synthetic, real))
    if k < 3 or len(set(a.round(12))) < 2 or len(set(b.round(12))) < 2:
        why = (
            f"{k} classifiers; at least 3 are needed" if k < 3 else "all classifiers score the same on one of the sets"
        )
        empty = Estimate(None, reason=why)
        return Ranked(k, tuple(b), tuple(a), empty, empty, 1.0, 1.0, empty, 0.0, None, why)
    rng = np.random.default_rng(seed)
    b_drawn, a_drawn = (item.scores(unit_weights(item.units, draws, rng)) for item in (synthetic, real))
    null_rank, null_tau, null_regret = _real_against_real(real, len(synthetic.truth), rng)
    n, units = len(real.truth), len(np.unique(real.units))
    rho, tau = float(spearmanr(b, a).statistic), float(kendalltau(b, a).statistic)
    method = "double bootstrap of classifiers and pictures"
    estimates = [
        Estimate(
            value, *percentiles(double_bootstrap(statistic, b_drawn, a_drawn, seed)), n, units, method, null,
            REAL_AGAINST_REAL,
        )
        for value, statistic, null in ((rho, spearman, null_rank), (tau, kendall, null_tau))
    ]  # fmt: skip
    lost = Estimate(
        float(regret(b[None], a[None])[0]), *percentiles(regret(b_drawn, a_drawn)), n, units,
        "bootstrap by unit of both sets", null_regret, REAL_AGAINST_REAL,
    )  # fmt: skip
    p, bar = exact(k, rho)
    return Ranked(
        k, tuple(b), tuple(a), estimates[0], estimates[1], p, bar, lost, float(a.max() - a.mean()), line(b, a)
    )


def decide(found: Ranked) -> tuple[str, str]:
    """The verdict and the sentence at the top of the report."""
    if found.reason or found.models < LEAST_MODELS:
        why = found.reason or f"{found.models} classifiers were compared and at least {LEAST_MODELS} are needed"
        return OPEN, f"Not enough evidence that this set ranks classifiers as reality does: {why}."
    rho, null = found.spearman, found.spearman.null
    assert rho.value is not None and rho.low is not None and rho.high is not None
    said = (
        f"rank correlation {rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}] over {found.models} classifiers, bar "
        f"{found.bar:.3f}, real against real {'not measured' if null is None else f'{null:.2f}'}"
    )
    if null is None or null < found.bar:
        return OPEN, (
            f"Not enough evidence: {said}. The real set is too small, or the classifiers too alike, to rank them "
            "reliably even against itself."
        )
    if rho.value >= found.bar and rho.low > 0:
        lost = found.regret.value or 0.0
        return YES, f"Yes: this set ranks classifiers as reality does ({said}); choosing by it costs {lost:.1%}."
    if rho.high < null:
        return NO, f"No: this set does not rank classifiers as reality does ({said})."
    return OPEN, f"Not enough evidence that this set ranks classifiers as reality does ({said})."


def spearman(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(draws, k), (draws, k) -> (draws,): Spearman's rho of each row, equal scores with their mean rank."""
    import numpy as np
    from scipy.stats import rankdata

    one, other = (rankdata(item, axis=1) for item in (left, right))
    one, other = (item - item.mean(axis=1, keepdims=True) for item in (one, other))
    below = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.divide((one * other).sum(axis=1), below, out=np.full(len(one), np.nan), where=below > 0)


def kendall(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(draws, k), (draws, k) -> (draws,): Kendall's tau-b of each row."""
    import numpy as np

    first, second = np.triu_indices(left.shape[1], 1)
    one, other = (np.sign(item[:, first] - item[:, second]) for item in (left, right))
    below = np.sqrt((one != 0).sum(axis=1) * (other != 0).sum(axis=1))
    return np.divide((one * other).sum(axis=1), below, out=np.full(len(one), np.nan), where=below > 0)


def regret(synthetic: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(draws, k), (draws, k) -> (draws,): what choosing by the first costs in the second; equal firsts are averaged."""
    import numpy as np

    best = synthetic >= synthetic.max(axis=1, keepdims=True) - 1e-12
    return np.asarray(real.max(axis=1) - (real * best).sum(axis=1) / best.sum(axis=1))


def line(synthetic: np.ndarray, real: np.ndarray) -> Line | None:
    """The least-squares line and its leave-one-out errors; None with fewer than four classifiers."""
    import numpy as np
    from scipy.stats import linregress

    k = len(real)
    if k < 4 or len(set(synthetic.round(12))) < 3:
        return None
    fitted = linregress(synthetic, real)
    slopes, errors, plain = [], [], []
    for index in range(k):
        rest = np.arange(k) != index
        if np.ptp(synthetic[rest]) == 0:
            return None
        other = linregress(synthetic[rest], real[rest])
        slopes.append(float(other.slope))
        errors.append(real[index] - other.intercept - other.slope * synthetic[index])
        plain.append(real[index] - real[rest].mean())
    place = min(k, int(np.ceil(LINE_LEVEL * (k + 1))))  # as conformal intervals count
    return Line(
        float(fitted.slope), float(fitted.intercept), (min(slopes), max(slopes)),
        float(np.sort(np.abs(errors))[place - 1]), LINE_LEVEL,
        float(1 - np.square(errors).sum() / np.square(plain).sum()),
    )  # fmt: skip


def exact(k: int, rho: float) -> tuple[float, float]:
    """The two-sided p of a Spearman correlation among k, and the bar: the smallest |rho| whose p is at most 5 %.

    Counted over all k! orders up to MOST_EXACT, drawn above. Equal scores make the p approximate. The bar is 1, which
    only the same order reaches, where k is too small for any to pass.
    """
    import numpy as np

    sizes, chances = _distribution(k)
    beyond = np.cumsum(chances[::-1])[::-1]
    place = min(int(np.searchsorted(sizes, abs(rho) - 1e-9)), len(sizes) - 1)
    passing = sizes[beyond <= BAR_LEVEL]
    return float(min(1.0, beyond[place])), float(passing.min()) if len(passing) else 1.0


@cache
def _distribution(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Every |rho| that k ranks can have, ascending, and its chance when all orders are equally likely."""
    import numpy as np

    squares = (np.arange(k)[:, None] - np.arange(k)) ** 2
    longest = int(np.diagonal(squares[:, ::-1]).sum())  # of the order that is reversed
    if k > MOST_EXACT:
        drawn = np.random.default_rng(0).permuted(np.tile(np.arange(k), (BAR_DRAWS, 1)), axis=1)
        counts = np.bincount(((drawn - np.arange(k)) ** 2).sum(axis=1), minlength=longest + 1).astype(float)
    else:
        layer = {0: np.eye(1, longest + 1)[0]}  # set of ranks that are given away -> orders by sum of squares
        for place in range(k):
            wider: dict[int, np.ndarray] = {}
            for taken, ways in layer.items():
                for rank in (rank for rank in range(k) if not taken >> rank & 1):
                    into = wider.setdefault(taken | 1 << rank, np.zeros(longest + 1))
                    step = squares[place, rank]
                    into[step:] += ways[: longest + 1 - step]
            layer = wider
        counts = layer[(1 << k) - 1]
    rho = np.abs(1 - 6 * np.arange(longest + 1) / (k**3 - k)).round(12)
    sizes, place_of = np.unique(rho[counts > 0], return_inverse=True)
    return sizes, np.bincount(place_of, weights=counts[counts > 0]) / counts.sum()


def _real_against_real(
    real: Side, size: int, rng: np.random.Generator
) -> tuple[float | None, float | None, float | None]:
    """Medians of rho, tau and regret between two disjoint parts of the real set; None where a class is too rare."""
    import numpy as np

    first, second = halves(real.units, min(size, len(real.truth) // 2), NULL_DRAWS, rng)
    one, other = real.scores(first), real.scores(second)
    whole = ~np.isnan(one + other).any(axis=1)
    if whole.sum() < NULL_DRAWS / 2:
        return None, None, None
    found = [statistic(one[whole], other[whole]) for statistic in (spearman, kendall, regret)]
    rho, tau, lost = (float(np.nanmedian(item)) if not np.isnan(item).all() else None for item in found)
    return rho, tau, lost
