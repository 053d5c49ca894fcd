"""Qwen-Image: 1024 px, Qwen2.5-VL reads the words, ControlNets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from synthgen.bases._declare import drawing, into, lightning, modelspec
from synthgen.bases._transformer import ATTENTION, OF_WORDS, FlowFamily
from synthgen.bases._weights import Size, Weights
from synthgen.bases._words import Words


class QwenImage(FlowFamily):
    """Family `qwen_image`."""

    LICENSE = "Apache-2.0"
    NAMES = (
        Weights(
            "qwen-image",
            "Qwen/Qwen-Image",
            LICENSE,
            "diffusers 0.42.1, pipelines/qwenimage",
            size=Size(
                {"transformer": 20_430_401_088, "text_encoder": 8_292_166_656, "vae": 126_892_531},
                {"num_layers": 60, "num_attention_heads": 24, "attention_head_dim": 128},
                few=28_169_633_792,
                pair=6_635_520,
            ),
        ),
    )
    PIPELINE = "QwenImagePipeline"
    CONTROLLED = "QwenImageControlNetPipeline"
    INTO = into("QwenImageImg2ImgPipeline", "QwenImageInpaintPipeline")
    CONTROLNET = "QwenImageControlNetModel"
    CONTROL = "control_image"
    GUIDANCE = "true_cfg_scale"
    SIGNS = ("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight")
    ALWAYS_NEGATIVE = True  # without a negative prompt its pipeline leaves guidance out
    TARGETS = (*ATTENTION, *OF_WORDS, "img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2")
    LEARNING_RATE = 5e-5
    DECODER = MappingProxyType({"base_dim": 96, "dim_mult": (1, 2, 4, 4)})
    HELD = (37.0, 47.0)
    WORDS = 512
    LAYER = 544_997_376
    SETTINGS = drawing(steps=50, guidance=4.0, batch=1)
    # as generate_with_diffusers.py of ModelTC/Qwen-Image-Lightning: a shift of 3 at every size, and no end of its own
    LIGHTNING = lightning(
        1.0, "FlowMatchEulerDiscreteScheduler", shift=1.0, base_shift=math.log(3), max_shift=math.log(3),
        shift_terminal=None, use_dynamic_shifting=True, time_shift_type="exponential",
    )  # fmt: skip
    MODELSPEC = modelspec("qwen-image", 1024)
    INSTEAD = "qwen-image"

    def latents(self, base: Any, pixels: Any) -> Any:
        """(b, c, s/8, s/8): its autoencoder is one for films, and a picture is a film of one frame."""
        vae = base.parts.vae
        found = vae.encode(pixels.to(vae.dtype).unsqueeze(2)).latent_dist.mode()[:, :, 0]
        mean, spread = (
            found.new_tensor(values).reshape(1, -1, 1, 1)
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        return (found - mean) / spread

    def words(self, base: Any, texts: Sequence[str]) -> Words:
        states, mask = base.parts.encode_prompt(list(texts), device=base.device)
        return Words({"states": states, "mask": states.new_ones(states.shape[:2]).long() if mask is None else mask})

    def predict(self, base: Any, noisy: Any, moment: Any, words: Words) -> Any:
        count, channels, high, wide = noisy.shape
        pipe, factor = base.parts, base.parts.vae_scale_factor
        found = base.denoiser(
            hidden_states=pipe._pack_latents(noisy, count, channels, high, wide), timestep=moment, guidance=None,
            encoder_hidden_states=words.values["states"], encoder_hidden_states_mask=words.values["mask"],
            img_shapes=[[(1, high // 2, wide // 2)]] * count, return_dict=False,
        )[0]  # fmt: skip
        return pipe._unpack_latents(found, high * factor, wide * factor, factor)[:, :, 0]


FAMILY = QwenImage()
