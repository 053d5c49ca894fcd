"""The self-check passes as it stands, and fails where a metric is broken: each metric broken in turn is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from synthgen import answers, selfcheck
from synthgen.evaluators import _extractors, fidelity, leakage, ranking, utility

Synthgen = Callable[..., Any]
SKILLS = selfcheck.SKILLS


def test_every_metric_passes(synthgen: Synthgen) -> None:
    code, out, err = synthgen("selfcheck", "--json")
    told = json.loads(out)
    assert code == 0, err
    assert all(one["passed"] for one in told)
    metrics = {one["metric"] for one in told}
    assert {
        *fidelity.BETTER,
        "accuracy",
        "auroc",
        "calibration_error",
        "ranking",
        "utility",
        "features",
        "leakage",
    } <= metrics


def failed(part: Callable[[], Any]) -> set[str]:
    return {one.metric for one in part() if not one.passed}


def constant(**values: float) -> Callable[..., dict[str, float]]:
    return lambda *_: {"precision": 0.9, "recall": 0.9, "density": 0.9, "coverage": 0.9, **values}


@pytest.mark.parametrize(
    ("part", "where", "name", "broken", "found_out"),
    [
        (selfcheck.definitions, fidelity, "frechet", lambda one, other: 0.0, {"FD"}),
        (selfcheck.definitions, fidelity, "kernel", lambda one, other: 0.6, {"KD"}),
        (selfcheck.faithful, fidelity, "frechet", lambda one, other: 1.0, {"FD"}),
        (selfcheck.faithful, fidelity, "neighbourhoods", constant(), {"precision", "recall", "density", "coverage"}),
        (selfcheck.faithful, fidelity, "vendi", lambda values: 3.0, {"vendi"}),
        (selfcheck.dealt, fidelity, "frechet", lambda one, other: 1.0, {"FD"}),
        (selfcheck.dealt, fidelity, "neighbourhoods", constant(), {"precision", "coverage"}),
        (selfcheck.copied, leakage, "NEAR", 0.9, {"leakage"}),
        (selfcheck.judged, answers, "accuracy", lambda said, weights: np.full(len(weights), 0.9), {"accuracy"}),
        (selfcheck.judged, answers, "calibration_error", lambda said, weights: np.zeros(len(weights)),
         {"calibration_error"}),
        (selfcheck.ranked, ranking.Side, "scores", lambda side, weights: np.outer(np.ones(len(weights)), SKILLS),
         {"ranking"}),
        (selfcheck.helpful, utility, "_above", lambda gain: True, {"utility"}),
    ],
)  # fmt: skip
def test_a_broken_metric_is_found_out(
    part: Callable[[], Any], where: Any, name: str, broken: Any, found_out: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, broken)
    assert found_out <= failed(part)


def test_a_reader_that_puts_a_blank_in_place_of_a_broken_file_is_found_out(
    synthgen: Synthgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.setattr(_extractors.classifiers, "decoded", lambda path, longest=None: Image.new("RGB", (64, 64)))
    monkeypatch.setattr(selfcheck, "PARTS", (selfcheck.unreadable,))
    code, _, err = synthgen("selfcheck")
    assert code == 1 and "1 of 1 checks failed" in err and "one file unreadable" in err
