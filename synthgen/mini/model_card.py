"""The card of a mini: what it saw, how long it trained, and how to make it again. Written beside the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TEXT = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---

# synthgen mini

The base model that is embedded in synthgen: pictures of 256 px on two CPU cores, for trying, teaching and testing.
Licence of the weights: Apache-2.0.

## What it was trained on

{renders} renders of the procedural world in `synthgen/mini/world` (people in garments in places, garments laid flat,
chest X-ray phantoms), each with its labels, skeleton and captions, and procedural textures for the autoencoder
(`synthgen/mini/textures.py`). All of it is drawn by code in this package from seeds.

No photo, no picture of a real person, no X-ray of a patient and no pretrained weight was used.

## How

- AutoencoderKL, 16 channels at a sixteenth of the size: {autoencoder_minutes:.0f} minutes.{history}
- CLIPTextModel and the UNet's pooling of it first learned to read captions by themselves: {words_minutes:.0f} minutes.
- UNet2DConditionModel, CLIPTextModel and the pose ControlNetModel together: {minutes:.0f} minutes, {steps} steps,
  {seen} pictures.

Machine: {machine}. v-prediction with zero terminal SNR and trailing steps; four in ten batches with the skeleton;
weights averaged. Stock diffusers pipelines load the folder; `controlnet/` holds the pose ControlNet, which reads
OpenPose skeletons of 18 points. {sampling}

Again from nothing, on a CPU over a night or on a GPU in less:

```
python -m synthgen.mini all --minutes 600
```

From these weights on: `python -m synthgen.mini denoiser --minutes 60`.
What they reach: `python -m synthgen.mini evaluate`.

## Limits

The judge beside it (`synthgen/mini/judge`) learned from other renders, of seeds that the base never saw.

It knows its own small world only: few garments, flat faces, blurred detail. No diagnosis may rest on its pictures.
It cannot draw a particular person, for it never saw one.
"""


@dataclass(frozen=True)
class Course:
    """What a training came to."""

    renders: int
    autoencoder_minutes: float
    minutes: float
    steps: int
    seen: int
    machine: str
    sampling: str = "Eight steps with a guidance scale of 3 are the recipe's."
    words_minutes: float = 0.0
    history: str = ""  # what of it began from earlier weights


def write(folder: Path, course: Course) -> Path:
    """Write README.md into a bundle."""
    path = folder / "README.md"
    path.write_text(TEXT.format(**vars(course)), encoding="utf-8")
    return path
