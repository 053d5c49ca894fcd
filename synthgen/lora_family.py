"""Which family of base models a LoRA was made for, by its modules and widths alone.

The table is that of the project's research note on adapter identity, which read it from diffusers'
single_file_utils and the published configurations; rows marked second-hand there were not checked against weights.
A family is named only where exactly one row fits; what could be two families is told as both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from synthgen.lora import Lora

UNKNOWN = "unknown"
CROSS_ATTENTION = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}  # in-width of attn2.to_k
_CROSS = re.compile(r"attn2[._](processor[._])?to_k$")
_KINDS = "double_blocks|single_blocks|single_transformer_blocks|transformer_blocks|joint_blocks|layers"
_BLOCK = re.compile(rf"(?:^|[._])({_KINDS})[._](\d+)[._]")
_DOUBLE, _SINGLE = ("double_blocks", "transformer_blocks"), ("single_blocks", "single_transformer_blocks")


@dataclass(frozen=True)
class Transformer:
    """A family without a UNet: how many blocks of each kind, how wide."""

    name: str
    width: int
    double: int
    single: int = 0
    words: tuple[str, ...] = _DOUBLE


TRANSFORMERS = (
    Transformer("flux-1", 3072, 19, 38),
    Transformer("flux-2-dev", 6144, 8, 48),
    Transformer("flux-2-klein-9b", 4096, 8, 24),
    Transformer("flux-2-klein-4b", 3072, 5, 20),
    Transformer("sd3-medium", 1536, 24, words=("joint_blocks", "transformer_blocks")),
    Transformer("sd3.5-large", 2432, 38, words=("joint_blocks", "transformer_blocks")),
    Transformer("qwen-image", 3072, 60, words=("transformer_blocks",)),
    Transformer("z-image", 3840, 30, words=("layers",)),
)


def family(lora: Lora) -> str:
    """The name of the family, "unknown", or "unknown: a or b" where the tensors do not tell two apart."""
    cross = {lora.reach(part)[1] for part in lora.parts if _CROSS.search(part.module)}
    if cross:
        return CROSS_ATTENTION.get(cross.pop(), UNKNOWN) if len(cross) == 1 else UNKNOWN
    blocks: dict[str, int] = {}
    widths: set[int] = set()
    for part in lora.parts:
        if found := _BLOCK.search(part.module):
            blocks[found[1]] = max(blocks.get(found[1], 0), int(found[2]) + 1)
            widths |= set(lora.reach(part))
    fitting = [row.name for row in TRANSFORMERS if _fits(row, blocks, widths)]
    return fitting[0] if len(fitting) == 1 else (f"{UNKNOWN}: {' or '.join(fitting)}" if fitting else UNKNOWN)


def _fits(row: Transformer, blocks: dict[str, int], widths: set[int]) -> bool:
    kinds = {*row.words, *(_SINGLE if row.single else ())}
    if not blocks or not set(blocks) <= kinds or row.width not in widths:
        return False
    return all(count <= (row.single if kind in _SINGLE else row.double) for kind, count in blocks.items())
