"""LoKr and OFT, the kin of LoRA: which tensors of a file make up the change of each module.

    kind   tensors of a module                      what its weight becomes
    lokr   lokr_w1, lokr_w2, or factors _a and _b   weight + alpha / rank x the Kronecker product of w1 and w2
    oft    oft_R.weight (blocks, angles)            its inputs turned, block by block, by a rotation of that many angles

Source: peft tuners/lokr/layer.py and tuners/oft/layer.py. Nothing here loads torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen.errors import UnfitAdapter
from synthgen.tensor_file import FLOATS, Tensors

NAMES = re.compile(r"^(?P<module>.+)\.(?P<role>lokr_w[12](?:_[ab])?|oft_R\.weight)$")
IDLE = {  # options of peft that do not change what the tensors mean
    "peft_type", "peft_version", "task_type", "r", "alpha", "target_modules", "exclude_modules", "layers_to_transform",
    "layers_pattern", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "init_weights",
    "module_dropout", "rank_dropout", "rank_dropout_scale", "decompose_both", "decompose_factor", "oft_block_size",
    "eps", "num_cayley_neumann_terms",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """The tensors that change one module, as the file names them."""

    module: str
    kind: str  # "lokr" or "oft"
    names: Mapping[str, str]  # role, such as "lokr_w1" -> name of the tensor
    shapes: Mapping[str, tuple[int, ...]]  # role -> shape
    rank: int  # of LoKr that of its factors, or the longest side of a whole w2; of OFT the side of a block

    def misfit(self, weight: tuple[int, ...]) -> str:
        """What is wrong with the block at a weight of shape (out, in, ...), or ""."""
        outs, ins = weight[0], math.prod(weight[1:])
        found = self.reach
        if found == (outs if self.kind == "lokr" else 0, ins):
            return ""
        shown = f"{found[0]} x {found[1]}" if self.kind == "lokr" else f"{found[1]} inputs"
        wanted = f"{outs} x {ins}" if self.kind == "lokr" else f"{ins} inputs"
        return f"is for {shown}, wanted {wanted}"

    @property
    def reach(self) -> tuple[int, int]:
        """(outputs, inputs) of the weight that it changes; 0 outputs where it does not depend on them."""
        if self.kind == "oft":
            return 0, self.shapes["oft_R.weight"][0] * self.rank
        (a, c), (b, d) = self._side("lokr_w1"), self._side("lokr_w2")
        return a * b, c * d

    def _side(self, role: str) -> tuple[int, int]:
        if role in self.shapes:
            return self.shapes[role][0], math.prod(self.shapes[role][1:])
        return self.shapes[f"{role}_a"][0], self.shapes[f"{role}_b"][1]


def blocks(path: Path, tensors: Tensors) -> tuple[Block, ...]:
    """The LoKr or OFT blocks of a file, by module; none in a LoRA.

    Raises UnfitAdapter for a block that lacks a part, for parts that do not fit one another, and for two kinds at once.
    """
    found: dict[str, dict[str, str]] = {}
    for name in tensors:
        if match := NAMES.match(name):
            found.setdefault(match["module"], {})[match["role"]] = name
    made = tuple(_block(path, tensors, module, names) for module, names in sorted(found.items()))
    kinds = {block.kind for block in made}
    if len(kinds) > 1:
        raise UnfitAdapter(f"{path} holds LoKr and OFT at once; one file is one kind. Nothing was loaded.")
    return made


def _block(path: Path, tensors: Tensors, module: str, names: dict[str, str]) -> Block:
    shapes = {role: tensors[name][1] for role, name in names.items()}

    def want(good: bool, found: str) -> None:
        if not good:
            raise UnfitAdapter(f"{path} is not a sound adapter file: '{module}' {found}. Nothing was loaded.")

    want(all(tensors[name][0] in FLOATS for name in names.values()), "holds other values than floats")
    if "oft_R.weight" in names:
        want(len(names) == 1, "is OFT and LoKr at once")
        return Block(module, "oft", names, shapes, _turned(shapes["oft_R.weight"], want))
    ranks = {_halves(role, shapes, want) for role in ("lokr_w1", "lokr_w2")} - {0}
    want(len(ranks) < 2, "has factors of two ranks")
    return Block(module, "lokr", names, shapes, ranks.pop() if ranks else max(shapes["lokr_w2"]))


def _turned(shape: tuple[int, ...], want: Callable[[bool, str], None]) -> int:
    """The side of the blocks that are turned by so many angles."""
    want(len(shape) == 2, f"has angles of shape {shape}; wanted (blocks, angles)")
    side = (1 + math.isqrt(1 + 8 * shape[1])) // 2
    want(side * (side - 1) // 2 == shape[1], f"has {shape[1]} angles for a block, which no rotation has")
    return side


def _halves(role: str, shapes: Mapping[str, tuple[int, ...]], want: Callable[[bool, str], None]) -> int:
    """The rank of a matrix that is kept as two factors; 0 for one that is kept whole."""
    whole, first, second = (shapes.get(f"{role}{end}") for end in ("", "_a", "_b"))
    want((whole is None) == (first is not None) == (second is not None), f"has no whole '{role}'")
    if whole is not None:
        want(len(whole) == 2 or (role == "lokr_w2" and len(whole) == 4), f"has a '{role}' of shape {whole}")
        return 0
    assert first is not None and second is not None
    want(len(first) == len(second) == 2 and first[1] == second[0], f"has factors {first} and {second} of '{role}'")
    return first[1]


def alphas(found: tuple[Block, ...], config: Mapping[str, Any] | None, where: Path) -> dict[str, float]:
    """module -> alpha; its strength is alpha / rank. OFT has none: its strength is 1.

    config  what peft's configuration says of the file, or None where there is none
    Raises UnfitAdapter for a configuration under which the tensors mean something else.
    """

    def want(good: bool, told: str) -> None:
        if not good:
            raise UnfitAdapter(f"{where}: {told}. Nothing was loaded.")

    told = config or {}
    empty: tuple[Any, ...] = (None, False, "none", [], {}, "")
    strange = sorted(key for key, value in told.items() if key not in IDLE and value not in empty)
    want(not strange, f"its configuration sets {', '.join(strange[:5])}, which is not read here")
    if found[0].kind == "oft":
        want(told.get("use_cayley_neumann") is False, "it does not say that its angles make exact rotations "
             "(use_cayley_neumann false), so what it does is not known")  # fmt: skip
        return {block.module: float(block.rank) for block in found}
    if config is None:
        return {block.module: float(block.rank) for block in found}
    rank, alpha = told.get("r"), told.get("alpha")
    numbers = [value for value in (rank, alpha) if isinstance(value, int | float) and not isinstance(value, bool)]
    want(len(numbers) == 2 and min(numbers) > 0, f"its configuration has r {rank!r} and alpha {alpha!r}")
    assert rank is not None and alpha is not None
    for block in found:
        factored = any(role.endswith("_a") for role in block.names)
        want(not factored or block.rank == rank, f"'{block.module}' has rank {block.rank} by its tensors and {rank} by "
             "its configuration")  # fmt: skip
    return {block.module: float(alpha) / float(rank) * block.rank for block in found}
