"""What families with a flow transformer have in common: a straight flow, and an autoencoder that shifts and scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from synthgen import file_hash, model_folder
from synthgen.bases import _one_file
from synthgen.bases._family import Family, digest
from synthgen.bases._identity import Identity
from synthgen.bases._process import Flow
from synthgen.model_folder import ModelFolder

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
OF_WORDS = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")  # the same of the words, where they have their own


class FlowFamily(Family):
    """SD3, FLUX, Qwen-Image, Z-Image: patches of two by two latent places."""

    BATCH = 2
    SIGNS: ClassVar[tuple[str, ...]] = ()  # tensors by which a single file of its transformer is known

    def claims_file(self, tensors: Mapping[str, tuple[int, ...]]) -> bool:
        return bool(self.SIGNS) and {*self.SIGNS} <= {*_one_file.inner(tensors)}

    def misfit_file(self, tensors: Mapping[str, tuple[int, ...]], folder: ModelFolder) -> str:
        if bare := [part for part in self._others(folder) if not model_folder.weights(folder, part)]:
            return f"a file of a transformer brings no {' and no '.join(bare)}, and neither does the folder"
        return _one_file.misfit(self.FIRST, _one_file.wanted(folder, self.DENOISER), tensors)

    def _others(self, folder: ModelFolder) -> list[str]:
        """The parts with weights beside the transformer."""
        return [part for part in folder.parts if part == "vae" or part.startswith("text_encoder")]

    def identify_file(self, file: Path, settings: Path, controlnet: Path | None = None) -> Identity:
        """Name and hashes of a transformer in one file; `settings` is a folder with all else of a pipeline."""
        identity = super().identify_file(file, settings)
        folder = model_folder.read(settings)
        others = [path for part in self._others(folder) for path in model_folder.weights(folder, part)]
        more = {str(path.relative_to(settings)): file_hash.remembered(path) for path in others}
        told = {**identity.files, **more}
        identity = replace(identity, sha256=digest(told), files=told, file_part=self.DENOISER)
        return self.steered(identity, controlnet) if controlnet else identity

    def open(self, identity: Identity, **parts: Any) -> Any:
        if not identity.file:
            return super().open(identity, **parts)
        import diffusers

        folder, dtype = model_folder.read(identity.folder), self.dtype(identity)
        shapes = _one_file.wanted(folder, self.DENOISER)
        network = getattr(diffusers, folder.parts[self.DENOISER]).from_single_file(
            _one_file.tensors(identity.file, self.FIRST, shapes, dtype), config=str(identity.folder),
            subfolder=self.DENOISER, dtype=dtype, local_files_only=True, use_safetensors=True,
        )  # fmt: skip
        return super().open(replace(identity, file=None), **{self.DENOISER: network}, **parts)

    def blocks(self, config: Mapping[str, Any], side: int, words: int) -> list[int]:
        places = (side // self.SIDE_STEP) ** 2 + words
        width = config["num_attention_heads"] * config["attention_head_dim"]
        return [places * width] * (config["num_layers"] + config.get("num_single_layers", 0))

    def side(self, identity: Identity) -> int:
        told = model_folder.config(identity.folder, "vae").get("sample_size")
        return int(told) if isinstance(told, int) else self.SIDE

    def process(self, base: Any) -> Flow:
        across = base.size // self.SIDE_STEP
        return Flow(base.parts.scheduler.config, across * across)

    def latents(self, base: Any, pixels: Any) -> Any:
        vae = base.parts.vae
        found = vae.encode(pixels.to(vae.dtype)).latent_dist.mean
        return (found - vae.config.shift_factor) * vae.config.scaling_factor
