"""What mini is made of: sizes, builders, and the bundle that unmodified diffusers pipelines load.

Sizes follow from measurements on two CPU cores. The classes are those of Stable Diffusion 1.x and their pipelines load
the folder as it is; but latents are 16 channels at a sixteenth of the size, not 4 at an eighth. They hold the same
number of values, and the denoiser, whose cost goes with the number of places, trains and draws three times as fast.
The words reach the denoiser twice: by cross-attention, and pooled into the time embedding, which scales and shifts
every residual block; without the second, colours of garments were not learned in 50,000 pictures.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGE_PX = 256
LATENT_CHANNELS = 16
LATENT_SCALE = 16  # px per place
TEXT_WIDTH = 192  # 64 pooling heads of 3: the number that ControlNetModel.from_unet takes for granted
TEXT_LENGTH = 64
LATENT_NOISE = 0.06  # std of the posterior: what the decoder was trained to bear
CONTROL_CHANNELS = (8, 16, 32, 64, 96)


@dataclass
class Parts:
    """The live modules of one mini."""

    vae: Any
    unet: Any
    text_encoder: Any
    tokenizer: Any
    controlnet: Any
    scheduler: Any


def build_vae() -> Any:
    """AutoencoderKL, 3.5 M parameters: (b, 3, 256, 256) in [-1, 1] <-> (b, 16, 16, 16).

    Four groups a normalisation, not one a channel: that wipes out what a channel says as a whole, and the network
    smuggles it past in bright spots.
    """
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 96, 128),
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=IMAGE_PX,
        scaling_factor=1.0,  # the channels are normalised inside the quantising convolutions
        force_upcast=False,
    )


def build_unet() -> Any:
    """UNet2DConditionModel, about 10 M parameters. `attention_head_dim` is the number of heads in this class."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=IMAGE_PX // LATENT_SCALE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=64,
    )


def build_controlnet(unet: Any) -> Any:
    """ControlNetModel for this UNet; takes (b, 3, 256, 256) in [0, 1]."""
    from diffusers import ControlNetModel

    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=CONTROL_CHANNELS)


def build_text_encoder(tokenizer: Any) -> Any:
    """CLIPTextModel, 3 layers of width 192, for this tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=TEXT_LENGTH,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            hidden_act="quick_gelu",
        )
    )


def build_tokenizer(texts: list[str], folder: Path) -> Any:
    """A byte-level BPE in CLIP's form, learned from these texts; unseen words fall apart into bytes, never to unk."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    clip = CLIPTokenizer()._tokenizer  # its normaliser and pre-tokenizer, so that text is cut as CLIP cuts it
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=1400, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False, min_frequency=2
        ),
    )
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    words = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in merges]
    words = [*dict.fromkeys(words), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TEXT_LENGTH)
    tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def build_scheduler() -> Any:
    """v-prediction with zero terminal SNR and trailing steps: 4 steps look like 20 on this base."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def save_bundle(parts: Parts, folder: Path) -> None:
    """Write one pipeline folder with `controlnet/` inside, fp16 safetensors; replaced whole or not at all."""
    import torch
    from diffusers import StableDiffusionPipeline

    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    pipe = StableDiffusionPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=parts.unet,
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(torch.float16)
    pipe.save_pretrained(fresh, safe_serialization=True)
    parts.controlnet.to(torch.float16).save_pretrained(fresh / "controlnet", safe_serialization=True)
    config = fresh / "text_encoder" / "config.json"
    told = json.loads(config.read_text())
    told["dtype"] = "float32"  # transformers keeps a file's dtype unless told; fp16 does not run well on a CPU
    config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
    for config in fresh.glob("*/config.json"):  # where parts were read from is nobody's business
        told = json.loads(config.read_text())
        if told.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(told, indent=2) + "\n")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)
    for part in (parts.vae, parts.text_encoder, parts.unet, parts.controlnet):
        part.to(torch.float32)


def load_bundle(folder: Path) -> Parts:
    """The parts of a bundle in fp32. Reads safetensors only."""
    import torch
    from diffusers import ControlNetModel, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, safety_checker=None
    )
    controlnet = ControlNetModel.from_pretrained(
        folder / "controlnet", torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    return Parts(pipe.vae, pipe.unet, pipe.text_encoder, pipe.tokenizer, controlnet, pipe.scheduler)
