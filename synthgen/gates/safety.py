"""Refuses pictures that Stable Diffusion's safety checker takes for unsafe. Every base but the embedded one is asked.

The checker is the user's own: the folder `safety_checker` of a Stable Diffusion 1 checkpoint, with safetensors, put
into SYNTHGEN_HOME. None is fetched. Without it pictures are kept, and say that nobody looked. It was made to find
nudity and misses much else; what it passes is not thereby fit for everybody.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synthgen import file_hash, model_folder, resources
from synthgen.errors import Refused, RequestError
from synthgen.types import Judgement, Picture, RunFacts

FOLDER = "safety_checker"
KIND = "StableDiffusionSafetyChecker"
RELEASE = "dataset-release"
VERDICT = "safety_verdict"
CLEAR, UNSAFE, UNCHECKED = "no concern found", "unsafe", "not checked"


def judge(picture: Picture) -> Judgement:
    """Accepts: nobody is here who could look."""
    return Judgement("safety", True, "", {VERDICT: UNCHECKED})


def open(run: RunFacts) -> Checker | None:
    """The checker that is here; None where there is none, which is said once.

    Raises Refused for the use `dataset-release` without one, RequestError for a folder that is another thing.
    """
    place = resources.home() / FOLDER
    if place.is_dir():
        return Checker(place)
    missing = f"there is no safety checker at {place}, a folder of Stable Diffusion 1 checkpoints with safetensors"
    if run.use == RELEASE:
        raise Refused(f"safety gate: {missing}. --use {RELEASE} of a real base needs it. Nothing was drawn.")
    print(f"safety gate: {missing}. Pictures are kept and say '{UNCHECKED}'.", file=sys.stderr, flush=True)
    return None


def require(folder: Path, lineages: Iterable[Mapping[str, Any]], use: str) -> None:
    """Raises Refused where a set is to be released of which a picture by a real base was not looked at."""
    if use != RELEASE:
        return
    if unseen := sum(lineage["measured"].get(VERDICT) == UNCHECKED for lineage in lineages):
        raise Refused(
            f"{folder}: refused for --use {RELEASE}: {unseen} pictures were made with no safety checker. Make them "
            f"again with one in {resources.home() / FOLDER}. Nothing was written."
        )


class Checker:
    """A safety checker that was opened."""

    def __init__(self, place: Path) -> None:
        """Raises RequestError where the folder holds another network, pickles, or nothing."""
        if (kind := str(model_folder.config(place, ".").get("architectures"))) != f"['{KIND}']":
            raise RequestError(f"{place} holds {kind}; wanted a {KIND}. Nothing was drawn.")
        if not (weights := model_folder.part_weights(place)):
            raise RequestError(f"{place} has no safetensors. Nothing was drawn.")
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPImageProcessor

        self._sha256 = file_hash.remembered(weights[0])
        self._network = StableDiffusionSafetyChecker.from_pretrained(place, use_safetensors=True, local_files_only=True)
        self._network.eval()
        side = self._network.config.vision_config.image_size
        self._seen = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})

    def judge(self, picture: Picture) -> Judgement:
        """Refuses what the checker would have drawn black. Measured: its verdict, and which weights gave it."""
        from PIL import Image

        shown = self._seen(Image.fromarray(picture.pixels), return_tensors="pt").pixel_values
        _, (unsafe,) = self._network(clip_input=shown, images=[picture.pixels.copy()])
        told = {VERDICT: UNSAFE if unsafe else CLEAR, "safety_checker_sha256": self._sha256}
        return Judgement("safety", not unsafe, "safety: the checker takes it for unsafe" if unsafe else "", told)
