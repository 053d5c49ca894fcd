"""Edges of a photo by Canny's detector. (s, s, 3) uint8 in, white edges on black out; needs no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def open(weights: Path | None) -> Callable[[Path, Any, int], Any]:
    """The detector: file of a photo, its picture, side in px -> (s, s, 3) uint8."""
    return draw


def draw(file: Path, photo: Any, size: int) -> Any:
    """White edges, one px wide, of the photo squared to this size."""
    from synthgen import images

    return images.edges(np.asarray(images.square(photo, size)))
