"""FLUX.2 [klein] 4B: 1024 px, Qwen3 for words, reference pictures in place of ControlNets; its base can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthgen.bases._declare import drawing, few, into, modelspec
from synthgen.bases._transformer import FlowFamily
from synthgen.bases._weights import Size, Weights
from synthgen.bases._words import Words
from synthgen.model_folder import ModelFolder

NUMBERS = {"transformer": 3_875_544_576, "text_encoder": 4_022_468_096, "vae": 84_046_115}
NETWORK: dict[str, Any] = {
    "num_layers": 5,
    "num_single_layers": 20,
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "joint_attention_dim": 7680,
    "guidance_embeds": False,
}


class Flux2Klein(FlowFamily):
    """Family `flux2`."""

    LICENSE = "Apache-2.0"
    NAMES = (
        Weights(
            "flux2-klein-base-4b",
            "black-forest-labs/FLUX.2-klein-base-4B",
            LICENSE,
            "peft, method_comparison/image-gen",
            size=Size(NUMBERS, NETWORK, few=7_508_852_736, pair=1_505_280),
        ),
        Weights(
            "flux2-klein-4b",
            "black-forest-labs/FLUX.2-klein-4B",
            LICENSE,
            "diffusers, pipelines/flux2",
            "its base is not",
            size=Size(NUMBERS, NETWORK, few=7_508_852_736, pair=1_505_280),
        ),
    )
    PIPELINE = "Flux2KleinPipeline"
    INTO = into("", "Flux2KleinInpaintPipeline")
    NEGATIVE = False
    SIGNS = ("double_stream_modulation_img.lin.weight",)
    REFERENCE = "image"
    REFERENCE_INTO = "image_reference"
    REFERENCE_PLACES = 4096  # its pipeline shrinks what is larger than 1024 x 1024 px
    FIRST = """
        double_blocks.#.img_attn.qkv        transformer_blocks.#.attn.{to_q,to_k,to_v}
        double_blocks.#.img_attn.proj       transformer_blocks.#.attn.to_out.0
        double_blocks.#.img_mlp.0           transformer_blocks.#.ff.linear_in
        double_blocks.#.img_mlp.2           transformer_blocks.#.ff.linear_out
        double_blocks.#.txt_attn.qkv        transformer_blocks.#.attn.{add_q_proj,add_k_proj,add_v_proj}
        double_blocks.#.txt_attn.proj       transformer_blocks.#.attn.to_add_out
        double_blocks.#.txt_mlp.0           transformer_blocks.#.ff_context.linear_in
        double_blocks.#.txt_mlp.2           transformer_blocks.#.ff_context.linear_out
        single_blocks.#.linear1             single_transformer_blocks.#.attn.to_qkv_mlp_proj
        single_blocks.#.linear2             single_transformer_blocks.#.attn.to_out
        single_stream_modulation.lin        single_stream_modulation.linear
        double_stream_modulation_img.lin    double_stream_modulation_img.linear
        double_stream_modulation_txt.lin    double_stream_modulation_txt.linear
        double_blocks.#.img_attn.norm.query_norm    transformer_blocks.#.attn.norm_q
        double_blocks.#.img_attn.norm.key_norm      transformer_blocks.#.attn.norm_k
        double_blocks.#.txt_attn.norm.query_norm    transformer_blocks.#.attn.norm_added_q
        double_blocks.#.txt_attn.norm.key_norm      transformer_blocks.#.attn.norm_added_k
        single_blocks.#.norm.query_norm             single_transformer_blocks.#.attn.norm_q
        single_blocks.#.norm.key_norm               single_transformer_blocks.#.attn.norm_k
        img_in                              x_embedder
        txt_in                              context_embedder
        time_in.in_layer                    time_guidance_embed.timestep_embedder.linear_1
        time_in.out_layer                   time_guidance_embed.timestep_embedder.linear_2
        guidance_in.in_layer                time_guidance_embed.guidance_embedder.linear_1
        guidance_in.out_layer               time_guidance_embed.guidance_embedder.linear_2
        final_layer.adaLN_modulation.1      ~norm_out.linear:2
        final_layer.linear                  proj_out
    """
    # as a pattern, for `to_out` is a layer in one kind of block and a list in the other
    TARGETS = (
        r".*\.(to_q|to_k|to_v|to_out\.0|add_[qkv]_proj|to_add_out|linear_in|linear_out|to_qkv_mlp_proj)"
        r"|single_transformer_blocks\.\d+\.attn\.to_out"
    )
    RANK = 32
    HELD = (34.0, 48.0)
    WORDS = 512
    LAYER = 388_956_160
    SETTINGS = drawing(steps=50, guidance=4.0, batch=1)
    FEW = few(steps=4, guidance=1.0)
    MODELSPEC = modelspec("flux-2-klein-4b", 1024)
    INSTEAD = "flux2-klein-base-4b"
    WITHOUT_CONTROL = (
        "diffusers has no ControlNet for FLUX.2. It goes by pictures instead: --reference FILE. Take another base "
        "where poses must be kept."
    )

    def few_by_name(self, name: str) -> str:
        return super().few_by_name(name) or ("klein" if "klein" in name.lower() and "base" not in name.lower() else "")

    def distilled(self, folder: ModelFolder) -> str:
        return "its index says is_distilled" if folder.options.get("is_distilled") else ""

    def latents(self, base: Any, pixels: Any) -> Any:
        vae, pipe = base.parts.vae, base.parts
        found = pipe._patchify_latents(vae.encode(pixels.to(vae.dtype)).latent_dist.mode())
        spread = (vae.bn.running_var + vae.config.batch_norm_eps).sqrt()
        return (found - vae.bn.running_mean.reshape(1, -1, 1, 1)) / spread.reshape(1, -1, 1, 1)

    def words(self, base: Any, texts: Sequence[str]) -> Words:
        return Words({"states": base.parts.encode_prompt(list(texts), device=base.device)[0]})

    def predict(self, base: Any, noisy: Any, moment: Any, words: Words) -> Any:
        pipe, states = base.parts, words.values["states"]
        found = base.denoiser(
            hidden_states=pipe._pack_latents(noisy), timestep=moment, guidance=None, encoder_hidden_states=states,
            txt_ids=pipe._prepare_text_ids(states).to(noisy.device),
            img_ids=pipe._prepare_latent_ids(noisy).to(noisy.device), return_dict=False,
        )[0]  # fmt: skip
        return found.transpose(1, 2).reshape(noisy.shape)


FAMILY = Flux2Klein()
