"""Places behind a person: a few large shapes each, soft, with little noise."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from synthgen.mini.world import canvas as surface
from synthgen.mini.world.canvas import SIZE, Array, Canvas, ramp

_FLOOR = {"full": 0.76, "three-quarter": 0.88, "close": 0.97}  # where the ground begins, share of the height
_PALE = ((226, 226, 228), (222, 230, 236), (236, 228, 218), (228, 234, 224), (236, 224, 228), (210, 214, 220))
Draw = Callable[[Canvas, int, np.random.Generator], None]


def backdrop(place: str, view: str, rng: np.random.Generator) -> Array:
    """(256, 256, 3) float32 picture of an empty place."""
    canvas = Canvas(np.full((SIZE, SIZE, 3), 220, np.float32))
    floor = round(SIZE * (_FLOOR[view] + rng.uniform(-0.02, 0.02)))
    _PLACES[place](canvas, floor, rng)
    return cv2.GaussianBlur(canvas.pixels, (0, 0), 1.1)


def _near(colour: tuple[int, int, int], rng: np.random.Generator, by: float = 9) -> Array:
    return np.clip(np.array(colour, np.float32) * rng.uniform(0.96, 1.04) + rng.uniform(-by, by, 3), 0, 255).astype(
        np.float32
    )


def _rectangle(canvas: Canvas, box: tuple[float, float, float, float], colour: Array) -> None:
    """x0, y0, x1, y1 px."""
    x0, x1 = max(round(box[0]), 0), min(round(box[2]), SIZE)
    y0, y1 = max(round(box[1]), 0), min(round(box[3]), SIZE)
    if x1 > x0 and y1 > y0:
        canvas.pixels[y0:y1, x0:x1] = colour


def _ground(canvas: Canvas, floor: int, near: Array, far: Array) -> None:
    if floor < SIZE:
        canvas.pixels[floor:] = ramp(far, near, SIZE - floor)


def _studio(canvas: Canvas, floor: int, rng: np.random.Generator) -> None:
    base = _near(_PALE[rng.integers(len(_PALE))], rng, 5)
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)
    glow = np.exp(-((x[None] - rng.uniform(-0.3, 0.3)) ** 2 + (x[:, None] + 0.25) ** 2) * 1.1)
    canvas.pixels[:] = base * (0.86 + 0.16 * glow[..., None])
    below = np.clip((np.arange(SIZE, dtype=np.float32) - floor + 16) / 32, 0, 1)
    canvas.pixels *= (1 - 0.07 * below)[:, None, None]


def _street(canvas: Canvas, floor: int, rng: np.random.Generator) -> None:
    canvas.pixels[:] = ramp(_near((150, 190, 226), rng), _near((214, 226, 234), rng))
    walls = ((176, 112, 88), (200, 178, 148), (150, 152, 158), (184, 150, 120), (212, 204, 190), (132, 118, 116))
    x = -rng.uniform(0, 50)
    while x < SIZE:
        width, top = rng.uniform(64, 100), rng.uniform(18, 70)
        wall = _near(walls[rng.integers(len(walls))], rng)
        _rectangle(canvas, (x, top, x + width, floor), wall)
        _rectangle(canvas, (x, top, x + width, top + 5), wall * 0.78)
        _rectangle(canvas, (x + width - 3, top, x + width, floor), wall * 0.8)
        columns = 3 if width > 80 else 2
        step = width / columns
        glass = _near((92, 112, 132), rng, 6)
        for column in range(columns):
            for y in np.arange(top + 16, floor - 26, 36):
                left = x + column * step + step * 0.25
                _rectangle(canvas, (left - 2, y - 2, left + step * 0.5 + 2, y + 24), wall * 1.14)
                _rectangle(canvas, (left, y, left + step * 0.5, y + 22), glass)
        x += width
    _ground(canvas, floor, _near((150, 150, 152), rng, 5), _near((178, 176, 174), rng, 5))
    _rectangle(canvas, (0, floor, SIZE, floor + 3), _near((126, 124, 124), rng, 4))


def _beach(canvas: Canvas, floor: int, rng: np.random.Generator) -> None:
    horizon = round(floor * rng.uniform(0.52, 0.62))
    canvas.pixels[:] = ramp(_near((112, 174, 230), rng), _near((206, 228, 240), rng))
    canvas.pixels[horizon:] = ramp(_near((40, 112, 164), rng), _near((84, 178, 196), rng), SIZE - horizon)
    shore = floor - 8
    _ground(canvas, shore, _near((228, 204, 156), rng), _near((238, 220, 180), rng))
    x = np.linspace(0, SIZE, 33)
    wave = shore + 3 * np.sin(x / 30 + rng.uniform(0, 6))
    canvas.paint(surface.line(np.stack([x, wave], 1), 5), np.array((244, 248, 248)))
    if rng.random() < 0.5:
        canvas.paint(
            surface.disc((rng.uniform(24, 232), rng.uniform(20, 50)), rng.uniform(11, 16)), np.array((255, 246, 206))
        )


def _office(canvas: Canvas, floor: int, rng: np.random.Generator) -> None:
    wall = _near((206, 210, 212), rng, 6)
    canvas.pixels[:] = ramp(wall * 1.04, wall * 0.96)
    flip = rng.random() < 0.5
    left = rng.uniform(6, 26)
    window = (left, 22, left + 84, 22 + 92)
    sky = ramp(_near((160, 200, 232), rng), _near((222, 234, 240), rng))
    x0, y0, x1, y1 = (round(v) for v in window)
    _rectangle(canvas, (x0 - 5, y0 - 5, x1 + 5, y1 + 5), np.array((238, 240, 240)))
    canvas.pixels[y0:y1, x0:x1] = sky[y0:y1, x0:x1]
    _rectangle(canvas, ((x0 + x1) / 2 - 2, y0, (x0 + x1) / 2 + 2, y1), np.array((238, 240, 240)))
    shelf = _near((142, 110, 80), rng)
    right = rng.uniform(172, 184)
    _rectangle(canvas, (right, 40, right + 66, floor), shelf)
    books = ((168, 60, 56), (52, 92, 140), (214, 186, 96), (70, 122, 92), (222, 218, 208))
    for y in range(48, floor - 24, 38):
        _rectangle(canvas, (right + 5, y, right + 61, y + 30), shelf * 0.62)
        x = right + 7.0
        while x < right + 50:
            width = rng.uniform(8, 13)
            _rectangle(canvas, (x, y + 6, x + width, y + 30), _near(books[rng.integers(len(books))], rng, 5))
            x += width + 1
    _ground(canvas, floor, _near((122, 126, 134), rng, 5), _near((142, 146, 152), rng, 5))
    desk = floor - 40
    _rectangle(canvas, (0, desk, 128, desk + 8), _near((186, 152, 112), rng, 6))
    _rectangle(canvas, (0, desk + 8, 122, floor + 4), _near((160, 128, 92), rng, 6) * 0.9)
    if flip:
        canvas.pixels[:] = canvas.pixels[:, ::-1].copy()


def _park(canvas: Canvas, floor: int, rng: np.random.Generator) -> None:
    canvas.pixels[:] = ramp(_near((140, 190, 232), rng), _near((216, 232, 240), rng))
    back = floor - 30
    hedge = _near((88, 136, 82), rng)
    x = np.linspace(-10, SIZE + 10, 24)
    ridge = back - 40 + 12 * np.sin(x / 34 + rng.uniform(0, 6))
    canvas.paint(
        surface.outline(np.concatenate([np.stack([x, ridge], 1), [(SIZE + 10, SIZE), (-10, SIZE)]])), hedge * 0.95
    )
    _ground(canvas, back, _near((92, 150, 70), rng), _near((136, 180, 96), rng))
    for start in rng.permutation(np.array((22.0, 128.0, 234.0)))[: rng.integers(2, 4)]:
        trunk_x, size = start + rng.uniform(-16, 16), rng.uniform(34, 46)
        y = back - 74 + rng.uniform(-14, 10)
        _rectangle(canvas, (trunk_x - 6, y, trunk_x + 6, back + 6), _near((104, 76, 52), rng, 6))
        leaves = _near((58, 116, 58), rng)
        for dx, dy, share in ((-0.55, 0.2, 0.7), (0.55, 0.15, 0.7), (0, -0.3, 0.9), (0, 0.25, 0.7)):
            canvas.paint(
                surface.disc((trunk_x + dx * size, y + dy * size), size * share),
                leaves * (1.12 if dx < 0.1 and dy < 0.2 else 0.94),
            )


def _home(canvas: Canvas, floor: int, rng: np.random.Generator) -> None:
    walls = ((232, 220, 196), (214, 200, 184), (196, 208, 200), (226, 206, 192))
    wall = _near(walls[rng.integers(len(walls))], rng, 5)
    canvas.pixels[:] = ramp(wall * 1.03, wall * 0.96)
    _ground(canvas, floor, _near((158, 116, 78), rng), _near((182, 142, 100), rng))
    _rectangle(canvas, (0, floor - 6, SIZE, floor), np.array((240, 236, 228)))
    left, top = rng.uniform(14, 30), rng.uniform(20, 34)
    _rectangle(canvas, (left, top, left + 60, top + 48), _near((96, 66, 44), rng, 6))
    _rectangle(canvas, (left + 5, top + 5, left + 55, top + 43), np.array((240, 236, 226)))
    art = ((88, 132, 168), (196, 120, 84), (104, 148, 104), (206, 172, 92))
    _rectangle(canvas, (left + 11, top + 11, left + 49, top + 37), _near(art[rng.integers(4)], rng))
    lamp = rng.uniform(214, 232)
    _rectangle(canvas, (lamp - 2, 80, lamp + 2, floor), np.array((92, 84, 78)))
    canvas.paint(
        surface.outline([(lamp - 13, 50), (lamp + 13, 50), (lamp + 24, 88), (lamp - 24, 88)]),
        _near((248, 226, 170), rng, 5),
    )
    fabric = ((112, 132, 150), (150, 110, 96), (120, 140, 116), (168, 156, 140))
    sofa = _near(fabric[rng.integers(4)], rng)
    edge = rng.uniform(108, 140)
    _rectangle(canvas, (-4, floor - 66, edge, floor - 20), sofa)
    _rectangle(canvas, (-4, floor - 36, edge, floor + 8), sofa * 0.88)
    _rectangle(canvas, (edge - 18, floor - 50, edge + 4, floor + 8), sofa * 1.08)
    if rng.random() < 0.5:
        canvas.pixels[:] = canvas.pixels[:, ::-1].copy()


_PLACES: dict[str, Draw] = {
    "studio": _studio, "street": _street, "beach": _beach, "office": _office, "park": _park, "home": _home,
}  # fmt: skip


def table(rng: np.random.Generator) -> Array:
    """(256, 256, 3) float32: what a garment is laid on."""
    kind = rng.choice(3, p=[0.5, 0.25, 0.25])
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)
    fall = (1.02 - 0.05 * x[None] - 0.06 * x[:, None])[..., None]
    if kind == 0:
        return (_near(((238, 238, 236), (246, 240, 230), (228, 234, 240))[rng.integers(3)], rng, 4) * fall).clip(0, 252)
    if kind == 2:
        return _near((172, 174, 178), rng, 8) * fall
    wood = _near(((196, 156, 112), (168, 128, 90), (214, 182, 142))[rng.integers(3)], rng, 6)
    board = np.arange(SIZE) // 43
    tone = rng.uniform(0.95, 1.05, 8)[board]
    tone[np.arange(SIZE) % 43 < 2] *= 0.84
    return wood * (fall * tone[:, None, None]).astype(np.float32)
