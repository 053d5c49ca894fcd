"""The published bases at full size with random weights, on an accelerator: memory and speed of each mode.

    python benchmarks/full_size.py --base sdxl --base sd35-medium --base flux2-klein-base-4b --out benchmarks/results

For each base and mode, in a process of its own: 50 steps of training a LoRA at 1024 px and 16 pictures of 4 steps, with
seconds, the peak of torch's allocator and, beside it, what `synthgen show base` estimates. No weight is downloaded: the
networks are built from the configurations below and filled with small random numbers, as the toys of the tests are.
Writes full_size.json, dated, and prints a table. Without an accelerator it says so and ends with 2; nothing is written.
"""

from __future__ import annotations

from typing import Any

# Sources: SD 1.5 and XL: the configurations in tests/test_lora_names.py, as diffusers 0.42.1 converts them. FLUX.1,
# Qwen-Image, Z-Image: the defaults of their classes in diffusers 0.42.1. SD 3.5 medium: its transformer/config.json as
# fastvideo/configs/models/dits has it. FLUX.2 klein: invokeai/backend/flux2/model.py. Text encoders: as transformers
# documents CLIP ViT-L/14 and bigG, T5 v1.1 XXL, Qwen3-4B and Qwen2.5-VL-7B.
CLIP_L = ("CLIPTextModel", "CLIPTextConfig", {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "projection_dim": 768, "vocab_size": 49408, "max_position_embeddings": 77,
})  # fmt: skip
CLIP_L_PROJECTED = ("CLIPTextModelWithProjection", *CLIP_L[1:])
CLIP_G = ("CLIPTextModelWithProjection", "CLIPTextConfig", {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
    "projection_dim": 1280, "vocab_size": 49408, "max_position_embeddings": 77, "hidden_act": "gelu",
})  # fmt: skip
T5_XXL = ("T5EncoderModel", "T5Config", {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64,
          "vocab_size": 32128, "feed_forward_proj": "gated-gelu"})  # fmt: skip
QWEN3_4B: dict[str, Any] = {
    "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip
QWEN_VL_7B: dict[str, Any] = {
    "text_config": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
                    "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
                    "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"}},
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
                      "out_hidden_size": 3584},
    "tie_word_embeddings": False,
}  # fmt: skip
KL = {"block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
      "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2}  # fmt: skip
KL_16 = {**KL, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
# name -> part -> (class, its class of configuration, configuration); the denoiser's own stands in its family's file
PARTS: dict[str, dict[str, tuple[str, str, dict[str, Any]]]] = {
    "sd15": {"text_encoder": CLIP_L, "vae": ("AutoencoderKL", "", KL)},
    "sdxl": {"text_encoder": CLIP_L, "text_encoder_2": CLIP_G, "vae": ("AutoencoderKL", "", KL)},
    "sd35-medium": {"text_encoder": CLIP_L_PROJECTED, "text_encoder_2": CLIP_G, "text_encoder_3": T5_XXL,
                    "vae": ("AutoencoderKL", "", KL_16)},
    "flux-dev": {"text_encoder": CLIP_L, "text_encoder_2": T5_XXL, "vae": ("AutoencoderKL", "", KL_16)},
    "flux2-klein-base-4b": {"text_encoder": ("Qwen3ForCausalLM", "Qwen3Config", QWEN3_4B),
                            "vae": ("AutoencoderKLFlux2", "", {})},
    "qwen-image": {"text_encoder": ("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLConfig", QWEN_VL_7B),
                   "vae": ("AutoencoderKLQwenImage", "", {})},
    "z-image": {"text_encoder": ("Qwen3Model", "Qwen3Config", QWEN3_4B), "vae": ("AutoencoderKL", "", KL_16)},
}  # fmt: skip
CLASSES = {
    "sd15": "UNet2DConditionModel", "sdxl": "UNet2DConditionModel", "sd35-medium": "SD3Transformer2DModel",
    "flux-dev": "FluxTransformer2DModel", "flux2-klein-base-4b": "Flux2Transformer2DModel",
    "qwen-image": "QwenImageTransformer2DModel", "z-image": "ZImageTransformer2DModel",
}  # fmt: skip


def built(name: str, device: str = "meta") -> dict[str, Any]:
    """Part -> network of a published base, with numbers that mean nothing; on "meta" they take no memory."""
    import diffusers
    import torch
    import transformers

    from synthgen import bases

    family, weights = bases.names()[name]
    with torch.device(device):
        found = {}
        for part, (kind, config, told) in PARTS[name].items():
            if config:
                found[part] = getattr(transformers, kind)(getattr(transformers, config)(**told))
            else:
                found[part] = getattr(diffusers, kind)(**told)
        found[family.DENOISER] = getattr(diffusers, CLASSES[name])(**weights.size.network)
    return found
