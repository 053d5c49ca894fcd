"""The part of a photo that a base is shown, and the way back into it: what lies beside the mask stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthgen.types import Into

CONTEXT = 2.0  # times the longest side of what is drawn anew: the side of the square that is shown
FEATHER = 0.01  # of that square's side: over this width, inside the mask, the drawn fades in


def whole(photo: Any, size: int) -> Into:
    """A photo of which nothing need stay: squared. photo is an RGB picture."""
    from synthgen import images

    return Into(np.asarray(images.square(photo, size)))


def masked(photo: Any, mask: Any, size: int) -> Into:
    """A photo of which only the masked part is drawn anew.

    photo  (h, w, 3) uint8
    mask   (h, w) uint8; 0 stays, 255 is drawn, between them both are mixed. Not black all over.
    size   px of the square's side as the base draws it
    """
    box = _box(mask, size)
    seen = _cut(photo, box, True)
    shown, part = _scaled(seen, size), _scaled(_cut(mask, box, False), size)
    return Into(shown, np.where(part >= 128, 255, 0).astype(np.uint8), photo, _fading(mask, box[2]), box)


def _box(mask: Any, size: int) -> tuple[int, int, int]:
    """Left, top, side of the square around what is drawn: with room about it, no smaller than what is drawn at once."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    reach = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = int(min(max(round(CONTEXT * reach), size), max(height, width)))
    left = _start((columns[0] + columns[-1] + 1) // 2 - side // 2, side, width)
    return left, _start((rows[0] + rows[-1] + 1) // 2 - side // 2, side, height), side


def _start(wished: int, side: int, length: int) -> int:
    """Where the square begins along one direction: inside the photo, or in its middle where it is longer."""
    return int(min(max(wished, 0), length - side)) if side <= length else (length - side) // 2


def _cut(picture: Any, box: tuple[int, int, int], continued: bool) -> Any:
    """The square of a picture; beyond its edges they are continued, or it is black."""
    left, top, side = box
    height, width = picture.shape[:2]
    before, after = (max(0, -top), max(0, -left)), (max(0, top + side - height), max(0, left + side - width))
    inside = picture[max(0, top) : top + side, max(0, left) : left + side]
    around = [(before[0], after[0]), (before[1], after[1]), *([(0, 0)] * (picture.ndim - 2))]
    return np.pad(inside, around, mode="edge" if continued else "constant")


def _scaled(picture: Any, size: int) -> Any:
    from PIL import Image

    if picture.shape[0] == size:
        return np.ascontiguousarray(picture)
    way = Image.Resampling.LANCZOS if picture.ndim == 3 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((size, size), way, reducing_gap=3.0))


def _fading(mask: Any, side: int) -> Any:
    """(h, w) uint8: how much of the drawn counts; 0 wherever the mask is 0."""
    import cv2

    width = FEATHER * side
    if width <= 1 or (mask > 0).all():
        return mask
    inward = cv2.distanceTransform((mask > 0).astype(np.uint8), cv2.DIST_L2, 5)
    return np.where(mask > 0, np.maximum(1, mask * np.minimum(1, inward / width)), 0).astype(np.uint8)


def part(picture: Any, into: Into) -> Any:
    """Of another RGB picture of the same photo, the square that is shown, as an RGB picture."""
    from PIL import Image

    height, width = into.whole.shape[:2]
    fitted = picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.BILINEAR)
    return Image.fromarray(_cut(np.asarray(fitted), into.box, True))


def put_back(drawn: Any, into: Into | None) -> Any:
    """What was drawn, (s, s, 3) uint8, in its photo, (h, w, 3) uint8; where the mask is 0, the photo's own bytes."""
    if into is None or into.whole is None:
        return drawn
    left, top, side = into.box
    height, width = into.whole.shape[:2]
    y, x = max(0, top), max(0, left)
    part = _scaled(drawn, side)[y - top : height - top, x - left : width - left]
    place = np.s_[y : y + part.shape[0], x : x + part.shape[1]]
    made = into.whole.copy()
    alpha = into.alpha[place][..., None].astype(np.float32) / 255
    mixed = (alpha * part + (1 - alpha) * made[place]).round().astype(np.uint8)
    made[place] = np.where(alpha > 0, mixed, made[place])
    return made
