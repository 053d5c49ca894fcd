"""The true thing, for who has the weights: one command per base, figures in benchmarks/results/weights-BASE.json.

synthgen bases pull sdxl
python -m pytest -m weights -k sdxl
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_bases
import weights_run

from synthgen import bases

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
OWN_HOME = os.environ.get("SYNTHGEN_HOME")  # of who runs it: the pins of what he pulled are there
TRAINED = [name for name, (_, weights) in bases.names().items() if weights and not weights.distilled]
DRAWN = [name for name, (_, weights) in bases.names().items() if weights and weights.distilled]


@pytest.fixture
def his_home(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if OWN_HOME is None:
        monkeypatch.delenv("SYNTHGEN_HOME")
    else:
        monkeypatch.setenv("SYNTHGEN_HOME", OWN_HOME)


@pytest.mark.weights
@pytest.mark.parametrize("name", TRAINED)
def test_a_published_base_learns_and_draws(
    name: str, his_home: None, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    pulled(name)
    figures = weights_run.measure(name, tmp_path, synthgen)
    print(f"\n{json.dumps(figures, indent=2)}\n{weights_run.write(figures, RESULTS)}")
    similarity = figures["training"]["similarity"]
    assert similarity["value"] > similarity["before"]  # it learned the product
    assert figures["generation"]["pictures"] == 16


@pytest.mark.weights
@pytest.mark.parametrize("name", DRAWN)
def test_a_published_distilled_base_draws(
    name: str, his_home: None, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    pulled(name)
    told = synthgen("generate", "--count", 4, "--no-adapter", "--base", name, "--out", tmp_path / "run")
    assert told.code == 0, told.err


def pulled(name: str) -> None:
    told = bases.names()[name][1]
    try:
        bases.find(name)
    except Exception as error:
        pytest.skip(f"{told.repo} is not here ({error}). synthgen bases pull {name}")


@pytest.mark.slow
def test_the_measurement_itself_works_on_a_toy(
    tmp_path: Path, synthgen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, family = toy_bases.write("sdxl", tmp_path / "toy-sdxl"), bases.family("sdxl")
    monkeypatch.setattr(type(family), "SETTINGS", {**family.SETTINGS, "num_inference_steps": 2, "batch": 8})
    quick = ("--size", 64, "--steps", 4, "--batch-size", 2, "--learning-rate", 1, "--samples", 0)
    figures = weights_run.measure(str(folder), tmp_path / "way", synthgen, quick, ("--size", 64))
    kept = json.loads(weights_run.write(figures, tmp_path / "results").read_text())
    assert kept["training"]["steps_per_second"] > 0 and kept["training"]["peak_memory_gb"] > 0
    assert 0 <= kept["training"]["drift"]["value"] <= 1 and kept["generation"]["pictures_per_second"] > 0
