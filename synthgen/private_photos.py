"""private/ of an adapter: which photo went where, small copies of them all, and larger ones of some. Never exported.

The copy gate works from it alone. Photos are named by a digest that only this folder can resolve: an unkeyed one in a
released set would tell everybody who holds a photo that it was trained on.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from synthgen import images, measures
from synthgen.errors import UnfitAdapter
from synthgen.types import Photo

if TYPE_CHECKING:
    import numpy as np

PLACE = "private"
TABLE, SMALL, LARGE = "photos.json", "thumbnails.npz", "plants.npz"
PLANTS = 64  # training photos that are kept at the base's size, to plant copies of
ID_DIGITS = 16


@dataclass(frozen=True)
class Remembered:
    """What an adapter was trained on, and what was held out."""

    train: measures.Images
    held: measures.Images
    plants: np.ndarray  # (n, s, s, 3) uint8: some training photos at the base's size
    planted: tuple[str, ...]  # their ids
    names: dict[str, str]  # id -> file name


def joined(photos: Sequence[Photo]) -> list[Photo]:
    """The photos with near-duplicates of several groups put into one, so that no split comes between them.

    Photos of which no group is stated stay as they are: those of a product are all alike.
    """
    if not any(photo.group for photo in photos):
        return list(photos)
    known = _as_the_gate(photos)
    found = measures.joined(known)
    return [
        photo if before == after else replace(photo, group=after)
        for photo, before, after in zip(photos, known.groups, found, strict=True)
    ]


def fresh(train: Sequence[Photo], held: Sequence[Photo]) -> list[Photo]:
    """Held-out photos of those groups none of whose photos the copy gate will take for one learned from.

    What is usual between groups is known of the photos to learn from only after the split: among few, or among such
    as are much alike, `joined` may have let a pair pass. Photos of which no group is stated stay.
    """
    if not any(photo.group for photo in train):
        return list(held)
    reference, others = measures.Reference(_as_the_gate(train)), _as_the_gate(held)
    if reference.alone:
        return list(held)
    twins = reference.nearness(others.greys).twin
    away = {group for group, twin in zip(others.groups, twins, strict=True) if twin}
    return [photo for photo, group in zip(held, others.groups, strict=True) if group not in away]


def _as_the_gate(photos: Sequence[Photo]) -> measures.Images:
    """Photos as the copy gate will see them: from the thumbnails of `remember`, and alone where no group is stated."""
    import numpy as np

    greys = np.stack([measures.small(np.asarray(images.pixels(photo))) for photo in photos])
    ids = tuple(photo.sha256 for photo in photos)
    return measures.Images(greys, ids, tuple(photo.group or photo.sha256 for photo in photos))


def remember(folder: Path, train: Sequence[Photo], held: Sequence[Photo], size: int = 256) -> None:
    """Write private/: the table, thumbnails of all photos, and the first training photos at `size` px."""
    import imagehash
    import numpy as np

    key = secrets.token_bytes(16)
    rows: list[dict[str, str]] = []
    small: list[np.ndarray] = []
    large: list[np.ndarray] = []
    for split, members in (("train", train), ("held-out", [photo for photo in held if photo not in train])):
        for photo in members:
            picture = images.pixels(photo)
            rows.append(
                {
                    "file": photo.path.name,
                    "sha256": photo.sha256,
                    "id": hmac.new(key, photo.sha256.encode(), hashlib.sha256).hexdigest()[:ID_DIGITS],
                    "split": split,
                    "group": photo.group,
                    "phash": str(imagehash.phash(picture)),
                }
            )
            small.append(np.asarray(images.square(picture, measures.SIDE), np.uint8))
            if split == "train" and len(large) < PLANTS:
                large.append(np.asarray(images.square(picture, size), np.uint8))
    private = folder / PLACE
    private.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(private / SMALL, pixels=np.stack(small))
    np.savez_compressed(private / LARGE, pixels=np.stack(large))
    (private / TABLE).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def recall(folder: Path) -> Remembered | None:
    """What `remember` wrote; None where there is nothing, as in an adapter from elsewhere.

    Raises UnfitAdapter where the folder was changed: its files do not fit one another.
    """
    import numpy as np

    private = folder / PLACE
    if not (private / TABLE).is_file():
        return None
    try:
        rows = json.loads((private / TABLE).read_text(encoding="utf-8"))
        small = _pixels(private / SMALL)
        if small.shape != (len(rows), measures.SIDE, measures.SIDE, 3):
            raise ValueError(f"{len(rows)} photos in {TABLE} and thumbnails of shape {small.shape}")
        ids = [str(row.get("id") or row["sha256"][:ID_DIGITS]) for row in rows]
        groups = [str(row.get("group") or row["sha256"]) for row in rows]
        splits = np.array([str(row["split"]) for row in rows])
        names = {name: str(row["file"]) for name, row in zip(ids, rows, strict=True)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnfitAdapter(
            f"{private} is not as training wrote it ({error}). Restore it, or train again with --replace."
        ) from error
    greys = measures.greys(small)

    def of(split: str) -> measures.Images:
        at = np.flatnonzero(splits == split)
        return measures.Images(greys[at], tuple(ids[place] for place in at), tuple(groups[place] for place in at))

    train = of("train")
    plants = _pixels(private / LARGE) if (private / LARGE).is_file() else small[splits == "train"][:PLANTS]
    plants = plants[: len(train)]
    return Remembered(train, of("held-out"), plants, train.ids[: len(plants)], names)


def _pixels(path: Path) -> np.ndarray:
    """(n, s, s, 3) uint8. Raises ValueError for anything else; numpy opens no pickle unless it is told to."""
    import zipfile

    import numpy as np

    try:
        with np.load(path) as file:
            pixels = np.asarray(file["pixels"])
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise ValueError(f"{path.name} holds {pixels.dtype} of shape {pixels.shape}")
    return pixels
