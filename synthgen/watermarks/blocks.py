"""Brightness of 8 px blocks on a lattice, by wavelet and singular values: outlasts JPEG, not cropping or scaling.

The method is quantisation index modulation of the largest singular value of each 4 x 4 block of the approximation band
of a Haar wavelet of the luma, as blind-watermark does it (MIT, https://github.com/guofei9987/blind_watermark); nearest
lattice point, luma alone, and all blocks at once.
"""

from __future__ import annotations

from typing import Any

BITS = 64
SMALLEST = 128  # px: 256 blocks, four for each bit
SIDE = 4  # of a block in the approximation band, which is half as wide as the picture
STEP = 36.0  # of the lattice, in singular values: a block moves by at most 36 / 16 levels of 255
BRIGHTEST = 2040.0  # the singular value of a block that is white all over
GAINS = tuple(1.0025 ** (step // 2 if step % 2 else -(step // 2)) for step in range(1, 162))  # 1 first, 0.82 to 1.22
SEED = 20261125  # which block holds which bit: public, for this marks and does not hide


def embed(pixels: Any, bits: Any) -> Any:
    """(h, w, 3) uint8 with the bits in it. Chroma is kept but for rounding."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    colours = cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2YCrCb)
    near = _near(colours[..., 0])
    blocks = _blocks(near)
    left, values, right = np.linalg.svd(blocks)
    wanted = bits[_which(len(blocks))]
    values[:, 0] = _nearest(values[:, 0], wanted)
    marked = (left * values[:, None, :]) @ right
    rows, columns = near.shape[0] // SIDE, near.shape[1] // SIDE
    change = np.zeros_like(near)
    change[: rows * SIDE, : columns * SIDE] = (
        (marked - blocks).reshape(rows, columns, SIDE, SIDE).transpose(0, 2, 1, 3).reshape(rows * SIDE, columns * SIDE)
    )
    colours[..., 0] += np.repeat(np.repeat(change / 2, 2, axis=0), 2, axis=1)[:height, :width]
    return np.clip(np.rint(cv2.cvtColor(colours, cv2.COLOR_YCrCb2RGB)), 0, 255).astype(np.uint8)


def read(pixels: Any) -> Any:
    """(BITS,) bool: each bit as most of its blocks have it, the surer ones counting more."""
    import cv2
    import numpy as np

    blocks = _blocks(_near(cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2YCrCb)[..., 0]))
    values, which = np.linalg.svd(blocks, compute_uv=False)[:, 0], _which(len(blocks))
    found: Any = None
    surest = -1.0
    for gain in GAINS:  # a picture that was made brighter or darker has a lattice of another step
        said = -np.cos(2 * np.pi * (values / (STEP * gain) - 0.25))  # 1: a block says yes with certainty, -1: no
        votes = np.bincount(which, weights=said, minlength=BITS)
        if np.abs(votes).sum() > surest:
            found, surest = votes, float(np.abs(votes).sum())
    return np.asarray(found > 0)


def _nearest(values: Any, bits: Any) -> Any:
    """The nearest point of each bit's lattice that a picture can show."""
    import numpy as np

    offset = np.where(bits, 0.75, 0.25)
    found = (np.rint(values / STEP - offset) + offset) * STEP
    found = np.where(found > BRIGHTEST - STEP / 4, found - STEP, found)
    return np.where(found < 0, found + STEP, found)


def _blocks(near: Any) -> Any:
    """(n, 4, 4) float64, row by row; what is left over at the right and below holds nothing."""
    import numpy as np

    rows, columns = near.shape[0] // SIDE, near.shape[1] // SIDE
    whole = near[: rows * SIDE, : columns * SIDE].astype(np.float64)
    return whole.reshape(rows, SIDE, columns, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE)


def _which(count: int) -> Any:
    """The bit that each block holds: spread over the picture, each as often as the next."""
    import numpy as np

    return np.random.default_rng(SEED).permutation(count) % BITS


def _near(luma: Any) -> Any:
    """The approximation band of a Haar wavelet; of an odd number of rows or columns, the last one is said twice."""
    import numpy as np

    even = np.pad(luma, ((0, luma.shape[0] % 2), (0, luma.shape[1] % 2)), mode="edge").astype(np.float64)
    return (even[::2, ::2] + even[::2, 1::2] + even[1::2, ::2] + even[1::2, 1::2]) / 2
