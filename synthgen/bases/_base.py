"""A loaded base: one trainer's view and one drawer's view of an unmodified diffusers pipeline, for every family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthgen import buckets, lora, lora_change, lora_fit, photo_frame, precision
from synthgen.adapters import WEIGHTS
from synthgen.bases import _bits, _hint
from synthgen.bases._identity import Identity
from synthgen.bases._kept import Kept, accepted
from synthgen.bases._learner import Learner
from synthgen.bases._process import STEPS
from synthgen.errors import RequestError
from synthgen.memory_modes import MODES
from synthgen.types import AdapterUse, Guide, Job, Photo, Picture

KEPT_AT_8 = ("wo",)  # T5 looks at this layer's type, and takes whole bytes for whole numbers only at 8 bits


class Base(Learner):
    """Loaded parts of one base.

    Latents are float32, (b, ...) in the form that the family's network takes; words are a `Words`, or what the family
    gives in its place.
    """

    def __init__(self, family: Any, identity: Identity, pipe: Any, controlnets: Mapping[str, Any], device: str) -> None:
        """controlnets  by condition: "pose" and others"""
        self.family, self.identity, self.device = family, identity, device
        self.parts, self.controlnets = pipe, dict(controlnets)
        self.size = family.side(identity)  # px; what is trained at, and what is drawn where nothing else is said
        self.buckets = False  # whether photos are learned in shapes of their own
        self.train_steps = STEPS
        self.precision = "auto"  # of training, one of precision.NAMES; "auto" is the family's own
        self.mode = MODES[identity.memory]
        if self.mode.bits:
            self._hold()
        for part in (*self.models(), *self.controlnets.values()):
            part.to("cpu" if self.mode.offload else device)
            if self.mode.layers:
                self._let_layers_wait(part)
            part.eval()  # not frozen: oneDNN takes other kernels for frozen weights, and the last bits differ
        self.learning = (family.DENOISER,)
        self._pipelines: dict[tuple[str, tuple[str, ...]], Any] = {}  # (class, conditions) -> the pipeline
        self._attached: tuple[AdapterUse, ...] | None = ()
        self._plain: dict[str, tuple[Any, Any]] = {}  # module that an adapter changed -> its weight, and as it was
        self._beside: list[Any] = []  # what adapters add beside weights that are held in few bits
        self._process: Any = None

    @property
    def steered(self) -> bool:
        """Whether a skeleton has any effect."""
        return "pose" in self.controlnets

    @property
    def settings(self) -> dict[str, Any]:
        """What to draw with where nothing else is said, at this base's size."""
        return {**self.family.settings(self.identity), "size": self.size}

    def _hold(self) -> None:
        """The linear layers of large networks in few bits."""
        parts = {name: part for name, part in self.parts.components.items() if part in self.models()}
        for name in self.family.in_few_bits({name: type(part).__name__ for name, part in parts.items()}):
            _bits.hold(parts[name], self.mode.bits, self.device, KEPT_AT_8)

    def _let_layers_wait(self, part: Any) -> None:
        """Every layer of a network in main memory but while it is at work."""
        import torch
        from diffusers.hooks import apply_group_offloading

        apply_group_offloading(part, torch.device(self.device), torch.device("cpu"), "leaf_level")

    # ---- training

    def shape(self, photo: Photo) -> int | tuple[int, int]:
        """px: the side of the square that a photo is learned in, or (width, height) where it has a shape of its own."""
        if not self.buckets:
            return int(self.size)
        return buckets.shape((photo.width, photo.height), self.size, self.family.SIDE_STEP)

    def encode_pixels(self, pixels: np.ndarray) -> Any:
        """(b, h, w, 3) uint8 -> latents, as the network takes them; of what the encoder says, the mean."""
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            return self.family.latents(self, batch.to(self.device)).float()

    def encode_texts(self, texts: Sequence[str]) -> Any:
        """Words as the network reads them. Text past the encoder's length is cut, as the pipelines do."""
        import torch

        with torch.no_grad():
            return self.family.words(self, list(texts))

    def read_texts(self, texts: Sequence[str]) -> Any:
        """The same while the text encoders learn: what follows from the words reaches them."""
        return self.family.words(self, list(texts))

    def loss(
        self, latents: Any, words: Any, timesteps: Any, noise: Any, where: Any = None, target: Any = None
    ) -> Any:  # fmt: skip
        """Weighted squared error of the prediction per picture, (b,).

        where   how much each place counts, of a shape that latents can be multiplied by: the error is its mean by these
                weights, so that a small product counts as much as a large one; None: all alike
        target  what should be predicted; None: what leads to the latents
        """
        if target is None:
            target = self.process.target(latents, noise, timesteps)
        return self._error(self._predict(latents, words, timesteps, noise), target, timesteps, where)

    def prediction(self, latents: Any, words: Any, timesteps: Any, noise: Any) -> Any:
        """What the network predicts as it is; nothing is learned."""
        import torch

        with torch.no_grad():
            return self._predict(latents, words, timesteps, noise)

    @property
    def process(self) -> Any:
        """What is learned at which moment, at this base's size."""
        if self._process is None:
            self._process = self.family.process(self)
        return self._process

    def _predict(self, latents: Any, words: Any, timesteps: Any, noise: Any) -> Any:
        noisy, moment = self.process.mix(latents, noise, timesteps)
        how = self.family.PRECISION if self.precision == "auto" else self.precision
        how = "bf16" if self.mode.bytes == 2 else how  # the weights are, and nothing else goes with them
        with precision.autocast(self.device, how):
            return self.family.predict(self, noisy, moment, words).float()

    def _error(self, found: Any, wanted: Any, timesteps: Any, where: Any = None) -> Any:
        error = (found - wanted).square()
        if where is not None:
            error = error * (where / where.flatten(1).mean(1).reshape(-1, *([1] * (where.dim() - 1))))
        return self.process.weight(timesteps) * error.flatten(1).mean(1)

    # ---- drawing

    def attach(self, uses: Sequence[AdapterUse]) -> None:
        """Add adapters to the weights as they were loaded, each at its strength. Raises UnfitAdapter where a tensor
        has no place.

        Added by hand: as fast to draw with as the base alone, and nothing but tensors and alphas is taken from the
        file. The libraries would obey the options in its metadata, and transformers 5 draws the text encoder's position
        embedding anew when it loads a LoRA.
        """
        if self._attached == tuple(uses):
            return
        self._attached = None  # until all of them are on: a file that is refused leaves the weights between the two
        self._detach()
        places = self.family.places(self.identity) if uses else {}
        for use in uses:
            found = lora.read(use.path / WEIGHTS)
            placed = lora_fit.place_all(found, places, f"adapter '{use.name}'", self.identity.id)
            alphas = lora.alphas(found)
            self._add(found, placed, alphas, use)
        self._attached = tuple(uses)

    def _detach(self) -> None:
        """The weights as they were loaded: kept whole, for taking a change off again leaves a rounding error."""
        for weight, plain in self._plain.values():
            weight.data.copy_(plain)
        while self._beside:
            self._beside.pop().remove()

    def _add(self, found: lora.Lora, placed: Mapping[str, str], alphas: Mapping[str, float], use: AdapterUse) -> None:
        """Weight += strength x change, for each module; a kernel is a matrix of (out, in x height x width)."""
        import torch
        from safetensors.torch import load_file

        held = load_file(found.path)
        with torch.no_grad():
            for one in found.parts:
                place = placed[one.module]
                part, _, module = place.partition(".")
                layer, strength = getattr(self.parts, part).get_submodule(module), use.strength(place)
                if _bits.is_held(layer):
                    self._beside.append(self._add_beside(layer, one, held, strength * alphas[one.module]))
                    continue
                weight = layer.weight
                _, plain = self._plain.setdefault(place, (weight, weight.detach().clone()))
                weight += lora_change.of(one, held, plain, alphas[one.module], strength).to(weight)

    def _add_beside(self, layer: Any, part: Any, held: Mapping[str, Any], alpha: float) -> Any:
        """A LoRA pair beside a weight in few bits. Raises RequestError for other kinds, which need the weight."""
        if not isinstance(part, lora.Pair) or part.magnitude:
            raise RequestError(
                f"--memory {self.identity.memory} holds weights in few bits, and only LoRA can be added beside them. "
                "Say --memory lean."
            )
        return _bits.add(layer, held[part.down], held[part.up], alpha / part.rank)

    def render(self, jobs: Sequence[Job], guides: Sequence[Guide | np.ndarray | None], settings: Any) -> list[Picture]:
        """Draw one batch. Each job's noise comes from its own seed.

        guides    what each is drawn along, of the same conditions for all; an array is a skeleton, (s, s, 3) uint8
        settings  num_inference_steps, guidance_scale, controlnet_conditioning_scale, size (px), `conditions`: kind ->
                  scale, start and end; `strength` of what is drawn into photos
        """
        import torch

        if self.device == "cpu" and "threads" in settings:
            torch.set_num_threads(int(settings["threads"]))
        along = [_guide(guide) for guide in guides]
        if along[0].references and len(jobs) > 1:  # a pipeline shows the same ones to all pictures of a batch
            return [self.render([job], [one], settings)[0] for job, one in zip(jobs, along, strict=True)]
        kinds = tuple(kind for kind in self.controlnets if kind in along[0].controls)
        name, more = self._into(along, len(kinds), jobs, settings)
        pipe = self._pipeline(kinds, name)
        options = {**self._options(jobs, settings), **self._steering(kinds, along, settings, bool(name)), **more}
        options |= self._references(along[0], bool(name))
        if name:
            options = accepted(pipe.__call__, options)
        own = pipe.scheduler
        if "scheduler" in settings:
            pipe.scheduler = self.family.scheduler(own, str(settings["scheduler"]))
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(jobs[0].seed)  # SD3's pipeline draws the latents of a control picture from it
                with _hint.once([self.controlnets[kind] for kind in kinds], len(jobs)):
                    drawn = pipe(**options).images
        finally:
            pipe.scheduler = own
        pixels = (np.clip(drawn, 0, 1) * 255).round().astype(np.uint8)
        return [
            Picture(job, photo_frame.put_back(pixels[row], along[row].into), along[row]) for row, job in enumerate(jobs)
        ]

    def _references(self, guide: Guide, into: bool) -> dict[str, Any]:
        """What a pipeline is called with so that it goes by these pictures; one that draws into a photo takes one."""
        from PIL import Image

        shown = [Image.fromarray(np.asarray(pixels)) for pixels in guide.references]
        if into and shown:
            return {self.family.REFERENCE_INTO: shown[0]}
        return {self.family.REFERENCE: shown} if shown else {}

    def _into(
        self, along: Sequence[Guide], controls: int, jobs: Sequence[Job], settings: Any
    ) -> tuple[str, dict[str, Any]]:
        """The class that draws into these photos, and what it is called with beside the rest; "" without any."""
        import torch

        photos = [one.into for one in along if one.into is not None]
        if not photos:
            return "", {}
        masked = photos[0].mask is not None
        kept = self.family.keeps(self, masked)
        pixels = np.stack([one.shown for one in photos])
        options: dict[str, Any] = {"strength": float(settings["strength"])}
        options["image"] = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255.0
        if masked:
            masks = torch.from_numpy(np.stack([one.mask for one in photos]))[:, None] / 255.0
            if kept:
                latents = self.encode_pixels(pixels)
                options["callback_on_step_end"] = Kept.beside(masks, latents, [job.seed for job in jobs])
            else:
                options["mask_image"] = masks
        return self.family.into(masked and not kept, controls), options

    def _steering(
        self, kinds: tuple[str, ...], along: Sequence[Guide], settings: Any, into: bool = False
    ) -> dict[str, Any]:
        """What a pipeline with ControlNets is called with beside the rest: plain values for one, lists for several."""
        import torch

        if not kinds:
            return {}
        usual = {"scale": float(settings["controlnet_conditioning_scale"])}
        told = [{"start": 0.0, "end": 1.0, **usual, **settings.get("conditions", {}).get(kind, {})} for kind in kinds]
        shown = [
            torch.from_numpy(np.stack([np.asarray(one.controls[kind]) for one in along])).permute(0, 3, 1, 2) / 255.0
            for kind in kinds
        ]
        options = {
            "control_image" if into else self.family.CONTROL: shown,
            "controlnet_conditioning_scale": [one["scale"] for one in told],
            "control_guidance_start": [one["start"] for one in told],
            "control_guidance_end": [one["end"] for one in told],
        }
        if not self.family.TIMED:
            options = {name: value for name, value in options.items() if not name.startswith("control_guidance")}
        return {name: value[0] if len(kinds) == 1 else value for name, value in options.items()}

    def redraw(self, pixels: np.ndarray, jobs: Sequence[Job], strength: float, settings: Any) -> np.ndarray:
        """Image-to-image: (n, s, s, 3) uint8 pictures part of the way to noise and back, each with the words of a job.

        strength  0 to 1, the share of num_inference_steps that is done
        """
        import torch
        from diffusers import AutoPipelineForImage2Image

        pipe = AutoPipelineForImage2Image.from_pipe(self._pipeline(()))
        pipe.set_progress_bar_config(disable=True)
        drawn, batch = [], int(settings["batch"])
        for start in range(0, len(pixels), batch):
            some = np.ascontiguousarray(pixels[start : start + batch])
            options = self._options(jobs[start : start + batch], settings)
            options = {key: value for key, value in options.items() if key not in ("height", "width")}
            image = torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255
            with torch.no_grad():
                drawn.append(pipe(image=image, strength=strength, **options).images)
        return np.asarray((np.clip(np.concatenate(drawn), 0, 1) * 255).round().astype(np.uint8))

    def _options(self, jobs: Sequence[Job], settings: Any) -> dict[str, Any]:
        """What any pipeline is called with."""
        import torch

        options: dict[str, Any] = {
            "prompt": [job.prompt for job in jobs],
            "num_inference_steps": int(settings["num_inference_steps"]),
            self.family.GUIDANCE: float(settings["guidance_scale"]),
            "height": int(settings["size"]),
            "width": int(settings["size"]),
            "generator": [torch.Generator("cpu").manual_seed(job.seed) for job in jobs],
            "output_type": "np",
        }
        if self.family.ALWAYS_NEGATIVE or (self.family.NEGATIVE and any(job.negative_prompt for job in jobs)):
            blank = " " if self.family.ALWAYS_NEGATIVE else ""
            options["negative_prompt"] = [job.negative_prompt or blank for job in jobs]
        return options

    def _pipeline(self, kinds: tuple[str, ...], name: str = "") -> Any:
        """The unmodified pipeline, steered by ControlNets for these conditions; of this class where one is named."""
        if (name, kinds) not in self._pipelines:
            import diffusers

            pipe = self.parts
            if kinds or name:
                made = getattr(diffusers, name or self.family.CONTROLLED)
                parts = {**self.parts.components, **self.family.options(self.parts)}
                if kinds:
                    parts["controlnet"] = self.family.together([self.controlnets[kind] for kind in kinds])
                pipe = made(**accepted(made.__init__, parts))
            pipe.set_progress_bar_config(disable=True)
            if self.mode.tiles:
                pipe.vae.enable_tiling()
            if self.mode.offload and not self.mode.layers:
                pipe.enable_model_cpu_offload(device=self.device)
            self._pipelines[name, kinds] = pipe
        return self._pipelines[name, kinds]


def _guide(told: Guide | np.ndarray | None) -> Guide:
    """A skeleton alone, or nothing, as a guide."""
    if isinstance(told, Guide):
        return told
    return Guide() if told is None else Guide({"pose": told})
