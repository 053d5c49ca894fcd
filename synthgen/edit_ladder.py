"""How well a copy gate finds copies: training images planted among what it judges, edited a little more at each rung.

A gate that lets pass what was saved as JPEG of quality 30 is no gate: it fails itself at that rung.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from synthgen import measures
from synthgen.intervals import wilson

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

DECIDING, LEAST = "jpeg 30", 0.99  # the rung at which a gate fails itself, and the share that it must find there
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5)  # of image-to-image: the share of the way to noise and back
REDRAWN = 12  # plants that the base draws anew at each strength; drawing takes long
REDRAW_STEPS = 10  # at least, so that strength 0.1 is one step
CROP, LIGHT, BLUR_PX, BLEND = 0.8, 0.2, 2, 0.25
SEED = 20_260

Redraw = Callable[["np.ndarray", float], "np.ndarray"]  # (n, s, s, 3) uint8 and a strength -> the same, drawn anew


@dataclass(frozen=True)
class Rung:
    """What was found of the plants of one edit."""

    edit: str
    found: int
    planted: int
    low: float  # of the rate, 95 %, Wilson
    high: float

    @property
    def rate(self) -> float:
        """Share of the plants that was found."""
        return self.found / self.planted if self.planted else 0.0


def climb(calibration: measures.Calibration, plants: np.ndarray, redraw: Redraw | None = None) -> list[Rung]:
    """Every rung, from identity to image-to-image.

    plants  (n, s, s, 3) uint8: training images
    redraw  the base with its adapters; without it image-to-image is left out
    """
    import numpy as np

    rungs = []
    for name, edit in edits(plants).items():
        rungs.append(_rung(name, calibration, [measures.small(edit(number)) for number in range(len(plants))]))
    if redraw is not None and len(plants):
        chosen = plants[np.linspace(0, len(plants) - 1, min(REDRAWN, len(plants))).astype(int)]
        for strength in STRENGTHS:
            drawn = redraw(chosen, strength)
            rungs.append(_rung(f"image-to-image {strength:g}", calibration, [measures.small(one) for one in drawn]))
    return rungs


def failed(rungs: Sequence[Rung]) -> str:
    """Why the gate fails itself; "" where it does not."""
    for rung in rungs:
        if rung.edit == DECIDING and rung.planted and rung.rate < LEAST:
            return (
                f"the gate finds {rung.found} of {rung.planted} training images saved as JPEG of quality 30, fewer "
                f"than {LEAST:.0%}"
            )
    return ""


def told(rungs: Sequence[Rung]) -> list[dict[str, Any]]:
    """The rungs as plain values."""
    return [asdict(rung) | {"rate": rung.rate} for rung in rungs]


def edits(plants: np.ndarray) -> Mapping[str, Callable[[int], np.ndarray]]:
    """Edit -> the edited picture of one plant, by its number; (s, s, 3) uint8."""
    import numpy as np
    from PIL import Image, ImageFilter, ImageOps

    bicubic = Image.Resampling.BICUBIC

    def changed(edit: Callable[[Image.Image, np.random.Generator], Image.Image]) -> Callable[[int], np.ndarray]:
        def of(number: int) -> np.ndarray:
            image = Image.fromarray(plants[number], "RGB")
            return np.asarray(edit(image, np.random.default_rng([SEED, number])).convert("RGB"))

        return of

    def jpeg(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=30)
        return Image.open(io.BytesIO(buffer.getvalue()))

    def half(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX)

    def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        left, top = (float(rng.uniform(0, (1 - CROP) * side)) for side in image.size)
        box = (left, top, left + CROP * image.width, top + CROP * image.height)
        return image.resize(image.size, bicubic, box=box)

    def light(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        gain = 1 + LIGHT * (1 if rng.random() < 0.5 else -1)
        return Image.fromarray(np.clip(np.asarray(image, np.float32) * gain, 0, 255).round().astype(np.uint8), "RGB")

    def blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(BLUR_PX * image.width / 256))

    def blend(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        other = plants[int(rng.integers(len(plants)))]
        return Image.blend(image, Image.fromarray(other, "RGB"), BLEND)

    return {
        "identity": changed(lambda image, rng: image),
        DECIDING: changed(jpeg),
        "half size": changed(half),
        f"crop {CROP:.0%}": changed(crop),
        "flip": changed(lambda image, rng: ImageOps.mirror(image)),
        f"brightness +-{LIGHT:.0%}": changed(light),
        f"blur {BLUR_PX} px": changed(blur),
        f"blend {1 - BLEND:.0%}": changed(blend),
    }


def _rung(name: str, calibration: measures.Calibration, small: Sequence[np.ndarray]) -> Rung:
    import numpy as np

    if not len(small):
        return Rung(name, 0, 0, 0.0, 1.0)
    scores = calibration.reference.nearness(np.stack(small)).score
    found = int((calibration.p(scores) <= calibration.level).sum())
    return Rung(name, found, len(small), *wilson(found, len(small)))
