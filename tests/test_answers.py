"""The measures agree with scikit-learn and with what can be worked out by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics

from synthgen import answers
from synthgen.answers import Answers


def made(seed: int, n: int = 200, c: int = 4, rounded: bool = False) -> Answers:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, c, n)
    raw = rng.normal(size=(n, c)) + np.eye(c)[truth]
    if rounded:
        raw = raw.round()  # ties
    scores = np.exp(raw)
    scores /= scores.sum(axis=1, keepdims=True)
    return Answers(tuple("abcdefgh"[:c]), truth, scores, np.arange(n))


def reference(said: Answers, weights: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = {"sample_weight": weights}
        scores = said.scores[:, 1].round(9) if len(said.classes) == 2 else said.scores.round(9)
        several = {} if len(said.classes) == 2 else {"multi_class": "ovr", "average": "macro"}
        return {
            "accuracy": metrics.accuracy_score(said.truth, said.choice, **given),
            "balanced_accuracy": metrics.balanced_accuracy_score(said.truth, said.choice, **given),
            "macro_f1": metrics.f1_score(said.truth, said.choice, average="macro", **given),
            "auroc": metrics.roc_auc_score(said.truth, scores, **several, **given),
        }


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("rounded", [False, True])
def test_every_measure_is_that_of_scikit_learn_weighted_or_not(classes: int, rounded: bool) -> None:
    said = made(3, c=classes, rounded=rounded)
    rows = np.random.default_rng(1).integers(0, 4, (5, 200)).astype(float)
    rows[0] = 1
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc"):
        wanted = [reference(said, row)[name] for row in rows]
        np.testing.assert_allclose(answers.measure(said, name, rows), wanted, atol=1e-12)


def test_the_confusion_is_that_of_scikit_learn() -> None:
    said = made(5)
    assert (answers.confusion(said) == metrics.confusion_matrix(said.truth, said.choice)).all()


def test_calibration_error_of_sets_with_a_known_answer() -> None:
    """Nine in ten right at confidence 0.9 is calibrated; at confidence 0.6 it is wrong by 0.3."""
    truth = np.r_[np.zeros(90), np.ones(10)].astype(int)
    for confidence, wanted in ((0.9, 0.0), (0.6, 0.3)):
        scores = np.tile([confidence, 1 - confidence], (100, 1))
        said = Answers(("a", "b"), truth, scores, np.arange(100))
        assert answers.measure(said, "calibration_error", answers.even(said))[0] == pytest.approx(wanted)


def test_a_class_that_never_occurs_leaves_the_rest_as_they_are() -> None:
    said = made(7, c=3)
    wider = Answers(("a", "b", "c", "never"), said.truth, np.c_[said.scores, np.zeros(200)], said.units)
    for name in answers.METRICS:
        one, other = (answers.measure(item, name, answers.even(item)) for item in (said, wider))
        np.testing.assert_allclose(one, other)


def test_what_a_draw_leaves_undefined_is_nan_and_never_a_number() -> None:
    said = made(9, c=2)
    only = (said.truth == 0).astype(float)[None]
    assert np.isnan(answers.measure(said, "auroc", only)[0])
    assert np.isnan(answers.measure(said, "accuracy", np.zeros((1, 200)))[0])
