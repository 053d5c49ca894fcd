"""Lines as an artist would draw them over a photo, through controlnet-aux, from weights of the user's own; on black."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.conditioners import _detector

WEIGHTS = ("sk_model.pth",)
DETECTOR = "lines are taken from photos by the lineart detector"


def open(weights: Path) -> Callable[[Path, Any, int], Any]:
    """The detector: file of a photo, its picture, side in px -> (s, s, 3) uint8. Raises RequestError for weights that
    are not its own."""
    with _detector.quiet():
        from controlnet_aux.lineart import Generator

        network = Generator(3, 1, 3)
    _detector.fill(network, weights)

    def draw(file: Path, photo: Any, size: int) -> Any:
        tensor, back = _detector.tensor(photo, size)
        lines = _detector.run(network, tensor / 255)[0, 0]
        return back(255 - (lines * 255).clip(0, 255).astype(np.uint8))

    return draw
