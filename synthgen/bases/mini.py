"""The embedded base: 256 px, runs offline on two CPU cores; trained on procedural renders only (Apache-2.0)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from synthgen import file_hash, modalities, model_folder, resources, vocabulary
from synthgen.bases._declare import drawing, into, modelspec
from synthgen.bases._family import digest
from synthgen.bases._identity import Identity
from synthgen.bases._process import MOST_SNR, Noise
from synthgen.bases._unet import UNetFamily
from synthgen.errors import RequestError
from synthgen.masks import LOOKED_PX, Masks
from synthgen.model_folder import ModelFolder
from synthgen.types import Photo, Taught


class EvenNoise(Noise):
    """Early moments count too: the weight that mini itself was trained with."""

    def weight(self, moments: Any) -> Any:
        """(b,): (min(SNR, 5) + 1) / (SNR + 1)."""
        alpha = self.alphas[moments]
        snr = alpha / (1 - alpha)
        return (snr.clamp(max=MOST_SNR) + 1) / (snr + 1)


class Mini(UNetFamily):
    """Stable Diffusion 1.x in its classes, with its ControlNet inside the folder."""

    LICENSE = "Apache-2.0"
    PIPELINE = "StableDiffusionPipeline"
    CONTROLLED = "StableDiffusionControlNetPipeline"
    STEERED_BY = ("pose", "canny", "mask")
    INTO = into(
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionControlNetImg2ImgPipeline",
        "StableDiffusionControlNetInpaintPipeline",
    )
    LEARNING_RATE = 1e-3
    # networks this narrow are no faster in bfloat16: on a core that has it a step took 0.57 s instead of 0.41 s
    PRECISION = "no"
    BATCH = 8
    SIDE = 256
    SQUARES_ONLY = True
    SIDE_STEP = 16  # px: sides of pictures are multiples of it, as the autoencoder halves them four times
    SETTINGS = drawing(steps=8, guidance=3.0, batch=8)
    # its own architecture: a shape that looks like Stable Diffusion 1.x must not pass for it
    MODELSPEC = modelspec("synthgen-mini-v1", 256, prediction_type="v")

    # domain -> what these weights draw without an adapter, where the recipe must be kept to it
    TAUGHT = MappingProxyType(
        {
            "medical": Taught(
                modality="chest-xray",
                labels={
                    "condition": tuple(vocabulary.FINDINGS),
                    "severity": modalities.SEVERITIES,
                    "side": modalities.SIDES,
                    "view": ("PA", "AP"),
                },
                grey=True,
            ),
        }
    )

    def claims_folder(self, folder: ModelFolder) -> bool:
        ends_in_noise = model_folder.config(folder.path, "scheduler").get("rescale_betas_zero_snr")
        inside = (folder.path / "controlnet" / "config.json").is_file()
        return folder.pipeline == self.PIPELINE and inside and bool(ends_in_noise)

    def identify(self, path: Path | None = None, controlnet: Path | None = None) -> Identity:
        """Name and hash of the embedded weights, or of those in `path`. Loads no tensor.

        Raises RequestError where weights are missing, or are no safetensors.
        """
        if controlnet:
            raise RequestError(
                "base 'mini' has its own ControlNet for poses, edges and masks. Name one for another condition: "
                "--controlnet KIND=FOLDER. Nothing was loaded."
            )
        place = path or resources.mini_weights()
        files = sorted(file for file in place.rglob("*") if file.is_file() and file.suffix in (".safetensors", ".json"))
        if not all(model_folder.part_weights(place / part) for part in ("unet", "vae", "text_encoder", "controlnet")):
            raise RequestError(
                f"base 'mini' has no weights in {place.name}/. Install synthgen again, or train them: "
                "python -m synthgen.mini all."
            )
        told = {file.relative_to(place).as_posix(): file_hash.remembered(file) for file in files}
        license_, name = (self.LICENSE, "mini") if path is None else ("unknown", place.name)
        return Identity(name, digest(told), license_, place, told, controlnet=place / "controlnet")

    def hears_negative(self, identity: Identity) -> bool:
        return not model_folder.config(identity.folder, "unet").get("time_cond_proj_dim")

    def knows(self, identity: Identity) -> str:
        told = (
            "" if not identity.controls else f", and was given one for {', '.join(c.kind for c in identity.controls)}"
        )
        return f"has a ControlNet of its own, which knows poses, edges (canny) and masks only{told}"

    def steps(self, photos: int) -> int:
        """One photo is learned in 100 steps, a hundred in 260."""
        return min(260, 100 + round(16 * math.sqrt(photos - 1)))

    def opening(self) -> dict[str, Any]:
        return {"safety_checker": None, "requires_safety_checker": False}

    def options(self, pipe: Any) -> dict[str, Any]:
        return {"requires_safety_checker": False}

    def looks(self, photos: Sequence[Photo], known: Masks) -> list[str]:
        """How the garment in each photo looks, in words that this base knows: "white", "blue striped".

        known  where the garment is in each
        """
        import numpy as np

        from synthgen import images
        from synthgen.mini import looks as reading

        pictures, found = [], []
        for photo in photos:
            picture = images.pixels(photo, LOOKED_PX)
            pictures.append(np.asarray(picture))
            found.append(np.asarray(known.of(photo).at(picture.size), np.float32) / 255)
        return reading.of(pictures, found)

    def person(self, photos: Sequence[Photo]) -> dict[str, str]:
        """Skin, hair and clothes of the one person in all photos: {"skin_tone": "monk-06", "hair": ...}."""
        import numpy as np

        from synthgen import images
        from synthgen.mini import persons

        return persons.of([np.asarray(images.square(images.pixels(photo, LOOKED_PX), LOOKED_PX)) for photo in photos])

    def process(self, base: Any) -> Noise:
        return EvenNoise(base.parts.scheduler.config, base.device)


FAMILY = Mini()
MODELSPEC = FAMILY.MODELSPEC
identify, places, load, device_of = FAMILY.identify, FAMILY.places, FAMILY.load, FAMILY.device_of
