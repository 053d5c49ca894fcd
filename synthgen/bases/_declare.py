"""Short forms for what a family declares of itself."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def into(photo: str, mask: str, photo_control: str = "", mask_control: str = "") -> Mapping[str, str]:
    """INTO of a family."""
    return MappingProxyType(
        {"photo": photo, "mask": mask, "photo+control": photo_control, "mask+control": mask_control}
    )


def drawing(steps: int, guidance: float, batch: int) -> Mapping[str, Any]:
    """SETTINGS of a family."""
    return MappingProxyType({"num_inference_steps": steps, "guidance_scale": guidance, "batch": batch})


def few(steps: int, guidance: float) -> Mapping[str, Any]:
    """FEW of a family, as the documentation of diffusers 0.42.1 draws with its distilled weights."""
    return MappingProxyType({"num_inference_steps": steps, "guidance_scale": guidance})


def lightning(guidance: float, scheduler: str, **config: Any) -> Mapping[str, Any]:
    """LIGHTNING of a family.

    scheduler  a class of diffusers
    config     what of the base's own configuration is another
    """
    return MappingProxyType({"guidance_scale": guidance, "scheduler": scheduler, "config": MappingProxyType(config)})


def modelspec(architecture: str, side: int, **more: str) -> Mapping[str, str]:
    """What a LoRA file of this family says of itself (ModelSpec 1.0.1)."""
    told = {
        "sai_model_spec": "1.0.1", "architecture": f"{architecture}/lora", "implementation": "diffusers",
        "resolution": f"{side}x{side}", **more,
    }  # fmt: skip
    return MappingProxyType({f"modelspec.{key}": value for key, value in told.items()})
