"""Refuses pictures that came out as noise or as clipped colours: numbers that went wrong, not taste."""

from __future__ import annotations

import numpy as np

from synthgen.types import Judgement, Picture

MOST_ROUGHNESS = 40.0  # grey levels: mean step between neighbours; white noise has about 85, fresh renders below 12
MOST_CLIPPED = 0.9  # share of pixels with every channel at 0 or 255


def judge(picture: Picture) -> Judgement:
    """Accepts a picture that is smoother than noise and not saturated all over."""
    pixels = np.asarray(picture.pixels)
    grey = pixels.astype(np.float32).mean(axis=2)
    roughness = float((np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2)
    clipped = float(((pixels == 0) | (pixels == 255)).all(axis=2).mean())
    reason = ""
    if roughness > MOST_ROUGHNESS:
        reason = f"broken: roughness {roughness:.1f} is above {MOST_ROUGHNESS:g}"
    elif clipped > MOST_CLIPPED:
        reason = f"broken: {clipped:.0%} of the pixels are clipped"
    return Judgement("broken", not reason, reason, {"roughness": round(roughness, 2)})
