"""One classifier on one set: known answers, refusals, and nulls that hold."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.answers import METRICS, Answers
from synthgen.evaluators import accuracy


def made(n: int, skill: float, seed: int, easy: dict[str, float] | None = None, scored: bool = True) -> Answers:
    """Two classes, half each; every picture is right with a chance of `skill`, or of its cell's."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    tone = rng.choice(list(easy), n) if easy else np.full(n, "x")
    chance = np.array([easy[value] if easy else skill for value in tone])
    choice = np.where(rng.random(n) < chance, truth, 1 - truth)
    scores = np.where(choice[:, None] == np.arange(2), 0.8, 0.2)
    return Answers(("a", "b"), truth, scores, np.arange(n), {"tone": np.asarray(tone)}, scored)


def test_numbers_of_a_set_whose_answer_is_known() -> None:
    truth = np.repeat([0, 1], 100)
    choice = np.r_[np.zeros(90), np.ones(10), np.zeros(30), np.ones(70)].astype(int)
    scores = np.where(choice[:, None] == np.arange(2), 0.8, 0.2)
    found = accuracy.judge(Answers(("a", "b"), truth, scores, np.arange(200)))
    assert found.confusion == ((90, 10), (30, 70))
    assert found.overall["accuracy"].value == pytest.approx(0.8)
    assert found.overall["balanced_accuracy"].value == pytest.approx(0.8)
    assert found.overall["calibration_error"].value == pytest.approx(0, abs=1e-9)
    assert (found.recall["a"].value, found.recall["b"].value) == (pytest.approx(0.9), pytest.approx(0.7))
    assert found.precision["a"].value == pytest.approx(90 / 120)
    assert found.recall["a"].null == pytest.approx(120 / 200)
    assert set(found.overall) == set(METRICS)
    for estimate in found.overall.values():
        assert estimate.value is not None and estimate.low is not None and estimate.high is not None
        assert estimate.low <= estimate.value + 1e-9 and estimate.value <= estimate.high + 1e-9
        assert estimate.null is not None and estimate.null_is
    assert [(bin.n, bin.accuracy) for bin in found.reliability] == [(200, pytest.approx(0.8))]


def test_chance_is_the_null_of_a_classifier_that_knows_nothing() -> None:
    found = accuracy.judge(made(400, 0.5, 1))
    for name in ("accuracy", "balanced_accuracy", "auroc"):
        estimate = found.overall[name]
        assert estimate.null == pytest.approx(0.5, abs=0.02)
        assert estimate.low is not None and estimate.high is not None and estimate.low < 0.5 < estimate.high


def test_a_calibrated_classifier_is_at_its_null_and_an_overconfident_one_above() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.5, 1, 2000)
    right = rng.random(2000) < confidence
    truth = np.zeros(2000, dtype=int)
    scores = np.where(right[:, None] == [True, False], confidence[:, None], 1 - confidence[:, None])
    calibrated = accuracy.overall(Answers(("a", "b"), truth, scores, np.arange(2000)), "calibration_error")
    assert calibrated.value is not None and calibrated.null is not None
    assert calibrated.value < 2 * calibrated.null and calibrated.null > 0.005
    sharp = np.where(scores > 0.5, 0.999, 0.001)
    over = accuracy.overall(Answers(("a", "b"), truth, sharp, np.arange(2000)), "calibration_error")
    assert over.low is not None and over.null is not None and over.low > 10 * over.null


def test_the_worst_cell_is_named_and_a_gap_by_chance_is_not_taken_for_one() -> None:
    planted = accuracy.judge(made(900, 0, 3, {"light": 0.95, "dark": 0.6, "tan": 0.8})).gaps["tone"]
    assert (planted.worst, planted.best) == ("dark", "light")
    assert planted.difference.low is not None and planted.difference.null is not None
    assert planted.difference.low > planted.difference.null and planted.p < 0.01
    equal = [accuracy.judge(made(300, 0, seed, dict.fromkeys("abcdef", 0.8))).gaps["tone"] for seed in range(40)]
    assert all(
        gap.difference.value is not None and gap.difference.value > 0 for gap in equal
    )  # never 0, though all alike
    assert sum(gap.p <= 0.05 for gap in equal) <= 7  # 2 are due; more than 7 have a chance of 1 in 1000


def test_small_cells_are_refused_and_axes_that_are_none_are_named() -> None:
    said = made(200, 0.8, 4)
    rare = np.where(np.arange(200) < 20, "rare", "usual")
    cells = {"tone": rare, "id": np.arange(200).astype(str), "same": np.full(200, "x")}
    found = accuracy.judge(Answers(said.classes, said.truth, said.scores, said.units, cells))
    assert found.subgroups["tone"]["rare"].value is None
    assert found.subgroups["tone"]["rare"].reason == "20 pictures; at least 30 are needed"
    assert found.subgroups["tone"]["usual"].value is not None
    assert "tone" not in found.gaps
    assert set(found.left_out) == {"id", "same"}


def test_predictions_without_scores_have_no_curve() -> None:
    found = accuracy.judge(made(200, 0.8, 5, scored=False))
    assert found.overall["auroc"].value is None and "no scores" in found.overall["auroc"].reason
    assert (found.reliability, found.auroc) == ((), {})
    assert found.overall["accuracy"].value is not None


def test_sets_of_one_kind_agree_and_an_easier_set_does_not() -> None:
    easy = {"light": 0.8, "dark": 0.7}
    same = accuracy.compare(made(500, 0, 6, easy), made(600, 0, 7, easy))
    assert {"accuracy", "recall of a", "recall of b", "tone dark", "tone light"} <= set(same)
    assert not same["accuracy"].beyond_null and not same["tone dark"].beyond_null
    other = accuracy.compare(made(500, 0.97, 8), made(600, 0.7, 9))
    assert other["accuracy"].beyond_null
    assert other["accuracy"].difference.value == pytest.approx(0.27, abs=0.06)
    assert "250 pictures each" not in other["accuracy"].difference.null_is  # 300: half of the real set
    assert accuracy.compare(made(500, 0.9, 1), made(50, 0.9, 1)) == {}


def test_the_null_of_a_comparison_holds_its_level() -> None:
    apart = [accuracy.compare(made(300, 0.8, 100 + seed), made(300, 0.8, 900 + seed))["accuracy"] for seed in range(40)]
    assert sum(item.beyond_null for item in apart) <= 2


def test_cells_that_are_alike_are_still_two_and_their_difference_is_uncertain() -> None:
    hits = np.tile([True, True, True, False], 30)
    scores = np.where(hits[:, None], [0.8, 0.2], [0.2, 0.8])
    cells = {"tone": np.repeat(["dark", "light"], 60)}
    gap = accuracy.judge(Answers(("a", "b"), np.zeros(120, dtype=int), scores, np.arange(120), cells)).gaps["tone"]
    assert (gap.worst, gap.best, gap.difference.value) == ("dark", "light", 0)
    assert gap.difference.low is not None and gap.difference.low < 0 < (gap.difference.high or 0) and gap.p == 1


def test_measurements_make_no_cells_and_grades_do() -> None:
    columns = {"blur": np.array(["0.41", "0.85", "1.84"]), "severity": np.array(["0", "1", "3"])}
    axes, left_out = accuracy.usable_axes(columns)
    assert axes == ["severity"] and "fraction" in left_out["blur"]


def test_a_column_that_says_the_class_again_is_no_subgroup() -> None:
    from pathlib import Path

    from synthgen import evaluation_parts
    from synthgen.types import LabelledPicture

    pictures = [
        LabelledPicture(Path(f"{at}.png"), label, "", str(at), {"folder": label, "tone": tone})
        for at, (label, tone) in enumerate([("a", "light"), ("b", "dark")])
    ]
    assert list(evaluation_parts.answers(("a", "b"), pictures, np.eye(2), True).cells) == ["tone"]
