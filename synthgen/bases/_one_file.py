"""A transformer in one file, as ComfyUI and the web UIs keep them: which of its tensors are which of diffusers'.

The file has the names of the family's first program, or those of diffusers, with "model.diffusion_model." before each
or without. All else of a pipeline comes from a diffusers folder of the family. Only `tensors` reads more than headers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import first_names, model_folder
from synthgen.model_folder import ModelFolder

START = "model.diffusion_model."
OTHERS = ("text_encoders.", "first_stage_model.", "vae.", "cond_stage_model.", "conditioner.")  # of a whole pipeline
IDLE = ("norm_final.weight",)  # in files of Z-Image, and nothing reads it; diffusers leaves it out too
SCALES = ("scale_weight", "weight_scale", "scale_input", "input_scale", "scaled_fp8", "comfy_quant")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Piece:
    """One tensor of the file and what it is in diffusers: one tensor, or several one below another."""

    name: str  # without START
    targets: tuple[str, ...]
    turned: bool = False  # its halves stand the other way round


def inner(names: Collection[str]) -> dict[str, str]:
    """Names of the transformer's tensors without START -> as they stand in the file."""
    started = {name.removeprefix(START): name for name in names if name.startswith(START)}
    return started or {name: name for name in names if not name.startswith(OTHERS)}


def wanted(folder: ModelFolder, part: str) -> dict[str, tuple[int, ...]]:
    """Tensor -> shape of a part of a folder: from its weights where they are there, else from its configuration."""
    if shapes := model_folder.headers(model_folder.weights(folder, part)):
        return shapes
    import diffusers
    import torch

    with torch.device("meta"):
        made = getattr(diffusers, folder.parts[part]).from_config(model_folder.config(folder.path, part))
    return {name: tuple(value.shape) for name, value in made.state_dict().items()}


def pieces(table: str, shapes: Shapes, held: Collection[str]) -> list[Piece]:
    """What of the file makes each tensor of these shapes, whether it is there or not.

    table  FIRST of the family
    held   names in the file, without START
    """
    if set(shapes) <= set(held):
        return [Piece(name, (name,)) for name in shapes]
    modules = {f".{module}" for name in shapes for module in (name, name.rpartition(".")[0])}
    found: list[Piece] = []
    for first, joint in first_names.of(table, modules, "").items():
        told = [module.removeprefix(".") for module in joint.modules]
        for end in (".weight", ".bias", ""):
            targets = tuple(f"{module}{end}" for module in told)
            if targets[0] in shapes:
                name = f"{first}.scale" if f"{first}.scale" in held else f"{first}{end}"
                found.append(Piece(name, targets, joint.turned and _doubles(shapes, told[0], joint.times[0])))
    known = {target for piece in found for target in piece.targets}
    return [*found, *(Piece(name, (name,)) for name in shapes if name not in known)]


def _doubles(shapes: Shapes, module: str, times: int) -> bool:
    rows, across = shapes.get(f"{module}.weight", (0, 1))[:2]
    return rows == times * across


def misfit(table: str, shapes: Shapes, tensors: Shapes) -> str:
    """What shows that a file with these tensors does not make a transformer of these shapes, or ""."""
    names = inner(tensors)
    if any(name.endswith(SCALES) for name in names):
        return "its weights are in 8 bits with scales of their own; wanted whole ones, and --memory 8bit or 4bit"
    made = pieces(table, shapes, names)
    if missing := sorted(piece.name for piece in made if piece.name not in names):
        return f"it has no {missing[0]}{_more(missing)}"
    if strange := sorted({*names} - {piece.name for piece in made} - {*IDLE}):
        return f"it has {strange[0]}{_more(strange)}, which that has no place for"
    for piece in made:
        parts = [shapes[target] for target in piece.targets]
        whole = (sum(part[0] for part in parts), *parts[0][1:]) if parts[0] else ()
        if (found := tensors[names[piece.name]]) != whole:
            return f"its {piece.name} is {_said(found)}, and that of the base is {_said(whole)}"
    return ""


def tensors(file: Path, table: str, shapes: Shapes, dtype: Any) -> dict[str, Any]:
    """The transformer's tensors by diffusers' names, of a file that is no misfit."""
    import torch
    from safetensors import safe_open

    found: dict[str, Any] = {}
    with safe_open(file, "pt") as held:
        names = inner(held.keys())
        for piece in pieces(table, shapes, names):
            value = held.get_tensor(names[piece.name])
            value = value.to(dtype) if value.is_floating_point() else value
            if piece.turned:
                value = torch.cat(value.chunk(2)[::-1])
            rows = [shapes[target][0] for target in piece.targets] if value.dim() else [1]
            split = value.split(rows) if len(rows) > 1 else (value,)
            found |= {target: part.contiguous() for target, part in zip(piece.targets, split, strict=True)}
    return found


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} others" if len(names) > 1 else ""


def _said(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
