"""The names that Stable Diffusion's first program gave to modules, which web UIs, kohya and single files still use.

    diffusers                                 first program
    down_blocks.1.attentions.0                input_blocks.4.1
    mid_block.resnets.0                       middle_block.0
    up_blocks.0.upsamplers.0.conv             output_blocks.2.2.conv

They follow from how many blocks and layers a UNet's configuration has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

RESIDUAL = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip

_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.")


def blocks(unet: Mapping[str, Any]) -> dict[str, str]:
    """Start of a module's name in diffusers -> its start in the first program, for the UNet of this configuration."""
    levels = len(unet["block_out_channels"])
    layers = unet.get("layers_per_block", 2)
    down, up = unet["down_block_types"], unet["up_block_types"]
    found = {"mid_block.attentions.0": "middle_block.1"}
    found |= {f"mid_block.resnets.{number}": f"middle_block.{2 * number}" for number in range(2)}
    for level in range(levels):
        start = (layers + 1) * level
        for layer in range(layers):
            found[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{start + layer + 1}.0"
            if down[level].startswith("CrossAttn"):
                found[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{start + layer + 1}.1"
        for layer in range(layers + 1):
            found[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{start + layer}.0"
            if up[level].startswith("CrossAttn"):
                found[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{start + layer}.1"
        if level < levels - 1:
            found[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{start + layers + 1}.0.op"
            place = 2 if up[level].startswith("CrossAttn") else 1
            found[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{start + layers}.{place}.conv"
    return found


def structure(modules: Iterable[str]) -> dict[str, Any]:
    """What `blocks` wants to know, as far as the names of a UNet's modules tell it; {} where it has no blocks."""
    attending: dict[str, dict[int, bool]] = {"down": {}, "up": {}}
    layers = 0
    for module in modules:
        if found := _BLOCK.match(module):
            kind, level, inner, number = found[1], int(found[2]), found[3], int(found[4])
            attending[kind][level] = attending[kind].get(level, False) or inner == "attentions"
            layers = max(layers, number + 1) if (kind, inner) == ("down", "resnets") else layers
    levels = len(attending["down"])
    if not levels or not layers or len(attending["up"]) != levels:
        return {}
    kinds = {
        f"{kind}_block_types": ["CrossAttn" if told[level] else "" for level in sorted(told)]
        for kind, told in attending.items()
    }
    return {"block_out_channels": [0] * levels, "layers_per_block": layers, **kinds}


def of_unet(module: str, starts: Mapping[str, str]) -> str:
    """The first program's name of a UNet's module; `starts` from `blocks`. "" for a module that it does not have."""
    if module in ENDS:
        return ENDS[module]
    for theirs, first in starts.items():
        if module == theirs:
            return first
        if module.startswith(f"{theirs}."):
            inner = module.removeprefix(f"{theirs}.")
            return f"{first}.{RESIDUAL.get(inner, inner) if '.resnets.' in theirs else inner}"
    return ""
