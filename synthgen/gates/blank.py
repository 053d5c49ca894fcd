"""Refuses pictures with nothing in them: one flat colour, all black, all white."""

from __future__ import annotations

import numpy as np

from synthgen.types import Judgement, Picture

LEAST_CONTRAST = 6.0  # grey levels (0 to 255): standard deviation over the picture; fresh renders have 20 and more


def judge(picture: Picture) -> Judgement:
    """Accepts a picture whose grey levels vary by at least LEAST_CONTRAST."""
    grey = np.asarray(picture.pixels, np.float32).mean(axis=2)
    contrast = float(grey.std())
    accepted = contrast >= LEAST_CONTRAST
    reason = "" if accepted else f"blank: contrast {contrast:.1f} is below {LEAST_CONTRAST:g}"
    return Judgement(
        "blank", accepted, reason, {"contrast": round(contrast, 2), "brightness": round(float(grey.mean()), 2)}
    )
