"""What a mask leaves out, kept as it is while the rest is drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kept:
    """Puts a photo's latents back beside the mask after every step, as noisy as the next step wants them.

    It is what diffusers' own inpainting does for networks of four channels; it refuses others.
    """

    mask: Any  # (b, 1, h, w) float32: 1 where it is drawn
    latents: Any  # (b, c, h, w) float32 of the photos
    noise: Any  # of the same form

    @classmethod
    def beside(cls, masks: Any, latents: Any, seeds: Sequence[int]) -> Kept:
        """masks (b, 1, s, s) float32 in {0, 1}; the noise of each photo follows from its job's seed alone."""
        import torch

        small = torch.nn.functional.interpolate(masks, latents.shape[-2:]).to(latents)
        drawn = [torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return cls(small, latents, torch.stack(drawn).to(latents))

    def __call__(self, pipe: Any, step: int, moment: Any, told: dict[str, Any]) -> dict[str, Any]:
        """Called by a pipeline after each step, with the latents that it has come to."""
        moments, latents = pipe.scheduler.timesteps[-pipe.num_timesteps :], told["latents"]
        kept = self.latents.to(latents)
        if step + 1 < len(moments):
            following = moments[step + 1].reshape(1).repeat(len(kept))
            kept = pipe.scheduler.add_noise(kept, self.noise.to(latents), following)
        mask = self.mask.to(latents)
        return {**told, "latents": (1 - mask) * kept + mask * latents}


def accepted(call: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that a class or a pipeline takes."""
    known = inspect.signature(call).parameters
    return {name: value for name, value in options.items() if name in known}
