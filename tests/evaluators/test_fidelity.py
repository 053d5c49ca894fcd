"""Faithful and varied: the field's own programs agree, planted faults are seen, and sets of one kind are let be."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.evaluators import fidelity
from synthgen.evaluators.fidelity import Features


def drawn(n: int, d: int = 8, seed: int = 0, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, spread, (n, d))


def told(values: np.ndarray, units: np.ndarray | None = None, label: str = "a") -> Features:
    return Features(values, np.arange(len(values)) if units is None else units, np.full(len(values), label))


def measured(real: np.ndarray, made: np.ndarray, name: str = "x") -> dict[str, fidelity.Measure]:
    found = fidelity.measure(told(real), told(made), name, "ab" * 32)
    return {key.partition("(")[0]: item for key, item in found.measures.items()}


def test_distances_are_those_of_torchmetrics_within_a_millionth() -> None:
    import torch
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    one, other = drawn(120, 12, 1), drawn(120, 12, 2, 0.3)
    a, b = (torch.from_numpy(item) for item in (one, other))
    theirs = _compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    assert fidelity.frechet(one, other) == pytest.approx(float(theirs), rel=1e-6)
    assert fidelity.kernel(one, other) == pytest.approx(float(poly_mmd(a, b)), rel=1e-6)


def test_neighbourhoods_are_those_of_prdc(capsys: pytest.CaptureFixture[str]) -> None:
    from prdc import compute_prdc

    real, made = drawn(150, 6, 3), drawn(150, 6, 4, 0.5, 0.7)
    theirs = compute_prdc(real, made, fidelity.NEIGHBOURS)
    ours = fidelity.neighbourhoods(real, made)
    assert ours == {key: pytest.approx(float(value), abs=1e-6) for key, value in theirs.items()}


def test_the_vendi_score_counts_different_pictures() -> None:
    """Known by its definition: n orthogonal pictures are worth n, k groups of equal ones are worth k."""
    assert fidelity.vendi(np.eye(7)) == pytest.approx(7)
    assert fidelity.vendi(np.repeat(np.eye(5), 30, axis=0)) == pytest.approx(5)
    assert fidelity.vendi(np.ones((40, 3))) == pytest.approx(1)
    whole = drawn(60, 5)
    unit = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(unit @ unit.T / 60)
    shares = shares[shares > 1e-12]
    assert fidelity.vendi(whole) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_sets_of_one_kind_are_rarely_called_worse_than_real() -> None:
    beyond = [measured(drawn(160, seed=seed), drawn(200, seed=1000 + seed)) for seed in range(12)]
    for key in fidelity.BETTER:
        assert sum(item[key].beyond_null for item in beyond) <= 1, key


@pytest.mark.parametrize(
    ("made", "noticed", "untouched"),
    [
        (drawn(400, seed=9, shift=0.6), {"FD", "KD", "precision", "density", "coverage"}, set()),
        (drawn(400, seed=9, spread=0.4), {"FD", "KD", "recall"}, {"precision"}),
        (np.tile(drawn(8, seed=9), (50, 1)), {"FD", "KD", "recall", "coverage", "vendi"}, set()),
    ],
    ids=["shifted", "less varied", "eight pictures again and again"],
)
def test_planted_faults_are_noticed(made: np.ndarray, noticed: set[str], untouched: set[str]) -> None:
    found = measured(drawn(400), made)
    beyond = {key for key, item in found.items() if item.beyond_null}
    assert noticed <= beyond and not untouched & beyond, beyond
    for item in found.values():
        value = item.estimate
        assert value.value is not None and value.low is not None and value.high is not None
        assert value.low <= value.value <= value.high
        assert value.null_is == "two disjoint halves of the real set, 200 pictures each"


def test_small_sets_are_refused_or_told_with_a_warning() -> None:
    assert all(item.estimate.value is None for item in measured(drawn(40), drawn(400)).values())
    few = measured(drawn(100, 60), drawn(400, 60))
    assert "more pictures than features" in few["FD"].estimate.reason
    assert few["KD"].estimate.value is not None and "says little" in few["KD"].warning
    some = measured(drawn(400, 30), drawn(400, 30))
    assert some["FD"].estimate.value is not None and "300 are wanted" in some["FD"].warning
    units = np.arange(400) // 20
    found = fidelity.measure(told(drawn(400), units), told(drawn(400)), "x", "")
    assert all("20 independent units" in item.estimate.reason for item in found.measures.values())


def test_only_inception_makes_an_fid() -> None:
    real, made = told(drawn(80)), told(drawn(80, seed=1))
    assert "FD(net@abababababab)" in fidelity.measure(real, made, "net", "ab" * 32).measures
    names = set(fidelity.measure(real, made, fidelity.INCEPTION, "6726825d" * 8).measures)
    assert {"FID(inception-2015@6726825d6726)", "KID(inception-2015@6726825d6726)"} < names


def test_pictures_of_one_unit_never_count_as_two() -> None:
    """Every picture twice: told which belong together, the measures say what they say of the pictures once."""
    once, made = drawn(150, seed=5), told(drawn(300, seed=6))
    twice = fidelity.measure(told(np.repeat(once, 2, axis=0), np.arange(300) // 2), made, "x", "").measures
    alone = fidelity.measure(told(once), made, "x", "").measures
    for key, item in alone.items():
        assert item.estimate.n == twice[key].estimate.n == 75
        assert item.estimate.null is not None and item.null_high is not None
        spread = (item.null_high - item.estimate.null) / fidelity.WIDTH
        assert twice[key].estimate.null == pytest.approx(item.estimate.null, abs=1.5 * spread), key
