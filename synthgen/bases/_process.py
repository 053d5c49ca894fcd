"""What is learned at which moment: noise that is added by a schedule, or a straight flow from picture to noise.

A moment is a whole number below STEPS. Training draws them evenly; for a flow they are quantiles of the distribution
that its family is trained with, so that evenly drawn moments give that distribution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

STEPS = 1000
MOST_SNR = 5.0


class Noise:
    """Latents and noise mixed by a variance-preserving schedule; the network tells the noise, or the velocity.

    Weight of an error: min(SNR, 5) / SNR for noise, min(SNR, 5) / (SNR + 1) for velocity (Hang et al. 2023,
    arXiv:2303.09556).
    """

    def __init__(self, config: Mapping[str, Any], device: str) -> None:
        from diffusers import DDPMScheduler

        self.scheduler = DDPMScheduler.from_config(dict(config))
        self.alphas = self.scheduler.alphas_cumprod.to(device)
        self.velocity = self.scheduler.config.prediction_type == "v_prediction"

    def mix(self, latents: Any, noise: Any, moments: Any) -> tuple[Any, Any]:
        """(noisy latents, what the network is told of the moment)."""
        return self.scheduler.add_noise(latents, noise, moments), moments

    def target(self, latents: Any, noise: Any, moments: Any) -> Any:
        """What the network should tell."""
        return self.scheduler.get_velocity(latents, noise, moments) if self.velocity else noise

    def weight(self, moments: Any) -> Any:
        """(b,): how much an error at this moment counts."""
        alpha = self.alphas[moments]
        snr = alpha / (1 - alpha)
        return snr.clamp(max=MOST_SNR) / (snr + 1 if self.velocity else snr.clamp(min=1e-8))


class Flow:
    """A straight line from picture (0) to noise (1); the network tells its direction.

    Moments are logit-normal, then shifted towards noise as the pipeline's own scheduler shifts them for this many
    places (Esser et al. 2024, arXiv:2403.03206, section 3.1 and 5.3.2).
    """

    def __init__(self, config: Mapping[str, Any], places: int) -> None:
        self.shift = _shift(config, places)

    def share(self, moments: Any) -> Any:
        """(b,) float32 in (0, 1): how much of the mix is noise."""
        import torch

        even = (moments.float() + 0.5) / STEPS
        drawn = torch.sigmoid(torch.special.ndtri(even))
        return self.shift * drawn / (1 + (self.shift - 1) * drawn)

    def mix(self, latents: Any, noise: Any, moments: Any) -> tuple[Any, Any]:
        """(noisy latents, the share of noise in them)."""
        share = self.share(moments)
        spread = share.reshape(-1, *([1] * (latents.dim() - 1)))
        return (1 - spread) * latents + spread * noise, share

    def target(self, latents: Any, noise: Any, moments: Any) -> Any:
        """From picture to noise."""
        return noise - latents

    def weight(self, moments: Any) -> Any:
        """(b,): every moment counts alike; the distribution has made the choice."""
        return moments.float() * 0 + 1


def _shift(config: Mapping[str, Any], places: int) -> float:
    """The factor by which the scheduler shifts, for a picture of so many places."""
    if not config.get("use_dynamic_shifting"):
        return float(config.get("shift", 1.0))
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    least, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    slope = (most - least) / (high - low)
    grade = least + slope * (places - low)
    return math.exp(grade) if config.get("time_shift_type", "exponential") == "exponential" else max(grade, 1e-3)
