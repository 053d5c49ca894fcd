"""What is wrong with one photo as training will see it: too small, blurred, badly lit, framed, written on.

Blur and light are measured on the crop that is trained, (s, s, 3) uint8: a sharp file of 48 megapixels may still be a
blurred crop, and a blurred one may be sharp enough at 256 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

EDGE_WINDOW_PX = 9
STRONG_EDGE = 40  # grey levels within the window, from which on an edge can be judged
BLACK, WHITE = 4, 251  # grey levels taken for clipped
TEXT_PX = (0.018, 0.075)  # height of burned-in letters, of the picture's side
LEAST_INK = 40  # levels that letters differ from their ground by
SAME_INK = 24  # levels within one letter
MARGIN = 0.16  # burned-in text is looked for so near to the edges only; elsewhere it is the product's own print


@dataclass(frozen=True)
class Quality:
    """Measurements of one crop."""

    edge_px: float  # how far edges spread, standard deviation in px; 0 where there is no edge to judge by
    black: float  # share of the product's pixels that are clipped to black
    white: float  # the same to white
    light: float  # mean grey level of the product, 0 to 255
    contrast: float  # standard deviation of grey over the whole crop
    frame: tuple[str, ...]  # sides with a burned-in border
    text: tuple[str, ...]  # sides near which letters seem to be burned in


def measure(crop: np.ndarray, product: np.ndarray, photo: np.ndarray, mask: np.ndarray) -> Quality:
    """Measure one photo.

    crop     (s, s, 3) uint8, as it is trained
    product  (s, s) bool, where the product is in it
    photo    (h, w, 3) uint8, the whole photo at a longest side of about 512 px: borders and letters are read there
    mask     (h, w) bool, where the product is in that
    """
    import cv2

    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    seen = grey[product] if product.any() else grey.ravel()
    whole = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return Quality(
        edge_px=edge_spread(grey),
        black=float((seen < BLACK).mean()),
        white=float((seen > WHITE).mean()),
        light=float(seen.mean()),
        contrast=float(grey.std()),
        frame=frame(whole),
        text=burned_in(photo, mask),
    )


def edge_spread(grey: np.ndarray) -> float:
    """How far the sharpest edges spread, as the standard deviation of a Gaussian blur in px; 0 without any edge.

    A step of height h behind a blur of s px rises by h / (s * 2.5) per px at most; so the steepest rise within a window
    against the whole rise there tells s, whatever is pictured. The tenth of the strong edges that is sharpest counts:
    a photo with a soft ground is sharp where its subject is.
    """
    import cv2
    import numpy as np

    level = grey.astype(np.float32)
    kernel = np.ones((EDGE_WINDOW_PX, EDGE_WINDOW_PX), np.uint8)
    rise = cv2.dilate(level, kernel) - cv2.erode(level, kernel)
    slope = np.zeros_like(level)
    slope[:, 1:] = np.abs(np.diff(level, axis=1))
    slope[1:] = np.maximum(slope[1:], np.abs(np.diff(level, axis=0)))
    strong = rise >= STRONG_EDGE
    if strong.mean() < 0.002:
        return 0.0
    steep = (cv2.dilate(slope, kernel) / np.maximum(rise, 1))[strong]
    return float(1 / (2.507 * max(1e-3, float(np.quantile(steep, 0.9)))))


def frame(grey: np.ndarray) -> tuple[str, ...]:
    """Sides where the picture ends in a band of one grey with a straight inner edge: letter boxes, white borders."""
    sides = {"top": grey, "bottom": grey[::-1], "left": grey.T, "right": grey.T[::-1]}
    return tuple(name for name, turned in sides.items() if _band(turned))


def _band(rows: np.ndarray) -> bool:
    """Whether the first rows are one grey and the next differ from it nearly everywhere."""
    import numpy as np

    level = float(np.median(rows[0]))
    flat = np.abs(rows.astype(np.float32) - level) <= 3
    whole = flat.mean(axis=1) > 0.995
    depth = int(np.argmin(whole)) if not whole.all() else len(rows)
    if not 0.012 * len(rows) <= depth < 0.4 * len(rows):
        return False
    inside = rows[min(depth + 2, len(rows) - 1)].astype(np.float32)
    return float((np.abs(inside - level) > 12).mean()) > 0.75


def burned_in(photo: np.ndarray, mask: np.ndarray) -> tuple[str, ...]:
    """Sides near which a line of letters lies that is not on the product: dates, watermarks, captions.

    Letters are small pieces of one shade, alike in height, in a row, much lighter or darker than what is around them,
    in grey or in blue (a camera's amber date is as light as wood, but it has no blue).
    """
    import cv2

    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    found: set[str] = set()
    for shade in (grey, photo[..., 2]):
        for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            found |= _lettered(shade, kind, mask)
    return tuple(sorted(found - {""}))


def _lettered(shade: np.ndarray, kind: int, mask: np.ndarray) -> set[str]:
    """Sides with lines of letters of one kind: lighter or darker than their ground."""
    import cv2
    import numpy as np

    height, width = shade.shape
    size = max(5, round(TEXT_PX[1] * max(height, width)) | 1)
    marks = (cv2.morphologyEx(shade, kind, np.ones((size, size), np.uint8)) > LEAST_INK).astype(np.uint8)
    marks[mask] = 0
    _, labels, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=8)
    letters = [index for index in range(1, len(stats)) if _letter(stats[index], max(height, width))]
    letters = [index for index in letters if _one_shade(shade[labels == index], kind)]
    return {_side(stats[line], height, width) for line in _lines(stats, letters)}


def _letter(stat: np.ndarray, side: int) -> bool:
    _, _, width, height, area = (int(value) for value in stat)
    fits = TEXT_PX[0] * side <= height <= TEXT_PX[1] * side and 0.1 * height <= width <= 1.3 * height
    return fits and 0.15 <= area / (width * height) <= 0.95


def _one_shade(piece: np.ndarray, kind: int) -> bool:
    """Ink is of one shade; folds and shadows are not. Only the half that is farthest from the ground counts."""
    import cv2
    import numpy as np

    low, high = np.quantile(piece, [0.5, 0.95] if kind == cv2.MORPH_TOPHAT else [0.05, 0.5])
    return bool(high - low <= SAME_INK)


def _lines(stats: np.ndarray, letters: list[int]) -> list[list[int]]:
    """Runs of at least five letters on one line, alike in height, no gap wider than two letters."""
    left = sorted(letters, key=lambda index: int(stats[index][0]))
    runs: list[list[int]] = []
    for index in left:
        x, y, _, height = (int(value) for value in stats[index][:4])
        for run in runs:
            last_x, last_y, last_width, last_height = (int(value) for value in stats[run[-1]][:4])
            near = x - (last_x + last_width) <= 2 * max(height, last_height)
            level = abs((y + height) - (last_y + last_height)) <= 0.2 * max(height, last_height)
            if near and level and 0.6 <= height / last_height <= 1.7:
                run.append(index)
                break
        else:
            runs.append([index])
    return [run for run in runs if len(run) >= 5]


def _side(stats: np.ndarray, height: int, width: int) -> str:
    """Near which edge a line lies; "" for one in the middle."""
    middle = float((stats[:, 1] + stats[:, 3] / 2).mean()) / height
    if middle < MARGIN:
        return "top"
    return "bottom" if middle > 1 - MARGIN else ""
