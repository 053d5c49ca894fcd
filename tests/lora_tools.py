"""LoRA files in the key layout that each tool publishes, for each family, at toy size.

Sources: kohya-ss/sd-scripts networks/lora.py, lora_sd3.py, lora_flux.py; kohya-ss/musubi-tuner networks/lora_flux_2.py,
lora_qwen_image.py, lora_zimage.py and convert_z_image_lora_to_comfy.py; ostris/ai-toolkit flux2_model.py, z_image.py,
qwen_image.py (convert_lora_weights_before_save); Nerogar/OneTrainer modules/util/convert/lora/convert_*_lora.py and
modules/modelSaver/*; bghira/SimpleTuner, which saves by diffusers' save_lora_weights; diffusers 0.42.1
loaders/lora_conversion_utils.py and single_file_utils.py. None is written by our exporter. Alpha is never the rank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RANK, ALPHA = 4, 2.0
TOOLS = ("kohya", "ai-toolkit", "OneTrainer", "SimpleTuner", "diffusers")
HALVES = "~"  # before a module whose halves stand the other way round

UNET = "down_blocks.1.attentions.0.transformer_blocks.0"
FIRST_UNET = "input_blocks.3.1.transformer_blocks.0"  # of two levels with one layer each
UNETS = {
    f"{FIRST_UNET}.attn1.to_q": (f"{UNET}.attn1.to_q",),
    f"{FIRST_UNET}.attn2.to_k": (f"{UNET}.attn2.to_k",),
    f"{FIRST_UNET}.ff.net.0.proj": (f"{UNET}.ff.net.0.proj",),
    "middle_block.1.proj_in": ("mid_block.attentions.0.proj_in",),
    "middle_block.1.transformer_blocks.0.attn1.to_out.0": (
        "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
    ),
}


def of_three(module: str, names: str = "to_q to_k to_v") -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


DOUBLE, SINGLE, WORDS = "transformer_blocks.1", "single_transformer_blocks.0", "add_q_proj add_k_proj add_v_proj"
FLUX_ATTENTION = {
    "double_blocks.1.img_attn.qkv": of_three(f"{DOUBLE}.attn"),
    "double_blocks.1.txt_attn.qkv": of_three(f"{DOUBLE}.attn", WORDS),
    "double_blocks.1.img_attn.proj": (f"{DOUBLE}.attn.to_out.0",),
    "double_blocks.1.txt_attn.proj": (f"{DOUBLE}.attn.to_add_out",),
}
# family -> the first program's name of a module -> what it is made of in diffusers, from top to bottom
MODULES: dict[str, dict[str, tuple[str, ...]]] = {
    "mini": UNETS, "sd15": UNETS, "sdxl": UNETS,
    "sd3": {
        "joint_blocks.0.x_block.attn.qkv": of_three("transformer_blocks.0.attn"),
        "joint_blocks.0.x_block.attn2.qkv": of_three("transformer_blocks.0.attn2"),
        "joint_blocks.1.context_block.attn.qkv": of_three("transformer_blocks.1.attn", WORDS),
        "joint_blocks.0.x_block.attn.proj": ("transformer_blocks.0.attn.to_out.0",),
        "joint_blocks.0.context_block.attn.proj": ("transformer_blocks.0.attn.to_add_out",),
        "joint_blocks.0.x_block.mlp.fc1": ("transformer_blocks.0.ff.net.0.proj",),
        "joint_blocks.0.context_block.mlp.fc2": ("transformer_blocks.0.ff_context.net.2",),
        "joint_blocks.0.context_block.adaLN_modulation.1": ("transformer_blocks.0.norm1_context.linear",),
        "joint_blocks.1.context_block.adaLN_modulation.1": (f"{HALVES}transformer_blocks.1.norm1_context.linear",),
    },
    "flux": {
        **FLUX_ATTENTION,
        "double_blocks.1.img_mlp.0": (f"{DOUBLE}.ff.net.0.proj",),
        "double_blocks.1.txt_mlp.2": (f"{DOUBLE}.ff_context.net.2",),
        "double_blocks.0.img_mod.lin": ("transformer_blocks.0.norm1.linear",),
        "single_blocks.0.linear1": (*of_three(f"{SINGLE}.attn"), f"{SINGLE}.proj_mlp"),
        "single_blocks.0.linear2": (f"{SINGLE}.proj_out",),
        "final_layer.adaLN_modulation.1": (f"{HALVES}norm_out.linear",),
    },
    "flux2": {
        **FLUX_ATTENTION,
        "double_blocks.1.img_mlp.0": (f"{DOUBLE}.ff.linear_in",),
        "double_blocks.1.txt_mlp.2": (f"{DOUBLE}.ff_context.linear_out",),
        "single_blocks.0.linear1": (f"{SINGLE}.attn.to_qkv_mlp_proj",),
        "single_blocks.0.linear2": (f"{SINGLE}.attn.to_out",),
    },
    "qwen_image": {
        name: (name,)
        for name in (*of_three("transformer_blocks.0.attn"), *of_three("transformer_blocks.1.attn", WORDS),
                     "transformer_blocks.0.attn.to_out.0", "transformer_blocks.0.attn.to_add_out",
                     "transformer_blocks.1.img_mlp.net.0.proj", "transformer_blocks.1.txt_mlp.net.2",
                     "transformer_blocks.1.img_mod.1")
    },
    "z_image": {
        "layers.0.attention.qkv": of_three("layers.0.attention"),
        "layers.0.attention.out": ("layers.0.attention.to_out.0",),
        "noise_refiner.0.attention.qkv": of_three("noise_refiner.0.attention"),
        "layers.1.feed_forward.w1": ("layers.1.feed_forward.w1",),
        "layers.1.feed_forward.w2": ("layers.1.feed_forward.w2",),
    },
}  # fmt: skip
# (family, tool) -> whether the first program's names stand in its files, and what begins them
KOHYA = {"mini": False, "sd15": False, "sdxl": True, "sd3": True, "flux": True, "flux2": True, "qwen_image": False,
         "z_image": False}  # fmt: skip
UNDERSCORED = {"sd3": "lora_transformer", "flux": "lora_transformer", "mini": "lora_unet", "sd15": "lora_unet",
               "sdxl": "lora_unet"}  # fmt: skip  # OneTrainer's older form; of later families it keeps diffusers' names


def names(family: str, tool: str) -> dict[str, tuple[str, ...]]:
    """Module as the tool calls it -> what it is made of in diffusers."""
    first = MODULES[family]
    own = {module.removeprefix(HALVES): (module.removeprefix(HALVES),) for told in first.values() for module in told}
    part = "unet" if first is UNETS else "transformer"
    if tool == "kohya":
        used = first if KOHYA[family] else own
        return {f"lora_unet_{name}".replace(".", "_"): made for name, made in used.items()}
    if tool == "comfyui":  # its generic names: those of the first program
        return {f"lora_unet_{name}".replace(".", "_"): made for name, made in first.items()}
    if tool in ("OneTrainer", "ai-toolkit") and first is UNETS:
        return {f"lora_unet_{name}".replace(".", "_"): made for name, made in own.items()}
    if tool == "OneTrainer" and family in UNDERSCORED:
        return {f"{UNDERSCORED[family]}_{name}".replace(".", "_"): made for name, made in own.items()}
    if tool == "ai-toolkit" and family in ("flux2", "qwen_image", "z_image"):
        used = first if family == "flux2" else own
        return {f"diffusion_model.{name}": made for name, made in used.items()}
    return {f"{part}.{name}": made for name, made in own.items()}


def write(
    file: Path, family: str, tool: str, places: Mapping[str, tuple[int, ...]], without: str = "none"
) -> dict[str, Any]:
    """Write a file as the tool does; place -> the change that it means for the weight there, float32.

    without  what a module's name must not hold
    """
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(3)
    part = "unet" if MODULES[family] is UNETS else "transformer"
    peft = tool in ("SimpleTuner", "diffusers") or (
        tool == "ai-toolkit" and "lora_unet" not in next(iter(names(family, tool)))
    )
    stated = not peft
    state, means, ranks = {}, {}, {}
    for name, made in names(family, tool).items():
        if without in name:
            continue
        bare = [module.removeprefix(HALVES) for module in made]
        shapes = [places[f"{part}.{module}"] for module in bare]
        down = torch.randn(RANK, *shapes[0][1:])
        up = torch.randn(sum(shape[0] for shape in shapes), RANK, *(1 for _ in shapes[0][2:]))
        scale = 1.0 if tool == "ai-toolkit" and peft else ALPHA / RANK
        change = (up.flatten(1) @ down.flatten(1)) * scale
        top = 0
        for module, shape in zip(made, shapes, strict=True):
            own = change[top : top + shape[0]]
            top += shape[0]
            own = torch.cat(own.chunk(2)[::-1]) if module.startswith(HALVES) else own
            means[f"{part}.{module.removeprefix(HALVES)}"] = own.reshape(shape)
        first, second = ("lora_A", "lora_B") if peft else ("lora_down", "lora_up")
        state[f"{name}.{first}.weight"], state[f"{name}.{second}.weight"] = down, up
        ranks[name.removeprefix(f"{part}.")] = RANK
        if stated:
            state[f"{name}.alpha"] = torch.tensor(ALPHA)
    config = {f"{part}.r": RANK, f"{part}.lora_alpha": ALPHA, f"{part}.target_modules": sorted(ranks)}
    told = {"lora_adapter_metadata": json.dumps(config)} if tool in ("SimpleTuner", "diffusers") else {}
    save_file(state, file, metadata={"format": "pt", **told})
    return means
