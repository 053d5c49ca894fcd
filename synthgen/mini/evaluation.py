"""What mini reaches, in figures: so far how faithfully its autoencoder carries pictures it never saw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.mini.dataset import EVALUATION_SEED

COUNT = 48
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def reconstruction(vae: Any, photos: Path | None) -> Iterator[str]:
    """Lines with PSNR (dB, mean over pictures) and edge strength (share of the original's) at 256 px."""
    from synthgen.mini.world import render

    for kind in ("person", "flat", "xray"):
        pictures = [render(kind, EVALUATION_SEED + number).pixels for number in range(COUNT)]
        yield _line(f"renders, {kind}", vae, pictures)
    if photos:
        files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        yield _line(f"photos, {photos.name}", vae, [_square(path) for path in files[:: max(1, len(files) // 100)]])


def _square(path: Path) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return np.asarray(ImageOps.fit(upright, (256, 256)))


def _line(name: str, vae: Any, pictures: list[np.ndarray]) -> str:
    import torch

    decibels, edges = [], []
    for picture in pictures:
        real = torch.from_numpy(picture.copy())[None].permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            back = vae.decode(vae.encode(real).latent_dist.mean).sample.clamp(-1, 1)
        decibels.append(-10 * np.log10(float((back - real).square().mean()) / 4 + 1e-9))
        edges.append(_edges(back) / max(_edges(real), 1e-6))
    return f"{name:<24} {np.mean(decibels):5.2f} dB   edges {np.mean(edges):.2f}   n = {len(pictures)}"


def _edges(picture: Any) -> float:
    return float(
        (picture[..., 1:] - picture[..., :-1]).abs().mean() + (picture[..., 1:, :] - picture[..., :-1, :]).abs().mean()
    )
