"""What families with a flow transformer have in common: a straight flow, and an autoencoder that shifts and scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthgen import model_folder
from synthgen.bases._family import Family
from synthgen.bases._identity import Identity
from synthgen.bases._process import Flow

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
OF_WORDS = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")  # the same of the words, where they have their own


class FlowFamily(Family):
    """SD3, FLUX, Qwen-Image, Z-Image: patches of two by two latent places."""

    BATCH = 2

    def blocks(self, config: Mapping[str, Any], side: int, words: int) -> list[int]:
        places = (side // self.SIDE_STEP) ** 2 + words
        width = config["num_attention_heads"] * config["attention_head_dim"]
        return [places * width] * (config["num_layers"] + config.get("num_single_layers", 0))

    def side(self, identity: Identity) -> int:
        told = model_folder.config(identity.folder, "vae").get("sample_size")
        return int(told) if isinstance(told, int) else self.SIDE

    def process(self, base: Any) -> Flow:
        across = base.size // self.SIDE_STEP
        return Flow(base.parts.scheduler.config, across * across)

    def latents(self, base: Any, pixels: Any) -> Any:
        vae = base.parts.vae
        found = vae.encode(pixels.to(vae.dtype)).latent_dist.mean
        return (found - vae.config.shift_factor) * vae.config.scaling_factor
