"""How a base is held in memory, and how much it needs at the least. Loads nothing.

full     float32, as the unmodified pipelines draw to the last bit
half     bfloat16: half of it
lean     half, and training keeps a block's input only and computes the rest again; pictures are decoded in tiles
offload  lean, and a part that is not at work waits in main memory; needs an accelerator
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

ADAPTER_BYTES = 16  # of a LoRA's number in training, all float32: itself, its gradient, and AdamW's two means


@dataclass(frozen=True)
class Mode:
    """One way to hold a base."""

    bytes: int  # of a weight
    recompute: bool = False
    tiles: bool = False
    offload: bool = False


MODES: Mapping[str, Mode] = {
    "full": Mode(4), "half": Mode(2), "lean": Mode(2, True, True), "offload": Mode(2, True, True, True),
}  # fmt: skip


def at_least(mode: Mode, parameters: Mapping[str, int], adapter: int = 0) -> int:
    """Bytes of weights, and of an adapter in training with so many numbers; what passes through comes on top.

    parameters  part -> how many; with offload only the largest part counts
    """
    held = max(parameters.values(), default=0) if mode.offload else sum(parameters.values())
    return held * mode.bytes + adapter * ADAPTER_BYTES


def adapter_numbers(places: Mapping[str, tuple[int, ...]], targeted: list[str], rank: int) -> int:
    """How many numbers a LoRA of this rank has on these places: rank x (in + out) each."""
    return sum(rank * (places[name][0] + math.prod(places[name][1:])) for name in targeted)
