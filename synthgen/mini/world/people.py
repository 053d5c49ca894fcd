"""A person: skin, head, hair, limbs in the right order, dressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgen import poses, vocabulary
from synthgen.mini.world import canvas as surface
from synthgen.mini.world import garments
from synthgen.mini.world.body import Body
from synthgen.mini.world.canvas import Array, Canvas
from synthgen.mini.world.cloth import LIGHT, lit, luminance, rod_shade, sheet_shade
from synthgen.mini.world.garments import Garment


@dataclass(frozen=True, eq=False)
class Look:
    """Skin, hair and shoes of one person."""

    skin: Any  # (3,) sRGB
    hair: Any  # (3,) sRGB
    style: str
    age: str
    shoes: Any  # (3,) sRGB
    iris: Any  # (3,) sRGB


def look(labels: Mapping[str, str], rng: np.random.Generator) -> Look:
    """The look that labels ask for, slightly varied."""
    tone = vocabulary.SKIN_TONES[labels["skin_tone"]][0]
    skin = np.array([int(tone[i : i + 2], 16) for i in (0, 2, 4)], np.float32)
    hair = np.array(vocabulary.HAIR_COLOURS[labels["hair_colour"]], np.float32)
    shoes = np.array([(40, 38, 40), (228, 226, 222), (112, 72, 44)][rng.integers(3)], np.float32)
    iris = np.array([(52, 34, 24), (70, 50, 30), (58, 84, 104)][rng.choice(3, p=[0.5, 0.3, 0.2])], np.float32)
    return Look(
        skin * rng.uniform(0.98, 1.02), hair * rng.uniform(0.92, 1.08), labels["hair_style"], labels["age"], shoes, iris
    )


def draw(canvas: Canvas, body: Body, person: Look, upper: Garment, lower: Garment | None) -> None:
    """The whole figure, back to front. A dress has no `lower`."""
    crossing = {side: _in_front(body, side) for side in "rl"}
    head = Head.of(body, person)
    head.back_hair(canvas)
    if body.sits:
        _stool(canvas, body)
    for side in "rl":
        _leg(canvas, body, person, side, lower)
    often = 4 if lower is not None and lower.ours else 2  # a labelled lower garment should be seen whole
    tucked = lower is not None and upper.category != "outwear" and upper.seed % often != 1
    if not body.sits and lower is not None and not tucked:
        garments.wear_lower(canvas, body, lower)
    for side in "rl":
        if not crossing[side]:
            _arm(canvas, body, person, upper, side)
    _neck(canvas, body, person)
    if lower is None:
        garments.dress(canvas, body, upper)
    else:
        garments.top(canvas, body, upper, tucked)
        if body.sits or tucked:
            garments.wear_lower(canvas, body, lower)
    head.draw(canvas)
    for side in "rl":
        if crossing[side]:
            _arm(canvas, body, person, upper, side)


def _in_front(body: Body, side: str) -> bool:
    """Whether the forearm lies over the trunk or lap."""
    wrist = (body.arm(side)[2] - body.origin) / body.scale
    x, y = float(wrist @ body.right), float(wrist @ body.down)
    return -0.02 < y < body.torso + (0.16 if body.sits else 0.06) and abs(x) < max(body.hip, body.waist) + 0.045


def _leg(canvas: Canvas, body: Body, person: Look, side: str, lower: Garment | None) -> None:
    hip, knee, ankle = body.leg(side)
    s, stout = body.scale, body.stout
    if lower is None or lower.category != "pants":
        radii = np.array([0.050 * stout, 0.035 * (0.5 + 0.5 * stout), 0.032 * (0.5 + 0.5 * stout), 0.019]) * s
        calf = knee + (ankle - knee) * 0.35
        region = surface.limb(np.stack([hip, knee, calf, ankle]), radii)
        if region is not None:
            ahead = (ankle - hip) / max(float(np.hypot(*(ankle - hip))), 1e-3)
            canvas.paint(region, lit(person.skin, rod_shade(region, ahead)))
    sign = -1 if side == "r" else 1
    heel = ankle + np.array([0, 0.014], np.float32) * s
    sole = ankle + np.array([sign * 0.026, 0.030], np.float32) * s
    shoe = surface.limb(np.stack([heel, sole]), np.array([0.021, 0.0165]) * s)
    if shoe is not None:
        shade = 1.06 - 0.22 * np.clip((shoe.y - ankle[1]) / (0.045 * s), 0, 1)
        canvas.paint(shoe, lit(person.shoes, shade))


def _arm(canvas: Canvas, body: Body, person: Look, upper: Garment, side: str) -> None:
    shoulder, elbow, wrist = body.arm(side)
    s, stout = body.scale, 0.6 + 0.4 * body.stout
    reach = (wrist - elbow) / max(float(np.hypot(*(wrist - elbow))), 0.05 * s)
    ahead = (wrist - shoulder) / max(float(np.hypot(*(wrist - shoulder))), 1e-3)
    radii = np.array([0.032, 0.026, 0.0165]) * s * stout
    cap = body.arm_start(side)
    region = surface.limb(np.stack([cap, elbow, wrist]), radii)
    if region is not None:
        canvas.paint(region, lit(person.skin, rod_shade(region, ahead)))
    palm = wrist + reach * 0.026 * s
    hand = surface.limb(np.stack([wrist, palm, wrist + reach * 0.052 * s]), np.array([0.0155, 0.0205, 0.013]) * s)
    thumb_side = np.array([-reach[1], reach[0]], np.float32) * (1 if side == "r" else -1)
    thumb = surface.limb(np.stack([palm - reach * 0.008 * s, palm + (thumb_side * 0.022 + reach * 0.012) * s]),
                         np.array([0.008, 0.006]) * s)  # fmt: skip
    for part in (thumb, hand):
        if part is not None:
            canvas.paint(part, lit(person.skin, rod_shade(part, reach)))
    garments.sleeve(canvas, body, upper, side)


def _neck(canvas: Canvas, body: Body, person: Look) -> None:
    """Neck, and the skin of shoulders and chest that a neckline leaves bare."""
    s = body.scale
    chest = [(0.028, -0.045), (0.034, -0.026), (body.shoulder * 0.55, -0.010), (body.shoulder * 0.6, 0.07), (0, 0.10)]
    region = surface.outline(body.at(np.concatenate([chest, (np.array(chest) * [-1, 1])[::-1]])))
    if region is not None:
        across, along = body.coordinates(region)
        canvas.paint(region, lit(person.skin, sheet_shade(across / (0.14 * s), along / (0.3 * s)) - 0.03))
    chin = body.points[poses.NOSE] * 0.85 + body.origin * 0.15
    region = surface.limb(
        np.stack([chin, body.at([(0, 0.0)])[0]]), np.array([0.027, 0.029]) * s * (0.7 + 0.3 * body.stout)
    )
    if region is not None:
        shadow = np.clip(1 - region.along / (0.085 * s), 0, 1)
        canvas.paint(region, lit(person.skin, rod_shade(region, body.down) - 0.05 - 0.16 * shadow))


def _stool(canvas: Canvas, body: Body) -> None:
    """A plain block under a seated figure."""
    s = body.scale
    hips = (body.leg("r")[0] + body.leg("l")[0]) / 2
    floor = max(body.leg("r")[2][1], body.leg("l")[2][1]) + 0.005 * s
    top, half = hips[1] + 0.045 * s, (body.hip + 0.045) * s
    wood = np.array((150, 118, 86), np.float32)
    for y0, y1, shade in ((top, top + 0.030 * s, 1.12), (top + 0.030 * s, max(floor, top + 0.1 * s), 0.80)):
        box = np.array([(-half, y0), (half, y0), (half, y1), (-half, y1)], np.float32) + np.array(
            [hips[0], 0], np.float32
        )
        canvas.paint(surface.outline(box), wood * shade)


# ---------------------------------------------------------------- the head


@dataclass(frozen=True, eq=False)
class Head:
    """Head coordinates: x to the picture's right, y down, both in px, turned with the head; (0, 0) is its middle."""

    person: Look
    centre: Any  # (2,) px
    right: Any  # (2,) unit
    down: Any  # (2,) unit
    width: float  # px, half
    height: float  # px, half
    turn: float  # -1..1, how far the face looks aside
    neck: Any  # (2,) px
    scale: float

    @classmethod
    def of(cls, body: Body, person: Look) -> Head:
        """The head on a body's keypoints."""
        p, s = body.points, body.scale
        eyes = p[poses.L_EYE] - p[poses.R_EYE]
        span = float(np.hypot(*eyes))
        right = eyes / span if span > 0.012 * s else body.right
        down = np.array([-right[1], right[0]], np.float32)
        brows = (p[poses.R_EYE] + p[poses.L_EYE]) / 2
        ears = (p[poses.R_EAR] + p[poses.L_EAR]) / 2
        turn = float((p[poses.NOSE] - ears) @ right) / (0.02 * s)
        return cls(person, ears * 0.6 + brows * 0.4 - down * 0.003 * s, right, down, 0.0455 * s, 0.070 * s,
                   float(np.clip(turn, -1, 1)), body.origin, s)  # fmt: skip

    def at(self, places: Any) -> Array:
        """(n, 2) px of (n, 2) places in units of the half-width and half-height."""
        places = np.asarray(places, np.float32)
        return self.centre + places[:, :1] * self.width * self.right + places[:, 1:] * self.height * self.down

    def _oval(self, grow: float = 1.0, drop: float = 0.0) -> Array:
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        x, y = np.cos(angle), np.sin(angle)
        x = x * np.where(y > 0, 1 - 0.16 * y**2, 1)  # the jaw is narrower than the brow
        return self.at(np.stack([x * grow, y * grow + drop], 1))

    def _shade_hair(self, region: surface.Region) -> Array:
        x = (region.x - self.centre[0]) / self.width
        y = (region.y - self.centre[1]) / self.height
        return np.clip(1.04 - 0.14 * (x * -LIGHT[0] + y * -LIGHT[1]) - 0.025 * np.cos(x * 9), 0.7, 1.3)

    def _hair(self, canvas: Canvas, region: surface.Region | None) -> None:
        if region is not None:
            canvas.paint(region, lit(self.person.hair, self._shade_hair(region)))

    def back_hair(self, canvas: Canvas) -> None:
        """The hair behind neck and shoulders."""
        if self.person.style == "long":
            half = surface.spline(
                [(0, -1.18), (0.75, -1.02), (1.24, -0.3), (1.34, 0.6), (1.50, 1.35), (1.35, 2.05), (0.6, 2.2)]
            )
            self._hair(canvas, surface.outline(self.at(np.concatenate([half, (half * [-1, 1])[::-1]]))))
        elif self.person.style == "bun":
            self._hair(canvas, surface.disc(self.at([(0, -1.16)])[0], 0.56 * self.width))
        elif self.person.style == "curly":
            for angle in np.linspace(np.pi * 0.86, np.pi * 2.14, 11):
                centre = self.at([(np.cos(angle) * 1.08, np.sin(angle) * 0.92 - 0.10)])[0]
                self._hair(canvas, surface.disc(centre, 0.50 * self.width))

    def draw(self, canvas: Canvas) -> None:
        """Ears, face and the hair in front."""
        skin = self.person.skin
        for sign in (-1, 1):
            shade = 0.94 if sign < 0 else 0.84
            ear = self.at([(sign * 1.0 - 0.08 * self.turn, 0.08)])[0]
            if self.person.style in ("short", "bun"):
                canvas.paint(surface.disc(ear, 0.19 * self.width, 1.5), skin * shade)
        region = surface.outline(self._oval())
        if region is not None:
            x, y = (region.x - self.centre[0]) / self.width, (region.y - self.centre[1]) / self.height
            shade = 1.05 - 0.12 * x**2 - 0.09 * x - 0.10 * np.clip(y, 0, 1) ** 2
            canvas.paint(region, lit(skin, shade))
        self._face(canvas)
        self._front_hair(canvas)

    def _face(self, canvas: Canvas) -> None:
        skin, w = self.person.skin, self.width
        dark = luminance(skin) < 75
        aside = 0.16 * self.turn
        line = skin * 0.62 if not dark else skin * 0.5
        brow = self.person.hair * 0.85 if luminance(self.person.hair) < luminance(skin) - 25 else line * 0.8
        blush = skin * 0.88 + np.array((214, 120, 104), np.float32) * 0.12 if not dark else skin * 1.12
        for sign in (-1, 1):
            x = sign * 0.40 + aside
            if w > 9:
                canvas.paint(surface.disc(self.at([(x * 1.3, 0.30)])[0], 0.22 * w, 0.8), blush)
            if w > 12 or dark:  # where there is room for the white of an eye, or nothing else would show
                canvas.paint(
                    surface.disc(self.at([(x, 0.0)])[0], max(0.165 * w, 1.7), 0.62),
                    np.array((244, 242, 238)) * (0.9 if dark else 1),
                )
            canvas.paint(
                surface.disc(self.at([(x + aside * 0.2, 0.0)])[0], max(0.095 * w, 1.15)),
                self.person.iris * (0.5 if dark else 0.8),
            )
            arch = self.at([(x - 0.20, -0.155), (x, -0.195), (x + 0.20, -0.155)])
            canvas.paint(surface.line(arch, max(0.075 * w, 0.8)), brow)
            if self.person.age == "60+" and w > 12:
                canvas.paint(
                    surface.line(self.at([(sign * 0.26 + aside, 0.30), (sign * 0.38 + aside, 0.47)]), 0.8),
                    skin * 0.8 if not dark else line,
                )
                canvas.paint(surface.line(self.at([(x - 0.13, 0.11), (x + 0.13, 0.11)]), 0.7), skin * 0.8)
        nose = self.at([(aside * 1.15 - 0.02, 0.06), (aside * 1.3 + 0.10, 0.27), (aside * 1.2 - 0.06, 0.30)])
        canvas.paint(surface.line(nose, max(0.06 * w, 0.7)), skin * 0.74 if not dark else skin * 1.5 + 8)
        lips = (
            np.array((186, 88, 84), np.float32) * 0.55 + skin * 0.45
            if not dark
            else np.array((120, 62, 60), np.float32)
        )
        mouth = surface.spline(self.at([(aside - 0.27, 0.52), (aside, 0.57), (aside + 0.27, 0.52)]), 4)
        canvas.paint(surface.line(mouth, max(0.12 * w, 1.0)), lips)

    def _front_hair(self, canvas: Canvas) -> None:
        style = self.person.style
        # hairline from the picture-left ear over the brow to the picture-right ear
        line = {
            "short": [
                (-1.0, -0.05),
                (-0.90, -0.34),
                (-0.55, -0.55),
                (0.1, -0.60),
                (0.66, -0.50),
                (0.92, -0.34),
                (1.0, -0.05),
            ],
            "long": [
                (-1.06, 0.45),
                (-0.86, -0.15),
                (-0.55, -0.48),
                (0.0, -0.72),
                (0.55, -0.48),
                (0.86, -0.15),
                (1.06, 0.45),
            ],
            "bun": [
                (-0.99, -0.10),
                (-0.82, -0.48),
                (-0.4, -0.68),
                (0.0, -0.72),
                (0.4, -0.68),
                (0.82, -0.48),
                (0.99, -0.10),
            ],
            "curly": [
                (-1.04, 0.10),
                (-0.86, -0.30),
                (-0.5, -0.52),
                (0.0, -0.56),
                (0.5, -0.52),
                (0.86, -0.30),
                (1.04, 0.10),
            ],
        }[style]
        top = [(1.10, -0.35), (0.92, -0.83), (0.5, -1.10), (0.0, -1.18), (-0.5, -1.10), (-0.92, -0.83), (-1.10, -0.35)]
        self._hair(canvas, surface.outline(self.at(np.concatenate([surface.spline(line), surface.spline(top)]))))
        if style == "long":
            for sign in (-1, 1):
                lock = [
                    (0.90, -0.40),
                    (1.26, -0.1),
                    (1.38, 0.7),
                    (1.52, 1.4),
                    (1.36, 2.05),
                    (1.02, 2.1),
                    (0.98, 1.3),
                    (1.0, 0.6),
                ]
                self._hair(canvas, surface.outline(self.at(surface.spline(np.array(lock) * [sign, 1]))))
        elif style == "curly":
            for angle in np.linspace(np.pi * 1.02, np.pi * 1.98, 8):
                centre = self.at([(np.cos(angle) * 0.86, np.sin(angle) * 0.72 - 0.10)])[0]
                self._hair(canvas, surface.disc(centre, 0.30 * self.width))
