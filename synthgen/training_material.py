"""What a training reads, encoded once: views of the photos with their masks, held-out views, pictures of the class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import images, masks, training_report
from synthgen.masks import Mask
from synthgen.progress import Progress
from synthgen.training_loop import Kept, Material
from synthgen.types import ImageSet, Photo, Taught

LEAST_VIEWS = 48  # a few photos are shown in this many views, many photos in two views each
CHECKED = 12  # held-out photos that the validation loss is taken on
PRESERVED = 16  # pictures of the class, drawn by the base itself, that must not change
GROUND = 0.1  # how much the ground counts beside the product where there is a mask


@dataclass(frozen=True)
class Lesson:
    """What is to be learned: the photos with their captions, and the domain whose words these are."""

    photos: ImageSet
    domain: Any
    taught: Taught
    kept: Taught  # what the base draws of the class, and must go on to draw
    digest: str
    masks: Mapping[Path, Mask]  # of the photos that have one


def make(base: Any, train: list[Photo], held: list[Photo], lesson: Lesson, seed: int) -> Material:
    """Views of the photos to learn from and to check with; `held` is `train` where there are too few to hold out."""
    import torch

    mirror = lesson.domain.mirror(lesson.taught)
    apart = held is not train
    held = held[:CHECKED] if apart else held
    per_photo = max(2, math.ceil(LEAST_VIEWS / len(train)))
    size, learned, texts = base.size, [], []
    with Progress(len(train) + len(held) + 1, "prepare", "photos") as progress:
        for number, photo in enumerate(train):
            views = images.views(_layered(photo, lesson.masks), per_photo, size, seed * 1009 + number, mirror)
            learned.append(np.stack(views))
            texts += [photo.caption] * per_photo
            progress.step()
        checks = []
        seen = int(not apart)  # a photo's first view is the photo itself, which training has
        for number, photo in enumerate(held):
            count = max(1 + seen, 4 // len(held)) + seen
            views = images.views(_layered(photo, lesson.masks), count, size, seed * 1009 + 500_000 + number, mirror)
            checks += [(view, photo.caption, number) for view in views[seen:]]
            progress.step()
        kept, said = training_report.class_pictures(base, lesson.domain, lesson.kept, PRESERVED, seed)
        progress.step()
    of_class = Kept.ask(base, base.encode_pixels(kept), base.encode_texts(said), seed)
    latents = torch.cat([base.encode_pixels(views[..., :3]) for views in learned])
    shown = np.stack([view for view, _, _ in checks])
    held_latents = base.encode_pixels(shown[..., :3])
    return Material(
        latents, base.encode_texts([*texts, ""]), held_latents, base.encode_texts([said for _, said, _ in checks]),
        of_class, tuple(number for _, _, number in checks),
        tuple(range(0, len(latents), per_photo)), apart,
        _where(np.concatenate(learned), latents), _where(shown, held_latents),
    )  # fmt: skip


def _layered(photo: Photo, known: Mapping[Path, Mask]) -> Any:
    """The photo with its mask as alpha; fully opaque where the set has masks and this photo none."""
    from PIL import Image

    picture = images.pixels(photo)
    if known:
        mask = known.get(photo.path)
        picture.putalpha(mask.at(picture.size) if mask else Image.new("L", picture.size, 255))
    return picture


def _where(views: np.ndarray, latents: Any) -> Any:
    """How much each place of the latents counts, or None where there are no masks."""
    return GROUND + (1 - GROUND) * masks.at_latents(views[..., 3], latents) if views.shape[-1] == 4 else None
