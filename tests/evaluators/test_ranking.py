"""Does the set rank as reality does: yes where it was built to, and no more often than the level where it was not."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from synthgen.evaluators import ranking
from synthgen.evaluators.ranking import Side

SKILLS = np.linspace(0.45, 0.95, 12)


def planted(skills: np.ndarray, n: int, rng: np.random.Generator, classes: int = 2) -> Side:
    """Classifiers that find each picture with a chance of their own."""
    truth = np.arange(n) % classes
    return Side(rng.random((len(skills), n)) < skills[:, None], truth, np.arange(n), {})


def test_the_bar_is_exact() -> None:
    """The bars published for K = 6, 8 and 12, and the whole distribution counted over all orders of six."""
    assert ranking.exact(6, 0)[1] == pytest.approx(0.886, abs=5e-4)
    assert ranking.exact(8, 0)[1] == pytest.approx(0.738, abs=5e-4)
    assert ranking.exact(12, 0)[1] == pytest.approx(0.587, abs=5e-4)
    orders = np.array(list(itertools.permutations(range(6))))
    found = np.array([stats.spearmanr(order, range(6)).statistic for order in orders])
    for rho in (0.2, 0.65, 0.885, 0.999):
        assert ranking.exact(6, rho)[0] == pytest.approx((np.abs(found) >= rho).mean(), abs=1e-9)


def test_the_drawn_bar_goes_on_where_the_counted_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = ranking._distribution.__wrapped__(12)
    monkeypatch.setattr(ranking, "MOST_EXACT", 11)
    drawn = ranking._distribution.__wrapped__(12)
    assert np.abs(np.cumsum(counted[1]) - np.interp(counted[0], drawn[0], np.cumsum(drawn[1]))).max() < 0.01
    assert ranking.exact(3, 1.0) == (pytest.approx(1 / 3), 1.0)


def test_correlations_of_rows_are_those_of_scipy_ties_included() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 5, (2, 20, 9)).astype(float)
    for row in range(20):
        wanted = stats.spearmanr(one[row], other[row]).statistic, stats.kendalltau(one[row], other[row]).statistic
        assert ranking.spearman(one, other)[row] == pytest.approx(wanted[0])
        assert ranking.kendall(one, other)[row] == pytest.approx(wanted[1])


def test_regret_is_what_choosing_costs() -> None:
    real = np.array([[0.9, 0.7, 0.8]])
    assert ranking.regret(np.array([[0.1, 0.2, 0.9]]), real)[0] == pytest.approx(0.1)
    assert ranking.regret(np.array([[0.5, 0.5, 0.1]]), real)[0] == pytest.approx(0.1)  # equal firsts are averaged
    assert ranking.regret(real, real)[0] == 0


def test_a_planted_ranking_is_found() -> None:
    rng = np.random.default_rng(1)
    found = ranking.answer(
        [f"m{k}" for k in range(12)], planted(0.2 + 0.6 * SKILLS, 600, rng), planted(SKILLS, 400, rng), ["a", "b"]
    )
    assert found.verdict == ranking.YES and found.sentence.startswith("Yes: ")
    assert "bar 0.587" in found.sentence
    whole = found.overall
    assert whole.spearman.value is not None and whole.spearman.low is not None and whole.spearman.null is not None
    assert whole.spearman.value > 0.95 and whole.spearman.low > 0 and whole.spearman.null > 0.9
    assert whole.line is not None and whole.line.slope == pytest.approx(1 / 0.6, rel=0.2) and whole.line.explained > 0.8
    assert whole.regret.value is not None and whole.regret.value < 0.05 < whole.regret_at_random
    assert set(found.per_class) == {"a", "b"} and set(found.adjusted) == {"class a", "class b"}


def test_a_reversed_ranking_is_told_as_no() -> None:
    rng = np.random.default_rng(2)
    found = ranking.rank(planted(SKILLS[::-1], 600, rng), planted(SKILLS, 400, rng))
    assert ranking.decide(found)[0] == ranking.NO
    assert found.regret.value is not None and found.regret.value > 0.4


def test_a_shuffled_ranking_passes_no_more_often_than_the_level() -> None:
    """The bar is two-sided at 5 % and only the upper side says yes: 2.5 %, of 80 with 3 standard errors 6."""
    rng = np.random.default_rng(3)
    said = [
        ranking.decide(ranking.rank(planted(rng.permutation(SKILLS), 300, rng), planted(SKILLS, 200, rng), seed, 100))[
            0
        ]
        for seed in range(80)
    ]
    assert said.count(ranking.YES) <= 6
    assert said.count(ranking.NO) > 40


def test_too_few_classifiers_or_pictures_are_not_enough_evidence() -> None:
    rng = np.random.default_rng(4)
    few = ranking.rank(planted(SKILLS[:6], 300, rng), planted(SKILLS[:6], 300, rng))
    assert ranking.decide(few)[0] == ranking.OPEN and "6 classifiers" in ranking.decide(few)[1]
    small = ranking.rank(planted(SKILLS, 300, rng), planted(SKILLS, 20, rng))
    assert ranking.decide(small)[0] == ranking.OPEN and "20 pictures" in small.reason
    alike = ranking.rank(planted(np.full(12, 0.7), 300, rng), planted(np.full(12, 0.7), 300, rng))
    assert ranking.decide(alike)[0] != ranking.YES


def test_a_real_set_that_cannot_rank_itself_gives_no_verdict() -> None:
    rng = np.random.default_rng(5)
    near = np.linspace(0.69, 0.71, 12)
    said = [
        ranking.decide(ranking.rank(planted(near, 200, rng), planted(near, 60, rng), seed, 100)) for seed in range(10)
    ]
    assert sum(verdict == ranking.OPEN for verdict, _ in said) >= 9
    assert any("against itself" in sentence for _, sentence in said)


def test_yes_needs_a_real_set_that_ranks_itself() -> None:
    rng = np.random.default_rng(1)
    found = ranking.rank(planted(0.2 + 0.6 * SKILLS, 600, rng), planted(SKILLS, 400, rng))
    assert ranking.decide(found)[0] == ranking.YES
    for null in (None, found.bar - 0.01):
        unsure = dataclasses.replace(found, spearman=dataclasses.replace(found.spearman, null=null))
        verdict, sentence = ranking.decide(unsure)
        assert verdict == ranking.OPEN and "against itself" in sentence


def test_the_line_foretells_a_classifier_that_was_left_out() -> None:
    rng = np.random.default_rng(6)
    inside = 0
    for _ in range(40):
        synthetic = rng.uniform(0.3, 0.9, 13)
        real = 0.1 + 0.8 * synthetic + rng.normal(0, 0.03, 13)
        fitted = ranking.line(synthetic[:12], real[:12])
        assert fitted is not None
        inside += abs(real[12] - fitted.intercept - fitted.slope * synthetic[12]) <= fitted.half_width
    assert inside / 40 > 0.75
    assert ranking.line(np.full(12, 0.5), real[:12]) is None
