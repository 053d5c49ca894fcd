"""Regions of a photo by Segment Anything through controlnet-aux, from weights of the user's own; a colour for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.conditioners import _detector
from synthgen.errors import RequestError

SIZES = {
    "sam_vit_h_4b8939.pth": "vit_h", "sam_vit_l_0b3195.pth": "vit_l", "sam_vit_b_01ec64.pth": "vit_b",
    "mobile_sam.pt": "vit_t",
}  # fmt: skip
WEIGHTS = tuple(SIZES)
DETECTOR = "regions are taken from photos by Segment Anything"
GOLDEN = 0.61803398875  # steps of this around the circle of hues leave neighbours far apart


def open(weights: Path) -> Callable[[Path, Any, int], Any]:
    """The detector: file of a photo, its picture, side in px -> (s, s, 3) uint8. Raises RequestError for weights that
    are not its own."""
    with _detector.quiet():
        from controlnet_aux.segment_anything import SamAutomaticMaskGenerator, sam_model_registry

        network = sam_model_registry[SIZES[weights.name]]()
    _detector.fill(network, weights)
    generator = SamAutomaticMaskGenerator(network)

    def draw(file: Path, photo: Any, size: int) -> Any:
        from synthgen import images

        with _detector.quiet():
            found = generator.generate(np.asarray(images.square(photo, size)))
        if not found:
            raise RequestError(f"{file}: Segment Anything sees no region in it. Leave it out. Nothing was drawn.")
        return coloured([one["segmentation"] for one in found], size)

    return draw


def coloured(regions: list[Any], size: int) -> Any:
    """(s, s, 3) uint8: each of the regions, (s, s) bool, in a colour by its place among them, the smaller on top.

    Black where none is. controlnet-aux draws the colours by lot, and a picture could not be made again.
    """
    import colorsys

    picture = np.zeros((size, size, 3), np.uint8)
    ordered = sorted(regions, key=lambda region: (-int(region.sum()), region.tobytes()))
    for number, region in enumerate(ordered):
        colour = colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.55 + 0.45 * (number % 2), 1.0)
        picture[region] = [round(255 * part) for part in colour]
    return picture
