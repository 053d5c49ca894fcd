"""Guidance is built into the UNet: stock pipelines then take one pass, and a UNet that is told no scale is unguided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_base import SIZE_PX, write_toy_base

from synthgen import resources
from synthgen.mini import denoiser, guided, models


@pytest.fixture
def teacher(tmp_path: Path) -> models.Parts:
    """A toy whose words matter: to guide one that hardly hears them is to learn nothing."""
    parts = models.load_bundle(write_toy_base(tmp_path / "toy"))
    with torch.no_grad():
        for name, value in parts.unet.named_parameters():
            if "attn2.to_out" in name or "attn2.to_v" in name:
                value *= 6
    return parts


def _noisy(parts: models.Parts, count: int = 4) -> Any:
    config = parts.unet.config
    return torch.randn(count, config.in_channels, config.sample_size, config.sample_size)


def test_a_unet_that_can_be_told_a_scale_begins_as_it_was(teacher: models.Parts) -> None:
    pupil = guided.with_scale(teacher)
    assert pupil.unet.config.time_cond_proj_dim == guided.SCALE_WIDTH
    noisy, moments = _noisy(teacher), torch.tensor([999, 700, 400, 10])
    with torch.no_grad():
        before = denoiser.predicted(teacher, noisy, ["a person"] * 4, moments)
        scale = guided.told(torch.full((4,), 3.0), guided.SCALE_WIDTH)
        for told in (None, scale):
            assert torch.equal(denoiser.predicted(pupil, noisy, ["a person"] * 4, moments, None, told), before)
    assert guided.with_scale(pupil).unet is pupil.unet


def test_a_pupil_learns_to_draw_in_one_pass_what_its_teacher_draws_in_two(
    teacher: models.Parts, tmp_path: Path
) -> None:
    objective = guided.Guided(teacher)
    pupil = guided.with_scale(teacher)
    optimizer = torch.optim.AdamW([*pupil.unet.parameters(), *pupil.controlnet.parameters()], lr=1e-3)
    texts = ["a woman in a red dress", "chest x-ray"]
    noisy, moments, control = _noisy(teacher, 2), torch.tensor([900, 300]), torch.rand(2, 3, 64, 64)
    batch = denoiser.Batch(noisy, texts, torch.ones(2, 1, 1, 1), control)
    plain = next(seed for seed in range(99) if _without_scale(seed))
    scaled = next(seed for seed in range(99) if not _without_scale(seed))

    def loss(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return objective(pupil, batch, moments)

    with torch.no_grad():
        same, before = loss(plain).item(), loss(scaled).item()
    assert same < 0.01 * before
    for _ in range(30):
        optimizer.zero_grad()
        (loss(plain) + loss(scaled)).backward()
        optimizer.step()
    with torch.no_grad():
        unguided, after = loss(plain).item(), loss(scaled).item()
    assert after < 0.3 * before and unguided < 0.3 * before

    models.save_bundle(pupil, tmp_path / "guided")
    assert models.load_bundle(tmp_path / "guided").unet.config.time_cond_proj_dim == guided.SCALE_WIDTH


def _without_scale(seed: int) -> bool:
    """Whether the loss tells no scale after this seed: the first thing that it draws."""
    torch.manual_seed(seed)
    return float(torch.rand(())) < guided.PLAIN_SHARE


def test_the_stock_pipeline_tells_the_scale_in_one_pass(teacher: models.Parts) -> None:
    from diffusers import StableDiffusionPipeline

    pupil = guided.with_scale(teacher)
    torch.nn.init.normal_(pupil.unet.time_embedding.cond_proj.weight)
    pipe = StableDiffusionPipeline(
        vae=pupil.vae, text_encoder=pupil.text_encoder, tokenizer=pupil.tokenizer, unet=pupil.unet,
        scheduler=pupil.scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    seen = []
    pupil.unet.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((len(args[0]), kwargs["timestep_cond"])), with_kwargs=True
    )
    with torch.no_grad():
        pipe("a person", num_inference_steps=2, guidance_scale=3.0, output_type="latent")
    assert [count for count, _ in seen] == [1, 1]
    assert torch.equal(seen[0][1], guided.told(torch.tensor([3.0]), guided.SCALE_WIDTH))


def test_a_negative_prompt_is_heard_where_guidance_is_not_built_in(
    toy: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    guided_toy = tmp_path / "guided"
    models.save_bundle(guided.with_scale(models.load_bundle(toy)), guided_toy)
    recipe = tmp_path / "mine.toml"
    text = (resources.shipped("pipelines") / "apparel.toml").read_text()
    recipe.write_text(text.replace('negative = ""', 'negative = "hats"'))
    said = []
    for base in (toy, guided_toy):
        outcome = synthgen(
            "generate", "--count", 1, "--no-adapter", "--base", base, "--pipeline", recipe, "--size", SIZE_PX,
            "--num-inference-steps", 1, "--out", tmp_path / f"run-{base.name}",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        said.append("negative prompt changes nothing" in outcome.err)
    assert said == [False, True]
