"""Where the product is in a photo: given as a file or as alpha, else found on a plain ground. White on black."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.errors import RequestError


def open(weights: Path | None) -> Callable[[Path, Any, int], Any]:
    """The finder: file of a photo, its picture, side in px -> (s, s, 3) uint8."""
    return draw


def draw(file: Path, photo: Any, size: int) -> Any:
    """White on the product. Raises RequestError for a photo whose product is neither given nor found."""
    from synthgen import images, masks

    found = masks.of(file, photo)
    if not found.source:
        raise RequestError(
            f"{file}: where the product is was not found ({found.reason}). Put a mask, white on the product, into "
            f"{masks.FOLDER}/{file.stem}.png beside it. Nothing was drawn."
        )
    grey = np.asarray(images.square_mask(found.at(photo.size), size))
    return np.repeat(grey[..., None], 3, axis=2)
