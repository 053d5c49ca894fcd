"""The drawing surface: anti-aliased limbs and outlines with their own coordinates, blended in small boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

SIZE = 256
_Y, _X = (grid.astype(np.float32) for grid in np.mgrid[0:SIZE, 0:SIZE])
Array = Any  # numpy float32 arrays; shapes are in the docstrings


@dataclass(frozen=True)
class Region:
    """A part to paint: its box, its coverage in [0, 1], and for a limb the place of each pixel on it."""

    rows: slice
    columns: slice
    alpha: Array  # (h, w)
    across: Array = None  # (h, w), -1 .. 1 over the width of a limb, picture left to right when it points down
    along: Array = None  # (h, w), px from the first joint
    radius: Array = None  # (h, w), px, half the limb's width there

    @property
    def x(self) -> Array:
        """(h, w) picture x of each pixel."""
        return _X[self.rows, self.columns]

    @property
    def y(self) -> Array:
        """(h, w) picture y of each pixel."""
        return _Y[self.rows, self.columns]


class Canvas:
    """(256, 256, 3) float32 picture in 0..255 and beside it the coverage of the labelled garment."""

    def __init__(self, pixels: Array) -> None:
        self.pixels = np.array(pixels, np.float32)
        self.garment = np.zeros((SIZE, SIZE), np.float32)

    def paint(self, region: Region | None, colour: Array, ours: bool = False) -> None:
        """Blends a colour, (3,) or (h, w, 3), over the region; `ours` marks the labelled garment."""
        if region is None:
            return
        box = self.pixels[region.rows, region.columns]
        box += (np.asarray(colour, np.float32) - box) * region.alpha[..., None]
        garment = self.garment[region.rows, region.columns]
        garment *= 1 - region.alpha
        if ours:
            garment += region.alpha

    def darken(self, mask: Array, amount: float) -> None:
        """Multiplies the picture down where the (256, 256) mask in [0, 1] is; the garment stays what it was."""
        self.pixels *= (1 - amount * mask)[..., None]

    def finished(self) -> Array:
        """(256, 256, 3) uint8."""
        return np.clip(np.rint(self.pixels), 0, 255).astype(np.uint8)


def _box(low: Array, high: Array) -> tuple[slice, slice] | None:
    x0, y0 = (max(int(v), 0) for v in np.floor(low - 2))
    x1, y1 = (min(int(v), SIZE) for v in np.ceil(high + 3))
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def outline(points: Array) -> Region | None:
    """The inside of a closed (n, 2) px outline; None when it is off the picture."""
    points = np.asarray(points, np.float32)
    box = _box(points.min(0), points.max(0))
    if box is None:
        return None
    rows, columns = box
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    corner = np.array([columns.start, rows.start], np.float32)
    cv2.fillPoly(mask, [np.rint((points - corner) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return Region(rows, columns, mask.astype(np.float32) / 255)


def line(points: Array, width: float) -> Region | None:
    """A polyline of (n, 2) px, `width` px wide; thinner than 1 px is drawn fainter instead."""
    points = np.asarray(points, np.float32)
    box = _box(points.min(0) - width, points.max(0) + width)
    if box is None:
        return None
    rows, columns = box
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    corner = np.array([columns.start, rows.start], np.float32)
    path = [np.rint((points - corner) * 16).astype(np.int32)]
    cv2.polylines(mask, path, False, 255, max(round(width), 1), cv2.LINE_AA, 4)
    return Region(rows, columns, mask.astype(np.float32) / 255 * min(width, 1.0))


def limb(joints: Array, radii: Array, cut_start: bool = False, cut_end: bool = False) -> Region | None:
    """A chain of tapered rods through (n, 2) px joints with (n,) px radii; cut ends are square, others round."""
    joints, radii = np.asarray(joints, np.float32), np.asarray(radii, np.float32)
    box = _box(joints.min(0) - radii.max(), joints.max(0) + radii.max())
    if box is None:
        return None
    x, y = _X[box], _Y[box]
    depth: Array = None
    across: Array = None
    along: Array = None
    radius: Array = None
    gone = 0.0
    for i in range(len(joints) - 1):
        dx, dy = joints[i + 1] - joints[i]
        length = float(np.hypot(dx, dy))
        if length < 1e-3:
            dx, dy, length = 0.0, 1e-3, 1e-3
        px, py = x - joints[i, 0], y - joints[i, 1]
        t = (px * dx + py * dy) / length
        w = (px * dy - py * dx) / length
        inner = np.clip(t, 0, length)
        r = radii[i] + (radii[i + 1] - radii[i]) * (inner / length)
        d = r - np.hypot(t - inner, w)
        if cut_start and i == 0:
            d = np.minimum(d, t)
        if cut_end and i == len(joints) - 2:
            d = np.minimum(d, length - t)
        if depth is None:
            depth, across, along, radius = d, w / r, t, r
        else:
            take = d > depth + 0.02  # ties lie round the outside of a bend: one rod must win there
            depth = np.where(take, d, depth)
            across, along = np.where(take, w / r, across), np.where(take, t + gone, along)
            radius = np.where(take, r, radius)
        gone += length
    return Region(*box, np.clip(depth + 0.5, 0, 1), across, along, radius)


def disc(centre: Array, radius: float, flat: float = 1.0, turn: float = 0.0) -> Region | None:
    """A filled ellipse: radius px across, radius * flat px the other way, turned by `turn` radians."""
    centre = np.asarray(centre, np.float32)
    reach = radius * max(1.0, flat)
    box = _box(centre - reach, centre + reach)
    if box is None:
        return None
    px, py = _X[box] - centre[0], _Y[box] - centre[1]
    c, s = np.cos(turn), np.sin(turn)
    a, b = (px * c + py * s), (py * c - px * s) / flat
    return Region(*box, np.clip((radius - np.hypot(a, b)) * min(1.0, flat) + 0.5, 0, 1), a / radius, b)


def spline(points: Array, steps: int = 6) -> Array:
    """(m, 2): an open Catmull-Rom curve through (n, 2) points."""
    p = np.asarray(points, np.float32)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[:, None, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), p[-2:-1]])


def blurred_lines(region: Region, paths: list[Array], width: float, blur: float) -> Array:
    """(h, w) in [0, 1]: soft lines along the (n, 2) px paths, within the region's box."""
    mask = np.zeros(region.alpha.shape, np.uint8)
    corner = np.array([region.columns.start, region.rows.start], np.float32)
    cv2.polylines(mask, [np.rint((p - corner) * 16).astype(np.int32) for p in paths], False, 255,
                  max(round(width), 1), cv2.LINE_AA, 4)  # fmt: skip
    return cv2.GaussianBlur(mask, (0, 0), max(blur, 0.5)).astype(np.float32) / 255


def ramp(top: Array, bottom: Array, rows: int = SIZE) -> Array:
    """(rows, 256, 3) float32: a vertical blend of two colours."""
    t = np.linspace(0, 1, max(rows, 1), dtype=np.float32)[:, None, None]
    blend = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
    return np.broadcast_to(blend, (max(rows, 1), SIZE, 3))
