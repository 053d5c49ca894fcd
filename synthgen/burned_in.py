"""Letters that stand in the pixels of a picture: names and dates burned in, and the markers that radiographs carry.

What a file's header says of burned-in text is a claim and is not asked. Letters are looked for as what they are: thin
strokes of one value with sharp edges, of one height, side by side on one line; light on dark or dark on light, along
either side of the picture. Four or more in a line are text, unless they spell a word that markers carry (AP, PORTABLE).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

Array = Any
LONGEST = 1024  # px: larger pictures are searched at this size, those of at most SMALL at twice their own
SMALL = 640
CONTRASTS = (24, 48, 90)  # grey levels by which letters stand out; several, for strong ones grow together at the least
STROKES = (9, 19)  # px: letters have thinner strokes than that
LEAST_HEIGHT = 8  # px at the searched size; lower letters cannot be read either
LINE = 4  # letters from which a line is text
SURE = 6  # letters from which a line needs no further proof
UNIFORM, SHARP, LEVEL, LEVEL_SHORT, EVEN = 0.3, 0.45, 0.6, 0.75, 0.14
SQUARE = np.ones((3, 3), np.uint8)
ROUGH = 10.0  # grey levels by which letters of one ink differ at the most once a picture is compressed
WORDS = (
    "PORTABLE", "PORT", "MOBILE", "SUPINE", "ERECT", "UPRIGHT", "SEMI", "STANDING", "SITTING", "SEATED", "LEFT",
    "RIGHT", "LATERAL", "DECUB", "DECUBITUS", "BEDSIDE", "INSP", "EXPIRATION", "INSPIRATION", "PRONE", "OBLIQUE",
    "FRONTAL",
)  # fmt: skip
ALIKE, ALIKE_SHORT = 0.6, 0.85  # correlation from which a line is one of WORDS: of six letters and more, of fewer


@dataclass(frozen=True)
class Mark:
    """A line of letters in a picture."""

    kind: str  # "text" or "marker"
    box: tuple[int, int, int, int]  # left, top, right, bottom, px of the whole picture
    letters: int
    word: str = ""  # of a marker that was read


@dataclass(frozen=True)
class _Letter:
    x: int
    y: int
    w: int
    h: int
    contrast: float
    value: float


def find(pixels: Array) -> list[Mark]:
    """Every line of letters, text first. pixels (h, w) or (h, w, 3) uint8."""
    found: list[Mark] = []
    for plane in _planes(np.asarray(pixels)):
        for turned in (False, True):
            searched, scale = _sized(np.ascontiguousarray(np.rot90(plane, -1)) if turned else plane)
            for mark in _lines(searched):
                box = tuple(round(value / scale) for value in mark.box)
                placed = _turned_back(box, plane.shape) if turned else box
                found.append(Mark(mark.kind, placed, mark.letters, mark.word))  # type: ignore[arg-type]
    return _merged(found)


def masked(pixels: Array, marks: Sequence[Mark]) -> Array:
    """The picture with these places filled from around them."""
    if not marks:
        return pixels
    hide = np.zeros(pixels.shape[:2], np.uint8)
    for left, top, right, bottom in (mark.box for mark in marks):
        grow = 2 + (bottom - top) // 4
        hide[max(0, top - grow) : bottom + grow, max(0, left - grow) : right + grow] = 255
    return cv2.inpaint(np.ascontiguousarray(pixels), hide, 3, cv2.INPAINT_TELEA)


def _planes(pixels: Array) -> list[Array]:
    """Grey, and of a picture with colour also blue, in which yellow on white is seen."""
    if pixels.ndim == 2:
        return [pixels]
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    coloured = int(np.ptp(pixels[::4, ::4].astype(np.int16), axis=2).max()) > 12
    return [grey, np.ascontiguousarray(pixels[..., 2])] if coloured else [grey]


def _sized(plane: Array) -> tuple[Array, float]:
    longest = max(plane.shape)
    scale = 2.0 if longest <= SMALL else min(1.0, LONGEST / longest)
    if scale == 1.0:
        return plane, scale
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return cv2.resize(plane, None, fx=scale, fy=scale, interpolation=how), scale


def _turned_back(box: Sequence[int], shape: Sequence[int]) -> tuple[int, int, int, int]:
    """From a picture that was turned clockwise to the one before."""
    left, top, right, bottom = box
    return top, shape[0] - right, bottom, shape[0] - left


def _lines(plane: Array) -> Iterator[Mark]:
    step = cv2.morphologyEx(
        plane, cv2.MORPH_GRADIENT, np.ones((5, 5) if max(plane.shape) > SMALL else (3, 3), np.uint8)
    )
    for stroke in STROKES:
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (stroke, stroke))
        for way in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            relief = cv2.morphologyEx(plane, way, kernel)
            for contrast in CONTRASTS:
                letters = list(_letters(plane, relief, step, contrast))
                for line in _grouped(letters):
                    if mark := _judged(line, plane):
                        yield mark


def _letters(plane: Array, relief: Array, step: Array, contrast: int) -> Iterator[_Letter]:
    """Connected strokes of the size, the evenness and the sharpness of letters."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((relief >= contrast).astype(np.uint8), connectivity=8)
    tallest = max(48, 0.08 * max(plane.shape))
    w, h, area = stats[:, 2], stats[:, 3], stats[:, 4]
    sized = (h >= LEAST_HEIGHT) & (h <= tallest) & (w <= 2.6 * h) & (h <= 12 * w) & (area >= 0.12 * w * h) & (area >= 8)
    for number in np.flatnonzero(sized[1:count]) + 1:
        x, y, width, height, _ = (int(value) for value in stats[number])
        where = (slice(y, y + height), slice(x, x + width))
        shape = labels[where] == number
        rise = relief[where][shape]
        top = _level(rise, 0.8)
        values = plane[where][shape][rise >= 0.6 * top]
        if not len(values) or values.std() > UNIFORM * top:
            continue
        inner = cv2.erode(shape.view(np.uint8), SQUARE, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        rim = step[where][shape & (inner == 0)]
        if len(rim) and _level(rim, 0.5) >= SHARP * top:
            yield _Letter(x, y, width, height, top, _level(values, 0.5))


def _level(values: Array, share: float) -> float:
    """np.quantile of a few bytes, without its cost for each call."""
    ordered = np.sort(values)
    place = share * (len(ordered) - 1)
    at = int(place)
    low, high = float(ordered[at]), float(ordered[min(at + 1, len(ordered) - 1)])
    return low + (high - low) * (place - at)


def _grouped(letters: Sequence[_Letter]) -> list[list[_Letter]]:
    """Letters that stand side by side on one line, alike in height, value and contrast."""
    ordered = sorted(letters, key=lambda one: one.x)
    parent = list(range(len(ordered)))

    def root(at: int) -> int:
        while parent[at] != at:
            at = parent[at]
        return at

    for first, one in enumerate(ordered):
        for second in range(first + 1, len(ordered)):
            other = ordered[second]
            if other.x - one.x - one.w > 1.4 * 2 * one.h:
                break
            if _together(one, other):
                parent[root(second)] = root(first)
    groups: dict[int, list[_Letter]] = {}
    for at, one in enumerate(ordered):
        groups.setdefault(root(at), []).append(one)
    return list(groups.values())


def _together(one: _Letter, other: _Letter) -> bool:
    tall = max(one.h, other.h)
    return (
        other.x - one.x - one.w <= 1.4 * tall
        and min(one.h, other.h) >= 0.55 * tall
        and abs(one.y + one.h / 2 - other.y - other.h / 2) <= 0.35 * tall
        and abs(one.value - other.value) <= 0.35 * max(one.contrast, other.contrast)
        and min(one.contrast, other.contrast) >= 0.5 * max(one.contrast, other.contrast)
    )


def _judged(line: Sequence[_Letter], plane: Array) -> Mark | None:
    """A line as text or as a marker, or nothing."""
    height = float(np.median([one.h for one in line]))
    letters = sum(max(1, round(one.w / (0.8 * height))) for one in line)
    tops, bottoms = np.array([one.y for one in line]), np.array([one.y + one.h for one in line])
    level = max(float((np.abs(edge - np.median(edge)) < max(1.01, 0.1 * height)).mean()) for edge in (tops, bottoms))
    box = (min(one.x for one in line), int(tops.min()), max(one.x + one.w for one in line), int(bottoms.max()))
    if level < (LEVEL if len(line) >= SURE else LEVEL_SHORT):
        return None
    strong = min(one.contrast for one in line) >= CONTRASTS[-1]
    same = min(one.h for one in line) >= 0.75 * max(one.h for one in line)
    grown = len(line) == LINE - 1 and same and letters >= LINE + (1 if strong else 2)
    values = sorted(one.value for one in line)
    if len(line) > LINE:  # one letter may touch what lies beside it
        values = min(values[1:], values[:-1], key=lambda kept: kept[-1] - kept[0])
    contrast = float(np.median([one.contrast for one in line]))
    even = len(line) >= SURE or values[-1] - values[0] <= max(EVEN * contrast, ROUGH)
    if (len(line) >= LINE or grown) and even:  # letters that touch are one stroke, and count by their width
        word = read_word(plane, box)
        return Mark("marker" if word else "text", box, letters, word)
    return Mark("marker", box, letters) if strong and 2 <= len(line) <= LINE - 1 else None


def read_word(plane: Array, box: Sequence[int]) -> str:
    """Which of WORDS stands in a box of a picture (h, w) uint8, light on dark or dark on light; "" for none of them."""
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    reach = max(8, width // 5)  # a letter at either end may have been missed
    patch = plane[max(0, top - 3) : bottom + 3, max(0, left - reach) : right + reach]
    best, word = 0.0, ""
    for name, shapes in _templates().items():
        least = ALIKE if len(name) >= 6 else ALIKE_SHORT
        for shape in shapes:
            if not 0.7 <= (shape.shape[1] / shape.shape[0]) / (width / height) <= 1.4:
                continue
            for tall in (height - 1, height, height + 1):
                usual = tall * shape.shape[1] / shape.shape[0]
                for wide in (round(usual * share) for share in (0.84, 0.88, 0.92, 0.96, 1.0, 1.05, 1.1)):
                    if tall > patch.shape[0] or wide > patch.shape[1] or wide < 0.85 * width:
                        continue
                    sized = cv2.resize(shape, (wide, tall), interpolation=cv2.INTER_AREA)
                    alike = float(np.abs(cv2.matchTemplate(patch, sized, cv2.TM_CCOEFF_NORMED)).max())
                    if alike > max(best, least):
                        best, word = alike, name
    return word


@cache
def _templates() -> dict[str, list[Array]]:
    """Each word, 20 px high, cut to its letters: thin, bold, and bold with a dark rim on a light ground."""
    from PIL import Image, ImageDraw, ImageFont

    face = ImageFont.load_default(40)
    found: dict[str, list[Array]] = {}
    for word in WORDS:
        shapes = []
        for bold, ground, rim in ((0, 0, 0), (2, 0, 0), (1, 190, 5)):
            image = Image.new("L", (60 * len(word), 90), ground)
            pen = ImageDraw.Draw(image)
            if rim:
                pen.text((20, 20), word, 60, face, stroke_width=rim)
            pen.text((20, 20), word, 255, face, stroke_width=bold)
            left, top, right, bottom = pen.textbbox((20, 20), word, face, stroke_width=bold)
            cut = np.asarray(image)[round(top) : round(bottom), round(left) : round(right)]
            width = round(20 * cut.shape[1] / cut.shape[0])
            shapes.append(cv2.resize(cut, (width, 20), interpolation=cv2.INTER_AREA))
        found[word] = shapes
    return found


def _merged(marks: Sequence[Mark]) -> list[Mark]:
    """One mark for each place, text before markers, the widest first; a word that was read speaks for its place."""
    kept: list[Mark] = []
    read = [mark for mark in marks if mark.word]
    order = sorted(marks, key=lambda mark: (not mark.word, mark.kind != "text", -(mark.box[2] - mark.box[0])))
    for mark in order:
        spoken_for = not mark.word and any(_inside(mark.box, other.box, 0.85) for other in read)
        if not spoken_for and not any(_inside(mark.box, other.box, 0.5) for other in kept):
            kept.append(mark)
    return sorted(kept, key=lambda mark: (mark.kind != "text", mark.box))


def _inside(box: Sequence[int], other: Sequence[int], share: float) -> bool:
    """Whether at least this share of a box lies in another, that one widened a little."""
    grow = 0.2 * (min(other[2] - other[0], other[3] - other[1]) + 4)
    across = min(box[2], other[2] + grow) - max(box[0], other[0] - grow)
    down = min(box[3], other[3] + grow) - max(box[1], other[1] - grow)
    area = max(1, (box[2] - box[0]) * (box[3] - box[1]))
    return across > 0 and down > 0 and across * down >= share * area
