"""The kinds of adapter that training offers, all from peft.

lora    two matrices for each module; they count by alpha / rank
rslora  the same, counted by alpha / root of the rank, so that a high rank learns no slower (arXiv:2312.03732)
dora    LoRA that learns the length of each row of the weight apart from its direction; slower (arXiv:2402.09353)
lokr    a Kronecker product of small matrices; a file a tenth of LoRA's or less (arXiv:2309.14859)
oft     turns what goes into a weight and leaves the weight's own proportions; no alpha (arXiv:2306.07280)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthgen.errors import RequestError, UnknownName

TARGETS = ("all", "attention")  # the family's own choice of modules; of these only the projections of attention
NAMES = ("lora", "rslora", "dora", "lokr", "oft")
BESIDE = ("lora", "rslora")  # those that stand beside a weight and need not read it
OF_TEXT = ("q_proj", "k_proj", "v_proj", "out_proj")  # modules of CLIP's text encoders, as diffusers' scripts choose
ON_TEXT = ("lora", "rslora")  # methods that text encoders learn by: every program reads them there
RATE = {"lokr": 10.0}  # of the base's rate for LoRA; on mini LoKr then learns as fast, and at 1 a quarter of that


def config(method: str, rank: int, alpha: float, targets: Sequence[str] | str) -> Any:
    """What peft is told.

    rank     of LoKr that of its factors, where a module is wide enough for any; of OFT the side of the blocks
    targets  names of modules, or one pattern
    Raises UnknownName.
    """
    import peft

    if method in ("lora", "rslora", "dora"):
        return peft.LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=targets, use_rslora=method == "rslora", use_dora=method == "dora"
        )
    if method == "lokr":
        return peft.LoKrConfig(r=rank, alpha=alpha, target_modules=targets)
    if method == "oft":  # exact rotations: what the file's angles mean must not depend on how a series was cut off
        return peft.OFTConfig(r=0, oft_block_size=rank, target_modules=targets, use_cayley_neumann=False)
    raise UnknownName("--method", method, NAMES)


def rate(method: str, base: float) -> float:
    """The learning rate of a method where nothing is said, of a base whose rate for LoRA is `base`."""
    return RATE.get(method, 1.0) * base


def require_alpha(method: str, rank: int, alpha: float) -> None:
    """Raises RequestError for an alpha that the method does not have, and for an OFT without an angle."""
    if method == "oft" and alpha and alpha != rank:
        raise RequestError(f"--alpha is {alpha:g}; --method oft turns weights and has no alpha. Leave it out.")
    if method == "oft" and rank < 2:
        raise RequestError(f"--rank is {rank}; of --method oft it is the side of the blocks that turn: 2 or more.")
