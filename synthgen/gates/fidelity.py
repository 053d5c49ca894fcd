"""Compares the garment in a picture with the photos that its adapter was trained on: its colour and its texture.

The garment is cut out of the picture by the embedded judge's mask, and out of the photos by their plain ground. What
the photos give among themselves, each against the others, is the null that a picture's figures stand beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import masks
from synthgen.mini import judge as judges
from synthgen.types import Judgement, Picture, RunFacts

BASES = ("mini",)  # the judge knows the embedded base's world and no other
PHOTOS = "private/thumbnails.npz"  # in an adapter's folder
SIDE = 48  # px that a garment is shrunk to before textures are compared
LEAST_PEAK = 0.2  # of the judge's mask: below it no garment is seen
LEAST_SHARE = 0.01  # of the picture: a garment seen smaller than this says nothing
LEAST_COLOUR, LEAST_TEXTURE = 12.0, 0.35  # limits are never below these: shade and folds differ from photo to picture
SLACK = 1.5  # times what the photos give among themselves
TERCILES = (1 / 6, 1 / 2, 5 / 6)  # of lightness: dark, middle and light third of the cloth, each with its colour


@dataclass(frozen=True)
class Look:
    """A garment as it is compared."""

    colours: Any  # (3, 3) float64, CIE Lab of its dark, middle and light third
    texture: Any  # (10,) float64, shares of uniform local binary patterns


class Product:
    """The garments of a run's photos."""

    def __init__(self, photos: Sequence[Any]) -> None:
        """photos  (h, w, 3) uint8 each; those whose ground is not plain are compared whole"""
        self._looks = [look(photo, _mask(photo)) for photo in photos]
        apart = [self._nearest(one, skip=number) for number, one in enumerate(self._looks)] if len(photos) > 1 else []
        self.null = tuple(
            float(np.percentile([pair[which] for pair in apart], 95)) if apart else 0.0 for which in (0, 1)
        )

    def judge(self, picture: Picture) -> Judgement:
        """Accepts a garment whose colour and texture are as near to a photo as photos are to one another, with slack.

        Measured: `colour_difference`, CIEDE2000 to the nearest photo, and `texture_difference`, 0 to 1; `_null` of
        each, the 95th percentile among the photos. A garment too small to be seen is accepted.
        """
        reading = judges.load().read_one(picture.pixels)
        peak = float(reading.mask.max())  # a judge may be shy: its mask is cut at half of its own peak
        mask = _grown(reading.mask, picture.pixels.shape[:2], max(LEAST_PEAK, peak) / 2)
        if mask.mean() < LEAST_SHARE:
            return Judgement("fidelity", True)
        colour, texture = self._nearest(look(picture.pixels, mask))
        limits = max(LEAST_COLOUR, SLACK * self.null[0]), max(LEAST_TEXTURE, SLACK * self.null[1])
        wrong = [
            f"{name} {value:.2f} away, at most {limit:.2f} wanted"
            for name, value, limit in zip(("colour", "texture"), (colour, texture), limits, strict=True)
            if value > limit
        ]
        measured = {
            "colour_difference": round(colour, 2), "colour_difference_null": round(self.null[0], 2),
            "texture_difference": round(texture, 3), "texture_difference_null": round(self.null[1], 3),
        }  # fmt: skip
        return Judgement("fidelity", not wrong, f"fidelity: {'; '.join(wrong)}" if wrong else "", measured)

    def _nearest(self, one: Look, skip: int = -1) -> tuple[float, float]:
        others = [other for number, other in enumerate(self._looks) if number != skip]
        return min(colour_difference(one, other) for other in others), min(
            float(np.abs(one.texture - other.texture).sum() / 2) for other in others
        )


def open(run: RunFacts) -> Product | None:
    """The photos of the run's adapters; None where no adapter keeps any, or all would be mixed: more than one."""
    kept = [use.path / PHOTOS for use in run.adapters if (use.path / PHOTOS).is_file()]
    return Product(_photos(kept[0])) if len(kept) == 1 == len(run.adapters) else None


def judge(picture: Picture) -> Judgement:
    """Accepts: without photos of one product there is nothing to compare with."""
    return Judgement("fidelity", True)


def look(pixels: Any, mask: Any) -> Look:
    """The garment under a mask, (h, w) bool, of a picture, (h, w, 3) uint8."""
    from skimage.color import rgb2lab

    lab = rgb2lab(pixels)[mask]
    order = lab[np.argsort(lab[:, 0])]
    colours = np.stack([part.mean(0) for part in np.array_split(order, 3)])
    return Look(colours, _texture(pixels, mask))


def colour_difference(one: Look, other: Look) -> float:
    """CIEDE2000, mean over the thirds by lightness, so that a stripe is no mean of two colours."""
    from skimage.color import deltaE_ciede2000

    return float(deltaE_ciede2000(one.colours, other.colours).mean())


def _texture(pixels: Any, mask: Any) -> Any:
    """Shares of local binary patterns, 8 neighbours at 1 px, of the garment shrunk to SIDE px.

    Source: Ojala et al. 2002, as scikit-image computes it.
    """
    import cv2
    from skimage.feature import local_binary_pattern

    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    grey = cv2.resize(cv2.cvtColor(np.ascontiguousarray(pixels[box]), cv2.COLOR_RGB2GRAY), (SIDE, SIDE))
    inside = cv2.resize(mask[box].astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) > 0
    inside &= cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 if inside.sum() > SIDE else inside
    coded = local_binary_pattern(grey // 8 * 8, 8, 1, "uniform")[inside]  # steps below 8 levels are noise
    return np.bincount(coded.astype(int), minlength=10)[:10] / max(1, coded.size)


def _photos(file: Path) -> list[Any]:
    with np.load(file) as held:
        return list(held["pixels"])


def _mask(photo: Any) -> Any:
    from PIL import Image

    found = masks.found(Image.fromarray(photo))
    return _grown(found.share, photo.shape[:2]) if found.source else np.ones(photo.shape[:2], bool)


def _grown(share: Any, shape: tuple[int, int], least: float = 0.5) -> Any:
    """(h, w) bool from a mask of another size."""
    import cv2

    return cv2.resize(np.asarray(share, np.float32), (shape[1], shape[0])) > least
