"""A sheet of pictures drawn with a mini, at fixed prompts and seeds, to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synthgen.mini.models import Parts

_WHO = "a photo of a {who} hair wearing {what}, {{pose}}, {{view}}, {where}"
PEOPLE = tuple(
    _WHO.format(who=who, what=what, where=where)
    for who, what, where in (
        (
            "young adult straight-size person with tan skin and short black",
            "a red t-shirt and blue trousers",
            "on a beach",
        ),
        (
            "senior plus-size person with fair skin and short grey",
            "a green checked shirt and black trousers",
            "in a park",
        ),
        ("middle-aged petite person with deep black skin and bun black", "a yellow dress", "in a studio"),
        ("young adult tall person with brown skin and long brown", "a purple striped long-sleeve top", "on a street"),
        (
            "young adult plus-size person with light skin and curly red",
            "a navy jacket and grey trousers",
            "in an office",
        ),
        ("middle-aged straight-size person with dark brown skin and long black", "a white dotted shirt", "at home"),
    )
)
THINGS = (
    "a photo of a red striped t-shirt, flat lay",
    "a photo of a blue checked shirt, flat lay",
    "a photo of a black dress, flat lay",
    "a photo of green trousers, flat lay",
    "chest x-ray, no finding",
    "chest x-ray, pleural effusion, left, PA view",
)


def draw_sheet(parts: Parts, seed: int = 0, steps: int = 8, guidance: float = 3.0) -> np.ndarray:
    """Rows of skeleton, person, flat garments and X-rays; (h, w, 3) uint8."""
    import torch
    from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

    from synthgen import poses

    shared: dict[str, Any] = {
        "vae": parts.vae, "text_encoder": parts.text_encoder, "tokenizer": parts.tokenizer, "unet": parts.unet,
        "scheduler": parts.scheduler, "safety_checker": None, "feature_extractor": None,
        "requires_safety_checker": False,
    }  # fmt: skip
    with_pose = StableDiffusionControlNetPipeline(controlnet=parts.controlnet, **shared)
    plain = StableDiffusionPipeline(**shared)
    for pipe in (with_pose, plain):
        pipe.set_progress_bar_config(disable=True)
    names = list(poses.library())
    views = ("full", "three-quarter", "close", "full", "three-quarter", "full")
    bodies = ("straight", "plus", "petite", "tall", "plus", "straight")
    rows = []
    for shift in (0, 1):
        chosen = [poses.library()[names[(5 * place + 3 * shift) % len(names)]] for place in range(len(PEOPLE))]
        skeletons = [
            poses.draw_skeleton(poses.fit(pose, body, view, 256, seed + place), 256)
            for place, (pose, body, view) in enumerate(zip(chosen, bodies, views, strict=True))
        ]
        phrases = {"full": "full body", "three-quarter": "three-quarter view", "close": "close view"}
        prompts = [
            text.format(pose=pose.group.replace("-", " "), view=phrases[view])
            for text, pose, view in zip(PEOPLE, chosen, views, strict=True)
        ]
        control = torch.from_numpy(np.stack(skeletons)).permute(0, 3, 1, 2).float() / 255
        made = _drawn(with_pose, prompts, seed + 100 * shift, steps, guidance, image=control)
        rows += [np.hstack(skeletons), np.hstack(made)]
    rows.append(np.hstack(_drawn(plain, list(THINGS), seed, steps, guidance)))
    rows.append(
        np.hstack(_drawn(plain, [p.format(pose="standing", view="full body") for p in PEOPLE], seed, steps, guidance))
    )
    return np.vstack(rows)


def _drawn(pipe: Any, prompts: list[str], seed: int, steps: int, guidance: float, **more: Any) -> list[np.ndarray]:
    import torch

    generators = [torch.Generator().manual_seed(seed + place) for place in range(len(prompts))]
    with torch.no_grad():
        out = pipe(
            prompts, num_inference_steps=steps, guidance_scale=guidance, generator=generators, output_type="np", **more
        )
    return [(picture * 255).round().astype(np.uint8) for picture in out.images]


def write_sheet(parts: Parts, path: Path) -> None:
    """Draw the sheet and write it as PNG."""
    from PIL import Image

    Image.fromarray(draw_sheet(parts)).save(path)
