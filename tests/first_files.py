"""Single files as the first programs wrote them, made from a toy's diffusers folder.

The names are those of CompVis/stable-diffusion and Stability-AI/generative-models checkpoints, as huggingface/diffusers
lists them in scripts/convert_diffusers_to_original_stable_diffusion.py and ..._sdxl.py. What reads them in the tests is
diffusers' own converter. Transformers have the names that the families' files tell; that diffusers reads them as what
they are is a test of its own.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from synthgen import bases, ldm_names
from synthgen.bases import _one_file

VAE = [("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"), ("mid_block.attentions.0.", "mid.attn_1.")]
ATTENTION = [("group_norm.", "norm."), ("to_q.", "q."), ("to_k.", "k."), ("to_v.", "v."), ("to_out.0.", "proj_out.")]
CLIP = [
    ("text_model.embeddings.token_embedding", "token_embedding"), ("text_model.final_layer_norm", "ln_final"),
    ("text_model.encoder.layers.", "transformer.resblocks."), (".layer_norm1", ".ln_1"), (".layer_norm2", ".ln_2"),
    (".self_attn.out_proj", ".attn.out_proj"), (".mlp.fc1", ".mlp.c_fc"), (".mlp.fc2", ".mlp.c_proj"),
]  # fmt: skip


def write(folder: Path, file: Path, double: bool = False) -> Path:
    """FILE with the weights of a toy, and beside it a folder of its name with the settings."""
    from safetensors.torch import load_file, save_file

    def part(name: str) -> dict[str, Any]:
        return {key: value for path in (folder / name).glob("*.safetensors") for key, value in load_file(path).items()}

    starts = ldm_names.blocks(json.loads((folder / "unet" / "config.json").read_text()))
    state: dict[str, Any] = {}
    for key, value in part("unet").items():
        module, _, kind = key.rpartition(".")
        state[f"model.diffusion_model.{ldm_names.of_unet(module, starts)}.{kind}"] = value
    for key, value in part("vae").items():
        state[f"first_stage_model.{vae(key)}"] = value[:, :, None, None] if _projects(key) else value
    first = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in part("text_encoder").items()}
    place = "conditioner.embedders.0.transformer" if double else "cond_stage_model.transformer"
    state |= {f"{place}.{key}": value for key, value in first.items()}
    if double:
        state |= {
            f"conditioner.embedders.1.model.{key}": value for key, value in open_clip(part("text_encoder_2")).items()
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous().clone() for key, value in state.items()}, file)
    for source in folder.rglob("*"):
        if source.suffix in (".json", ".txt"):
            target = file.with_suffix("") / source.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return file


def write_transformer(folder: Path, file: Path, start: str = "") -> Path:
    """FILE with the transformer of a toy, and beside it a folder of its name with all else."""
    from safetensors.torch import load_file, save_file

    values: dict[str, Any] = {}
    for path in sorted((folder / "transformer").glob("*.safetensors")):
        values |= load_file(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    first = first_names(bases.find(str(folder))[0], values, {key: tuple(one.shape) for key, one in values.items()})
    save_file({f"{start}{key}": value for key, value in first.items()}, file)
    shutil.copytree(
        folder, file.with_suffix(""), ignore=lambda at, names: WITHOUT if Path(at).name == "transformer" else []
    )
    return file


WITHOUT = ["diffusion_pytorch_model.safetensors"]


def first_names(family: Any, values: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """A transformer's tensors under the names of the family's first program, in which norms have a `scale`.

    shapes  of the tensors where the values are narrower ones
    """
    import torch

    made = {}
    for piece in _one_file.pieces(family.FIRST, shapes, ()):
        value = torch.cat([values[target] for target in piece.targets])
        value = torch.cat(value.chunk(2)[::-1]) if piece.turned else value
        made[re.sub(r"(query|key)_norm\.weight$", r"\1_norm.scale", piece.name)] = value.contiguous().clone()
    return made


def _projects(key: str) -> bool:
    return "attentions" in key and key.endswith("weight") and "group_norm" not in key


def vae(key: str) -> str:
    if "attentions" in key:
        for theirs, first in ATTENTION:
            key = key.replace(theirs, first)
    for theirs, first in VAE:
        key = key.replace(theirs, first)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", key)
    key = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda found: f"up.{3 - int(found[1])}.block.", key)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{3 - int(found[1])}.upsample", key)


def open_clip(state: dict[str, Any]) -> dict[str, Any]:
    """Query, key and value in one matrix, and the projection turned."""
    import torch

    made = {"text_projection": state.pop("text_projection.weight").T, "logit_scale": torch.tensor(1.0),
            "positional_embedding": state.pop("text_model.embeddings.position_embedding.weight")}  # fmt: skip
    for key in [key for key in state if ".self_attn.q_proj." in key]:
        three = [state.pop(key.replace("q_proj", f"{one}_proj")) for one in "qkv"]
        layer = key.split(".")[3]
        made[f"transformer.resblocks.{layer}.attn.in_proj_{key.rpartition('.')[2]}"] = torch.cat(three)
    for key, value in state.items():
        for theirs, first in CLIP:
            key = key.replace(theirs, first)
        made[key] = value
    return made
