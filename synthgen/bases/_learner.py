"""A base with an adapter in training: put on, switched, taken off again, and saved as unmodified diffusers loads it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from synthgen import adapter_methods, tensor_file
from synthgen.adapters import WEIGHTS
from synthgen.errors import SynthgenError
from synthgen.memory_modes import Mode


class Learner:
    """What training an adapter needs of a base, which says the rest."""

    family: Any
    parts: Any
    mode: Mode
    learning: tuple[str, ...]  # parts that an adapter in training is on

    @property
    def denoiser(self) -> Any:
        """The network that an adapter is trained on."""
        return getattr(self.parts, self.family.DENOISER)

    def models(self) -> list[Any]:
        """Every part with weights."""
        import torch

        return [part for part in self.parts.components.values() if isinstance(part, torch.nn.Module)]

    def add_adapter(
        self, rank: int, alpha: float, method: str = "lora", targets: str = "all", text_encoder: bool = False
    ) -> dict[str, Any]:  # fmt: skip
        """Put a fresh adapter that changes nothing yet on the network; its trainable parameters by name.

        method        one of adapter_methods.NAMES
        targets       one of adapter_methods.TARGETS
        text_encoder  on the family's text encoders too; their parameters are named "text_encoder.NAME"
        """
        modules = self.family.modules(targets)
        with warnings.catch_warnings():  # OFT says of each module whose width its blocks do not divide that it adapts
            warnings.filterwarnings("ignore", message="Invalid `oft_block_size`")
            config = adapter_methods.config(method, rank, alpha, modules)
            self.denoiser.add_adapter(config, adapter_name="default")
        if self.mode.recompute:
            self.denoiser.enable_gradient_checkpointing()
            self.denoiser.train()  # the libraries recompute only then; no family has dropout
        if text_encoder:
            self._teach_reading(method, rank, alpha)
        found = {}
        for part in self.learning:
            for name, value in getattr(self.parts, part).named_parameters():
                if value.requires_grad:
                    value.data = value.data.float()  # small steps would be lost in bfloat16
                    found[name if part == self.family.DENOISER else f"{part}.{name}"] = value
        return found

    def _teach_reading(self, method: str, rank: int, alpha: float) -> None:
        """Put the adapter on the family's text encoders too."""
        for part in self.models():
            if part not in (self.denoiser, self.parts.vae):
                part.requires_grad_(False)  # of several text encoders not all learn
        here = [part for part in self.family.TEXT_PARTS if getattr(self.parts, part, None) is not None]
        for part in here:
            config = adapter_methods.config(method, rank, alpha, adapter_methods.OF_TEXT)
            getattr(self.parts, part).add_adapter(config, adapter_name="default")
            config.base_model_name_or_path = None  # transformers notes a path of this machine, and files would tell it
        self.learning = (self.family.DENOISER, *here)

    def drop_adapter(self) -> None:
        """Take the adapter in training off again: the network is the one that was loaded."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for part in self.learning:
            network = getattr(self.parts, part)
            for name, layer in list(network.named_modules()):
                if isinstance(layer, BaseTunerLayer):
                    above, _, last = name.rpartition(".")
                    setattr(network.get_submodule(above), last, layer.get_base_layer())
            network._hf_peft_config_loaded = False
            if hasattr(network, "peft_config"):
                del network.peft_config
        for value in (value for one in self.models() for value in one.parameters()):
            value.requires_grad_(value.is_floating_point())
        self.learning = (self.family.DENOISER,)

    def use_adapter(self, used: bool) -> None:
        """Switch the adapter in training on or off."""
        for part in self.learning:
            network = getattr(self.parts, part)
            (network.enable_adapters if used else network.disable_adapters)()

    def save_adapter(self, folder: Path) -> Path:
        """Write the LoRA so that unmodified diffusers loads it, alpha included in its metadata."""
        from diffusers.training_utils import _collate_lora_metadata
        from safetensors import SafetensorError

        parts = {name: getattr(self.parts, name) for name in self.learning}
        layers = {f"{name}_lora_layers": _named(part) for name, part in parts.items()}
        try:
            type(self.parts).save_lora_weights(
                folder, weight_name=WEIGHTS, safe_serialization=True, **layers,
                **_collate_lora_metadata(parts),
            )  # fmt: skip
            tensor_file.write_canonical(folder / WEIGHTS, self.family.MODELSPEC)
        except (SafetensorError, OSError) as error:
            raise SynthgenError(
                f"{folder / WEIGHTS} cannot be written: {error}. The last checkpoint is kept."
            ) from error
        return folder / WEIGHTS


def _named(part: Any) -> dict[str, Any]:
    """The tensors of a part's adapter, named as every version of the libraries reads them.

    Transformers 5 has CLIP's level `text_model` no more; readers of now leave it out, older ones want it.
    """
    from peft import get_peft_model_state_dict

    found = get_peft_model_state_dict(part, adapter_name="default")
    flat = type(part).__name__ == "CLIPTextModel" and not hasattr(part, "text_model")
    return {f"text_model.{name}": value for name, value in found.items()} if flat else dict(found)
