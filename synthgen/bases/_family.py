"""What every family of bases has: how its weights are told, found and loaded. A family says what is its own.

Nothing here loads torch before `load`.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from synthgen import adapter_methods, file_hash, model_folder, precision
from synthgen.bases._device import device_of, quiet, threads
from synthgen.bases._identity import Control, Identity
from synthgen.bases._memory import Memory
from synthgen.bases._steering import Steering
from synthgen.bases._weights import Weights
from synthgen.bases._words import Words
from synthgen.errors import RequestError
from synthgen.memory_modes import MODES
from synthgen.model_folder import ModelFolder
from synthgen.types import Taught

ATTENTION = ("to_", "add_")  # what the projections of attention begin with, in every network of diffusers
# What names and classes of distilled bases have in common; each draws in few steps and has forgotten how to be taught.
FEW_STEPS = ("turbo", "lightning", "schnell", "hyper-sd", "lcm", "dmd2")


class Family(Memory, Steering, ABC):
    """One family. Class attributes are what it declares; the methods below `load` are what it must say itself."""

    LICENSE: ClassVar[str] = "unknown"
    NAMES: ClassVar[tuple[Weights, ...]] = ()  # published weights of the family
    PIPELINE: ClassVar[str]  # class of diffusers
    GUIDANCE: ClassVar[str] = "guidance_scale"  # what the pipeline calls classifier-free guidance
    NEGATIVE: ClassVar[bool] = True  # whether it takes a negative prompt
    ALWAYS_NEGATIVE: ClassVar[bool] = False  # whether it must have one, if only a blank
    DENOISER: ClassVar[str] = "transformer"
    TEXT_PARTS: ClassVar[tuple[str, ...]] = ()  # text encoders that LoRAs of the ecosystem reach
    FIRST: ClassVar[str] = ""  # what its first program calls its modules, see first_names
    TARGETS: ClassVar[tuple[str, ...] | str]  # modules that training puts a LoRA on: ends of names, or one pattern
    RANK: ClassVar[int] = 16
    LEARNING_RATE: ClassVar[float] = 1e-4
    PRECISION: ClassVar[str] = "auto"  # of training, one of precision.NAMES
    BATCH: ClassVar[int] = 4
    SIDE: ClassVar[int] = 1024  # px, where the weights do not say
    SIDE_STEP: ClassVar[int] = 16
    SQUARES_ONLY: ClassVar[bool] = False  # whether it was made for squares, and photos of other shapes are filled up
    SETTINGS: ClassVar[Mapping[str, Any]] = MappingProxyType({})  # of drawing: steps, guidance, batch
    FEW: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {}
    )  # the same of weights that were distilled, where they differ
    # guidance and scheduler of Lightning's weights, which are named for their number of steps; {}: has none
    LIGHTNING: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    MODELSPEC: ClassVar[Mapping[str, str]] = MappingProxyType({})
    TAUGHT: ClassVar[Mapping[str, Taught]] = MappingProxyType(
        {}
    )  # domain -> all that it draws, where a recipe is kept to it
    INSTEAD: ClassVar[str] = ""  # the base to train where these weights are distilled

    # ---- before anything is loaded

    def claims(self, path: Path) -> bool:
        """Whether a diffusers folder holds weights of this family."""
        try:
            return self.claims_folder(model_folder.read(path))
        except RequestError:
            return False

    def claims_file(self, tensors: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether a single file with these tensors holds weights of this family, in its first program's names."""
        return False

    def misfit_file(self, tensors: Mapping[str, tuple[int, ...]], folder: ModelFolder) -> str:
        """What shows that a single file with these tensors does not go with a folder of this family, or ""."""
        return ""

    def claims_folder(self, folder: ModelFolder) -> bool:
        """The same of a folder that was read."""
        return folder.pipeline == self.PIPELINE

    @property
    def name(self) -> str:
        """Name of the family: that of its file."""
        return type(self).__module__.rpartition(".")[2]

    def identify(self, path: Path | None = None, controlnet: Path | None = None) -> Identity:
        """Name and hashes of the weights in a folder. Raises RequestError where some are missing, or are pickled."""
        if path is None:
            raise RequestError(f"base '{self.name}' brings no weights of its own. Name their folder: --base FOLDER.")
        folder = model_folder.read(path)
        bare = [part for part in (self.DENOISER, "vae") if not model_folder.weights(folder, part)]
        if bare:
            raise RequestError(f"base '{path.name}' has no weights in {', '.join(bare)}. Fetch it again.")
        told = {name: file_hash.remembered(file) for name, file in model_folder.files(folder).items()}
        identity = Identity(path.name, digest(told), "unknown", path, told, distilled=self.distilled(folder))
        return self.steered(identity, controlnet) if controlnet else identity

    def identify_file(self, file: Path, settings: Path, controlnet: Path | None = None) -> Identity:
        """Name and hashes of the weights in one file; `settings` is a folder with everything else of a pipeline."""
        folder = model_folder.read(settings)
        told = {name: file_hash.remembered(path) for name, path in model_folder.settings_files(folder).items()}
        told[file.name] = file_hash.remembered(file)
        named = replace(folder, path=settings.with_name(file.stem))  # what a name tells of few steps, the file's tells
        identity = Identity(file.stem, digest(told), "unknown", settings, told, file, distilled=self.distilled(named))
        return self.steered(identity, controlnet) if controlnet else identity

    def steered(self, identity: Identity, controlnet: Path, condition: str = "pose") -> Identity:
        """The same with a ControlNet for a condition.

        Raises RequestError where the family has none, or the folder holds none that goes with this base.
        """
        if not self.CONTROLLED:
            raise RequestError(f"base '{identity.id}': {self.WITHOUT_CONTROL} Nothing was loaded.")
        config = model_folder.config(controlnet, ".")
        if (kind := config.get("_class_name")) != self.CONTROLNET:
            raise RequestError(
                f"--controlnet {controlnet.name}: its config.json says {kind!r}; base '{identity.id}' wants a "
                f"{self.CONTROLNET}. Nothing was loaded."
            )
        if misfit := self.misfit(identity, config):
            raise RequestError(
                f"--controlnet {controlnet.name} was made for another base than '{identity.id}': {misfit}. "
                "Nothing was loaded."
            )
        held = model_folder.part_weights(controlnet)
        if not held:
            raise RequestError(f"--controlnet {controlnet.name} has no safetensors. Nothing was loaded.")
        told = {file.name: file_hash.remembered(file) for file in (controlnet / "config.json", *held)}
        if condition == "pose":
            return replace(identity, controlnet=controlnet, controlnet_sha256=digest(told))
        return replace(identity, controls=(*identity.controls, Control(condition, controlnet, digest(told))))

    def misfit(self, identity: Identity, control: Mapping[str, Any]) -> str:
        """What shows that a ControlNet with this configuration was made for another base, or ""."""
        return ""

    def hears_negative(self, identity: Identity) -> bool:
        """Whether a negative prompt changes its pictures; guidance that is built into the weights takes none."""
        return self.NEGATIVE

    def distilled(self, folder: ModelFolder) -> str:
        """What shows that these weights were distilled to few steps, or ""."""
        if sign := self.few_by_name(folder.path.name):
            return f"its name says '{sign}'"
        if folder.parts.get("scheduler") == "LCMScheduler":
            return "its scheduler is LCM's"
        return ""

    def few_by_name(self, name: str) -> str:
        """What in a name tells of few steps, or ""."""
        return next((sign for sign in FEW_STEPS if sign in name.lower()), "")

    def require_trainable(self, identity: Identity, size: int = 0) -> None:
        """Raises RequestError for distilled weights, and for a size in px that they cannot have."""
        if size % self.SIDE_STEP:
            raise RequestError(
                f"--size is {size} px; base '{identity.id}' wants a multiple of {self.SIDE_STEP}. Nothing was trained."
            )
        if MODES[identity.memory].offload:
            raise RequestError(
                f"--memory {identity.memory} is for drawing. Train with --memory lean. Nothing was trained."
            )
        if identity.distilled:
            raise RequestError(
                f"base '{identity.id}' is distilled to few steps ({identity.distilled}): what is taught to it makes it "
                f"forget them, and its pictures blur. Train on {self.INSTEAD or 'the base that it was made from'}; the "
                "adapter may then be tried on this one with --other-lineage. Nothing was trained."
            )

    def require_readable(self, base: str, learning: bool, method: str) -> None:
        """Raises RequestError where text encoders are to learn and cannot, or not by this method."""
        if learning and not self.TEXT_PARTS:
            raise RequestError(
                f"--train-text-encoder: base '{base}' reads with a language model, which is left as it is. Leave it "
                "out. Nothing was trained."
            )
        if learning and method not in adapter_methods.ON_TEXT:
            raise RequestError(
                f"--train-text-encoder goes with --method {' or '.join(adapter_methods.ON_TEXT)}, not with {method}: "
                "other programs read no other kind there. Nothing was trained."
            )

    def places(self, identity: Identity) -> dict[str, tuple[int, ...]]:
        """Where a LoRA may attach: "unet.MODULE" -> shape of the weight. Loads no tensor."""
        if identity.file:
            return self._places_of_file(identity)
        folder = model_folder.read(identity.folder)
        return model_folder.places(folder, [self.DENOISER, *(part for part in self.TEXT_PARTS if part in folder.parts)])

    def _places_of_file(self, identity: Identity) -> dict[str, tuple[int, ...]]:
        """The same where the names inside the file are others: from the settings, on no device at all."""
        import diffusers
        import torch
        import transformers

        folder = model_folder.read(identity.folder)
        found: dict[str, tuple[int, ...]] = {}
        for part in (self.DENOISER, *(one for one in self.TEXT_PARTS if one in folder.parts)):
            told, kind = model_folder.config(folder.path, part), folder.parts[part]
            with torch.device("meta"):
                if hasattr(diffusers, kind):
                    model = getattr(diffusers, kind).from_config(told)
                else:
                    model_class = getattr(transformers, kind)
                    model = model_class(model_class.config_class.from_dict(told))
            found |= model_folder.matrices(part, {name: tuple(value.shape) for name, value in model.named_parameters()})
        return found

    def steps(self, photos: int) -> int:
        """Training steps for so many photos: thirty for each, 500 to 2000 of them."""
        return min(2000, max(500, 30 * photos))

    def targeted(self, places: Mapping[str, tuple[int, ...]]) -> list[str]:
        """The places that training puts a LoRA on."""
        own = {name: name.removeprefix(f"{self.DENOISER}.") for name in places if name.startswith(f"{self.DENOISER}.")}
        if isinstance(self.TARGETS, str):
            return [name for name, module in own.items() if re.fullmatch(self.TARGETS, module)]
        ends = tuple(f".{target}" for target in self.TARGETS)
        return [name for name, module in own.items() if f".{module}".endswith(ends)]

    def modules(self, targets: str = "all") -> list[str] | str:
        """What an adapter in training is put on, as peft wants it told: ends of names, or one pattern.

        targets  one of adapter_methods.TARGETS
        Raises RequestError where the family does not tell its attention from the rest.
        """
        if targets == "all":
            return self.TARGETS if isinstance(self.TARGETS, str) else list(self.TARGETS)
        found = [] if isinstance(self.TARGETS, str) else [name for name in self.TARGETS if name.startswith(ATTENTION)]
        if not found:
            raise RequestError(f"base family '{self.name}' has no list of its attention: say --targets all.")
        return found

    def settings(self, identity: Identity) -> dict[str, Any]:
        """What to draw with where neither the user nor the recipe says anything."""
        few = self.FEW if identity.distilled else {}
        hasty = self.hastened(identity.id) if identity.file else {}  # a folder has a scheduler of its own
        return {**self.SETTINGS, **few, **hasty, "size": self.side(identity)}

    def hastened(self, name: str) -> dict[str, Any]:
        """What weights of this name are drawn with where they are Lightning's, {} where they are not.

        Raises RequestError for a family that has none, or a name without the number of steps.
        """
        if "lightning" not in name.lower():
            return {}
        steps = re.search(r"(\d+)[-_ ]?steps?", name.lower())
        if not self.LIGHTNING or not steps:
            problem = "does not tell its number of steps" if self.LIGHTNING else f"is none for family '{self.name}'"
            raise RequestError(
                f"'{name}' {problem}; wanted a name such as sdxl-lightning-4step, of Lightning for SDXL or Qwen-Image. "
                "Nothing was drawn."
            )
        guidance = self.LIGHTNING["guidance_scale"]
        return {"num_inference_steps": int(steps[1]), "guidance_scale": guidance, "scheduler": "lightning"}

    def scheduler(self, own: Any, name: str) -> Any:
        """The scheduler that settings call by this name, in place of the pipeline's own."""
        import diffusers

        if name != "lightning" or not self.LIGHTNING:
            raise RequestError(f"family '{self.name}' has no scheduler '{name}'. Nothing was drawn.")
        made = getattr(diffusers, self.LIGHTNING["scheduler"])
        return made.from_config({**own.config, **self.LIGHTNING["config"]})

    def side(self, identity: Identity) -> int:
        """px: the side of pictures that the weights were made for."""
        return self.SIDE

    def device_of(self, name: str = "") -> str:
        """The device of this name; see _device."""
        return device_of(name)

    # ---- loading

    def load(self, identity: Identity, device: str = "") -> Any:
        """The base, ready to train an adapter or to draw. device "" takes cuda, mps or cpu, the first that is there."""

        import torch

        from synthgen.bases._base import Base

        quiet()
        where = device_of(device)
        mode = MODES[identity.memory]
        bf16 = where != "cpu" or precision.cpu_has_bfloat16()
        if mode.offload and where == "cpu":
            better = "lean" if bf16 else "full"
            raise RequestError(
                f"--memory {identity.memory} keeps weights in main memory, and here all are. Say {better}."
            )
        if mode.bytes == 2 and not bf16:
            raise RequestError(f"--memory {identity.memory}: this processor does not compute in bfloat16. Say full.")
        torch.set_num_threads(threads())
        pipe = self.open(identity)
        return Base(self, identity, pipe, self.open_controlnets(identity), where)

    def open(self, identity: Identity, **parts: Any) -> Any:
        """The unmodified pipeline.

        parts  that are loaded already
        """
        import diffusers

        if identity.file:
            return getattr(diffusers, self.PIPELINE).from_single_file(
                str(identity.file), config=str(identity.folder), dtype=self.dtype(identity), local_files_only=True,
                use_safetensors=True, **self.opening(),
            )  # fmt: skip
        folder = model_folder.read(identity.folder)
        return getattr(diffusers, self.PIPELINE).from_pretrained(
            identity.folder, dtype=self.dtype(identity), use_safetensors=True, local_files_only=True,
            variant=folder.variant or None, **self.opening(), **parts,
        )  # fmt: skip

    def dtype(self, identity: Identity) -> Any:
        """The precision of the weights."""
        import torch

        return {4: torch.float32, 2: torch.bfloat16}[MODES[identity.memory].bytes]

    def opening(self) -> dict[str, Any]:
        """What the pipeline's class is opened with, beside its folder."""
        return {}

    def options(self, pipe: Any) -> dict[str, Any]:
        """What the pipeline with a ControlNet is made with, beside the parts of this one."""
        return {}

    def open_controlnets(self, identity: Identity) -> dict[str, Any]:
        """Its ControlNets by condition."""
        import diffusers

        opened = {
            folder: getattr(diffusers, self.CONTROLNET).from_pretrained(
                folder, torch_dtype=self.dtype(identity), use_safetensors=True, local_files_only=True
            )
            for folder in {*self.conditions(identity).values()}
        }
        return {kind: opened[folder] for kind, folder in self.conditions(identity).items()}

    def together(self, controlnets: Sequence[Any]) -> Any:
        """What its pipeline takes for one ControlNet, or for several at once."""
        import diffusers

        if len(controlnets) == 1:
            return controlnets[0]
        return getattr(diffusers, self.SEVERAL)(list(controlnets))

    # ---- what a family says itself

    @abstractmethod
    def process(self, base: Any) -> Any:
        """What is learned at which moment: a Noise or a Flow."""

    @abstractmethod
    def latents(self, base: Any, pixels: Any) -> Any:
        """(b, 3, s, s) float32 in [-1, 1] -> latents as the network takes them."""

    @abstractmethod
    def words(self, base: Any, texts: Sequence[str]) -> Words:
        """Texts as the network reads them, by the pipeline's own encoding."""

    @abstractmethod
    def predict(self, base: Any, noisy: Any, moment: Any, words: Words) -> Any:
        """What the network tells, in the form of the latents."""


def digest(files: Mapping[str, str]) -> str:
    """One hash over files, by name and sha256."""
    whole = hashlib.sha256()
    for name, found in sorted(files.items()):
        whole.update(name.encode() + b"\0")
        whole.update(bytes.fromhex(found))
    return whole.hexdigest()
