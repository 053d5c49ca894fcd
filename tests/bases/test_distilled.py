"""Bases that were distilled to few steps draw, and are not trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toy_bases
from toy_base import photos

from synthgen import bases, recipe_choice, recipes
from synthgen.errors import RequestError
from synthgen.types import AdapterUse, Job


def altered(folder: Path, file: str, **values: Any) -> Path:
    told = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**told, **values}))
    return folder


def named(folder: Path, name: str) -> Path:
    return folder.rename(folder.with_name(name))


CASES = {
    "schnell by its transformer": ("flux", lambda f: altered(f, "transformer/config.json", guidance_embeds=False)),
    "klein by its index": ("flux2", lambda f: altered(f, "model_index.json", is_distilled=True)),
    "turbo by its name": ("sdxl", lambda f: named(f, "my-SDXL-Turbo")),
    "LCM by its network": ("sd15", lambda f: altered(f, "unet/config.json", time_cond_proj_dim=256)),
    "LCM by its scheduler": ("sd15", lambda f: altered(f, "model_index.json", scheduler=["diffusers", "LCMScheduler"])),
}


@pytest.mark.parametrize("case", CASES)
def test_a_distilled_base_is_refused_for_training_with_the_reason_and_what_to_train_on(
    case: str, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    family, distil = CASES[case]
    folder = distil(toy_bases.write(family, tmp_path / "toy"))
    told = synthgen(
        "train-product", "--images", photos(tmp_path / "shirts", 1), "--base", folder, "--out", tmp_path / "new"
    )
    assert told.code == 2 and not (tmp_path / "new").exists()
    assert "is distilled to few steps (" in told.err and "Train on " in told.err
    few, whole = (family_of.settings(one) for family_of, one in _both(folder))
    assert few["num_inference_steps"] <= 9 < whole["num_inference_steps"] and few["guidance_scale"] <= 1
    drawn = synthgen("generate", "--count", 2, "--base", folder, "--no-adapter", "--size", 64, "--dry-run")
    assert drawn.code == 0, drawn.err


def _both(folder: Path) -> list[tuple[Any, Any]]:
    """The base as it is, and as if it were not distilled."""
    family, identity = bases.find(str(folder))
    assert identity.distilled
    return [(family, identity), (family, replace(identity, distilled=""))]


THEIRS = {  # generate_with_diffusers.py of ModelTC/Qwen-Image-Lightning
    "base_image_seq_len": 256, "base_shift": math.log(3), "invert_sigmas": False, "max_image_seq_len": 8192,
    "max_shift": math.log(3), "num_train_timesteps": 1000, "shift": 1.0, "shift_terminal": None,
    "stochastic_sampling": False, "time_shift_type": "exponential", "use_beta_sigmas": False,
    "use_dynamic_shifting": True, "use_exponential_sigmas": False, "use_karras_sigmas": False,
}  # fmt: skip


@pytest.mark.parametrize("name", ["sdxl", "qwen_image"])
def test_lightning_is_drawn_as_its_authors_draw_it(name: str, tmp_path: Path) -> None:
    """The other source: the model card of ByteDance/SDXL-Lightning."""
    import diffusers
    import numpy as np
    import torch

    folder = toy_bases.write(name, tmp_path / "toy")
    family, identity = bases.find(str(folder))
    base, job = family.load(identity, "cpu"), Job("0" * 16, 0, "a photo of a sks shirt", "", 5, {})
    settings = {**base.settings, **family.hastened("My-Lightning-4steps-V1.0"), "size": 64, "threads": 1}
    ours = base.render([job], [None], settings)[0].pixels
    pipe = getattr(diffusers, family.PIPELINE).from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    if name == "sdxl":
        pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(
            pipe.scheduler.config, timestep_spacing="trailing"
        )
        options: dict[str, Any] = {"guidance_scale": 0}
    else:
        pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(THEIRS)
        options = {"true_cfg_scale": 1.0, "negative_prompt": " "}
    pipe.set_progress_bar_config(disable=True)
    drawn = pipe(
        prompt=job.prompt, num_inference_steps=4, height=64, width=64, output_type="np",
        generator=torch.Generator().manual_seed(5), **options,
    ).images[0]  # fmt: skip
    assert (ours == (np.clip(drawn, 0, 1) * 255).round().astype(np.uint8)).all()
    del settings["scheduler"]
    assert (ours != base.render([job], [None], settings)[0].pixels).any()


def test_an_adapter_of_lightning_brings_its_steps_and_what_the_user_says_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    family, recipe = bases.family("sdxl"), recipes.load("apparel")
    uses = [AdapterUse(name, Path(name)) for name in ("shirts", "sdxl_lightning_8step_lora")]
    asked = SimpleNamespace(steps=0, guidance=None)
    found = recipe_choice.hastened(recipe, family, uses, asked).settings
    assert (found["num_inference_steps"], found["guidance_scale"], found["scheduler"]) == (8, 0.0, "lightning")
    assert "Lightning: 8 steps, guidance 0, and its own scheduler" in capsys.readouterr().err
    found = recipe_choice.hastened(recipe, family, uses, SimpleNamespace(steps=4, guidance=1.5)).settings
    assert (found["num_inference_steps"], found["guidance_scale"]) == (4, 1.5)
    assert recipe_choice.hastened(recipe, family, uses[:1], asked) is recipe
    with pytest.raises(RequestError, match="does not tell its number of steps"):
        family.hastened("my-lightning")
    with pytest.raises(RequestError, match="is none for family 'sd15'"):
        bases.family("sd15").hastened("lightning-4step")
    with pytest.raises(RequestError, match="has no scheduler 'other'"):
        family.scheduler(None, "other")
