"""What a picture looks like in 256 bits: much the same when saved again or scaled, not when cropped or turned."""

from __future__ import annotations

from typing import Any

SIDE = 16  # bits a side
# Of 256. Measured by benchmarks/marks.py: saving again and scaling change fewer, another picture nearly always more.
NEAR = 40


def perceptual_hash(pixels: Any) -> str:
    """64 hexadecimal digits: the signs of the lowest 16 x 16 frequencies around their median.

    pixels  (h, w, 3) uint8 sRGB
    Source: imagehash.phash.
    """
    import imagehash
    from PIL import Image

    grey = Image.fromarray(pixels, "RGB").convert("L")
    factor = max(1, min(grey.size) // (8 * SIDE))  # shrunk by whole pixels first, which is the cheaper half
    return str(imagehash.phash(grey.reduce(factor) if factor > 1 else grey, hash_size=SIDE))


def distance(one: str, other: str) -> int:
    """Bits in which two hashes differ, 0 to 256."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
