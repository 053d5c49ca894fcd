"""LoRA pairs of modules that the first program of a transformer has as one matrix: taken apart, and put together.

    apart     down (r, in), up (q + k + v, r)      each of q, k, v: the same down, its own rows of up
    together  q, k, v with down (r, in) each       down (3 r, in), up with their blocks on its diagonal, alpha 3 times
              ... of one down, as taken apart      down (r, in), up one below another: the file that it came from

Both keep the change of every weight and its strength, and no value is calculated anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from synthgen import first_names, lora_names
from synthgen.errors import RequestError
from synthgen.first_names import Joint
from synthgen.lora import Lora, Pair
from synthgen.tensor_file import ITEM_BYTES

Tensor = tuple[str, tuple[int, ...], bytes]  # dtype, shape, raw bytes
PART = "transformer"
DOTTED = ("diffusion_model.", f"{PART}.", f"base_model.model.{PART}.", "base_model.model.", "")


def apart(lora: Lora, places: Mapping[str, tuple[int, ...]], table: str) -> Lora:
    """The same with a pair for each module of the base, where the file has one for several, or calls it by its first
    name. Pairs that the table does not know, or whose widths are not the base's, stay as they are.

    table  the family's, see first_names
    """
    known = _spelled(first_names.of(table, places, PART)) if table else {}
    pairs: list[Pair] = []
    for pair in lora.pairs:
        joint = known.get(pair.module)
        pairs += (joint and _split(lora, pair, joint, places)) or [pair]
    return replace(lora, pairs=tuple(pairs))


def _spelled(joints: Mapping[str, Joint]) -> dict[str, Joint]:
    """Every spelling of a first name in files: kohya's, ai-toolkit's, and OneTrainer's, which numbers the modules."""
    found = {}
    for first, joint in joints.items():
        found[lora_names.of_place(f"{PART}.{first}")] = joint
        found |= {f"{start}{first}": joint for start in DOTTED}
        if len(joint.modules) > 1:
            for number, module in enumerate(joint.modules):
                one = Joint((module,), (joint.times[number],))
                found |= {f"{start}{first}.{number}": one for start in DOTTED}
    return found


def _split(lora: Lora, pair: Pair, joint: Joint, places: Mapping[str, tuple[int, ...]]) -> list[Pair]:
    """A pair for each module; none where widths differ, or DoRA's magnitudes would have to be split too."""
    down, shape = lora.shapes(pair)
    turned = joint.turned and shape[0] == joint.times[0] * down[1]
    if len(joint.modules) == 1 and not turned:
        return [replace(pair, module=joint.modules[0])]
    if pair.magnitude or len(shape) != 2 or not {*joint.modules} <= {*places}:
        return []
    if turned:
        half = shape[0] // 2
        return [replace(pair, module=joint.modules[0], rows=((half, 2 * half), (0, half)))]
    found, top = [], 0
    for module in joint.modules:
        found.append(replace(pair, module=module, rows=((top, top + places[module][0]),)))
        top += places[module][0]
    return found if top == shape[0] else []


@dataclass(frozen=True)
class Written:
    """One module as kohya's layout has it."""

    name: str
    down: Tensor
    up: Tensor
    alpha: float


def together(
    lora: Lora, held: Mapping[str, Tensor], alphas: Mapping[str, float], table: str, two: bool
) -> Iterator[Written]:
    """The modules of a LoRA in diffusers' names as kohya's layout has them, under the first program's names.

    held  name -> tensor, all that its file holds
    two   whether the base has two text encoders of CLIP
    Raises RequestError where modules that are one matrix there have different strengths.
    """
    pairs = {pair.module: pair for pair in lora.pairs}
    joints = first_names.of(table, pairs, PART) if table else {}
    done: set[str] = set()
    for first, joint in joints.items():
        name = lora_names.of_place(f"{PART}.{first}")
        done |= {*joint.modules}
        parts = [pairs.get(module) for module in joint.modules]
        strengths = {alphas[part.module] / part.rank for part in parts if part}
        kinds = {held[name][0] for part in parts if part for name in (part.down, part.up)}
        if len(strengths) > 1 or len(kinds) > 1:
            named = ", ".join(part.module for part in parts if part)
            found = f"{', '.join(sorted(kinds))} at strength {', '.join(f'{one:g}' for one in sorted(strengths))}"
            raise RequestError(
                f"in kohya's layout {named} are one matrix, and here they are of {found}. Say --format diffusers. "
                "Nothing was written."
            )
        down, up = _joined([(held[part.down], held[part.up]) if part else None for part in parts], joint)
        yield Written(name, down, up, strengths.pop() * down[1][0])
    for module, pair in pairs.items():
        if module not in done:
            yield Written(lora_names.of_place(module, two), held[pair.down], held[pair.up], alphas[module])


def _joined(parts: Sequence[tuple[Tensor, Tensor] | None], joint: Joint) -> tuple[Tensor, Tensor]:
    """(down, up) of one matrix; a module that the adapter leaves alone has rows of zeros."""
    there = [part for part in parts if part]
    if len(parts) == 1:
        down, up = there[0]
        turned = joint.turned and up[1][0] == joint.times[0] * down[1][1]
        return down, _turned(up) if turned else up
    heights = [
        part[1][1][0] if part else there[0][0][1][1] * times for part, times in zip(parts, joint.times, strict=True)
    ]
    downs = [part[0] for part in there]
    same = all(down == downs[0] for down in downs)  # as `apart` left them
    rank = downs[0][1][0] if same else sum(down[1][0] for down in downs)
    dtype, rows, left = there[0][1][0], [], 0
    size = ITEM_BYTES[dtype]
    for part, height in zip(parts, heights, strict=True):
        if part is None:
            rows.append(bytes(height * rank * size))
            continue
        _, (_, own), raw = part[1]
        before, after = bytes(left * size), bytes((rank - left - own) * size)
        step = own * size
        rows += [before + raw[at : at + step] + after for at in range(0, height * step, step)]
        left += 0 if same else own
    down = downs[0] if same else (downs[0][0], (rank, *downs[0][1][1:]), b"".join(one[2] for one in downs))
    return down, (dtype, (sum(heights), rank), b"".join(rows))


def _turned(tensor: Tensor) -> Tensor:
    """The same with its halves exchanged."""
    dtype, shape, raw = tensor
    half = len(raw) // 2
    return dtype, shape, raw[half:] + raw[:half]
