"""How a base is held in memory, and how much it needs at the least. Loads nothing.

full     float32, as the unmodified pipelines draw to the last bit
half     bfloat16: half of it
lean     half, and training keeps a block's input only and computes the rest again; pictures are decoded in tiles
8bit     lean, and the weights of linear layers of the large networks are 8 bits; bitsandbytes holds them
4bit     the same in 4 bits: QLoRA
offload  lean, and a part that is not at work waits in main memory; needs an accelerator
group    lean, and every layer that is not at work waits there: the least memory, and the slowest
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
    layers: bool = False  # what waits is every layer, not every part
    bits: int = 0  # of a weight of a linear layer of a large network, 8 or 4; 0: `bytes`, like all others


MODES: Mapping[str, Mode] = {
    "full": Mode(4), "half": Mode(2), "lean": Mode(2, True, True), "8bit": Mode(2, True, True, bits=8),
    "4bit": Mode(2, True, True, bits=4), "offload": Mode(2, True, True, True),
    "group": Mode(2, True, True, True, layers=True),
}  # fmt: skip
# bytes of a weight in few bits; in 4: half a byte, a byte of scale for 64, and four for 256 of those
FEW_BITS: Mapping[int, float] = {8: 1.0, 4: 0.5 + 1 / 64 + 4 / (64 * 256)}


def at_least(
    mode: Mode, parameters: Mapping[str, int], adapter: int = 0, few: Mapping[int, int] | None = None, layer: int = 0
) -> int:  # fmt: skip
    """Bytes of weights, and of an adapter in training with so many numbers; what passes through comes on top.

    parameters  part -> how many; with offload only the largest part counts
    few         bits -> how many of them are held in so many, see base_needs.few
    layer       how many the largest layer has, which counts alone where layers wait
    """
    held = max(parameters.values(), default=0) if mode.offload else sum(parameters.values())
    held = layer if mode.layers else held
    told = few or {}
    small = sum(round(count * FEW_BITS[bits]) for bits, count in told.items())
    return (held - sum(told.values())) * mode.bytes + small + adapter * ADAPTER_BYTES


@dataclass(frozen=True)
class Held:
    """What stays in memory: the numbers of each part, of an adapter in training, and of those in few bits."""

    parameters: Mapping[str, int]
    adapter: int
    few: Mapping[int, int]
    layer: int = 0  # of the largest layer

    def bytes(self, mode: Mode, trains: bool = False) -> int:
        """How much that is."""
        return at_least(mode, self.parameters, self.adapter if trains else 0, self.few, self.layer)


DRAWS = 27.0  # tensors of a block's size that are alive at once while it draws; the most of any family
DECODES = 5.5  # the same of a decoder's widest level, at the size of the picture
READS = 24  # bytes for each pair of words and head while T5 reads: six tensors in float32


@dataclass(frozen=True)
class Passing:
    """Numbers that pass through a base for one picture, from its configuration; what they cost was measured on toys."""

    blocks: int  # places x width, summed over all blocks
    largest: int  # places x width of the largest block
    decoded: int = 0  # places x width of the decoder's widest level, at the size of the picture
    tile: int = 0  # the same for a tile
    read: int = 0  # pairs of words x heads, where T5 reads
    kept: float = 0.0  # tensors of its own size that a block keeps for its gradients
    at_work: float = 0.0  # the same while it is computed again, gradients included
    passes: int = 1  # at once, where pictures are drawn with guidance


def passing(mode: Mode, told: Passing, batch: int, trains: bool) -> int:
    """Bytes of what passes through at the most, in training or in drawing."""
    if trains and mode.recompute:
        return round(batch * mode.bytes * (told.blocks + told.at_work * told.largest))
    if trains:
        return round(batch * mode.bytes * told.kept * told.blocks)
    drawn = batch * mode.bytes * DRAWS * told.largest * told.passes
    decoded = batch * mode.bytes * DECODES * (min(told.tile, told.decoded) if mode.tiles else told.decoded)
    return round(max(drawn, decoded, batch * told.passes * READS * told.read))


def adapter_numbers(places: Mapping[str, tuple[int, ...]], targeted: list[str], rank: int) -> int:
    """How many numbers a LoRA of this rank has on these places: rank x (in + out) each."""
    return sum(rank * (places[name][0] + math.prod(places[name][1:])) for name in targeted)
