"""The shipped ControlNet heeds edges and regions, not skeletons alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from synthgen import bases, images
from synthgen.mini.world import full_caption, render
from synthgen.types import Guide, Job

SETTINGS = {
    "num_inference_steps": 6, "guidance_scale": 3.0, "controlnet_conditioning_scale": 1.0, "size": 256, "batch": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def base() -> Any:
    module, identity = bases.find("mini")
    return module.load(identity, "cpu")


def _job(number: int, prompt: str) -> Job:
    return Job(f"{number:016x}", number, prompt, "", number, {}, "")


def test_two_edge_maps_give_two_pictures_along_their_edges(base: Any) -> None:
    asked = {"category": "t-shirt", "colour": "red", "pattern": "plain"}
    shown = [render("flat", 1 << 41 | seed, asked) for seed in range(4)]
    guides = [Guide({"canny": images.edges(one.pixels)}) for one in shown]
    drawn = base.render([_job(n, full_caption(one.labels)) for n, one in enumerate(shown)], guides, SETTINGS)
    for number, picture in enumerate(drawn):
        red = picture.pixels[..., 0].astype(int) - picture.pixels[..., 1] > 60
        overlaps = [_overlap(red, one.mask > 0) for one in shown]
        assert int(np.argmax(overlaps)) == number and overlaps[number] > 0.7, overlaps


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_region_says_where_a_finding_is(base: Any, side: str) -> None:
    labels = {"finding": "consolidation", "side": side, "severity": "severe", "view": "PA"}
    shown = [render("xray", 1 << 41 | seed, labels) for seed in range(4)]
    jobs = [_job(n, full_caption(one.labels)) for n, one in enumerate(shown)]
    regions = [Guide({"mask": np.repeat(one.mask[..., None], 3, axis=2)}) for one in shown]
    drawn = base.render(jobs, regions, SETTINGS)
    brighter = [
        float(picture.pixels[one.mask > 0].mean()) - float(picture.pixels[:, ::-1][one.mask > 0].mean())
        for picture, one in zip(drawn, shown, strict=True)
    ]
    assert np.mean(brighter) > 10, brighter


def test_two_conditions_at_once_are_one_network_twice(base: Any) -> None:
    made = render("person", 1 << 41, {"category": "t-shirt", "colour": "red", "pattern": "plain", "view": "full"})
    from synthgen import poses

    skeleton = poses.draw_skeleton(made.keypoints, 256)
    both = Guide({"pose": skeleton, "mask": np.repeat(made.mask[..., None], 3, axis=2)})
    with torch.no_grad():
        drawn = base.render([_job(1, full_caption(made.labels))], [both], SETTINGS)[0].pixels
    red = drawn[..., 0].astype(int) - drawn[..., 1] > 60
    assert _overlap(red, made.mask > 0) > 0.5


def _overlap(one: Any, other: Any) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))
