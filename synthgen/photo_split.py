"""Photos divided into those to learn from and those held out, so that no patient is in both.

Who is held out follows from the patient's mark and the seed: a patient whose pictures are in several folders is on the
same side in each, but for the few that a small folder holds out beyond its fifth. What one adapter holds out and
another has learned is no fresh picture to the copy gate, so the adapters of all folders can be used together.
"""

from __future__ import annotations

import hashlib
import math

from synthgen.errors import RequestError
from synthgen.types import Photo

FEW_HELD_OUT = 0.1  # share of photos that have no group, a dozen at most
HELD_OUT = 0.2  # share of patients
# Patients held out where a third of them are as many: the copy gate certifies 5 % with 19, and near-duplicates go.
ENOUGH = 21


def divide(photos: list[Photo], seed: int) -> tuple[list[Photo], list[Photo]]:
    """Photos to learn from and photos to check with; below five photos other views of the same ones check.

    Where photos have a group (a patient) or a split, groups are what is divided: see `by_group`.
    """
    if any(photo.group or photo.split for photo in photos):
        return by_group(photos, seed)
    order = sorted(photos, key=lambda photo: hashlib.sha256(f"{seed}:{photo.sha256}".encode()).hexdigest())
    count = min(12, math.ceil(FEW_HELD_OUT * len(order)))
    return (order[count:], order[:count]) if len(order) >= 5 else (order, order)


def by_group(photos: list[Photo], seed: int) -> tuple[list[Photo], list[Photo]]:
    """(train, held out). A table's own split is kept to; else a fifth of the groups is held out, at least as many
    as the copy gate wants or a third, and one.

    Raises RequestError where nothing would be left on one side.
    """
    if any(photo.split for photo in photos):
        train = [photo for photo in photos if photo.split == "train"]
        held = [photo for photo in photos if photo.split == "validation"]
        return _both(train, held or _some(train, seed), "the table's column 'split'")
    return _both(photos, _some(photos, seed), "a split by patient")


def _some(photos: list[Photo], seed: int) -> list[Photo]:
    drawn = {key: _draw(key, seed) for key in map(_key, photos)}
    least = max(1, min(ENOUGH, len(drawn) // 3))
    first = set(sorted(drawn, key=drawn.__getitem__)[:least])
    return [photo for photo in photos if drawn[_key(photo)] < HELD_OUT or _key(photo) in first]


def _both(photos: list[Photo], held: list[Photo], by: str) -> tuple[list[Photo], list[Photo]]:
    away = {photo.path for photo in held}
    train = [photo for photo in photos if photo.path not in away]
    if not train or not held:
        raise RequestError(
            f"{by} leaves {len(train)} pictures to learn from and {len(held)} held out. Add pictures of other "
            "patients. Nothing was learned."
        )
    return train, held


def _key(photo: Photo) -> str:
    return photo.group or photo.sha256


def _draw(key: str, seed: int) -> float:
    """A number from 0 to 1 that is the key's own."""
    return int(hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()[:13], 16) / 16**13
