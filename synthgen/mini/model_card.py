"""The card of a mini: what it saw, how long it trained, and how to make it again. Written beside the weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HISTORY = "training.json"
PARTS = {
    "autoencoder": "AutoencoderKL, 16 channels at a sixteenth of the size",
    "words": "CLIPTextModel and the UNet's pooling of it, which learn to read captions by themselves",
    "denoiser": "UNet2DConditionModel, CLIPTextModel and the ControlNetModel together",
    "guidance": "Guidance built into the UNet2DConditionModel and the ControlNetModel",
}
TEXT = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---

# synthgen mini

The base model that is embedded in synthgen: pictures of 256 px on two CPU cores, for trying, teaching and testing.
Licence of the weights: Apache-2.0.

## What it was trained on

Renders of the procedural world in `synthgen/mini/world` (people in garments in places, garments laid flat, chest X-ray
phantoms, blood smears), each with its labels, skeleton and captions, and procedural textures for the autoencoder
(`synthgen/mini/textures.py`). All of it is drawn by code in this package from seeds.

No photo, no picture of a real person, no X-ray of a patient and no pretrained weight was used.

## How

{stages}

{total} in all.

v-prediction with zero terminal SNR and trailing steps; 45 of a hundred batches with a control picture; weights
averaged; places that show a body, a finding or a white cell count four times in the loss. Stock diffusers pipelines
load the folder; `controlnet/` reads OpenPose skeletons of 18 points, edges (Canny, white on black) and regions (white
where the garment or the finding is). Eight steps with a guidance scale of 3 are the recipe's.{guidance}

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


GUIDANCE = """

The guidance scale is told to the UNet by its time embedding (`time_cond_proj_dim`), so that a picture takes one pass a
step; without it, as a trainer calls it, the UNet predicts unguided."""


@dataclass(frozen=True)
class Stage:
    """One training of one part; each goes on from the stages before it."""

    part: str  # one of PARTS
    minutes: float
    renders: int
    machine: str
    steps: int = 0
    pictures: int = 0  # seen, each as often as it was drawn
    note: str = ""

    def told(self) -> str:
        """One line for the card."""
        counts = f"{self.steps} steps, {self.pictures} pictures drawn from " if self.pictures else ""
        line = f"{PARTS[self.part]}: {self.minutes:.0f} minutes, {counts}{self.renders} renders, {self.machine}."
        return f"{line} {self.note}".rstrip()


def keep(folder: Path, stages: Sequence[Stage]) -> None:
    """Write what has been trained into a folder, for `history` to read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HISTORY).write_text(json.dumps([asdict(stage) for stage in stages], indent=2) + "\n")


def history(folder: Path) -> list[Stage]:
    """What a bundle, or another folder, says it has behind it, in order; nothing where it says nothing."""
    file = folder / HISTORY
    return [Stage(**told) for told in json.loads(file.read_text())] if file.is_file() else []


def write(bundle: Path, stages: Sequence[Stage]) -> Path:
    """Write the history and README.md into a bundle."""
    keep(bundle, stages)
    lines = [f"{number}. {stage.told()}" for number, stage in enumerate(stages, 1)]
    seen = sum(stage.pictures for stage in stages)
    total = f"{sum(stage.minutes for stage in stages):.0f} minutes and {seen} pictures through the denoiser"
    path = bundle / "README.md"
    guidance = GUIDANCE if any(stage.part == "guidance" for stage in stages) else ""
    path.write_text(TEXT.format(stages="\n".join(lines), total=total, guidance=guidance), encoding="utf-8")
    return path
