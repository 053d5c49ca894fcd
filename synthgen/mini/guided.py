"""Builds guidance into mini's UNet: one pass then draws what two passes with classifier-free guidance draw.

The scale is told by the time embedding (`time_cond_proj_dim`), as stock diffusers pipelines tell it to a UNet that has
one. A UNet that is told no scale predicts as before: adapters learn on that, and the scale guides them too.
After Meng et al., "On Distillation of Guided Diffusion Models", arXiv:2210.03142.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from synthgen.mini.denoiser import Batch, noised, predicted, weighted
from synthgen.mini.models import Parts

SCALE_WIDTH = 64  # of the embedding of the scale
PLAIN_SHARE = 0.25  # of the batches: no scale is told, and the unguided prediction must stay what it is
USUAL, USUAL_SHARE = 3.0, 0.5  # the scale that the recipe draws with, and how often it is the one to learn
MOST = 6.0


def with_scale(parts: Parts) -> Parts:
    """The same parts, with a UNet that can be told a scale and does not heed it yet."""
    import torch

    config = dict(parts.unet.config)
    if config.get("time_cond_proj_dim"):
        return parts
    unet = type(parts.unet).from_config({**config, "time_cond_proj_dim": SCALE_WIDTH})
    scale = unet.time_embedding.cond_proj.weight
    torch.nn.init.zeros_(scale)
    unet.load_state_dict({**parts.unet.state_dict(), "time_embedding.cond_proj.weight": scale})
    return replace(parts, unet=unet)


def told(scales: Any, width: int) -> Any:
    """(b, width): how the pipelines tell a UNet these guidance scales, (b,)."""
    from diffusers import StableDiffusionPipeline

    embedded = StableDiffusionPipeline.get_guidance_scale_embedding(None, scales.cpu() - 1, embedding_dim=width)
    return embedded.to(scales.device)


class Guided:
    """The loss of a pupil that is told a scale, beside its frozen teacher's two passes."""

    def __init__(self, teacher: Parts, device: str = "cpu") -> None:
        import torch

        def frozen(part: Any) -> Any:
            kept = copy.deepcopy(part).requires_grad_(False).to(device)
            return kept.to(memory_format=torch.channels_last) if part is not teacher.text_encoder else kept

        self.teacher = replace(
            teacher,
            unet=frozen(teacher.unet),
            controlnet=frozen(teacher.controlnet),
            text_encoder=frozen(teacher.text_encoder),
        )

    def __call__(self, parts: Parts, batch: Batch, timesteps: Any) -> Any:
        """Mean weighted squared error of one batch."""
        import torch

        plain = bool(torch.rand(()) < PLAIN_SHARE)
        noisy, _ = noised(parts.scheduler, batch.latents, timesteps)
        count = len(batch.texts)
        with torch.no_grad():
            if plain:
                target, scale = predicted(self.teacher, noisy, batch.texts, timesteps, batch.control), None
            else:
                scales = 1 + (MOST - 1) * torch.rand(count, device=noisy.device)
                scales[torch.rand(count, device=noisy.device) < USUAL_SHARE] = USUAL
                control = None if batch.control is None else batch.control.repeat(2, 1, 1, 1)
                both = predicted(
                    self.teacher, noisy.repeat(2, 1, 1, 1), batch.texts + [""] * count, timesteps.repeat(2), control
                )
                worded, wordless = both.chunk(2)
                target = wordless + scales.view(-1, 1, 1, 1) * (worded - wordless)
                scale = told(scales, parts.unet.config["time_cond_proj_dim"])
        guess = predicted(parts, noisy, batch.texts, timesteps, batch.control, scale)
        return weighted(parts.scheduler, guess, target, timesteps, batch.weights)
