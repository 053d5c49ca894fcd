"""Pictures that are as good as one the run has already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthgen import perceptual_hash
from synthgen.gates import duplicates
from synthgen.ledger import Ledger
from synthgen.mini.world import render
from synthgen.types import Job, Picture, RunFacts


def picture(pixels: np.ndarray, name: str, **requested: str) -> Picture:
    return Picture(Job(name, 0, "", "", 1, requested), pixels)


@pytest.fixture(scope="module")
def people() -> list[np.ndarray]:
    fixed = {"place": "studio", "pose": "standing", "view": "full", "body_type": "straight"}
    return [render("person", 70 + number, fixed).pixels for number in range(6)]


def test_the_same_picture_with_a_little_noise_is_a_duplicate_and_others_are_not(people: list[np.ndarray]) -> None:
    gate = duplicates.Seen([])
    for number, pixels in enumerate(people):
        said = gate.judge(picture(pixels, f"{number}"))
        assert said.accepted, said.reason
        gate.kept(picture(pixels, f"{number}"))
    noise = np.random.default_rng(0).integers(-3, 4, people[2].shape)
    again = np.clip(people[2] + noise, 0, 255).astype(np.uint8)
    said = gate.judge(picture(again, "again"))
    assert not said.accepted
    assert said.measured["nearest"] == "2"
    assert 0 <= float(said.measured["nearest_bits"]) <= duplicates.NEAR


def test_a_run_that_is_taken_up_again_knows_what_it_kept(people: list[np.ndarray], tmp_path: Path) -> None:
    line = {
        "job_id": "kept", "perceptual_hash": perceptual_hash.perceptual_hash(people[0]), "lineage": {"requested": {}}
    }  # fmt: skip
    Ledger(tmp_path / duplicates.RECORDS).append(line)
    gate = duplicates.open(RunFacts(tmp_path, (), {}))
    said = gate.judge(picture(people[0], "new"))
    assert (said.accepted, said.measured["nearest"], said.measured["nearest_bits"]) == (False, "kept", 0)


def test_a_picture_that_another_gate_rejects_stands_in_no_ones_way(people: list[np.ndarray]) -> None:
    gate = duplicates.Seen([])
    assert gate.judge(picture(people[0], "rejected for its colour")).accepted
    assert gate.judge(picture(people[0], "its next try")).accepted
    gate.kept(picture(people[0], "its next try"))
    assert not gate.judge(picture(people[0], "another")).accepted


def test_a_row_of_a_sweep_may_be_alike_and_two_rows_may_not(people: list[np.ndarray]) -> None:
    gate = duplicates.Seen([])
    assert gate.judge(picture(people[0], "a", sweep_of="one")).accepted
    gate.kept(picture(people[0], "a", sweep_of="one"))
    assert gate.judge(picture(people[0], "b", sweep_of="one")).accepted
    assert not gate.judge(picture(people[0], "c", sweep_of="two")).accepted


def test_a_run_of_the_shipped_recipe_measures_with_every_gate_and_its_pictures_are_made_again(tmp_path: Path) -> None:
    """The embedded base as it is shipped: what a user's first command meets."""
    from synthgen import generate, replay, store

    generate.run(
        generate.GenerateRequest(count=2, no_adapter=True, steps=1, guidance=1.0, batch=2, out=tmp_path / "run")
    )
    first, second = store.read(tmp_path / "run")
    assert {item["gate"] for item in first["lineage"]["gates"]} >= {"label", "pose", "fidelity", "duplicates"}
    assert "nearest" not in first["lineage"]["measured"]
    assert second["lineage"]["measured"]["nearest"] == first["job_id"]
    assert replay.picture(tmp_path / "run" / second["file_name"]).status == replay.SAME
