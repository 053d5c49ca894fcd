"""Gates keep what is a picture and refuse what is none."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen import rooms
from synthgen.gates import blank, broken
from synthgen.mini.world import render
from synthgen.types import Job, Picture

JOB = Job("0" * 16, 0, "", "", 0, {})


@pytest.mark.parametrize("name", rooms.members("gates"))
@pytest.mark.parametrize("kind", ["person", "flat", "xray"])
def test_every_gate_keeps_fresh_renders(name: str, kind: str) -> None:
    gate = rooms.member("gates", name)
    for seed in range(10):
        judgement = gate.judge(Picture(JOB, render(kind, seed).pixels))
        assert judgement.accepted, judgement.reason
        assert judgement.gate == name


@pytest.mark.parametrize("level", [0, 127, 255])
def test_one_flat_colour_is_blank(level: int) -> None:
    judgement = blank.judge(Picture(JOB, np.full((64, 64, 3), level, np.uint8)))
    assert not judgement.accepted
    assert judgement.reason.startswith("blank: contrast 0.0")


def test_noise_and_saturation_are_broken() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert "roughness" in broken.judge(Picture(JOB, noise)).reason
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    assert "clipped" in broken.judge(Picture(JOB, halves)).reason
