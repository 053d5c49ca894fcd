"""What the first programs of the transformers call their modules, which kohya, ai-toolkit and the web UIs still do.

A family has a table of lines, each a module's first name and what diffusers calls it. "#" stands for a number; several
modules in braces are one matrix there, theirs one below another; ":4" says that a module has four times as many outputs
as inputs (else as many); "~...:2" that, where it has twice as many, its halves stand the other way round.

    double_blocks.#.img_attn.qkv        transformer_blocks.#.attn.{to_q,to_k,to_v}
    single_blocks.#.linear1             single_transformer_blocks.#.{attn.to_q,attn.to_k,attn.to_v,proj_mlp:4}
    final_layer.adaLN_modulation.1      ~norm_out.linear:2
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Joint:
    """One module of the first program: the modules of diffusers that it is made of, from top to bottom."""

    modules: tuple[str, ...]
    times: tuple[int, ...]  # outputs of each, in inputs
    turned: bool = False  # its halves are exchanged where it has so many outputs


@cache
def table(text: str) -> Mapping[str, Joint]:
    """First name -> what it is made of, of a family's table. Names keep their "#"."""
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        first, told = line.split()
        start, brace, inner = told.removeprefix("~").partition("{")
        parts = [start + end for end in inner.removesuffix("}").split(",")] if brace else [start]
        split = [part.partition(":") for part in parts]
        times = tuple(int(many or 1) for _, _, many in split)
        found[first] = Joint(tuple(name for name, _, _ in split), times, told.startswith("~"))
    return found


def of(text: str, places: Iterable[str], part: str) -> dict[str, Joint]:
    """First name -> its modules as places ("transformer.MODULE"), numbers filled in, for a base with these places.

    part  the component before each module, such as "transformer"
    A name is there where any of its modules is: an adapter need not reach all of them.
    """
    modules = [place.removeprefix(f"{part}.") for place in places if place.startswith(f"{part}.")]
    found: dict[str, Joint] = {}
    for first, joint in table(text).items():
        patterns = [re.compile(re.escape(name).replace(r"\#", r"(\d+)")) for name in joint.modules]
        for module in modules:
            for match in filter(None, (pattern.fullmatch(module) for pattern in patterns)):
                number = match[1] if match.groups() else ""
                full = tuple(f"{part}.{name.replace('#', number)}" for name in joint.modules)
                found[first.replace("#", number)] = Joint(full, joint.times, joint.turned)
    return found
