"""Guidance is built into the UNet: stock pipelines then take one pass, and a UNet that is told no scale is unguided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_base import write_toy_base

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
    torch.manual_seed(0)
    objective = guided.Guided(teacher)
    pupil = guided.with_scale(teacher)
    trained = [value for part in (pupil.unet, pupil.controlnet) for value in part.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    texts = ["a woman in a red dress", "a man in blue shorts", "chest x-ray", "a green shirt"]
    latents, moments = _noisy(teacher), torch.tensor([950, 700, 450, 200])
    control = torch.rand(4, 3, 64, 64)
    batch = denoiser.Batch(latents, texts, torch.ones(4, 1, 1, 1), control)

    def off() -> tuple[float, float]:
        """Errors of the pupil against the teacher: guided, and told no scale; the teacher's own distance of the two."""
        torch.manual_seed(1)
        noisy, _ = denoiser.noised(teacher.scheduler, latents, moments)
        told = guided.told(torch.full((4,), guided.USUAL), guided.SCALE_WIDTH)
        with torch.no_grad():
            worded = denoiser.predicted(objective.teacher, noisy, texts, moments, control)
            wordless = denoiser.predicted(objective.teacher, noisy, [""] * 4, moments, control)
            wanted = wordless + guided.USUAL * (worded - wordless)
            one = denoiser.predicted(pupil, noisy, texts, moments, control, told)
            none = denoiser.predicted(pupil, noisy, texts, moments, control)
        return float((one - wanted).square().mean()), float((none - worded).square().mean())

    before, same = off()
    assert same < 0.01 * before
    for step in range(60):
        torch.manual_seed(step)
        loss = objective(pupil, batch, moments)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after, unguided = off()
    assert after < 0.5 * before
    assert unguided < 0.5 * before

    models.save_bundle(pupil, tmp_path / "guided")
    again = models.load_bundle(tmp_path / "guided")
    assert again.unet.config.time_cond_proj_dim == guided.SCALE_WIDTH


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
