"""What an adapter's tensors add to a weight, for every kind of adapter that is read.

Strength weighs the whole change: at 0 a weight is as it was, at 1 as the adapter was trained, and changes of several
adapters add up. Of DoRA and OFT this is the line between the two; their own libraries scale within, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthgen.lora import Pair
from synthgen.lora_kin import Block


def of(part: Pair | Block, held: Mapping[str, Any], plain: Any, alpha: float, strength: float) -> Any:
    """What is added to a weight of shape (out, in, ...), float32, of that shape.

    held   tensors of the file by name
    plain  the weight as it was loaded, before any adapter
    """
    if isinstance(part, Block):
        change = (_kron if part.kind == "lokr" else _turned)(part, held, plain, alpha)
        return strength * change.reshape(plain.shape)
    low = held[part.up].float().flatten(1) @ held[part.down].float().flatten(1)
    if not part.magnitude:
        return (strength * alpha / part.rank * low).reshape(plain.shape)
    return strength * _resized(plain, alpha / part.rank * low, held[part.magnitude]).reshape(plain.shape)


def _resized(plain: Any, low: Any, magnitude: Any) -> Any:
    """DoRA: each row of weight and low-rank change is brought to the length that was learned (arXiv:2402.09353)."""
    import torch

    before = plain.float().cpu().flatten(1)
    after = before + low
    length = torch.linalg.norm(after, dim=1, keepdim=True)
    return magnitude.float().reshape(-1, 1) / length * after - before


def _kron(block: Block, held: Mapping[str, Any], plain: Any, alpha: float) -> Any:
    """LoKr: alpha / rank x (w1 kron w2) (arXiv:2309.14859)."""
    import torch

    def whole(role: str) -> Any:
        if role in block.names:
            return held[block.names[role]].float().flatten(1)
        return held[block.names[f"{role}_a"]].float() @ held[block.names[f"{role}_b"]].float()

    return alpha / block.rank * torch.kron(whole("lokr_w1"), whole("lokr_w2"))


def _turned(block: Block, held: Mapping[str, Any], plain: Any, alpha: float) -> Any:
    """OFT: inputs turned block by block, by Cayley's map of a skew matrix (arXiv:2306.07280)."""
    import torch

    angles = held[block.names["oft_R.weight"]].float()
    skew = torch.zeros(len(angles), block.rank, block.rank)
    rows, columns = torch.triu_indices(block.rank, block.rank, 1)
    skew[:, rows, columns] = angles
    skew = skew - skew.transpose(1, 2)
    one = torch.eye(block.rank).expand_as(skew)
    turn = torch.linalg.solve(one + skew, one - skew, left=False)
    before = plain.float().cpu().flatten(1)
    parts = before.reshape(len(before), len(turn), block.rank)
    return torch.einsum("nbc,bkc->nbk", parts, turn).reshape(before.shape) - before
