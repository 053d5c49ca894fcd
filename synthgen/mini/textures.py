"""Procedural textures: what the autoencoder sees beside renders, so that it also carries photos it never saw.

No photo is involved. Real pictures have edges at every scale, soft shading, fine repeats and blur; these have too.
"""

from __future__ import annotations

import cv2
import numpy as np

SIZE_PX = 256
GREY_SHARE = 0.3  # X-rays must come back without a tint


def texture(seed: int) -> np.ndarray:
    """One picture, (256, 256, 3) uint8 sRGB, decided by its seed alone."""
    rng = np.random.default_rng([seed, 7101])
    kinds = (_dead_leaves, _clouds, _repeats, _dead_leaves, _strokes)
    picture = kinds[int(rng.integers(len(kinds)))](rng)
    if rng.random() < 0.5:
        picture = picture * _shade(rng)
    if rng.random() < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 2.5)))
    if rng.random() < 0.3:
        picture = picture + rng.normal(0, rng.uniform(2, 10), picture.shape).astype(np.float32)
    if rng.random() < GREY_SHARE:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A colour, (3,) float32 in [0, 255]; half of them muted, as most of the world is."""
    colour = rng.uniform(0, 255, 3)
    if rng.random() < 0.5:
        colour = colour.mean() + (colour - colour.mean()) * rng.uniform(0.1, 0.6)
    return colour.astype(np.float32)


def _shade(rng: np.random.Generator) -> np.ndarray:
    """Smooth light over the picture, (256, 256, 1) float32 about 1."""
    small = rng.uniform(0.45, 1.25, (int(rng.integers(2, 6)),) * 2).astype(np.float32)
    return cv2.resize(small, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)[..., None]


def _spectrum(rng: np.random.Generator, power: float) -> np.ndarray:
    """Noise whose amplitude falls as 1/f**power, (256, 256) float32 in [0, 1]."""
    fy, fx = np.fft.fftfreq(SIZE_PX)[:, None], np.fft.rfftfreq(SIZE_PX)[None, :]
    amplitude = 1.0 / np.maximum(np.hypot(fy, fx), 1 / SIZE_PX) ** power
    wave = amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape))
    field = np.fft.irfft2(wave, s=(SIZE_PX, SIZE_PX))
    low, high = np.percentile(field, [1, 99])
    return np.clip((field - low) / (high - low + 1e-9), 0, 1).astype(np.float32)


def _clouds(rng: np.random.Generator) -> np.ndarray:
    first, second = _colour(rng), _colour(rng)
    mix = _spectrum(rng, float(rng.uniform(0.8, 2.0)))[..., None]
    return first * mix + second * (1 - mix)


def _dead_leaves(rng: np.random.Generator) -> np.ndarray:
    """Shapes that hide one another, radii by a power law: the statistics of natural edges."""
    picture = np.empty((SIZE_PX, SIZE_PX, 3), np.float32)
    picture[:] = _colour(rng)
    smallest = float(rng.uniform(2, 10))
    for _ in range(int(rng.integers(60, 260))):
        radius = min(smallest / np.sqrt(rng.random() + 1e-3), 90.0)
        x, y = rng.uniform(-20, SIZE_PX + 20, 2)
        colour = tuple(float(v) for v in _colour(rng))
        if rng.random() < 0.5:
            cv2.circle(picture, (int(x * 16), int(y * 16)), int(radius * 16), colour, -1, cv2.LINE_AA, 4)
        else:
            box = cv2.boxPoints(((x, y), (2 * radius, radius * rng.uniform(0.3, 2)), float(rng.uniform(0, 180))))
            cv2.fillConvexPoly(picture, (box * 16).astype(np.int32), colour, cv2.LINE_AA, 4)
    if rng.random() < 0.5:
        picture += (_spectrum(rng, 1.0)[..., None] - 0.5) * rng.uniform(10, 60)
    return picture


def _repeats(rng: np.random.Generator) -> np.ndarray:
    """Stripes, checks, dots and knit-like waves over one or two colours, turned and slightly bent."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 28)
    ys, xs = np.mgrid[0:SIZE_PX, 0:SIZE_PX].astype(np.float32)
    bend = (_spectrum(rng, 2.0) - 0.5) * rng.uniform(0, 20)
    u = (xs * np.cos(angle) + ys * np.sin(angle) + bend) / period
    v = (-xs * np.sin(angle) + ys * np.cos(angle) + bend) / period
    hard = rng.uniform(2, 12)
    wave_u, wave_v = np.sin(2 * np.pi * u), np.sin(2 * np.pi * v)
    field = (wave_u, wave_u + wave_v, wave_u * wave_v, np.maximum(wave_u, wave_v))[int(rng.integers(4))]
    mix = (1 / (1 + np.exp(-hard * field)))[..., None].astype(np.float32)
    return _colour(rng) * mix + _colour(rng) * (1 - mix)


def _strokes(rng: np.random.Generator) -> np.ndarray:
    """Thin lines and small marks over soft clouds: seams, hair, print."""
    picture = _clouds(rng).astype(np.float32)
    for _ in range(int(rng.integers(10, 80))):
        start = rng.uniform(0, SIZE_PX, 2)
        points = start + np.cumsum(rng.normal(0, rng.uniform(2, 14), (int(rng.integers(2, 9)), 2)), axis=0)
        colour = tuple(float(v) for v in _colour(rng))
        path = (points * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(picture, [path], False, colour, int(rng.integers(1, 4)), cv2.LINE_AA, 4)
    return picture
