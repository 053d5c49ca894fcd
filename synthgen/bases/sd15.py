"""Stable Diffusion 1.x: 512 px, one CLIP text encoder, the most ControlNets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthgen.bases._declare import drawing, few, into, modelspec
from synthgen.bases._unet import UNetFamily
from synthgen.bases._weights import IN_DIFFUSERS, Size, Weights
from synthgen.model_folder import ModelFolder


class StableDiffusion(UNetFamily):
    """Family `sd15`."""

    LICENSE = "LicenseRef-scancode-stable-diffusion-2022-08-22"
    NAMES = (
        Weights(
            "sd15",
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            LICENSE,
            IN_DIFFUSERS,
            size=Size(
                {"unet": 859_520_964, "text_encoder": 123_060_480, "vae": 83_653_863},
                {
                    "block_out_channels": (320, 640, 1280, 1280),
                    "cross_attention_dim": 768,
                    "attention_head_dim": 8,
                    "sample_size": 64,
                },
                few=270_049_280,
                pair=423_936,
            ),
        ),
    )
    PIPELINE = "StableDiffusionPipeline"
    CONTROLLED = "StableDiffusionControlNetPipeline"
    INTO = into(
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionControlNetImg2ImgPipeline",
        "StableDiffusionControlNetInpaintPipeline",
    )
    SIDE = 512
    LAYER = 37_945_344
    SETTINGS = drawing(steps=30, guidance=7.5, batch=4)
    FEW = few(steps=4, guidance=1.0)
    MODELSPEC = modelspec("stable-diffusion-v1", 512)
    INSTEAD = "the Stable Diffusion 1.5 base"

    def claims_unet(self, unet: dict[str, Any], folder: ModelFolder) -> bool:
        # Stable Diffusion 2 has the same classes, and so has mini, which keeps its ControlNet inside
        return unet.get("cross_attention_dim") != 1024 and not (folder.path / "controlnet").is_dir()

    def claims_file(self, tensors: Mapping[str, tuple[int, ...]]) -> bool:
        first, words = "model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.text_model."
        return tensors.get(first, (0, 0))[1] == 4 and any(name.startswith(words) for name in tensors)

    def opening(self) -> dict[str, Any]:
        return {"safety_checker": None, "requires_safety_checker": False}

    def options(self, pipe: Any) -> dict[str, Any]:
        return {"requires_safety_checker": False}


FAMILY = StableDiffusion()
