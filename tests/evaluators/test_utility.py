"""Does the set help training: what was planted is found, what was not is not, and the arms are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen import evaluation_parts
from synthgen.answers import Answers
from synthgen.evaluators import utility
from synthgen.evaluators.utility import AUGMENTED, HALF, REAL, SHUFFLED

SIZES = {arm.name: (100, 100) for arm in utility.ARMS}


def said(skill: float, seed: int, n: int = 600, shared: int = 0) -> Answers:
    """Right with a chance of `skill`; half of what decides it is the picture's, half the training's."""
    easy = np.random.default_rng([shared, 1]).normal(size=n)
    own = np.random.default_rng([seed, 2]).normal(size=n)
    from scipy.stats import norm

    right = (easy + own) / 2**0.5 < norm.ppf(skill)
    truth = np.arange(n) % 2
    scores = np.where((np.where(right, truth, 1 - truth))[:, None] == np.arange(2), 0.9, 0.1)
    return Answers(("a", "b"), truth, scores, np.arange(n))


def judged(skills: dict[str, float], n: int = 600, start: int = 0, **other: float) -> utility.Utility:
    answered = {
        arm.name: [said({**skills, **other}.get(arm.name, 0.7), start + 100 * place + seed, n, start)
                   for seed in range(5)]
        for place, arm in enumerate(utility.ARMS)
    }  # fmt: skip
    return utility.compare(answered, SIZES, {}, 300)


def test_a_planted_gain_is_found_and_recommended() -> None:
    found = judged({"real + 3 x synthetic": 0.85, HALF: 0.6})
    assert found.verdict == utility.HELPS and "real + 3 x synthetic gains +1" in found.sentence
    table = {item.arm: item for item in found.arms}
    gain = table["real + 3 x synthetic"].gain
    assert gain.value == pytest.approx(0.15, abs=0.03) and gain.low is not None and gain.low > 0
    assert gain.null is not None and abs(gain.null) < 0.03
    area = table[REAL].area
    assert area.value == pytest.approx(0.7, abs=0.03) and area.low is not None and 0.6 < area.low < area.value
    assert table[REAL].gain.value is None and table[REAL].metrics["accuracy"] == pytest.approx(0.7, abs=0.03)


def test_a_gain_that_shuffled_labels_give_too_is_not_recommended() -> None:
    found = judged({"real + 3 x synthetic": 0.85, SHUFFLED: 0.85})
    assert found.verdict == utility.NOTHING and "labels shuffled" in found.sentence


def test_plain_augmentation_wins_where_it_does_as_well() -> None:
    assert judged({"real + 3 x synthetic": 0.85, AUGMENTED: 0.85}).verdict == utility.AUGMENT
    assert judged({AUGMENTED: 0.85}).verdict == utility.AUGMENT


def test_more_real_pictures_are_advised_where_only_they_help() -> None:
    found = judged({HALF: 0.55, "synthetic only": 0.5})
    assert found.verdict == utility.COLLECT and "Collect more real pictures" in found.sentence


def test_where_nothing_differs_nothing_is_promised() -> None:
    """A set that adds nothing is recommended at most as often as the level allows: 5 % of 40, three standard errors."""
    verdicts = [judged({}, 200, 5000 * (start + 1)).verdict for start in range(40)]
    assert verdicts.count(utility.HELPS) <= 6
    assert verdicts.count(utility.NOTHING) >= 28


def test_small_test_sets_and_few_seeds_are_not_judged() -> None:
    small = judged({}, 20)
    assert small.verdict == utility.OPEN and "20 pictures" in small.sentence
    answered = {arm.name: [said(0.7, 1)] for arm in utility.ARMS}
    assert "1 seeds; at least 5" in utility.compare(answered, SIZES, {}, 1).sentence


def test_arms_are_taught_what_they_are_called() -> None:
    real = np.zeros((20, 2, 2, 3), np.uint8), np.arange(20) % 2
    made = np.ones((70, 2, 2, 3), np.uint8), np.arange(70) % 2
    for arm in utility.ARMS:
        if arm.synthetic == 10:
            continue
        turns = evaluation_parts._turns(arm, real, made, 9, 3)
        assert sum(steps for *_, steps in turns) == 9, arm
        pixels = np.concatenate([part for part, *_ in turns])
        wanted = evaluation_parts._sizes(arm, 20, 70)
        assert (int((pixels[:, 0, 0, 0] == 0).sum()), int(pixels[:, 0, 0, 0].sum())) == wanted, arm
    control = next(arm for arm in utility.ARMS if arm.name == utility.CONTROL)
    ((pixels, dealt, _),) = evaluation_parts._turns(control, real, made, 9, 3)
    assert len(pixels) == len(made[0]) and (dealt != made[1]).any() and sorted(dealt) == sorted(made[1])
    then = evaluation_parts._turns(next(arm for arm in utility.ARMS if arm.in_turn), real, made, 9, 3)
    assert [int(part.max()) for part, *_ in then] == [1, 0]
