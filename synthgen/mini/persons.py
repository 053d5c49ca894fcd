"""Who the photos of one person show, in the words that mini knows: "tan skin", "short black hair", "blue shirt".

An adapter that has seen some dozen pictures of a person lets skin, hair and clothes drift in poses and places that it
has not seen; the base's own words for them, said beside the trigger word, hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthgen import vocabulary
from synthgen.mini import judge as judges
from synthgen.mini.judge.network import LABELS

SURE = 0.5  # mean share of a reading over the photos from which it is said


def of(pictures: Sequence[Any]) -> dict[str, str]:
    """{"skin_tone": "monk-06", "hair": "short black", "worn": "blue striped shirt"}, what the judge is sure of.

    pictures  (h, w, 3) uint8 sRGB each, of one person; readings are means over all of them
    """
    keys = ("skin_tone", "hair_style", "hair_colour", "category", "colour", "pattern")
    rows: dict[str, list[Any]] = {key: [] for key in keys}
    for start in range(0, len(pictures), 16):
        for reading in judges.load().read(list(pictures[start : start + 16])):
            for key, shares in rows.items():
                shares.append(reading.shares[key])
    means = {key: np.mean(shares, axis=0) for key, shares in rows.items()}
    best = {key: LABELS[key][int(shares.argmax())] for key, shares in means.items()}
    sure = {key for key, shares in means.items() if shares.max() >= SURE}
    tones = means["skin_tone"]
    found = {}
    if np.convolve(tones, np.ones(3), "same")[int(tones.argmax())] >= SURE:  # tones beside one another look alike
        found["skin_tone"] = best["skin_tone"]
    if sure >= {"hair_style", "hair_colour"}:
        found["hair"] = f"{best['hair_style']} {best['hair_colour']}"
    if sure >= {"category", "colour"}:
        pattern = best["pattern"] if "pattern" in sure else "plain"
        found["worn"] = vocabulary.garment(best["category"], best["colour"], pattern)
    return found
