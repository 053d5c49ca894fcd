"""A stained blood smear as a microscope shows it: red cells, platelets, and at most one white cell of a known kind."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from synthgen.mini.world.canvas import SIZE, Array

_Y, _X = (grid.astype(np.float32) for grid in np.mgrid[0:SIZE, 0:SIZE])
_STAINS = {  # ground, red cell, nucleus: sRGB
    "standard": ((243, 236, 228), (214, 142, 140), (104, 58, 150)),
    "pale": ((246, 242, 240), (226, 178, 174), (146, 110, 184)),
    "dark": ((232, 220, 214), (186, 98, 104), (70, 34, 116)),
    "bluish": ((230, 234, 242), (182, 148, 168), (72, 60, 160)),
}
_RADIUS = {"neutrophil": 30, "lymphocyte": 23, "monocyte": 35, "eosinophil": 30, "basophil": 28}  # px
_CYTOPLASM = {  # sRGB
    "neutrophil": (236, 214, 220), "lymphocyte": (176, 190, 226), "monocyte": (184, 186, 206),
    "eosinophil": (240, 204, 190), "basophil": (220, 200, 222),
}  # fmt: skip


def smear(labels: Mapping[str, str], rng: np.random.Generator) -> Array:
    """(256, 256, 3) uint8 field for the labels "cell" and "stain"."""
    ground, red, nucleus = (np.array(tone, np.float32) + rng.normal(0, 4, 3) for tone in _STAINS[labels["stain"]])
    pixels = np.broadcast_to(ground, (SIZE, SIZE, 3)).astype(np.float32)
    lit = 1 - 0.05 * (np.hypot(_X - 128 + rng.uniform(-40, 40), _Y - 128 + rng.uniform(-40, 40)) / 180) ** 2
    pixels = pixels * lit[..., None]
    radius = rng.uniform(14.5, 17.5)
    kind = labels["cell"]
    centre = rng.uniform(96, 160, 2) if kind != "none" else None
    for place in _scattered(rng, radius, centre, _RADIUS.get(kind, 0)):
        _red_cell(pixels, place, radius * rng.uniform(0.88, 1.1), red, ground, rng)
    for _ in range(int(rng.integers(2, 9))):
        _platelet(pixels, rng.uniform(4, SIZE - 4, 2), nucleus, rng)
    if centre is not None:
        _white_cell(pixels, kind, centre, nucleus, rng)
    pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 0.9))
    pixels += rng.normal(0, 1.3, (SIZE, SIZE, 1)).astype(np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _scattered(rng: np.random.Generator, radius: float, centre: Array | None, clear: float) -> list[Array]:
    """Centres of red cells: they may touch, hardly overlap, and keep out of the white cell."""
    found: list[Array] = []
    wanted = int(rng.integers(24, 52))
    for _ in range(wanted * 6):
        place = rng.uniform(-radius, SIZE + radius, 2)
        if centre is not None and np.hypot(*(place - centre)) < clear + radius * 0.9:
            continue
        if found and np.hypot(*(np.array(found) - place).T).min() < radius * rng.uniform(1.5, 2.05):
            continue
        found.append(place)
        if len(found) == wanted:
            break
    return found


def _box(centre: Array, reach: float) -> tuple[slice, slice] | None:
    x0, y0 = (max(int(v - reach), 0) for v in centre)
    x1, y1 = (min(int(v + reach) + 2, SIZE) for v in centre)
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def _away(box: tuple[slice, slice], centre: Array, flat: float = 1.0, turn: float = 0.0) -> Array:
    """(h, w) distance from the centre, px along the longer axis of an ellipse."""
    x, y = _X[box] - centre[0], _Y[box] - centre[1]
    c, s = np.cos(turn), np.sin(turn)
    return np.hypot(x * c + y * s, (y * c - x * s) / flat)


def _paint(pixels: Array, box: tuple[slice, slice], alpha: Array, colour: Array) -> None:
    part = pixels[box]
    part += (np.asarray(colour, np.float32) - part) * alpha[..., None]


def _red_cell(pixels: Array, centre: Array, radius: float, red: Array, ground: Array, rng: np.random.Generator) -> None:
    """A disc that is thin in its middle: the ground shines through there."""
    box = _box(centre, radius + 2)
    if box is None:
        return
    away = _away(box, centre, rng.uniform(0.86, 1.0), rng.uniform(0, np.pi))
    alpha = np.clip(radius - away + 0.5, 0, 1)
    thin = np.clip(1 - away / (radius * rng.uniform(0.5, 0.7)), 0, 1) * rng.uniform(0.5, 1.0)
    rim = np.clip((away - radius * 0.82) / (radius * 0.18), 0, 1) * 0.1
    tone = red * (1 - rim[..., None]) + (ground - red) * (thin * 0.75)[..., None]
    _paint(pixels, box, alpha * 0.94, tone)


def _platelet(pixels: Array, centre: Array, nucleus: Array, rng: np.random.Generator) -> None:
    radius = rng.uniform(2.6, 5.0)
    box = _box(centre, radius + 2)
    if box is not None:
        away = _away(box, centre, rng.uniform(0.6, 1.0), rng.uniform(0, np.pi))
        _paint(pixels, box, np.clip(radius - away + 0.5, 0, 1) * 0.8, nucleus * 0.6 + 88)


def _white_cell(pixels: Array, kind: str, centre: Array, nucleus: Array, rng: np.random.Generator) -> None:
    radius = _RADIUS[kind] * rng.uniform(0.92, 1.1)
    turn = rng.uniform(0, 2 * np.pi)
    box = _box(centre, radius * 1.25)
    assert box is not None
    x, y = _X[box] - centre[0], _Y[box] - centre[1]
    angle = np.arctan2(y, x)
    wave = 1 + 0.03 * np.sin(3 * angle + turn) + 0.02 * np.sin(5 * angle + 2 * turn)
    alpha = np.clip(radius * wave - np.hypot(x, y) + 0.5, 0, 1)
    cytoplasm = np.array(_CYTOPLASM[kind], np.float32) * 0.75 + 0.25 * (nucleus + 110)
    _paint(pixels, box, alpha, cytoplasm)
    lobes = _lobes(kind, radius, turn, rng)
    mask = np.zeros(alpha.shape, np.float32)
    for lobe, size, flat, tilt in lobes:
        away = _away(box, centre + lobe, flat, tilt)
        mask = np.maximum(mask, np.clip(size - away + 0.5, 0, 1))
    strand = np.zeros(alpha.shape, np.uint8)
    corner = np.array([box[1].start, box[0].start])
    path = np.rint((np.array([lobe for lobe, *_ in lobes]) + centre - corner) * 16).astype(np.int32)
    cv2.polylines(strand, [path], False, 255, max(2, round(radius * 0.1)), cv2.LINE_AA, 4)
    mask = np.maximum(mask, strand.astype(np.float32) / 255) * alpha
    clumps = cv2.GaussianBlur(rng.normal(0, 1, alpha.shape).astype(np.float32), (0, 0), 2.0) * 60
    _paint(pixels, box, mask * 0.96, nucleus + clumps[..., None])
    _granules(pixels, kind, centre, radius, nucleus, rng)


def _lobes(kind: str, radius: float, turn: float, rng: np.random.Generator) -> list[tuple[Array, float, float, float]]:
    """(offset px, half length px, flatness, tilt) of each part of the nucleus."""

    def at(angle: float, reach: float) -> Array:
        return np.array([np.cos(turn + angle), np.sin(turn + angle)]) * radius * reach

    if kind == "lymphocyte":
        return [(at(0, 0.06), radius * rng.uniform(0.8, 0.88), rng.uniform(0.9, 1.0), turn)]
    if kind == "monocyte":  # a kidney: three discs on a bow
        return [(at(step, 0.33), radius * 0.42, 1.0, 0.0) for step in (-1.0, -0.35, 0.35, 1.0)]
    if kind == "eosinophil":
        return [(at(side * 0.95, 0.42), radius * 0.36, rng.uniform(0.75, 0.95), turn) for side in (-1, 1)]
    if kind == "basophil":
        return [(at(side * 1.2, 0.25), radius * 0.42, 0.85, turn) for side in (-1, 1)]
    count = int(rng.integers(3, 6))
    steps = np.linspace(-1.25, 1.25, count) * rng.uniform(0.85, 1.15)
    return [
        (at(step, 0.46 + rng.uniform(-0.05, 0.05)), radius * rng.uniform(0.22, 0.28), rng.uniform(0.75, 1), step)
        for step in steps
    ]


def _granules(pixels: Array, kind: str, centre: Array, radius: float, nucleus: Array, rng: np.random.Generator) -> None:
    """What the kinds are named after: orange-red, dark violet, or hardly seen."""
    count, size, colour, strength = {
        "eosinophil": (90, 2.3, np.array((216, 92, 64)), 0.9),
        "basophil": (70, 2.6, nucleus * 0.55, 0.95),
        "neutrophil": (60, 1.1, np.array((190, 140, 176)), 0.5),
        "monocyte": (25, 0.9, np.array((160, 130, 180)), 0.4),
    }.get(kind, (0, 0.0, nucleus, 0.0))
    reach, angle = radius * np.sqrt(rng.uniform(0, 0.8, count)), rng.uniform(0, 2 * np.pi, count)
    for r, a in zip(reach, angle, strict=True):
        place = centre + np.array([np.cos(a), np.sin(a)]) * r
        box = _box(place, size + 1.5)
        if box is None:
            continue
        alpha = np.clip(size * rng.uniform(0.75, 1.1) - _away(box, place) + 0.5, 0, 1)
        if kind == "eosinophil":  # its granules lie beside the nucleus, not over it
            alpha = alpha * (np.abs(pixels[box] - nucleus).sum(-1) > 90)
        _paint(pixels, box, alpha * strength, colour + rng.normal(0, 8, 3))
