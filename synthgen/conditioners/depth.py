"""Depth of a photo by MiDaS through controlnet-aux, from weights of the user's own. Near is white; (s, s, 3) uint8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.conditioners import _detector

WEIGHTS = ("dpt_hybrid-midas-501f0c75.pt",)
DETECTOR = "depth is taken from photos by the MiDaS detector"


def open(weights: Path) -> Callable[[Path, Any, int], Any]:
    """The detector: file of a photo, its picture, side in px -> (s, s, 3) uint8. Raises RequestError for weights that
    are not its own."""
    with _detector.quiet():
        from controlnet_aux.midas.midas.dpt_depth import DPTDepthModel

        network = DPTDepthModel(path=None, backbone="vitb_rn50_384", non_negative=True)
    _detector.fill(network, weights)

    def draw(file: Path, photo: Any, size: int) -> Any:
        tensor, back = _detector.tensor(photo, size)
        return back(_grey(_detector.run(network, tensor / 127.5 - 1)))

    return draw


def _grey(depth: Any) -> Any:
    """(1, h, w) float, large where near -> (h, w) uint8 from the farthest, black, to the nearest, white."""
    low, high = float(depth.min()), float(depth.max())
    if high <= low:
        return np.zeros(depth.shape[-2:], np.uint8)
    return ((depth[0] - low) / (high - low) * 255).astype(np.uint8)
