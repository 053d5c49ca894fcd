"""Frontal chest X-ray phantoms: soft shapes added up as attenuation, then exposed. No patient stands behind them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from synthgen.mini.world import canvas as surface
from synthgen.mini.world.canvas import SIZE, Array

_Y, _X = (grid.astype(np.float32) for grid in np.mgrid[0:SIZE, 0:SIZE])
_DEGREE = {"mild": 0.0, "moderate": 0.5, "severe": 1.0, "": 0.5}


def _soft(points: Array, blur: float) -> Array:
    """(256, 256) in [0, 1]: a filled outline with a soft edge."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.rint(np.asarray(points, np.float32) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32) / 255


def _stroke(paths: list[Array], width: int, blur: float) -> Array:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.polylines(
        mask,
        [np.rint(np.asarray(p, np.float32) * 16).astype(np.int32) for p in paths],
        False,
        255,
        width,
        cv2.LINE_AA,
        4,
    )
    return cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32) / 255


def _blob(x: float, y: float, rx: float, ry: float) -> Array:
    return np.exp(-(((_X - x) / rx) ** 2 + ((_Y - y) / ry) ** 2))


def radiograph(labels: Mapping[str, str], rng: np.random.Generator) -> tuple[Array, Array | None]:
    """Pixels (256, 256, 3) uint8, R = G = B, and where the finding is, (256, 256) uint8, 255 inside; None without one.

    The patient's left is at the picture's right, as radiographs are read.
    """
    chest = Chest(labels, rng)
    density = chest.anatomy()
    density = chest.finding(density)
    density += cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), 1.2) * 0.012
    gain, lift = rng.uniform(0.92, 1.10), rng.uniform(-0.04, 0.05)
    grey = np.clip((density + lift) * gain, 0, 1) ** rng.uniform(0.9, 1.12)
    pixels = np.clip(np.rint(12 + 236 * grey), 0, 255).astype(np.uint8)
    region = None if chest.region is None else np.where(chest.region > 0.5, 255, 0).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2), region


class Chest:
    """One chest: its layout, drawn from the seed, and its attenuation map."""

    def __init__(self, labels: Mapping[str, str], rng: np.random.Generator) -> None:
        self.labels, self.rng = labels, rng
        self.region: Array | None = None  # (256, 256) in [0, 1]: where the finding is, once it is drawn
        self.degree = _DEGREE[labels.get("severity", "")]
        portable = labels.get("view") == "AP"
        self.middle = 128 + rng.uniform(-8, 8)
        self.top = rng.uniform(22, 40) + (6 if portable else 0)
        self.base = rng.uniform(184, 198) - (10 if portable else 0)
        self.wide = rng.uniform(82, 99)
        self.heart = rng.uniform(0.43, 0.48) + (0.04 if portable else 0)
        if labels.get("finding") == "cardiomegaly":
            self.heart = (0.56, 0.62, 0.69)[round(self.degree * 2)] + rng.uniform(-0.012, 0.012)

    def lung(self, side: int) -> Array:
        """(n, 2) px outline; side -1 is the picture's left (the patient's right)."""
        inner, t, b, w = 15, self.top, self.base + (4 if side > 0 else -5), self.wide
        places = [
            (30, t), (inner + 2, t + 26), (inner, t + 70), (inner + (8 if side > 0 else 2), b - 26), (24, b - 10),
            (48, b - 16), (74, b - 2), (w - 3, b + 14), (w - 1, b - 30), (w - 8, t + 84), (w - 24, t + 34), (54, t + 5),
        ]  # fmt: skip
        curve = surface.spline([*places, places[0]])
        return np.stack([self.middle + side * curve[:, 0], curve[:, 1]], 1)

    def anatomy(self) -> Array:
        """(256, 256) density of a chest without a finding (but for the size of its heart)."""
        rng, m, t, b, w = self.rng, self.middle, self.top, self.base, self.wide
        trunk = [(m - 26, -20), (m - 34, 16), (m - 112, 34), (m - w - 22, 90), (m - w - 16, 276),
                 (m + w + 16, 276), (m + w + 22, 90), (m + 112, 34), (m + 34, 16), (m + 26, -20)]  # fmt: skip
        density = 0.60 * _soft(trunk, 5)
        self.lungs = {side: _soft(self.lung(side), 2.6) for side in (-1, 1)}
        both = self.lungs[-1] + self.lungs[1]
        density -= both * (0.45 + 0.05 * np.clip((b - _Y) / 160, 0, 1))
        density += 0.10 * np.clip((_Y - b - 10) / 60, 0, 1)
        ribs = []
        for k in range(8):
            y = t + 8 + k * 19.5
            reach = w * (0.60 + 0.42 * np.sin(min((k + 1.2) / 5.2, 1) * np.pi / 2))
            for side in (-1, 1):
                ribs.append(
                    np.stack(
                        [
                            m + side * np.linspace(10, reach, 9),
                            y + np.array([0, -4, -6, -5, -1, 5, 13, 23, 36]) * (0.6 + 0.05 * k),
                        ],
                        1,
                    )
                )
        density += 0.14 * _stroke(ribs, 7, 1.8) * (0.12 + 0.88 * cv2.dilate(both, np.ones((13, 13), np.uint8)))
        spine = [(m - 11, -5), (m - 13, 260), (m + 13, 260), (m + 11, -5)]
        density += 0.15 * _soft(spine, 3) * (0.75 + 0.25 * np.cos((_Y - t) * 2 * np.pi / 17))
        collar = [
            np.array([(m + side * 10, t + 14), (m + side * 45, t + 4), (m + side * 96, t - 8)]) for side in (-1, 1)
        ]
        density += 0.17 * _stroke([surface.spline(c) for c in collar], 8, 1.5)
        vessels = []
        for side in (-1, 1):
            for angle in np.linspace(-1.05, 1.15, 6) + rng.uniform(-0.1, 0.1, 6):
                length = rng.uniform(34, 54)
                vessels.append(
                    np.array(
                        [
                            (m + side * 24, t + 74),
                            (m + side * (24 + length * np.cos(angle)), t + 74 + length * np.sin(angle)),
                        ]
                    )
                )
        self.vessels = 0.09 * _stroke(vessels, 3, 2.2) * both
        density += self.vessels + 0.12 * (_blob(m - 24, t + 74, 13, 20) + _blob(m + 25, t + 70, 13, 18))
        return density + self._heart(density)

    def _heart(self, density: Array) -> Array:
        m, t, b = self.middle, self.top, self.base
        across = self.heart * 2 * self.wide
        left, right = across * 0.66, across * 0.34  # the patient's left takes the larger part
        outline = surface.spline([
            (m - 13, t + 30), (m - 15, t + 62), (m - right, b - 52), (m - right * 0.92, b - 18), (m - 8, b + 4),
            (m + left * 0.72, b + 6), (m + left, b - 16), (m + left * 0.86, b - 44), (m + left * 0.5, t + 82),
            (m + 20, t + 60), (m + 23, t + 42), (m + 14, t + 28), (m - 13, t + 30),
        ])  # fmt: skip
        shape = _soft(outline, 2.6)
        if self.labels.get("finding") == "cardiomegaly":
            self.region = shape
        return np.maximum(0.70 - density, 0) * shape * 0.86

    def finding(self, density: Array) -> Array:
        """The same map with the labelled finding in it."""
        name = self.labels.get("finding", "none")
        side = 1 if self.labels.get("side") == "left" else -1
        draw = {"consolidation": self._consolidation, "effusion": self._effusion, "nodule": self._nodule,
                "pneumothorax": self._pneumothorax}.get(name)  # fmt: skip
        return density if draw is None else draw(density, side)

    def _consolidation(self, density: Array, side: int) -> Array:
        rng, size = self.rng, 22 + 16 * self.degree
        x = self.middle + side * rng.uniform(48, 60)
        y = rng.choice([self.top + rng.uniform(42, 58), self.base - rng.uniform(40, 54)])
        patch = np.zeros_like(density)
        for _ in range(6):
            dx, dy = rng.normal(0, 0.36, 2) * size
            patch = np.maximum(
                patch, _blob(x + dx, y + dy, size * rng.uniform(0.5, 0.8), size * rng.uniform(0.45, 0.75))
            )
        patch = cv2.GaussianBlur(patch, (0, 0), 4)
        self.region = cover = np.clip(patch * 1.5, 0, 1) * self.lungs[side]
        return density + np.maximum(0.66 - density, 0) * cover * (0.72 + 0.2 * self.degree)

    def _effusion(self, density: Array, side: int) -> Array:
        level = self.base - (16 + 72 * self.degree) + self.rng.uniform(-4, 4)
        outward = np.clip((_X - self.middle) * side / self.wide, 0, 1)
        surface_line = level - 26 * outward**3  # fluid climbs the chest wall: the meniscus
        fluid = np.clip((_Y - surface_line) / 7, 0, 1)
        field = cv2.GaussianBlur(cv2.dilate(self.lungs[side], np.ones((7, 7), np.uint8)), (0, 0), 2.5)
        self.region = fluid * field
        return density + np.maximum(0.72 - density, 0) * self.region

    def _nodule(self, density: Array, side: int) -> Array:
        rng, radius = self.rng, 7 + 7 * self.degree
        x = self.middle + side * rng.uniform(44, 64)
        y = rng.uniform(self.top + 34, self.base - 46)
        away = np.hypot(_X - x, (_Y - y) * 1.06)
        self.region = np.clip((radius - away) / 4 + 0.6, 0, 1)
        return density + np.maximum(0.72 - density, 0) * 0.8 * self.region

    def _pneumothorax(self, density: Array, side: int) -> Array:
        """Air round the lung: black, without vessels, and a thin bright line where the lung now ends."""
        share = 0.90 - 0.30 * self.degree
        hilum = np.array([self.middle + side * 22, self.top + 96], np.float32)
        shrunk = hilum + (self.lung(side) - hilum) * np.array([share, 0.5 + share / 2], np.float32)
        inner = _soft(shrunk, 1.6)
        self.region = air = np.clip(self.lungs[side] - inner, 0, 1)
        outer = (shrunk[:, 0] - self.middle) * side > 0.36 * self.wide * share
        outer &= shrunk[:, 1] < hilum[1] + 0.5 * (self.base - hilum[1])
        pieces = [shrunk[i : i + 2] for i in range(len(shrunk) - 1) if outer[i] and outer[i + 1]]
        edge = _stroke(pieces, 2, 1.0) * self.lungs[side]
        lateral = np.clip(((_X - self.middle) * side - 16) / 10, 0, 1) * np.clip((self.base - 4 - _Y) / 12, 0, 1)
        collapse = np.maximum(0.6 - density, 0) * (0.1 + 0.3 * self.degree) * inner * self.lungs[side]
        return density + lateral * (0.16 * edge - air * (0.13 + self.vessels)) + collapse
