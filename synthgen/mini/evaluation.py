"""What mini reaches, in figures: so far how faithfully its autoencoder carries pictures it never saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.mini.dataset import EVALUATION_SEED

COUNT = 48
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def reconstruction(vae: Any, photos: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """For each kind of render and each folder: PSNR (dB, mean over pictures) and edge strength at 256 px.

    Edge strength is the mean step between neighbouring pixels as a share of the original's: below 1 is blur.
    """
    from synthgen.mini.world import render

    for kind in ("person", "flat", "xray", "smear"):
        pictures = [render(kind, EVALUATION_SEED + number).pixels for number in range(COUNT)]
        yield _row(f"fresh renders, {kind}", vae, pictures)
    for folder in photos:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        yield _row(f"photos, {folder.name}", vae, [_square(path) for path in files[:: max(1, len(files) // 100)]])


def _square(path: Path) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return np.asarray(ImageOps.fit(upright, (256, 256)))


def _row(name: str, vae: Any, pictures: list[np.ndarray]) -> dict[str, Any]:
    import torch

    decibels, edges = [], []
    for picture in pictures:
        real = torch.from_numpy(picture.copy())[None].permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            back = vae.decode(vae.encode(real).latent_dist.mean).sample.clamp(-1, 1)
        decibels.append(-10 * np.log10(float((back - real).square().mean()) / 4 + 1e-9))
        edges.append(_edges(back) / max(_edges(real), 1e-6))
    return {
        "pictures": name,
        "count": len(pictures),
        "decibels": round(float(np.mean(decibels)), 2),
        "edges": round(float(np.mean(edges)), 2),
    }


def _edges(picture: Any) -> float:
    return float(
        (picture[..., 1:] - picture[..., :-1]).abs().mean() + (picture[..., 1:, :] - picture[..., :-1, :]).abs().mean()
    )
