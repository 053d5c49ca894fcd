"""Stable Diffusion 3 and 3.5: 1024 px, two CLIP text encoders and T5, ControlNets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthgen.bases._declare import drawing, few, into, modelspec
from synthgen.bases._transformer import ATTENTION, OF_WORDS, FlowFamily
from synthgen.bases._weights import IN_DIFFUSERS, Size, Weights
from synthgen.bases._words import Words

READERS = {
    "text_encoder": 123_650_304,
    "text_encoder_2": 694_659_840,
    "text_encoder_3": 4_762_310_656,
    "vae": 83_819_683,
}


class StableDiffusion3(FlowFamily):
    """Family `sd3`."""

    LICENSE = "LicenseRef-scancode-stability-ai-community-2024"
    NAMES = (
        Weights(
            "sd35-medium",
            "stabilityai/stable-diffusion-3.5-medium",
            LICENSE,
            IN_DIFFUSERS,
            size=Size(
                {"transformer": 2_243_171_520, **READERS},
                {
                    "num_layers": 24,
                    "num_attention_heads": 24,
                    "attention_head_dim": 64,
                    "caption_projection_dim": 1536,
                    "pos_embed_max_size": 384,
                    "dual_attention_layers": tuple(range(13)),
                    "qk_norm": "rms_norm",
                },
                few=5_865_701_376,
                eight=1_006_632_960,
                pair=1_115_136,
            ),
        ),
        Weights(
            "sd35-large",
            "stabilityai/stable-diffusion-3.5-large",
            LICENSE,
            IN_DIFFUSERS,
            size=Size(
                {"transformer": 8_056_627_520, **READERS},
                {
                    "num_layers": 38,
                    "num_attention_heads": 38,
                    "attention_head_dim": 64,
                    "caption_projection_dim": 2432,
                    "pos_embed_max_size": 192,
                    "qk_norm": "rms_norm",
                },
                few=11_677_573_120,
                eight=1_006_632_960,
                pair=2_397_952,
            ),
        ),
    )
    PIPELINE = "StableDiffusion3Pipeline"
    CONTROLLED = "StableDiffusion3ControlNetPipeline"
    INTO = into("StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline")
    CONTROLNET = "SD3ControlNetModel"
    SEVERAL = "SD3MultiControlNetModel"
    CONTROL = "control_image"
    TEXT_PARTS = ("text_encoder", "text_encoder_2")
    SIGNS = ("joint_blocks.0.context_block.adaLN_modulation.1.bias",)
    FIRST = """
        joint_blocks.#.x_block.attn.qkv                    transformer_blocks.#.attn.{to_q,to_k,to_v}
        joint_blocks.#.x_block.attn.proj                   transformer_blocks.#.attn.to_out.0
        joint_blocks.#.x_block.attn2.qkv                   transformer_blocks.#.attn2.{to_q,to_k,to_v}
        joint_blocks.#.x_block.attn2.proj                  transformer_blocks.#.attn2.to_out.0
        joint_blocks.#.x_block.mlp.fc1                     transformer_blocks.#.ff.net.0.proj
        joint_blocks.#.x_block.mlp.fc2                     transformer_blocks.#.ff.net.2
        joint_blocks.#.x_block.adaLN_modulation.1          transformer_blocks.#.norm1.linear
        joint_blocks.#.context_block.attn.qkv              transformer_blocks.#.attn.{add_q_proj,add_k_proj,add_v_proj}
        joint_blocks.#.context_block.attn.proj             transformer_blocks.#.attn.to_add_out
        joint_blocks.#.context_block.mlp.fc1               transformer_blocks.#.ff_context.net.0.proj
        joint_blocks.#.context_block.mlp.fc2               transformer_blocks.#.ff_context.net.2
        joint_blocks.#.context_block.adaLN_modulation.1    ~transformer_blocks.#.norm1_context.linear:2
        joint_blocks.#.x_block.attn.ln_q                   transformer_blocks.#.attn.norm_q
        joint_blocks.#.x_block.attn.ln_k                   transformer_blocks.#.attn.norm_k
        joint_blocks.#.x_block.attn2.ln_q                  transformer_blocks.#.attn2.norm_q
        joint_blocks.#.x_block.attn2.ln_k                  transformer_blocks.#.attn2.norm_k
        joint_blocks.#.context_block.attn.ln_q             transformer_blocks.#.attn.norm_added_q
        joint_blocks.#.context_block.attn.ln_k             transformer_blocks.#.attn.norm_added_k
        pos_embed                                          pos_embed.pos_embed
        x_embedder.proj                                    pos_embed.proj
        t_embedder.mlp.0                                   time_text_embed.timestep_embedder.linear_1
        t_embedder.mlp.2                                   time_text_embed.timestep_embedder.linear_2
        y_embedder.mlp.0                                   time_text_embed.text_embedder.linear_1
        y_embedder.mlp.2                                   time_text_embed.text_embedder.linear_2
        final_layer.adaLN_modulation.1                     ~norm_out.linear:2
        final_layer.linear                                 proj_out
    """
    TARGETS = (*ATTENTION, *OF_WORDS, "ff.net.0.proj", "ff.net.2")
    HELD = (26.0, 34.0)
    WORDS = 333
    T5 = ("text_encoder_3", 256)
    LAYER = 131_596_288
    SETTINGS = drawing(steps=28, guidance=4.5, batch=2)
    FEW = few(steps=4, guidance=0.0)
    MODELSPEC = modelspec("stable-diffusion-3", 1024)
    INSTEAD = "sd35-medium"

    def words(self, base: Any, texts: Sequence[str]) -> Words:
        told = base.parts.encode_prompt(list(texts), None, None, device=base.device, do_classifier_free_guidance=False)
        return Words({"states": told[0], "pooled": told[2]})

    def predict(self, base: Any, noisy: Any, moment: Any, words: Words) -> Any:
        return base.denoiser(
            hidden_states=noisy, timestep=moment * 1000, encoder_hidden_states=words.values["states"],
            pooled_projections=words.values["pooled"], return_dict=False,
        )[0]  # fmt: skip


FAMILY = StableDiffusion3()
