"""Cloth: a garment's colour, its pattern in garment coordinates, and the light on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgen import vocabulary
from synthgen.mini.world.canvas import Array, Region, blurred_lines

LIGHT = np.array([-0.55, -0.8], np.float32)  # from the upper left, everywhere


@dataclass(frozen=True, eq=False)
class Cloth:
    """What a garment is made of."""

    colour: Any  # (3,) sRGB 0..255
    contrast: Any  # (3,) of the pattern
    pattern: str
    period: float  # px
    upright: bool  # stripes along the body instead of across it
    offset: Any  # (2,) px

    @property
    def dark(self) -> bool:
        """Whether light marks (buttons, seams) show better than dark ones."""
        return luminance(self.colour) < 120

    @property
    def trim(self) -> Array:
        """(3,) colour of seams, cuffs and ribs: the cloth, one step darker or lighter."""
        return self.colour * 0.72 if not self.dark else self.colour * 0.8 + 38

    def weave(self, across: Array, along: Array) -> Array:
        """Colour of the cloth, (3,) or (h, w, 3), at px coordinates in the garment's own frame."""
        if self.pattern == "plain":
            return self.colour
        if self.pattern == "striped":
            weight = _band((across if self.upright else along) + self.offset[1], self.period, 0.42)
        elif self.pattern == "checked":
            weight = (
                _band(across + self.offset[0], self.period, 0.45) + _band(along + self.offset[1], self.period, 0.45)
            ) / 2
        else:
            weight = _dots(across + self.offset[0], along + self.offset[1], self.period)
        return self.colour + (self.contrast - self.colour) * weight[..., None]


def make(colour: str, pattern: str, close: float, rng: np.random.Generator, upright: float = 0.0) -> Cloth:
    """A cloth of a named colour; `close` is 1 for a close view and less for a figure farther off."""
    base = np.array(vocabulary.COLOURS[colour], np.float32)
    base = np.clip(base * rng.uniform(0.95, 1.05) + rng.uniform(-6, 6, 3), 8, 250).astype(np.float32)
    light = np.array([244, 242, 238], np.float32)
    dark = np.array([(34, 44, 96), (38, 38, 44), (120, 30, 40)][rng.choice(3, p=[0.5, 0.4, 0.1])], np.float32)
    widest = {"striped": (13, 22), "checked": (18, 26), "dotted": (16, 22)}.get(pattern, (16, 16))
    least = {"striped": 10.0, "checked": 13.0, "dotted": 12.0}.get(pattern, 10.0)
    period = max(rng.uniform(*widest) * close, least)
    contrast = light if luminance(base) < 150 else dark
    return Cloth(base, contrast, pattern, period, rng.random() < upright, rng.uniform(0, period, 2).astype(np.float32))


def luminance(colour: Array) -> float:
    """Brightness as seen, 0..255."""
    return float(colour @ np.array([0.299, 0.587, 0.114], np.float32))


def _band(position: Array, period: float, share: float) -> Array:
    """1 inside a stripe that takes `share` of each period, 0 outside, one pixel of blend between."""
    away = np.abs(np.mod(position, period) - period / 2)
    return np.clip(period * share / 2 - away + 0.5, 0, 1)


def _dots(across: Array, along: Array, spacing: float) -> Array:
    """1 inside dots on a brick grid; their radius is 0.27 of the spacing."""
    row = np.floor(along / spacing)
    x = np.mod(across + row * spacing / 2, spacing) - spacing / 2
    y = np.mod(along, spacing) - spacing / 2
    return np.clip(spacing * 0.27 - np.hypot(x, y) + 0.5, 0, 1)


def lit(colour: Array, shade: Array) -> Array:
    """(h, w, 3): a colour under a (h, w) shade around 1; dark cloth gets a little sheen so that its form shows."""
    shade = shade[..., None]
    return np.asarray(colour, np.float32) * shade + 26 * (shade - 0.86)


def rod_shade(region: Region, direction: Array) -> Array:
    """(h, w) shade of a limb: bright on the lit side, dark at the far edge."""
    across = np.clip(region.across, -1, 1)
    side = float(direction[1] * LIGHT[0] - direction[0] * LIGHT[1])  # how far `across` points at the light
    return 1.04 - 0.24 * across**2 + 0.13 * side * across


def sheet_shade(across: Array, along: Array) -> Array:
    """(h, w) shade of a front: across is -1..1 over its width, along is 0..1 down its length."""
    across = np.clip(across, -1.2, 1.2)
    return 1.08 - 0.22 * across**2 - 0.09 * across - 0.09 * np.clip(along, -0.2, 1.3)


def folds(region: Region, paths: list[Array], width: float, depth: float = 0.2) -> Array:
    """(h, w) to add to a shade: soft creases along the paths."""
    return -depth * np.minimum(blurred_lines(region, paths, width, width * 0.75) * 1.8, 1.0) if paths else 0.0
