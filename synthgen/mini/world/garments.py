"""Garments, worn or laid flat: the same outlines and details on any body frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from synthgen.mini.world import canvas as surface
from synthgen.mini.world.body import Body
from synthgen.mini.world.canvas import Array, Canvas, Region
from synthgen.mini.world.cloth import Cloth, folds, lit, luminance, rod_shade, sheet_shade

LONG, SHORT = 0.96, 0.56  # where a sleeve ends: share of the whole arm, share of the upper arm


@dataclass(frozen=True, eq=False)
class Garment:
    """One garment to draw."""

    category: str
    cloth: Cloth
    ours: bool  # the labelled one
    long_sleeves: bool
    seed: int  # of its folds
    inner: Any = None  # (3,) colour of what an open jacket shows

    def rng(self, part: int) -> np.random.Generator:
        """The same folds each time this part is drawn."""
        return np.random.default_rng([self.seed, part])


def _mirrored(side: Array) -> Array:
    """(2n, 2): the right side of an outline, then its mirror image backwards."""
    side = np.asarray(side, np.float32)
    return np.concatenate([side, side[::-1] * np.array([-1, 1], np.float32)])


def _front(canvas: Canvas, body: Body, item: Garment, places: Array, creases: list[Array]) -> Region | None:
    """Paints a flat piece of cloth given by torso coordinates, with light and creases."""
    region = surface.outline(body.at(places))
    if region is None:
        return None
    across, along = body.coordinates(region)
    half = max(body.hip, body.shoulder) * body.scale * 1.15
    shade = sheet_shade(across / half, along / (0.4 * body.scale))
    shade = shade + folds(region, [body.at(c) for c in creases], 0.008 * body.scale, 0.13)
    canvas.paint(region, lit(item.cloth.weave(across, along), shade), item.ours)
    return region


# ---------------------------------------------------------------- tops


def sleeve(canvas: Canvas, body: Body, item: Garment, side: str) -> None:
    """One sleeve over the arm, with cuff or hem."""
    shoulder, elbow, wrist = body.arm(side)
    s, loose = body.scale, 0.007 if item.category != "outwear" else 0.013
    stout = 0.6 + 0.4 * body.stout
    top = (0.0335 + loose) * s * stout
    reach = (elbow - shoulder) / max(float(np.hypot(*(elbow - shoulder))), 1e-3)
    shoulder = body.arm_start(side)
    if item.long_sleeves:
        end = elbow + (wrist - elbow) * LONG
        joints = [shoulder, elbow, end]
        radii = [top, (0.0265 + loose) * s * stout, (0.0185 + loose) * s * stout]
    else:
        joints = [shoulder, shoulder + (elbow - shoulder) * (SHORT - 0.1)]
        radii = [top, (0.037 + loose) * s * stout]
    region = surface.limb(np.array(joints), np.array(radii), cut_end=True)
    if region is None:
        return
    ahead = reach
    shade = rod_shade(region, ahead)
    creases = []
    if item.long_sleeves:
        out = np.array([ahead[1], -ahead[0]], np.float32)
        rng = item.rng(1 if side == "r" else 2)
        for k in range(2):
            reach = rng.uniform(0.015, 0.026) * s * (1 if k else -1)
            creases.append(np.stack([elbow + ahead * (k - 0.5) * 0.018 * s, elbow + out * reach]))
    shade = shade + folds(region, creases, 0.007 * s, 0.14)
    canvas.paint(region, lit(item.cloth.weave(region.across * region.radius, region.along), shade), item.ours)
    _cuff(canvas, body, item, (joints[-2], joints[-1], radii[-1]))


def _cuff(canvas: Canvas, body: Body, item: Garment, end: tuple[Array, Array, float]) -> None:
    before, last, radius = end
    back = before - last
    back = back / max(float(np.hypot(*back)), 1e-3)
    depth = (0.024 if item.category in ("shirt", "longsleeve") and item.long_sleeves else 0.009) * body.scale
    band = surface.limb(np.stack([last + back * depth, last]), np.array([radius, radius]), True, True)
    if band is not None:
        canvas.paint(band, lit(item.cloth.trim, rod_shade(band, -back)), item.ours)


def _side(body: Body, hem: float, ease: float, flare: float = 0.0) -> Array:
    """(n, 2) torso coordinates of the right edge of a top, shoulder to hem."""
    s, t = body.shoulder, body.torso
    return surface.spline(
        [
            (s * 0.55, -0.021),
            (s * 0.86, -0.009),
            (s + 0.012, 0.014),
            (s + 0.010 + ease, 0.050),
            (max(body.waist, s * 0.66) + ease + 0.008, t * 0.45),
            (body.waist + ease + 0.006, t * 0.66),
            (body.seat + ease, t * 1.0),
            (body.seat + ease + 0.017 + flare, hem),
        ]
    )


def _neckline(width: float, depth: float) -> Array:
    """(n, 2) torso coordinates from the picture-left to the picture-right end of a round neck."""
    angle = np.linspace(np.pi, 0, 13)
    return np.stack([np.cos(angle) * width, -0.026 + np.sin(angle) * depth], 1).astype(np.float32)


def _creases(body: Body, item: Garment, hem: float) -> list[Array]:
    """Soft folds of a top, in torso coordinates: from the armpits and along the waist."""
    rng = item.rng(0)
    found = []
    for sign in (-1, 1):
        x, y = sign * body.shoulder * 0.92, 0.075
        for k in range(2):
            dx, dy = rng.uniform(0.02, 0.05), rng.uniform(0.03, 0.09) + 0.02 * k
            found.append(np.array([(x, y), (x - sign * dx * 0.6, y + dy * 0.5), (x - sign * dx, y + dy)]))
        y = rng.uniform(0.62, 0.8) * body.torso
        found.append(np.array([(sign * body.waist, y), (sign * body.waist * rng.uniform(0.3, 0.55), y + 0.022)]))
    x = rng.uniform(-0.5, 0.5) * body.hip
    found.append(np.array([(x, hem - 0.08), (x * 1.1, hem)]))
    return found


def top(canvas: Canvas, body: Body, item: Garment, tucked: bool = False) -> None:
    """The trunk of a t-shirt, shirt, long-sleeve top or jacket (sleeves come apart: arms may be in front)."""
    hem = body.torso + {"t-shirt": 0.045, "shirt": 0.06, "longsleeve": 0.045, "outwear": 0.085}[item.category]
    ease = {"t-shirt": 0.006, "shirt": 0.008, "longsleeve": 0.006, "outwear": 0.016}[item.category]
    width, depth = {"t-shirt": (0.040, 0.046), "longsleeve": (0.036, 0.036)}.get(item.category, (0.034, 0.052))
    side = _side(body, hem, ease)
    if tucked or body.sits:  # what is in the waistband, or under the lap, must not stand out beside it
        side = side[:34]
        hem = float(side[-1, 1])
    curve = np.array([(x, hem + 0.010 * (1 - (x / side[-1, 0]) ** 2)) for x in np.linspace(side[-1, 0], 0, 5)[1:]])
    half = np.concatenate([side, curve])
    places = np.concatenate([_mirrored(half), _neckline(width, depth)])
    _front(canvas, body, item, places, _creases(body, item, hem))
    detail: dict[str, Callable[..., None]] = {"shirt": _shirt_front, "outwear": _jacket_front}
    detail.get(item.category, _round_neck)(canvas, body, item, hem)
    _hem(canvas, body, item, curve)


def _hem(canvas: Canvas, body: Body, item: Garment, curve: Array) -> None:
    edge = _mirrored(curve)[:, :] - np.array([0, 0.014], np.float32)
    seam = surface.line(body.at(edge * np.array([0.98, 1], np.float32)), max(0.004 * body.scale, 0.8))
    if seam is not None:
        canvas.paint(seam, item.cloth.trim, item.ours)


def _round_neck(canvas: Canvas, body: Body, item: Garment, hem: float) -> None:
    width, depth = (0.040, 0.046) if item.category != "longsleeve" else (0.036, 0.036)
    inner = _neckline(width, depth)
    outer = _neckline(width + 0.010, depth + 0.011)
    canvas.paint(surface.outline(body.at(np.concatenate([inner, outer[::-1]]))), item.cloth.trim, item.ours)


def _shirt_front(canvas: Canvas, body: Body, item: Garment, hem: float) -> None:
    """Placket, buttons and a collar of two points."""
    s = body.scale
    trim = item.cloth.trim
    placket = [(-0.012, 0.02), (-0.012, hem), (0.012, hem), (0.012, 0.02)]
    region = surface.outline(body.at(placket))
    if region is not None:
        across, along = body.coordinates(region)
        canvas.paint(
            region, lit(item.cloth.weave(across, along), np.full(region.alpha.shape, 1.07, np.float32)), item.ours
        )
    for x in (-0.013, 0.013):
        canvas.paint(surface.line(body.at([(x, 0.02), (x, hem)]), max(0.0035 * s, 0.7)), trim, item.ours)
    bright = luminance(item.cloth.colour) < 150
    button = np.array((246, 244, 238) if bright else (60, 56, 60), np.float32)
    for y in np.linspace(0.055, hem - 0.035, 6):
        canvas.paint(surface.disc(body.at([(0, y)])[0], max(0.0062 * s, 1.3)), button, item.ours)
    for sign in (-1, 1):
        flap = body.at([(sign * 0.034, -0.040), (sign * 0.002, 0.022), (sign * 0.034, 0.040), (sign * 0.055, -0.010)])
        shade = item.cloth.colour * 1.1 + 8 if not item.cloth.dark else item.cloth.colour * 1.15 + 16
        canvas.paint(surface.outline(flap), np.clip(shade, 0, 252), item.ours)
        canvas.paint(surface.line(flap[1:], max(0.004 * s, 0.8)), trim, item.ours)


def _jacket_front(canvas: Canvas, body: Body, item: Garment, hem: float) -> None:
    """Open front over a light shirt, lapels, pockets."""
    s = body.scale
    gap = 0.030 + 0.014 * item.rng(5).random()
    opening = surface.spline([(0.026, -0.030), (gap + 0.010, 0.06), (gap, 0.16), (gap + 0.008, hem + 0.012)])
    region = surface.outline(body.at(_mirrored(opening)))
    if region is not None:
        across, along = body.coordinates(region)
        inner = np.array((240, 238, 232), np.float32) if item.inner is None else item.inner
        shade = (
            sheet_shade(across / (0.09 * s), along / (0.5 * s)) - 0.1 * np.clip(np.abs(across) / (gap * s), 0, 1) ** 4
        )
        canvas.paint(region, lit(inner, shade), item.inner is not None and item.ours)
    trim = item.cloth.trim
    for sign in (-1, 1):
        lapel = np.array(
            [(0.030, -0.036), (gap + 0.004, 0.05), (gap, 0.155), (gap + 0.040, 0.062), (gap + 0.030, 0.050),
             (0.062, 0.0), (0.052, -0.026)]
        ) * [sign, 1]  # fmt: skip
        shade = item.cloth.colour * 0.86 if not item.cloth.dark else item.cloth.colour + 16
        canvas.paint(surface.outline(body.at(lapel)), shade, item.ours)
        canvas.paint(surface.line(body.at(lapel[2:]), max(0.0035 * s, 0.8)), trim, item.ours)
        edge = body.at([(sign * gap, 0.155), (sign * (gap + 0.008), hem + 0.008)])
        canvas.paint(surface.line(edge, max(0.004 * s, 0.8)), trim, item.ours)
        y = body.torso * 0.86
        pocket = [(sign * (body.hip * 0.60), y), (sign * (body.hip * 1.0), y - 0.012)]
        canvas.paint(surface.line(body.at(pocket), max(0.007 * s, 1.0)), trim, item.ours)


def back_panel(canvas: Canvas, body: Body, item: Garment) -> None:
    """The inside of the back, as a garment without a wearer shows it at the neck."""
    width = {"t-shirt": 0.040, "dress": 0.042}.get(item.category, 0.036)
    angle = np.linspace(0, np.pi, 9)
    back = np.stack([np.cos(angle) * width, -0.024 + np.sin(angle) * 0.014], 1)
    front = np.stack([np.cos(angle[::-1]) * width, -0.024 + np.sin(angle[::-1]) * 0.062], 1)
    canvas.paint(surface.outline(body.at(np.concatenate([back, front]))), item.cloth.colour * 0.6, item.ours)


# ---------------------------------------------------------------- from the waist down


def dress(canvas: Canvas, body: Body, item: Garment) -> None:
    """Fitted to the waist, then flared to the knees."""
    side = _side(body, body.torso + 0.05, 0.004)[:31]  # to the waist
    upper = np.concatenate([_mirrored(side), _neckline(0.042, 0.050)])
    skirt(canvas, body, item, body.torso * 0.62)
    _front(canvas, body, item, upper, _creases(body, item, body.torso)[:6])
    inner, outer = _neckline(0.042, 0.050), _neckline(0.051, 0.060)
    canvas.paint(surface.outline(body.at(np.concatenate([inner, outer[::-1]]))), item.cloth.trim, item.ours)
    y, w = body.torso * 0.66, body.waist + 0.011
    belt = [(-w, y - 0.010), (w, y - 0.010), (w + 0.001, y + 0.010), (-w - 0.001, y + 0.010)]
    canvas.paint(surface.outline(body.at(belt)), item.cloth.trim, item.ours)


def skirt(canvas: Canvas, body: Body, item: Garment, waist: float = 0.0) -> None:
    """From the waist over both knees; the hem follows the knees, so a seated figure keeps a lap."""
    s, knees = body.scale, [body.leg("r")[1], body.leg("l")[1]]
    waist = waist or body.torso * 0.72
    spread = (0.055 if body.sits else 0.078) * (0.7 + 0.3 * body.stout)
    down = body.down if not body.sits else np.array([0, 1], np.float32)
    drop = 0.012 if not body.sits else 0.05
    hem_right = knees[1] + body.right * spread * s + down * drop * s
    hem_left = knees[0] - body.right * spread * s + down * drop * s
    low = (hem_right + hem_left) / 2 + down * 0.016 * s
    right_edge = surface.spline(
        [*body.at([(body.waist + 0.006, waist), (body.hip + 0.008, body.torso * 1.02)]), hem_right]
    )
    left_edge = surface.spline(
        [hem_left, *body.at([(-body.hip - 0.008, body.torso * 1.02), (-body.waist - 0.006, waist)])]
    )
    edge = surface.spline(np.stack([hem_right, low, hem_left]))
    shape = np.concatenate([right_edge, edge, left_edge])
    if body.sits:  # a lap: everything between hips and knees, wherever they point
        hips = np.stack([body.leg(side)[0] + (0, 0.06 * s) for side in "rl"])
        shape = cv2.convexHull(np.concatenate([shape, hips]).astype(np.float32))[:, 0]
    region = surface.outline(shape)
    if region is None:
        return
    across, along = body.coordinates(region)
    rng = item.rng(3)
    pleats = []
    for share in np.linspace(-0.75, 0.75, 6) + rng.uniform(-0.06, 0.06, 6):
        start = body.at([(share * body.waist * 0.9, waist + 0.05)])[0]
        stop = hem_left + (hem_right - hem_left) * (share + 1) / 2 + down * 0.01 * s
        pleats.append(np.stack([start, stop]))
    half = (
        max(0.15 * s * body.stout, float(np.abs(across * (region.alpha > 0)).max()))
        if body.sits
        else 0.15 * s * body.stout
    )
    shade = sheet_shade(across / half, along / (0.62 * s)) + folds(region, pleats, 0.010 * s, 0.13)
    canvas.paint(region, lit(item.cloth.weave(across, along), shade), item.ours)
    if not body.sits:
        canvas.paint(surface.line(edge - down * 0.012 * s, max(0.0045 * s, 0.8)), item.cloth.trim, item.ours)
    if item.category == "skirt":
        _waistband(canvas, body, item, waist)


def _waistband(canvas: Canvas, body: Body, item: Garment, waist: float) -> None:
    w = body.waist + 0.008
    band = [(-w, waist - 0.006), (w, waist - 0.006), (w + 0.002, waist + 0.018), (-w - 0.002, waist + 0.018)]
    canvas.paint(surface.outline(body.at(band)), item.cloth.trim, item.ours)


def trousers(canvas: Canvas, body: Body, item: Garment) -> None:
    """Trousers or shorts: two legs and a seat, waistband, fly and pockets."""
    s, stout = body.scale, body.stout
    waist = body.torso * 0.74
    for side in "rl":
        hip, knee, ankle = body.leg(side)
        loose = 0.008 if item.category == "pants" else 0.013
        start = hip + (body.at([(0, body.torso)])[0] - hip) * -0.08
        if item.category == "pants":
            joints = [start, knee, knee + (ankle - knee) * 0.97]
            radii = np.array([0.053 * stout + loose, 0.036 * (0.6 + 0.4 * stout) + loose, 0.025 + loose]) * s
        else:
            joints = [start, hip + (knee - hip) * 0.80]
            radii = np.array([0.053 * stout + loose * 0.6, 0.043 * (0.5 + 0.5 * stout) + loose]) * s
        region = surface.limb(np.array(joints), radii, cut_end=True)
        if region is None:
            continue
        ahead = (knee - hip) / max(float(np.hypot(*(knee - hip))), 1e-3)
        out = np.array([ahead[1], -ahead[0]], np.float32)
        rng = item.rng(6 if side == "r" else 7)
        creases = [np.stack([knee + ahead * d * s - out * 0.02 * s, knee + ahead * (d + 0.01) * s + out * 0.012 * s])
                   for d in rng.uniform(-0.025, 0.02, 2)] if item.category == "pants" else []  # fmt: skip
        shade = rod_shade(region, ahead) + folds(region, creases, 0.007 * s, 0.14)
        canvas.paint(region, lit(item.cloth.weave(region.across * region.radius, region.along), shade), item.ours)
        _leg_end(canvas, body, item, (joints[-2], joints[-1], float(radii[-1])))
    _seat(canvas, body, item, waist)


def _leg_end(canvas: Canvas, body: Body, item: Garment, end: tuple[Array, Array, float]) -> None:
    before, last, radius = end
    back = (before - last) / max(float(np.hypot(*(before - last))), 1e-3)
    band = surface.limb(np.stack([last + back * 0.012 * body.scale, last]), np.array([radius, radius]), True, True)
    if band is not None:
        canvas.paint(band, lit(item.cloth.trim, rod_shade(band, -back)), item.ours)


def _seat(canvas: Canvas, body: Body, item: Garment, waist: float) -> None:
    s, t = body.scale, body.torso
    crotch = t + (0.062 if not body.sits else 0.03)
    hip = body.seat + 0.004
    half = np.concatenate([
        surface.spline([(body.waist + 0.006, waist), (hip, t * 0.98), (hip + 0.002, t + 0.02)]),
        [(hip * 0.5, t + 0.045), (0.0, crotch)],
    ])  # fmt: skip
    region = surface.outline(body.at(_mirrored(half)))
    if region is not None:
        across, along = body.coordinates(region)
        fade = np.clip((crotch * s - along) / (0.055 * s), 0, 1)  # no seam where the seat meets the legs
        region = Region(region.rows, region.columns, region.alpha * fade)
        shade = sheet_shade(across / (hip * 1.15 * s), along / (0.5 * s)) + 0.03
        canvas.paint(region, lit(item.cloth.weave(across, along), shade), item.ours)
    _waistband(canvas, body, item, waist)
    canvas.paint(
        surface.line(body.at([(0, waist + 0.02), (0, crotch - 0.004)]), max(0.004 * s, 0.8)), item.cloth.trim, item.ours
    )
    for sign in (-1, 1):
        pocket = body.at([(sign * body.hip * 0.58, waist + 0.022), (sign * body.hip * 0.98, waist + 0.07)])
        canvas.paint(surface.line(pocket, max(0.004 * s, 0.8)), item.cloth.trim, item.ours)


def wear_lower(canvas: Canvas, body: Body, item: Garment) -> None:
    """Trousers, shorts or a skirt."""
    if item.category == "skirt":
        skirt(canvas, body, item)
    else:
        trousers(canvas, body, item)
