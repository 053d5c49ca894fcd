"""The embedded base: 256 px, runs offline on two CPU cores; trained on procedural renders only (Apache-2.0)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import lora, lora_fit, modalities, precision, resources, tensor_file, vocabulary
from synthgen.adapters import WEIGHTS
from synthgen.errors import RequestError, SynthgenError
from synthgen.types import AdapterUse, Job, Picture, Taught

LICENSE = "Apache-2.0"
ACCEPTS = ("pose",)
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
LEARNING_RATE = 1e-3
BATCH = 8
SIDE_STEP = 16  # px: sides of pictures are multiples of it, as the autoencoder halves them four times
TAUGHT = {  # domain -> what these weights draw without an adapter, where the recipe must be kept to it
    "medical": Taught(
        modality="chest-xray",
        labels={
            "condition": tuple(vocabulary.FINDINGS), "severity": modalities.SEVERITIES, "side": modalities.SIDES,
            "view": ("PA", "AP"),
        },
        grey=True,
    ),
}  # fmt: skip
MODELSPEC = {  # its own architecture: a shape that looks like Stable Diffusion 1.x must not pass for it
    "modelspec.sai_model_spec": "1.0.1",
    "modelspec.architecture": "synthgen-mini-v1/lora",
    "modelspec.implementation": "diffusers",
    "modelspec.prediction_type": "v",
    "modelspec.resolution": "256x256",
}


@dataclass(frozen=True)
class Identity:
    """Which weights these are: a name, and one hash over every file that decides a picture."""

    id: str
    sha256: str
    license: str
    folder: Path
    files: Mapping[str, str] = field(default_factory=dict)  # path inside the folder -> sha256


def claims(folder: Path) -> bool:
    """Whether a diffusers folder has this family's form: a Stable Diffusion 1.x layout with its ControlNet inside."""
    try:
        told = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    named = told.get("_class_name") == "StableDiffusionPipeline" if isinstance(told, dict) else False
    return named and (folder / "controlnet" / "config.json").is_file()


def identify(folder: Path | None = None) -> Identity:
    """Name and hash of the embedded weights, or of those in `folder`. Loads no tensor.

    Raises RequestError where weights are missing, or are no safetensors.
    """
    place = folder or resources.mini_weights()
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.suffix in (".safetensors", ".json"))
    if not any(path.suffix == ".safetensors" for path in files):
        raise RequestError(
            f"base 'mini' has no weights in {place.name}/. Install synthgen again, or train them: "
            "python -m synthgen.mini all."
        )
    whole = hashlib.sha256()
    told: dict[str, str] = {}
    for path in files:
        name = path.relative_to(place).as_posix()
        digest = hashlib.sha256(path.read_bytes())
        told[name] = digest.hexdigest()
        whole.update(name.encode() + b"\0")
        whole.update(digest.digest())
    license_, name = (LICENSE, "mini") if folder is None else ("unknown", place.name)
    return Identity(name, whole.hexdigest(), license_, place, told)


def places(identity: Identity) -> dict[str, tuple[int, ...]]:
    """Where a LoRA may attach: "unet.MODULE" or "text_encoder.MODULE" -> shape of the weight. Loads no tensor."""
    found = {}
    for part in ("unet", "text_encoder"):
        for path in sorted((identity.folder / part).glob("*.safetensors")):
            for name, (_, shape) in tensor_file.check(path)[0].items():
                module, _, kind = name.rpartition(".")
                if kind == "weight" and len(shape) >= 2 and not module.endswith("embedding"):
                    found[f"{part}.{module.removeprefix('text_model.')}"] = shape
    return found


def side(identity: Identity) -> int:
    """Side of its pictures in px. Loads no tensor."""
    unet, vae = (json.loads((identity.folder / part / "config.json").read_text()) for part in ("unet", "vae"))
    return int(unet["sample_size"]) * 2 ** (len(vae["block_out_channels"]) - 1)


def load(identity: Identity, device: str = "") -> Base:
    """The base, ready to train an adapter or to draw. device "" takes cuda, mps or cpu, the first that is there."""
    import torch

    from synthgen.mini.models import load_bundle

    _quiet()
    where = device_of(device)
    torch.set_num_threads(os.cpu_count() or 1)  # results differ in their last bits between thread counts
    parts = load_bundle(identity.folder)
    for part in (parts.vae, parts.unet, parts.text_encoder, parts.controlnet):
        part.to(where).eval().requires_grad_(False)
    return Base(identity, parts, where)


def device_of(name: str = "") -> str:
    """The device of this name; "" finds cuda, mps or cpu by itself. Raises RequestError for one that is not here."""
    import torch

    here = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    if not name:
        return here[1] if len(here) > 1 else "cpu"
    if name.partition(":")[0] not in here:
        raise RequestError(f"--device '{name}' is not on this machine. It has: {', '.join(here)}. Nothing was done.")
    return name


def _quiet() -> None:
    """Progress bars and notes of the libraries are not for our users; what would matter is checked by us and raised."""
    import diffusers.utils.logging as of_diffusers
    import transformers.utils.logging as of_transformers

    for log in (of_diffusers, of_transformers):
        log.set_verbosity_error()
        log.disable_progress_bar()


class Base:
    """Loaded parts of one mini.

    Latents are (b, c, s/f, s/f) float32 with the autoencoder's c channels and f px per place, words (b, tokens, width).
    """

    def __init__(self, identity: Identity, parts: Any, device: str) -> None:
        self.identity, self.parts, self.device = identity, parts, device
        self.size = int(parts.unet.config.sample_size) * 2 ** (len(parts.vae.config.block_out_channels) - 1)  # px
        self.train_steps = int(parts.scheduler.config.num_train_timesteps)
        self._pipelines: dict[bool, Any] = {}

    # ---- training

    def encode_pixels(self, pixels: np.ndarray) -> Any:
        """(b, s, s, 3) uint8 -> mean latents, already scaled for the UNet."""
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            latents = self.parts.vae.encode(batch.to(self.device)).latent_dist.mean
        return latents * self.parts.vae.config.scaling_factor

    def encode_texts(self, texts: Sequence[str]) -> Any:
        """Words as the UNet reads them. Text past the encoder's length is cut, as the pipelines do."""
        import torch

        tokenizer = self.parts.tokenizer
        tokens = tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        with torch.no_grad():
            return self.parts.text_encoder(tokens.to(self.device)).last_hidden_state

    def add_adapter(self, rank: int, alpha: float) -> dict[str, Any]:
        """Put fresh LoRA matrices on the UNet; its trainable parameters by name."""
        from peft import LoraConfig

        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS), init_lora_weights=True)
        self.parts.unet.add_adapter(config, adapter_name="default")
        return {name: value for name, value in self.parts.unet.named_parameters() if value.requires_grad}

    def use_adapter(self, used: bool) -> None:
        """Switch the adapter in training on or off."""
        (self.parts.unet.enable_adapters if used else self.parts.unet.disable_adapters)()

    def loss(self, latents: Any, words: Any, timesteps: Any, noise: Any) -> Any:
        """Weighted error per picture, (b,): (min(SNR, 5) + 1) / (SNR + 1) times the squared error of the prediction."""
        return self._weight(timesteps) * self._error(latents, words, timesteps, noise, None)

    def preservation_loss(self, latents: Any, words: Any, timesteps: Any, noise: Any) -> Any:
        """How far the adapted prediction is from the base's own, per picture: what keeps the class from drifting."""
        import torch

        self.use_adapter(False)
        with torch.no_grad():
            target = self._predict(latents, words, timesteps, noise)
        self.use_adapter(True)
        return self._weight(timesteps) * self._error(latents, words, timesteps, noise, target)

    def _weight(self, timesteps: Any) -> Any:
        alpha = self.parts.scheduler.alphas_cumprod.to(self.device)[timesteps]
        snr = alpha / (1 - alpha)
        return (snr.clamp(max=5) + 1) / (snr + 1)

    def _predict(self, latents: Any, words: Any, timesteps: Any, noise: Any) -> Any:
        noisy = self.parts.scheduler.add_noise(latents, noise, timesteps)
        with precision.autocast(self.device):
            return self.parts.unet(noisy, timesteps, words).sample.float()

    def _error(self, latents: Any, words: Any, timesteps: Any, noise: Any, target: Any) -> Any:
        if target is None:
            wanted = self.parts.scheduler.config.prediction_type
            velocity = self.parts.scheduler.get_velocity
            target = velocity(latents, noise, timesteps) if wanted == "v_prediction" else noise
        return (self._predict(latents, words, timesteps, noise) - target).square().mean((1, 2, 3))

    def save_adapter(self, folder: Path) -> Path:
        """Write the LoRA so that unmodified diffusers loads it, alpha included in its metadata."""
        from diffusers import StableDiffusionPipeline
        from diffusers.training_utils import _collate_lora_metadata
        from peft import get_peft_model_state_dict
        from safetensors import SafetensorError

        try:
            StableDiffusionPipeline.save_lora_weights(
                folder,
                unet_lora_layers=get_peft_model_state_dict(self.parts.unet, adapter_name="default"),
                weight_name=WEIGHTS,
                safe_serialization=True,
                **_collate_lora_metadata({"unet": self.parts.unet}),
            )
            tensor_file.write_canonical(folder / WEIGHTS, MODELSPEC)
        except (SafetensorError, OSError) as error:
            raise SynthgenError(
                f"{folder / WEIGHTS} cannot be written: {error}. The last checkpoint is kept."
            ) from error
        return folder / WEIGHTS

    # ---- drawing

    def attach(self, uses: Sequence[AdapterUse]) -> None:
        """Add adapters to the weights, each at its strength. Raises UnfitAdapter where a tensor has no place.

        Added by hand: as fast to draw with as the base alone, and nothing but tensors and alphas is taken from the
        file. The libraries would obey the options in its metadata, and transformers 5 draws the text encoder's position
        embedding anew when it loads a LoRA.
        """
        for use in uses:
            found = lora.read(use.path / WEIGHTS)
            placed = lora_fit.place_all(found, places(self.identity), f"adapter '{use.name}'", self.identity.id)
            alphas = lora.alphas(found)
            self._add(
                found, placed, {pair.module: use.weight * alphas[pair.module] / pair.rank for pair in found.pairs}
            )

    def _add(self, found: lora.Lora, placed: Mapping[str, str], scales: Mapping[str, float]) -> None:
        """Weight += scale x B x A, for each pair; a convolution's kernel is a matrix of (out, in x height x width)."""
        import torch
        from safetensors.torch import load_file

        held = load_file(found.path)
        with torch.no_grad():
            for pair in found.pairs:
                part, _, module = placed[pair.module].partition(".")
                weight = getattr(self.parts, part).get_submodule(module).weight
                change = held[pair.up].float().flatten(1) @ held[pair.down].float().flatten(1)
                weight += (scales[pair.module] * change).reshape(weight.shape).to(weight)

    def render(self, jobs: Sequence[Job], controls: Sequence[np.ndarray | None], settings: Any) -> list[Picture]:
        """Draw one batch. Each job's noise comes from its own seed; `controls` are (s, s, 3) uint8 for all, or None.

        settings  num_inference_steps, guidance_scale, controlnet_conditioning_scale, size (px)
        """
        import torch

        if self.device == "cpu" and "threads" in settings:
            torch.set_num_threads(int(settings["threads"]))
        size = int(settings["size"])
        steered = controls[0] is not None
        options: dict[str, Any] = {
            "prompt": [job.prompt for job in jobs],
            "negative_prompt": [job.negative_prompt for job in jobs]
            if any(job.negative_prompt for job in jobs)
            else None,
            "num_inference_steps": int(settings["num_inference_steps"]),
            "guidance_scale": float(settings["guidance_scale"]),
            "height": size,
            "width": size,
            "generator": [torch.Generator("cpu").manual_seed(job.seed) for job in jobs],
            "output_type": "np",
        }
        if steered:
            stacked = torch.from_numpy(np.stack([np.asarray(control) for control in controls]))
            options["image"] = stacked.permute(0, 3, 1, 2).float() / 255
            options["controlnet_conditioning_scale"] = float(settings["controlnet_conditioning_scale"])
        with torch.no_grad():
            drawn = self._pipeline(steered)(**options).images
        pixels = (np.clip(drawn, 0, 1) * 255).round().astype(np.uint8)
        return [Picture(job, pixels[row], controls[row]) for row, job in enumerate(jobs)]

    def _pipeline(self, steered: bool) -> Any:
        if steered not in self._pipelines:
            from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

            shared = {
                **{key: getattr(self.parts, key) for key in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")},
                "safety_checker": None,
                "feature_extractor": None,
                "requires_safety_checker": False,
            }
            pipe = (
                StableDiffusionControlNetPipeline(controlnet=self.parts.controlnet, **shared)
                if steered
                else StableDiffusionPipeline(**shared)
            )
            pipe.set_progress_bar_config(disable=True)
            self._pipelines[steered] = pipe
        return self._pipelines[steered]
