"""Intervals hold what they promise: the truth lies inside as often as the level says."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen import intervals


def test_wilson_is_the_formula() -> None:
    k, n, z = 7, 40, 1.959963984540054
    p = k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert intervals.wilson(k, n) == pytest.approx((middle - half, middle + half))


def clustered(rng: np.random.Generator, several: int = 60, each: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of one unit are all right or all wrong: as good as `several` pictures."""
    return np.repeat(rng.random(several) < 0.7, each), np.repeat(np.arange(several), each)


def test_the_bootstrap_by_unit_covers_the_truth_where_wilson_would_not() -> None:
    rng = np.random.default_rng(0)
    by_unit, naive = 0, 0
    for seed in range(80):
        hits, units = clustered(rng)
        found = intervals.proportion(hits, units, seed)
        assert found.method == "bootstrap by unit" and found.units == 60
        assert found.low is not None and found.high is not None
        by_unit += found.low <= 0.7 <= found.high
        low, high = intervals.wilson(int(hits.sum()), len(hits))
        naive += low <= 0.7 <= high
    assert by_unit / 80 > 0.86
    assert naive / 80 < 0.8


def test_independent_pictures_get_wilson_and_all_right_is_no_certainty() -> None:
    hits = np.ones(40, dtype=bool)
    found = intervals.proportion(hits, np.arange(40))
    assert found.method == "Wilson" and found.low is not None and found.low < 0.95
    found = intervals.proportion(np.ones(80, dtype=bool), np.repeat(np.arange(40), 2))
    assert (found.method, found.low) == ("Wilson over units", intervals.wilson(40, 40)[0])


@pytest.mark.parametrize(("n", "units"), [(29, 29), (200, 29)])
def test_a_cell_that_is_too_small_is_refused_in_words(n: int, units: int) -> None:
    found = intervals.proportion(np.ones(n, dtype=bool), np.arange(n) % units)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert "29" in found.reason and "30" in found.reason


def test_halves_share_no_unit_and_keep_to_their_size() -> None:
    units = np.repeat(np.arange(50), 3)
    for size in (150, 40):
        first, second = intervals.halves(units, size, 20, np.random.default_rng(0))
        for one, other in zip(first, second, strict=True):
            assert not set(units[one > 0]) & set(units[other > 0])
            assert max(one.sum(), other.sum()) <= min(size, 75) and min(one.sum(), other.sum()) >= min(size, 75) - 3
            assert all(len(set(weights[units == unit])) == 1 for weights in (one, other) for unit in range(50))


def test_a_bootstrap_in_blocks_is_a_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=200)
    monkeypatch.setattr(intervals, "BLOCK", 200 * 7)
    low, high = intervals.bootstrap(lambda weights: weights @ values / weights.sum(axis=1), np.arange(200))
    half = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.25 * half)


def test_models_drawn_again_widen_an_interval() -> None:
    """With pictures without noise, all that is left is which models were looked at."""
    left = np.tile(np.linspace(0.4, 0.9, 12), (500, 1))
    gap = intervals.double_bootstrap(lambda a, b: (a - b).mean(axis=1), left, left**2, 1)
    low, high = intervals.percentiles(gap)
    assert low < (left - left**2)[0].mean() < high and high - low > 0.01
