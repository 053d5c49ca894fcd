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


def write_mini(folder: Path) -> None:
    from diffusers import ControlNetModel
    from toy_base import write_toy_base

    write_toy_base(folder)
    place = folder / "controlnet"
    stirred(ControlNetModel.from_pretrained(place, use_safetensors=True)).half().save_pretrained(place)


WRITERS: dict[str, Callable[[Path], None]] = {"mini": write_mini, "sd15": write_sd15, "sdxl": write_sdxl}


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
