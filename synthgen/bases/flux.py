"""FLUX.1: 1024 px, CLIP and T5, ControlNets; [dev] can be trained, [schnell] draws only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthgen import model_folder
from synthgen.bases._declare import drawing, few, into, modelspec
from synthgen.bases._transformer import ATTENTION, OF_WORDS, FlowFamily
from synthgen.bases._weights import IN_DIFFUSERS, Size, Weights
from synthgen.bases._words import Words
from synthgen.model_folder import ModelFolder

READERS = {"text_encoder": 123_060_480, "text_encoder_2": 4_762_310_656, "vae": 83_819_683}
NETWORK: dict[str, Any] = {
    "num_layers": 19,
    "num_single_layers": 38,
    "num_attention_heads": 24,
    "attention_head_dim": 128,
}


class Flux(FlowFamily):
    """Family `flux`."""

    LICENSE = "LicenseRef-synthgen-FLUX.1-dev-NCL"
    NAMES = (
        Weights(
            "flux-dev",
            "black-forest-labs/FLUX.1-dev",
            LICENSE,
            IN_DIFFUSERS,
            size=Size(
                {"transformer": 11_901_408_320, **READERS},
                {**NETWORK, "guidance_embeds": True},
                few=15_522_201_600,
                eight=1_006_632_960,
                pair=2_801_664,
            ),
        ),
        Weights(
            "flux-schnell",
            "black-forest-labs/FLUX.1-schnell",
            "Apache-2.0",
            IN_DIFFUSERS,
            "its name says schnell",
            size=Size(
                {"transformer": 11_891_178_560, **READERS},
                NETWORK,
                few=15_511_977_984,
                eight=1_006_632_960,
                pair=2_801_664,
            ),
        ),
    )
    PIPELINE = "FluxPipeline"
    CONTROLLED = "FluxControlNetPipeline"
    INTO = into(
        "FluxImg2ImgPipeline", "FluxInpaintPipeline", "FluxControlNetImg2ImgPipeline", "FluxControlNetInpaintPipeline"
    )
    CONTROLNET = "FluxControlNetModel"
    SEVERAL = "FluxMultiControlNetModel"
    CONTROL = "control_image"
    NEGATIVE = False  # guidance is distilled into it
    TEXT_PARTS = ("text_encoder",)
    SIGNS = ("double_blocks.0.img_attn.norm.key_norm.scale", "vector_in.in_layer.weight")
    FIRST = """
        double_blocks.#.img_attn.qkv        transformer_blocks.#.attn.{to_q,to_k,to_v}
        double_blocks.#.img_attn.proj       transformer_blocks.#.attn.to_out.0
        double_blocks.#.img_mlp.0           transformer_blocks.#.ff.net.0.proj
        double_blocks.#.img_mlp.2           transformer_blocks.#.ff.net.2
        double_blocks.#.img_mod.lin         transformer_blocks.#.norm1.linear
        double_blocks.#.txt_attn.qkv        transformer_blocks.#.attn.{add_q_proj,add_k_proj,add_v_proj}
        double_blocks.#.txt_attn.proj       transformer_blocks.#.attn.to_add_out
        double_blocks.#.txt_mlp.0           transformer_blocks.#.ff_context.net.0.proj
        double_blocks.#.txt_mlp.2           transformer_blocks.#.ff_context.net.2
        double_blocks.#.txt_mod.lin         transformer_blocks.#.norm1_context.linear
        single_blocks.#.linear1             single_transformer_blocks.#.{attn.to_q,attn.to_k,attn.to_v,proj_mlp:4}
        single_blocks.#.linear2             single_transformer_blocks.#.proj_out
        single_blocks.#.modulation.lin      single_transformer_blocks.#.norm.linear
        double_blocks.#.img_attn.norm.query_norm    transformer_blocks.#.attn.norm_q
        double_blocks.#.img_attn.norm.key_norm      transformer_blocks.#.attn.norm_k
        double_blocks.#.txt_attn.norm.query_norm    transformer_blocks.#.attn.norm_added_q
        double_blocks.#.txt_attn.norm.key_norm      transformer_blocks.#.attn.norm_added_k
        single_blocks.#.norm.query_norm             single_transformer_blocks.#.attn.norm_q
        single_blocks.#.norm.key_norm               single_transformer_blocks.#.attn.norm_k
        img_in                              x_embedder
        txt_in                              context_embedder
        time_in.in_layer                    time_text_embed.timestep_embedder.linear_1
        time_in.out_layer                   time_text_embed.timestep_embedder.linear_2
        guidance_in.in_layer                time_text_embed.guidance_embedder.linear_1
        guidance_in.out_layer               time_text_embed.guidance_embedder.linear_2
        vector_in.in_layer                  time_text_embed.text_embedder.linear_1
        vector_in.out_layer                 time_text_embed.text_embedder.linear_2
        final_layer.adaLN_modulation.1      ~norm_out.linear:2
        final_layer.linear                  proj_out
    """
    TARGETS = (*ATTENTION, *OF_WORDS, "ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2")
    HELD = (25.0, 43.0)
    WORDS = 512
    T5 = ("text_encoder_2", 512)
    LAYER = 131_596_288
    SETTINGS = drawing(steps=28, guidance=3.5, batch=1)
    FEW = few(steps=4, guidance=0.0)
    MODELSPEC = modelspec("flux-1-dev", 1024)
    INSTEAD = "flux-dev, or flux2-klein-base-4b, whose licence is free"

    def distilled(self, folder: ModelFolder) -> str:
        if not model_folder.config(folder.path, "transformer").get("guidance_embeds"):
            return "its transformer takes no guidance, as [schnell]'s"
        return super().distilled(folder)

    def words(self, base: Any, texts: Sequence[str]) -> Words:
        states, pooled, _ = base.parts.encode_prompt(list(texts), device=base.device)
        return Words({"states": states, "pooled": pooled})

    def predict(self, base: Any, noisy: Any, moment: Any, words: Words) -> Any:
        count, channels, high, wide = noisy.shape
        pipe, states = base.parts, words.values["states"]
        guidance = noisy.new_ones(count) if base.denoiser.config.guidance_embeds else None  # 1: none, while it learns
        found = base.denoiser(
            hidden_states=pipe._pack_latents(noisy, count, channels, high, wide), timestep=moment, guidance=guidance,
            pooled_projections=words.values["pooled"], encoder_hidden_states=states,
            txt_ids=noisy.new_zeros(states.shape[1], 3),
            img_ids=pipe._prepare_latent_image_ids(count, high // 2, wide // 2, noisy.device, noisy.dtype),
            return_dict=False,
        )[0]  # fmt: skip
        factor = pipe.vae_scale_factor
        return pipe._unpack_latents(found, high * factor, wide * factor, factor)


FAMILY = Flux()
