"""How well mini's pictures obey their captions and skeletons, as the judge reads them.

The judge's own accuracy on fresh renders with the same labels, passed through the autoencoder, stands beside each
figure: what it cannot read there it cannot find missing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgen import poses, vocabulary
from synthgen.intervals import wilson
from synthgen.mini import judge as judges
from synthgen.mini.dataset import EVALUATION_SEED
from synthgen.mini.models import Parts

SHARES = {"person": 0.56, "flat": 0.16, "xray": 0.16, "smear": 0.12}
ASKED = {
    "person": ("category", "colour", "pattern", "skin_tone", "body_type", "place", "view", "pose"),
    "flat": ("category", "colour", "pattern"),
    "xray": ("finding", "side"),
    "smear": ("cell", "stain"),
}
BATCH = 8
TONES = tuple(vocabulary.SKIN_TONES)


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    steps: int
    guidance: float
    steered: bool = True  # people by the pose ControlNet; False: by words alone


def table(parts: Parts, count: int, sampling: Sampling) -> Iterator[dict[str, Any]]:
    """One row for each kind of picture and label: share read as asked, its interval, and the judge's own share.

    Every label is judged with no gate in between. `pck` is the share of points within a tenth of the torso's length.
    """
    from synthgen.mini.world import render

    for kind, share in SHARES.items():
        wanted = [render(kind, EVALUATION_SEED + 1000 + number) for number in range(max(1, round(count * share)))]
        fresh, fresh_labels = _readings(wanted, carried(parts.vae, [made.pixels for made in wanted]))
        drawn, drawn_labels = _readings(wanted, draw(parts, wanted, sampling))
        for label in ASKED[kind]:
            asked = [made.labels[label] for made in wanted]
            said = [value != "" for value in asked]
            yield {
                "kind": kind,
                "label": label,
                **interval(_hits(label, asked, drawn_labels), sum(said)),
                "judge": round(_hits(label, asked, fresh_labels) / max(1, sum(said)), 3),
                "chance": round(_chance(label, asked), 3),
            }
        if kind == "person":
            points = [made.keypoints for made in wanted]
            hits, of = _near(points, drawn)
            own, _ = _near(points, fresh)
            yield {"kind": kind, "label": "pck", **interval(hits, of), "judge": round(own / of, 3), "chance": 0.0}


def draw(parts: Parts, wanted: Sequence[Any], sampling: Sampling) -> list[Any]:
    """A picture for each render, from its full caption and, for people, its skeleton; (256, 256, 3) uint8 each."""
    import torch
    from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

    from synthgen.mini.world import full_caption

    shared: dict[str, Any] = {
        "vae": parts.vae, "text_encoder": parts.text_encoder, "tokenizer": parts.tokenizer, "unet": parts.unet,
        "scheduler": parts.scheduler, "safety_checker": None, "feature_extractor": None,
        "requires_safety_checker": False,
    }  # fmt: skip
    steered = sampling.steered and wanted[0].keypoints is not None
    pipe: Any = (
        StableDiffusionControlNetPipeline(controlnet=parts.controlnet, **shared)
        if steered
        else StableDiffusionPipeline(**shared)
    )
    pipe.set_progress_bar_config(disable=True)
    made: list[Any] = []
    for start in range(0, len(wanted), BATCH):
        block = wanted[start : start + BATCH]
        more: dict[str, Any] = {}
        if steered:
            drawn = np.stack([poses.draw_skeleton(one.keypoints, 256) for one in block])
            more["image"] = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            out = pipe(
                [full_caption(one.labels) for one in block],
                num_inference_steps=sampling.steps,
                guidance_scale=sampling.guidance,
                generator=[torch.Generator().manual_seed(start + place) for place in range(len(block))],
                output_type="np",
                **more,
            )
        made += [(picture * 255).round().astype(np.uint8) for picture in out.images]
    return made


def carried(vae: Any, pictures: Sequence[Any]) -> list[Any]:
    """Pictures through the autoencoder and back."""
    import torch

    out: list[Any] = []
    for start in range(0, len(pictures), BATCH):
        batch = torch.from_numpy(np.stack(pictures[start : start + BATCH])).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            back = vae.decode(vae.encode(batch).latent_dist.mean).sample.clamp(-1, 1)
        out += list(((back + 1) * 127.5).round().permute(0, 2, 3, 1).numpy().astype(np.uint8))
    return out


def interval(hits: int, count: int) -> dict[str, Any]:
    """Share with its 95 % Wilson interval."""
    if not count:
        return {"n": 0, "share": 0.0, "low": 0.0, "high": 1.0}
    low, high = wilson(hits, count)
    return {"n": count, "share": round(hits / count, 3), "low": round(low, 3), "high": round(high, 3)}


def _hits(label: str, asked: Sequence[str], read: Sequence[Mapping[str, str]]) -> int:
    return sum(bool(value) and _agrees(label, value, found[label]) for value, found in zip(asked, read, strict=True))


def _readings(wanted: Sequence[Any], pictures: Sequence[Any]) -> tuple[list[Any], list[dict[str, str]]]:
    """What the judge reads, and the labels in it; of the garments on a person, those of the one that was asked for."""
    judge = judges.load()
    readings, labels = judge.read(pictures), []
    for made, picture, reading in zip(wanted, pictures, readings, strict=True):
        found = dict(reading.labels)
        if made.kind == "person":
            category = made.labels["category"]
            found["category"] = reading.among("category", vocabulary.rivals(category))
            if zone := vocabulary.worn_where(category):
                found |= judge.worn(picture, zone)
        labels.append(found)
    return readings, labels


def _agrees(label: str, asked: str, read: str) -> bool:
    """Equal; for skin, within one step of the Monk scale."""
    if label == "skin_tone":
        return abs(TONES.index(asked) - TONES.index(read)) <= 1
    return asked == read


def _chance(label: str, asked: Sequence[str]) -> float:
    """What always naming the best single value would reach."""
    said = [value for value in asked if value]
    if not said:
        return 0.0
    values = Counter(said)
    return max(sum(_agrees(label, value, guess) for value in said) for guess in values) / len(said)


def _near(points: Sequence[Any], readings: Sequence[Any]) -> tuple[int, int]:
    """(points within a tenth of the torso, points that are in the picture)."""
    hits = of = 0
    for asked, reading in zip(points, readings, strict=True):
        inside = asked[:, 2] > 0
        hips = (asked[poses.R_HIP, :2] + asked[poses.L_HIP, :2]) / 2
        torso = float(np.hypot(*(asked[poses.NECK, :2] - hips)))
        off = np.hypot(*(reading.keypoints[inside, :2] - asked[inside, :2]).T)
        hits, of = hits + int((off <= 0.1 * torso).sum()), of + int(inside.sum())
    return hits, of
