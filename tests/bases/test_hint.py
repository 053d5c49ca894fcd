"""What a ControlNet makes of a control picture before it looks at anything else is made once a picture."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import toy_bases
from toy_base import SIZE_PX

from synthgen import bases
from synthgen.bases import _hint
from synthgen.types import Job


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_each_skeleton_is_looked_at_once_and_the_pictures_stay_the_same(
    tmp_path: Path, guidance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, identity = bases.find(str(toy_bases.write("mini", tmp_path / "toy")))  # its ControlNet has an effect
    base = module.load(identity, "cpu")
    jobs = [Job(str(number), number, "a photo of a shirt", "", number, {}) for number in range(3)]
    skeletons = list(np.random.default_rng(0).integers(0, 255, (3, SIZE_PX, SIZE_PX, 3), np.uint8))
    settings = {"num_inference_steps": 4, "guidance_scale": guidance, "controlnet_conditioning_scale": 1.0,
                "size": SIZE_PX, "batch": 3, "threads": 1}  # fmt: skip
    shown = []
    base.controlnets["pose"].controlnet_cond_embedding.conv_in.register_forward_hook(
        lambda layer, given, made: shown.append(len(given[0]))
    )
    made = base.render(jobs, skeletons, settings)
    assert shown == [3]
    again = base.render(jobs, skeletons[::-1], settings)  # nothing is remembered from one batch to the next
    assert shown == [3, 3] and not np.array_equal(made[0].pixels, again[0].pixels)
    monkeypatch.setattr(_hint, "once", lambda networks, pictures: nullcontext())
    plain = base.render(jobs, skeletons, settings)
    assert len(shown) == 2 + 4
    for one, other in zip(made, plain, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1  # kernels round by the shape of a batch
