"""What the tests of the journeys stand on: a base of real diffusers classes at toy size, photos, Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthgen.types import Rights

SIZE_PX = 64


def write_toy_base(folder: Path, width: int = 32, seed: int = 0) -> Path:
    """Write a bundle of mini's form with narrow networks. Another `width` is another family for an adapter."""
    import torch
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from synthgen import poses, vocabulary
    from synthgen.mini import models

    torch.manual_seed(seed)
    words = [*vocabulary.CATEGORIES.values(), *vocabulary.PLACES.values(), *vocabulary.VIEWS.values(), *poses.groups()]
    words += [phrase for _, phrase in vocabulary.SKIN_TONES.values()] + list(vocabulary.BODY_TYPES.values())
    texts = [
        f"a photo of a young adult person with short black hair wearing a sks {word}, flat lay" for word in words
    ] * 3
    tokenizer = models.build_tokenizer(texts, folder.with_name(folder.name + "-words"))
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE_PX,
        scaling_factor=1.0,
    )
    unet = UNet2DConditionModel(
        sample_size=SIZE_PX // 8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8, 8))
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=width,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=models.TEXT_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    parts = models.Parts(vae, unet, text_encoder, tokenizer, controlnet, models.build_scheduler())
    models.save_bundle(parts, folder)
    return folder


OWN = Rights(owner="Acme", license="LicenseRef-own", source="studio")


def photos(folder: Path, count: int) -> Path:
    """Flat pictures of shirts in distinct colours and shapes."""
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        picture = np.full((96, 80, 3), 235, np.uint8)
        left, top = 8 + 3 * number, 10 + 2 * number
        picture[top : top + 50, left : left + 40] = rng.integers(0, 200, 3)
        Image.fromarray(picture).save(folder / f"photo-{number}.png")
    return folder


@contextmanager
def interrupted_once(there: Callable[[], bool]) -> Iterator[None]:
    """Ctrl-C, as the system sends it, as soon as `there` says yes; fails where the work ended without it.

    Asked every 2 ms, and before every file that the work opens or renames: a busy machine must not let it slip by.
    """
    over, asking = threading.Event(), threading.Lock()

    def ask() -> None:
        if asking.acquire(blocking=False):
            try:
                if not over.is_set() and there():
                    over.set()
                    os.kill(os.getpid(), signal.SIGINT)
            finally:
                asking.release()

    def watch() -> None:
        while not over.is_set():
            ask()
            time.sleep(0.002)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename") and not over.is_set() and threading.current_thread() is not watcher:
            ask()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins deaf to it
    watcher = threading.Thread(target=watch)
    sys.addaudithook(hook)  # cannot be taken away again; it does nothing once `over` is set
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGINT, before)


def two_finished_runs(toy: Path, trained: Path, place: Path) -> tuple[Path, Path]:
    """Runs of an adapter, and of a weaker one under a card that says dress."""
    import shutil
    from dataclasses import replace

    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    from synthgen import adapters, generate

    dress = place / "dresses"
    shutil.copytree(trained, dress)
    weights = dress / adapters.WEIGHTS
    with safe_open(weights, "numpy") as file:
        metadata = file.metadata()
    save_file({name: tensor * 0.9 for name, tensor in load_file(weights).items()}, weights, metadata)
    adapters.save(dress, replace(adapters.load_card(dress), name="dresses", category="dress", trigger="zwx"))
    folders = place / "shirts-run", place / "dresses-run"
    for adapter, out in zip((trained, dress), folders, strict=True):
        generate.run(
            generate.GenerateRequest(
                count=24, base=str(toy), adapters=(str(adapter),), size=SIZE_PX, steps=1, batch=8, out=out
            )
        )
    shutil.rmtree(dress)
    return folders
