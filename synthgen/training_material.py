"""What a training reads, encoded once: views of the photos with their masks, held-out views, pictures of the class."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import buckets, images, masks, private_photos, training_report
from synthgen.errors import RequestError
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
    mirror = lesson.domain.mirror(lesson.taught)
    apart = held is not train
    held = held[:CHECKED] if apart else held
    per_photo = views_each(len(train))
    shapes = {photo.path: base.shape(photo) for photo in (*train, *held)}
    if base.buckets:
        training_report.say(f"shapes, in px: {buckets.told(shapes.values())}")
    shown = sorted(range(len(train)), key=lambda number: str(shapes[train[number].path]))  # of one shape side by side
    learned, texts = [], []
    with Progress(len(train) + len(held) + 1, "prepare", "photos") as progress:
        for number in shown:
            photo, own = train[number], seed * 1009 + number
            views = images.views(_layered(photo, lesson.masks), per_photo, shapes[photo.path], own, mirror)
            learned.append(np.stack(views))
            texts += [photo.caption] * per_photo
            progress.step()
        checks: list[tuple[np.ndarray, str, int]] = []
        seen = int(not apart)  # a photo's first view is the photo itself, which training has
        for number in sorted(range(len(held)), key=lambda number: str(shapes[held[number].path])):
            photo, own = held[number], seed * 1009 + 500_000 + number
            count = max(1 + seen, 4 // len(held)) + seen
            views = images.views(_layered(photo, lesson.masks), count, shapes[photo.path], own, mirror)
            checks += [(view, photo.caption, number) for view in views[seen:]]
            progress.step()
        kept, said = training_report.class_pictures(base, lesson.domain, lesson.kept, PRESERVED, seed)
        progress.step()
    of_class = Kept.ask(base, base.encode_pixels(kept), base.encode_texts(said), seed, said)
    texts.append("")
    held_texts = [caption for _, caption, _ in checks]
    latents, where = _encoded(base, learned)
    held_latents, held_where = _encoded(base, _alike([view for view, _, _ in checks]))
    return Material(
        latents, base.encode_texts(texts), held_latents, base.encode_texts(held_texts),
        of_class, tuple(number for _, _, number in checks),
        tuple(shown.index(number) * per_photo for number in range(len(train))), apart, where, held_where,
        tuple(texts), tuple(held_texts),
    )  # fmt: skip


def views_each(photos: int) -> int:
    """Views of each of so many photos that are learned from."""
    return max(2, math.ceil(LEAST_VIEWS / photos))


def _alike(views: list[np.ndarray]) -> list[np.ndarray]:
    """Views one after another as blocks of one shape each, (n, h, w, c)."""
    return [np.stack(list(block)) for _, block in itertools.groupby(views, key=lambda view: view.shape)]


def _encoded(base: Any, blocks: list[np.ndarray]) -> tuple[Any, Any]:
    """(latents, how much each of their places counts or None) of blocks of views, (n, h, w, 3 or 4) uint8 each."""
    latents = [base.encode_pixels(views[..., :3]) for views in blocks]
    where = [_where(views, held) for views, held in zip(blocks, latents, strict=True)]
    return buckets.joined(latents), None if where[0] is None else buckets.joined(where)


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


def without_twins(train: list[Photo], held: list[Photo]) -> tuple[list[Photo], list[Photo]]:
    """(train, held out that are fresh to the copy gate); the others are neither learned nor checked with.

    Raises RequestError where none is left.
    """
    if held is train:
        return train, held
    fresh = private_photos.fresh(train, held)
    if not fresh:
        raise RequestError(
            f"All {len(held)} photos held out nearly repeat photos to learn from, so that nothing could be checked "
            "with them. Give what belongs together one patient_id, or add pictures of others. Nothing was learned."
        )
    if len(fresh) < len(held):
        training_report.say(
            f"{len(held) - len(fresh)} photos held out nearly repeat one to learn from, or are of a patient of whom "
            "one does; they are set aside"
        )
    return train, fresh
