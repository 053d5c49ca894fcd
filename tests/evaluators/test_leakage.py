"""Real pictures among the synthetic ones: found where they were put, and not where they were not."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen import selfcheck
from synthgen.evaluators import leakage

REAL = selfcheck.shapes(200, 1)[0]
ALONE = np.arange(200)


def told(real: np.ndarray, units: np.ndarray, made: np.ndarray) -> leakage.Leakage:
    found = leakage.measure(real, units, made)
    assert isinstance(found, leakage.Leakage)
    return found


def test_copies_are_found_and_named() -> None:
    made = selfcheck.shapes(100, 2)[0]
    made[7], made[30] = REAL[150], REAL[3]
    found = told(REAL, ALONE, made)
    assert found.same == 2
    assert {(pair.synthetic, pair.real) for pair in found.closest[:2]} == {(7, 150), (30, 3)}
    assert [pair.distance for pair in found.closest[:2]] == pytest.approx([0, 0], abs=1e-3)
    assert [pair.distance for pair in found.closest] == sorted(pair.distance for pair in found.closest)
    whole = told(REAL, ALONE, REAL[:100])
    assert whole.close.value == 1 and whole.beyond_null and whole.same == 100


def test_sets_of_one_kind_are_as_close_as_real_ones_are() -> None:
    found = [told(REAL, ALONE, selfcheck.shapes(200, 20 + seed)[0]) for seed in range(8)]
    assert all(item.close.null == pytest.approx(0.05) and item.same == 0 for item in found)
    assert sum(item.beyond_null for item in found) <= 1
    assert np.mean([item.close.value or 0 for item in found]) == pytest.approx(0.05, abs=0.03)


def test_pictures_of_one_patient_set_no_bar() -> None:
    twice, made = np.repeat(REAL[:100], 2, axis=0), selfcheck.shapes(100, 5)[0]
    assert told(twice, np.arange(200) // 2, made).near > 5
    assert told(twice, ALONE, made).near == pytest.approx(0, abs=1e-3)
    assert "20 pictures" in str(leakage.measure(REAL[:20], ALONE[:20], made))
