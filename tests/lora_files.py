"""LoRA files as other programs write them, at toy size, from real diffusers and peft classes.

kohya      names and alpha as in kohya-ss/sd-scripts networks/lora.py: prefix, module and child joined by dots, dots to
           underscores; lora_down, lora_up, and alpha as a scalar tensor
diffusers  StableDiffusionPipeline.save_lora_weights
peft       PeftModel.save_pretrained
None is written by our exporter. Alpha is never the rank.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

RANK, ALPHA = 4, 2.0
UNET_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.2"]
TEXT_TARGETS = ["q_proj", "fc1"]


def parts(toy: Path) -> tuple[Any, Any]:
    """(UNet, text encoder) of the toy base, without an adapter."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(toy / "unet", use_safetensors=True, local_files_only=True)
    return unet, CLIPTextModel.from_pretrained(toy / "text_encoder", use_safetensors=True, local_files_only=True)


def adapted(model: Any, targets: list[str], rank: int = RANK, alpha: float = ALPHA) -> Any:
    """The model with LoRA matrices of random values."""
    import torch
    from peft import LoraConfig

    torch.manual_seed(3)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights=False)
    if hasattr(model, "add_adapter"):
        model.add_adapter(config, adapter_name="default")
    return model


def pairs(model: Any) -> dict[str, tuple[Any, Any]]:
    """module -> (first half, second half)."""
    return {
        name: (layer.lora_A["default"].weight.detach().clone(), layer.lora_B["default"].weight.detach().clone())
        for name, layer in model.named_modules()
        if hasattr(layer, "lora_A") and "default" in getattr(layer, "lora_A", {})
    }


def kohya(toy: Path, file: Path, metadata: dict[str, str] | None = None, text: bool = True) -> Path:
    """As sd-scripts saves a LoRA of UNet and text encoder, in half precision."""
    import torch
    from safetensors.torch import save_file

    unet, encoder = parts(toy)
    state = {}
    models = [
        ("lora_unet", adapted(unet, UNET_TARGETS), ""),
        ("lora_te", adapted(encoder, TEXT_TARGETS), "text_model."),
    ]
    for prefix, model, level in models if text else models[:1]:
        for module, (down, up) in pairs(model).items():
            name = f"{prefix}.{level}{module}".replace(".", "_")
            state[f"{name}.lora_down.weight"] = down.half()
            state[f"{name}.lora_up.weight"] = up.half()
            state[f"{name}.alpha"] = torch.tensor(ALPHA).half()
    save_file(state, file, metadata=metadata or {"ss_network_dim": str(RANK), "ss_network_alpha": str(ALPHA)})
    return file


def diffusers(toy: Path, folder: Path, with_alpha: bool = True) -> Path:
    """As diffusers' own training scripts save a LoRA; without its metadata the alpha is lost."""
    from diffusers import StableDiffusionPipeline
    from diffusers.training_utils import _collate_lora_metadata
    from peft import get_peft_model_state_dict

    unet = adapted(parts(toy)[0], UNET_TARGETS)
    told = _collate_lora_metadata({"unet": unet}) if with_alpha else {}
    StableDiffusionPipeline.save_lora_weights(
        folder, unet_lora_layers=get_peft_model_state_dict(unet), weight_name="d.safetensors", **told
    )
    return folder / "d.safetensors"


def peft(toy: Path, folder: Path) -> Path:
    """As peft saves an adapter: adapter_model.safetensors with adapter_config.json beside it."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=UNET_TARGETS, init_lora_weights=False)
    get_peft_model(parts(toy)[0], config).save_pretrained(folder)
    return folder / "adapter_model.safetensors"
