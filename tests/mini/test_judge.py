"""The judge reads renders that it never saw, and is small; its training learns and writes what it reads back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from synthgen.gates import label, pose
from synthgen.mini import agreement, judge
from synthgen.mini.dataset import EVALUATION_SEED
from synthgen.mini.judge import network, training
from synthgen.mini.world import render
from synthgen.types import Job, Picture


def test_the_shipped_judge_takes_at_most_4_mb() -> None:
    assert network.shipped().stat().st_size <= 4_000_000


@pytest.fixture(scope="module")
def people() -> list:
    return [render("person", EVALUATION_SEED + 5000 + number) for number in range(48)]


def test_the_judge_reads_fresh_renders(people: list) -> None:
    readings = judge.load().read([made.pixels for made in people])
    for key, least in (("category", 0.85), ("colour", 0.85), ("place", 0.9), ("view", 0.9), ("kind", 0.97)):
        right = np.mean([reading.labels[key] == {"kind": "person", **made.labels}[key]
                         for reading, made in zip(readings, people, strict=True)])  # fmt: skip
        assert right >= least, key
    for reading in readings:
        assert set(reading.labels) == set(judge.LABELS)
        assert all(0 < value <= 1 for value in reading.confidence.values())
        assert reading.keypoints.shape == (18, 3) and reading.mask.shape == (32, 32)


def test_the_judge_finds_the_points_of_the_skeleton(people: list) -> None:
    readings = judge.load().read([made.pixels for made in people])
    hits, of = agreement._near([made.keypoints for made in people], readings)
    assert hits / of >= 0.8


def asked(made: object, **other: str) -> Picture:
    requested = {**made.labels, "keypoints": json.dumps(made.keypoints.tolist()), **other}
    return Picture(Job("0" * 16, 0, "", "", 0, requested, made.labels["category"]), made.pixels)


def test_the_label_gate_names_what_it_reads_and_what_was_asked(people: list) -> None:
    places = ("beach", "office")
    made = next(made for made in people if made.labels["place"] not in places)
    said = label.judge(asked(made))
    assert said.measured["label_judge"].startswith("synthgen-mini-judge@")
    wrong = label.judge(asked(made, place="beach"))
    assert not wrong.accepted
    assert f"place is {made.labels['place']}, asked for beach" in wrong.reason
    assert wrong.measured["label_agreement"] < said.measured["label_agreement"]


def test_the_pose_gate_refuses_another_persons_skeleton(people: list) -> None:
    full = [made for made in people if made.labels["view"] == "full"]
    shares = [pose.judge(asked(made)).measured["pck"] for made in full]
    assert np.mean(shares) > 0.7
    moved = full[0].keypoints.copy()
    moved[:, 0] = 255 - moved[:, 0] + 30
    assert not pose.judge(asked(full[0], keypoints=json.dumps(moved.tolist()))).accepted


def test_a_picture_without_skeleton_or_labels_passes_both_gates(people: list) -> None:
    bare = Picture(Job("0" * 16, 0, "", "", 0, {}), people[0].pixels)
    assert label.judge(bare).accepted and pose.judge(bare).accepted


def test_training_learns_and_a_file_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SHARD", 24)
    training.render_shard(tmp_path, 0)
    data, rng = training.Renders(tmp_path), np.random.default_rng(0)
    torch.manual_seed(0)
    pupil = network.build()
    optimizer = torch.optim.Adam(pupil.parameters(), lr=2e-3)
    losses = []
    for _ in range(24):
        loss, _, _ = training.loss_of(pupil, data.draw(rng, 8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    training.save(pupil, tmp_path / "judge.safetensors")
    again = judge.load(tmp_path / "judge.safetensors")
    pixels = torch.rand(2, 3, network.INPUT_PX, network.INPUT_PX) * 2 - 1
    with torch.no_grad():
        mine, theirs = pupil.eval()(pixels), again.network(pixels)
    assert torch.allclose(mine["points"], theirs["points"], atol=0.02)


def test_wilson_intervals_hold_known_values() -> None:
    found = agreement.interval(8, 10)  # Newcombe 1998, Statistics in Medicine 17: 81 of 263 is 0.255 to 0.366
    assert found["low"] < 0.8 < found["high"]
    known = agreement.interval(81, 263)
    assert (known["low"], known["high"]) == (0.255, 0.366)


def test_of_two_garments_the_one_at_the_asked_place_is_read() -> None:
    """A navy shirt and beige trousers, and the other way round: nothing but the place tells which is meant."""
    reader, hits = judge.load(), {"upper": 0, "lower": 0}
    for seed in range(12):
        for upper, lower in (("navy", "beige"), ("white", "blue")):
            fixed = {"category": "shirt", "colour": upper, "pattern": "plain", "other_category": "pants",
                     "other_colour": lower, "pose": "standing", "view": "full"}  # fmt: skip
            picture = render("person", (1 << 42) + seed, fixed).pixels
            hits["upper"] += reader.worn(picture, "upper")["colour"] == upper
            hits["lower"] += reader.worn(picture, "lower")["colour"] == lower
    assert min(hits.values()) >= 20, hits  # of 24
