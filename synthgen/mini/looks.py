"""How a garment in a photo looks, in the words that mini knows: "white", "blue striped".

An adapter learns from garments laid flat and is then asked for people who wear them. What carries from one to the
other most surely is the base's own words, so these are said beside the trigger word, and the adapter adds what they
leave open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthgen import vocabulary
from synthgen.mini import judge as judges

SIDE = 256  # px of the view that is read
FILLED = 0.86  # of its side: how large garments lie in the judge's own renders
GROUND = 225  # grey level beside the garment
SURE = 0.7  # confidence from which a pattern is said
TINT = (8.0, 25.0)  # chroma of a pale colour: more than white's, less than that of any colour that has a name
DEEP = 40.0  # chroma that a pale colour is named at
LIGHT = 0.7  # quantile of the lightness: a white shirt lies half in its own shade


def of(pictures: Sequence[Any], masks: Sequence[Any]) -> list[str]:
    """The look of each garment: a colour of vocabulary.COLOURS, and a pattern behind it where it has one.

    pictures  (h, w, 3) uint8 sRGB each
    masks     (h, w) float32 each, 1 on the garment
    """
    views = [_view(picture, mask) for picture, mask in zip(pictures, masks, strict=True)]
    looks = []
    for start in range(0, len(views), 16):
        block = views[start : start + 16]
        for (view, mask), reading in zip(block, judges.load().read([view for view, _ in block]), strict=True):
            pattern = reading.labels["pattern"]
            said = pattern if pattern != "plain" and reading.confidence["pattern"] >= SURE else ""
            looks.append(f"{colour(view, mask, bool(said))} {said}".strip())
    return looks


def _view(picture: Any, mask: Any) -> tuple[Any, Any]:
    """The garment alone, centred on a grey ground, (256, 256, 3) uint8, and its mask (256, 256) float32."""
    import cv2

    rows, columns = np.flatnonzero((mask > 0.5).any(1)), np.flatnonzero((mask > 0.5).any(0))
    if not len(rows):
        mask = np.ones_like(mask)
        rows, columns = np.arange(mask.shape[0]), np.arange(mask.shape[1])
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    share = mask[box].astype(np.float32)
    alone = picture[box].astype(np.float32) * share[..., None] + GROUND * (1 - share[..., None])
    side = int(np.ceil(max(share.shape) / FILLED))
    above, left = (side - share.shape[0]) // 2, (side - share.shape[1]) // 2
    whole, cover = np.full((side, side, 3), GROUND, np.float32), np.zeros((side, side), np.float32)
    place = slice(above, above + share.shape[0]), slice(left, left + share.shape[1])
    whole[place], cover[place] = alone, share
    small = cv2.resize(whole, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small.round().astype(np.uint8), cv2.resize(cover, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def colour(picture: Any, mask: Any, patterned: bool = False) -> str:
    """The named colour that the garment is nearest to; of one with a pattern, the colour that is not its white.

    picture  (h, w, 3) uint8 sRGB
    mask     (h, w) in [0, 1], 1 on the garment; where it has nothing, the whole picture is taken
    """
    sure = mask > 0.8
    lab = _lab(picture)[sure if sure.any() else np.ones_like(sure)]
    if patterned:
        lab = _without_white(lab)
    seen = np.array([np.quantile(lab[:, 0], LIGHT), *np.median(lab[:, 1:], axis=0)])
    chroma = float(np.hypot(seen[1], seen[2]))
    if TINT[0] < chroma < TINT[1]:  # a pale blue is nearer to blue than to grey, by name
        seen[1:] *= min(2.2, DEEP / chroma)
    names = list(vocabulary.COLOURS)
    known = _lab(np.array([[vocabulary.COLOURS[name] for name in names]], np.uint8))[0]
    away = (known - seen) * np.array([0.5, 1, 1])  # light falls as it will; hue stays
    return names[int(np.square(away).sum(1).argmin())]


def _without_white(lab: Any) -> Any:
    """(n, 3) -> the part that is further from white, where the other part is white or nearly."""
    import cv2

    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, labels, centres = cv2.kmeans(lab.astype(np.float32), 2, np.array([]), stop, 2, cv2.KMEANS_PP_CENTERS)
    away = np.hypot(100 - centres[:, 0], 2 * np.hypot(centres[:, 1], centres[:, 2]))
    kept = lab[labels.ravel() == away.argmax()]
    return kept if away.min() < 45 and len(kept) > 0.15 * len(lab) else lab


def _lab(picture: Any) -> Any:
    """sRGB uint8 -> CIELAB float32: L from 0 to 100."""
    import cv2

    return cv2.cvtColor(np.asarray(picture, np.float32) / 255, cv2.COLOR_RGB2LAB)
