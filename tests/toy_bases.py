"""A toy of every base family: real classes, random weights, real tokenizers, a few thousand parameters, in seconds.

The configurations have the keys of the published ones at small numbers. `write` makes the folder, `CONTROLNETS` a
ControlNet beside it where the family has one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

SIDE_PX = 64
TEXTS = ["a photo of a sks shirt, flat lay", "a young adult person standing on the beach wearing a sks dress"] * 4


def clip_tokenizer(folder: Path) -> Any:
    """A real CLIPTokenizer with a small vocabulary."""
    from synthgen.mini import models

    return models.build_tokenizer(TEXTS, folder)


def clip_text(tokenizer: Any, width: int, projected: bool = False) -> Any:
    """A real CLIP text encoder of one layer (two where the one before the last is read)."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width, projection_dim=width,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def kl_vae(latent_channels: int = 4, **more: Any) -> Any:
    """A real AutoencoderKL that halves three times."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=latent_channels,
        norm_num_groups=4, sample_size=SIDE_PX, **more,
    )  # fmt: skip


def unet(width: int, **more: Any) -> Any:
    """A real UNet of two levels that reads words of this width."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE_PX // 8, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width, attention_head_dim=2, norm_num_groups=4, **more,
    )  # fmt: skip


def from_unet(network: Any) -> Any:
    """A ControlNet as a training would begin with it, and stirred."""
    from diffusers import ControlNetModel

    return stirred(ControlNetModel.from_unet(network, conditioning_embedding_out_channels=(4, 8, 8, 8)))


def stirred(control: Any) -> Any:
    """A ControlNet whose zero convolutions were drawn at random, so that it has an effect."""
    import torch

    for parameter in control.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return control


def write_sd15(folder: Path) -> None:
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    tokenizer = clip_tokenizer(folder.with_name(folder.name + "-words"))
    network = unet(24)
    StableDiffusionPipeline(
        vae=kl_vae(), unet=network, text_encoder=clip_text(tokenizer, 24), tokenizer=tokenizer,
        scheduler=PNDMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, skip_prk_steps=True, steps_offset=1,
            set_alpha_to_one=False,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    from_unet(network).save_pretrained(controlnet(folder))


def write_sdxl(folder: Path) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    tokenizer = clip_tokenizer(folder.with_name(folder.name + "-words"))
    network = unet(
        40, addition_embed_type="text_time", addition_time_embed_dim=8, transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + 24, use_linear_projection=True,
    )  # fmt: skip
    StableDiffusionXLPipeline(
        vae=kl_vae(scaling_factor=0.13025), unet=network, text_encoder=clip_text(tokenizer, 16), tokenizer=tokenizer,
        text_encoder_2=clip_text(tokenizer, 24, projected=True), tokenizer_2=tokenizer,
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1,
            timestep_spacing="leading",
        ),
        add_watermarker=False,
    ).save_pretrained(folder)  # fmt: skip
    from_unet(network).save_pretrained(controlnet(folder))


def t5_tokenizer() -> Any:
    """A real T5Tokenizer that knows letters."""
    from transformers import T5Tokenizer

    letters = "abcdefghijklmnopqrstuvwxyz,.- "
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *((letter, -3.0) for letter in letters)]
    return T5Tokenizer(vocab=vocab, extra_ids=0)


def t5_text(tokenizer: Any, width: int) -> Any:
    """A real T5 encoder of one layer."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
            feed_forward_proj="gated-gelu", decoder_start_token_id=0,
        )
    )  # fmt: skip


CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen_tokenizer() -> Any:
    """A real Qwen2Tokenizer of single bytes, with a chat template."""
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters]
    made = Qwen2Tokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.chat_template = CHAT
    return made


def qwen3_text(tokenizer: Any, width: int, layers: int, kind: str) -> Any:
    """A real Qwen3 of so many layers."""
    import transformers

    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=1024,
        bos_token_id=None, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return getattr(transformers, kind)(config)


def loud(network: Any, by: float = 8) -> Any:
    """A transformer whose last layer is so strong that what changes inside it shows in a picture."""
    network.proj_out.weight.data *= by
    return network


def flow_scheduler(**more: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**more)


def write_sd3(folder: Path) -> None:
    from diffusers import SD3ControlNetModel, SD3Transformer2DModel, StableDiffusion3Pipeline

    tokenizer, third = clip_tokenizer(folder.with_name(folder.name + "-words")), t5_tokenizer()
    shape: dict[str, Any] = {
        "sample_size": SIDE_PX // 8, "patch_size": 2, "in_channels": 16, "num_layers": 2, "attention_head_dim": 8,
        "num_attention_heads": 2, "joint_attention_dim": 48, "caption_projection_dim": 16, "pooled_projection_dim": 40,
        "pos_embed_max_size": 16, "dual_attention_layers": (0,), "qk_norm": "rms_norm",
    }  # fmt: skip
    network = SD3Transformer2DModel(**shape, out_channels=16)
    StableDiffusion3Pipeline(
        vae=kl_vae(16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        transformer=network, scheduler=flow_scheduler(shift=3.0),
        text_encoder=clip_text(tokenizer, 16, projected=True), tokenizer=tokenizer,
        text_encoder_2=clip_text(tokenizer, 24, projected=True), tokenizer_2=tokenizer,
        text_encoder_3=t5_text(third, 48), tokenizer_3=third,
    ).save_pretrained(folder)  # fmt: skip
    stirred(SD3ControlNetModel(**{**shape, "num_layers": 1}, out_channels=16)).save_pretrained(controlnet(folder))


def write_flux(folder: Path) -> None:
    from diffusers import FluxControlNetModel, FluxPipeline, FluxTransformer2DModel

    tokenizer, second = clip_tokenizer(folder.with_name(folder.name + "-words")), t5_tokenizer()
    shape: dict[str, Any] = {
        "in_channels": 16, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 16, "num_attention_heads": 2,
        "joint_attention_dim": 24, "pooled_projection_dim": 16, "guidance_embeds": True, "axes_dims_rope": (4, 6, 6),
    }  # fmt: skip
    FluxPipeline(
        vae=kl_vae(scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        transformer=loud(FluxTransformer2DModel(**shape)), text_encoder=clip_text(tokenizer, 16), tokenizer=tokenizer,
        text_encoder_2=t5_text(second, 24), tokenizer_2=second,
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15),
    ).save_pretrained(folder)  # fmt: skip
    control = FluxControlNetModel(**{**shape, "num_layers": 1, "num_single_layers": 1})
    stirred(control).save_pretrained(controlnet(folder))


def write_flux2(folder: Path) -> None:
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel

    tokenizer = qwen_tokenizer()
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=SIDE_PX,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    vae.bn.running_mean.normal_(std=0.1)
    vae.bn.running_var.uniform_(0.5, 2)
    Flux2KleinPipeline(
        vae=vae, text_encoder=qwen3_text(tokenizer, 8, 27, "Qwen3ForCausalLM"), tokenizer=tokenizer,
        transformer=loud(
            Flux2Transformer2DModel(
                in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
                joint_attention_dim=24, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
            )
        ),
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True), is_distilled=False,
    ).save_pretrained(folder)  # fmt: skip


def write_qwen_image(folder: Path) -> None:
    import diffusers
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = qwen_tokenizer()
    words = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 1200,
                "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
                "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0,
            },
            vision_config={
                "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16,
            },
            image_token_id=3, video_token_id=4, vision_start_token_id=5, vision_end_token_id=6,
        )
    )  # fmt: skip
    shape: dict[str, Any] = {
        "patch_size": 2, "in_channels": 16, "out_channels": 4, "num_layers": 2, "attention_head_dim": 16,
        "num_attention_heads": 2, "joint_attention_dim": 16, "axes_dims_rope": (4, 6, 6),
    }  # fmt: skip
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[0.5, 0.6, 0.7, 0.8],
    )  # fmt: skip
    vae.decoder.conv_out.weight.data *= 6  # or its pictures are as grey as blank ones
    diffusers.QwenImagePipeline(
        vae=vae,
        text_encoder=words, tokenizer=tokenizer, transformer=loud(diffusers.QwenImageTransformer2DModel(**shape), 3),
        scheduler=flow_scheduler(
            shift=1.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192,
            shift_terminal=0.02, time_shift_type="exponential",
        ),
    ).save_pretrained(folder)  # fmt: skip
    stirred(diffusers.QwenImageControlNetModel(**{**shape, "num_layers": 1})).save_pretrained(controlnet(folder))


def write_z_image(folder: Path) -> None:
    import diffusers

    tokenizer = qwen_tokenizer()
    shape: dict[str, Any] = {"dim": 32, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2}
    diffusers.ZImagePipeline(
        vae=kl_vae(scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=qwen3_text(tokenizer, 16, 2, "Qwen3Model"), tokenizer=tokenizer,
        transformer=diffusers.ZImageTransformer2DModel(
            **shape, in_channels=4, n_layers=2, cap_feat_dim=16, axes_dims=[4, 6, 6], axes_lens=[1024, 64, 64]
        ),
        scheduler=flow_scheduler(shift=6.0),
    ).save_pretrained(folder)  # fmt: skip
    control = diffusers.ZImageControlNetModel(**shape, control_layers_places=[0], control_in_dim=4)
    stirred(control).save_pretrained(controlnet(folder))


def write_mini(folder: Path) -> None:
    from diffusers import ControlNetModel
    from toy_base import write_toy_base

    write_toy_base(folder)
    place = folder / "controlnet"
    stirred(ControlNetModel.from_pretrained(place, use_safetensors=True)).half().save_pretrained(place)


WRITERS: dict[str, Callable[[Path], None]] = {
    "mini": write_mini, "sd15": write_sd15, "sdxl": write_sdxl, "sd3": write_sd3, "flux": write_flux,
    "flux2": write_flux2, "qwen_image": write_qwen_image, "z_image": write_z_image,
}  # fmt: skip


def open_controlnet(family: str, place: Path) -> Any:
    """As the documentation of diffusers opens it."""
    import diffusers

    from synthgen import bases

    return getattr(diffusers, bases.family(family).CONTROLNET).from_pretrained(place)


def controlnet(folder: Path) -> Path:
    """Where the toy's ControlNet is; not there where its family has none."""
    return folder.with_name(folder.name + "-control")


def write(family: str, folder: Path, seed: int = 0) -> Path:
    """The toy of a family as a diffusers folder."""
    import torch

    from synthgen.bases._device import quiet

    quiet()
    torch.manual_seed(seed)
    WRITERS[family](folder)
    return folder
