"""Stable Diffusion XL: 1024 px, two CLIP text encoders, ControlNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.bases._declare import drawing, few, into, lightning, modelspec
from synthgen.bases._unet import UNetFamily
from synthgen.bases._weights import IN_DIFFUSERS, Size, Weights
from synthgen.bases._words import Words

TURBO = "LicenseRef-synthgen-sai-nc-2023-11-28"
NUMBERS = {"unet": 2_567_463_684, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840, "vae": 83_653_863}
NETWORK: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
}


class StableDiffusionXL(UNetFamily):
    """Family `sdxl`."""

    LICENSE = "LicenseRef-synthgen-OpenRAIL++-M"
    NAMES = (
        Weights(
            "sdxl",
            "stabilityai/stable-diffusion-xl-base-1.0",
            LICENSE,
            IN_DIFFUSERS,
            size=Size(NUMBERS, NETWORK, few=2_232_647_680, pair=2_659_840),
        ),
        Weights(
            "sdxl-turbo",
            "stabilityai/sdxl-turbo",
            "LicenseRef-synthgen-sai-nc-2023-11-28",
            "diffusers, examples of its documentation",
            "its name says Turbo",
            size=Size(NUMBERS, NETWORK, few=2_232_647_680, pair=2_659_840),
        ),
    )
    PIPELINE = "StableDiffusionXLPipeline"
    CONTROLLED = "StableDiffusionXLControlNetPipeline"
    INTO = into(
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
        "StableDiffusionXLControlNetImg2ImgPipeline",
        "StableDiffusionXLControlNetInpaintPipeline",
    )
    TEXT_PARTS = ("text_encoder", "text_encoder_2")
    RANK = 32
    LAYER = 63_242_240
    SETTINGS = drawing(steps=30, guidance=6.0, batch=2)
    FEW = few(steps=4, guidance=0.0)
    LIGHTNING = lightning(0.0, "EulerDiscreteScheduler", timestep_spacing="trailing")  # model card of SDXL-Lightning
    MODELSPEC = modelspec("stable-diffusion-xl-v1-base", 1024)
    INSTEAD = "sdxl"

    def claims_file(self, tensors: Mapping[str, tuple[int, ...]]) -> bool:
        first, words = "model.diffusion_model.input_blocks.0.0.weight", "conditioner.embedders.1.model.text_projection"
        two = "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight"
        return tensors.get(first, (0, 0))[1] == 4 and words in tensors and two in tensors  # the refiner has one encoder

    def opening(self) -> dict[str, Any]:
        # left open, the pipeline marks pictures if some package happens to be installed, and they differ
        return {"add_watermarker": False}

    def options(self, pipe: Any) -> dict[str, Any]:
        return {
            "add_watermarker": False,
            "force_zeros_for_empty_prompt": pipe.config.force_zeros_for_empty_prompt,
        }

    def words(self, base: Any, texts: Sequence[str]) -> Words:
        states, _, pooled, _ = base.parts.encode_prompt(
            list(texts), device=base.device, do_classifier_free_guidance=False
        )
        return Words({"states": states, "pooled": pooled})

    def predict(self, base: Any, noisy: Any, moment: Any, words: Words) -> Any:
        high, wide = (places * base.parts.vae_scale_factor for places in noisy.shape[-2:])
        frame = noisy.new_tensor([[high, wide, 0, 0, high, wide]]).repeat(len(noisy), 1)  # size, crop, target size
        told = {"text_embeds": words.values["pooled"], "time_ids": frame}
        return base.denoiser(noisy, moment, words.values["states"], added_cond_kwargs=told).sample


FAMILY = StableDiffusionXL()
