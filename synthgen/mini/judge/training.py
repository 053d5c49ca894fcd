"""Trains the judge on renders of its own seeds, softened at random as an autoencoder softens."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.mini.judge.network import HEAT_PX, INPUT_PX, LABELS, POINTS, build, shipped, shrunk, whole

SEEDS = 1 << 41  # renders of the judge begin here; the generator's begin at 0, those for checks at 1 << 40
SHARD = 500
MIX = {"person": 0.56, "flat": 0.2, "xray": 0.14, "smear": 0.1}
BATCH = 32
LEARNING_RATE = 2e-3


def render_shard(folder: Path, number: int) -> Path:
    """One finished shard of renders at 128 px with masks at 32 px; does nothing where it is there."""
    import cv2

    from synthgen.mini.world import render

    target = folder / f"{number:05d}.npz"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.empty((SHARD, INPUT_PX, INPUT_PX, 3), np.uint8)
    masks = np.zeros((SHARD, HEAT_PX, HEAT_PX), np.uint8)
    points = np.zeros((SHARD, POINTS, 3), np.float32)
    labels = []
    for row in range(SHARD):
        seed = SEEDS + number * SHARD + row
        kind = str(np.random.default_rng([seed, 13]).choice(list(MIX), p=list(MIX.values())))
        made = render(kind, seed)
        pixels[row] = shrunk(made.pixels)
        if made.mask is not None and kind != "xray":  # the judge's mask is of garments
            masks[row] = cv2.resize(made.mask, (HEAT_PX, HEAT_PX), interpolation=cv2.INTER_AREA)
        if made.keypoints is not None:
            points[row] = made.keypoints / np.array([256, 256, 1], np.float32)
        labels.append({"kind": kind, **made.labels})
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, pixels=pixels, masks=masks, points=points, labels=np.array(json.dumps(labels)))
    os.replace(part, target)
    return target


class Renders:
    """All finished shards in memory, drawn in batches."""

    def __init__(self, folder: Path) -> None:
        read = [np.load(path) for path in sorted(folder.glob("*.npz"))]
        self.pixels = np.concatenate([shard["pixels"] for shard in read])
        self.masks = np.concatenate([shard["masks"] for shard in read])
        self.points = np.concatenate([shard["points"] for shard in read])
        rows = [row for shard in read for row in json.loads(str(shard["labels"]))]
        self.targets = np.array([targets(row) for row in rows], np.int64)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Any, ...]:
        """Tensors: pixels (b, 3, 128, 128) in [-1, 1], targets (b, labels) with -1 for none, points, masks."""
        import torch

        chosen = rng.integers(len(self.pixels), size=count)
        pixels = np.stack([softened(self.pixels[row], rng) for row in chosen])
        return (
            torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1,
            torch.from_numpy(self.targets[chosen]),
            torch.from_numpy(self.points[chosen]),
            torch.from_numpy(self.masks[chosen]).float() / 255,
        )


def targets(labels: dict[str, str]) -> list[int]:
    """The index of each label's value, -1 where a picture has none."""
    found = []
    for key, values in LABELS.items():
        value = labels.get(key, "")
        found.append(values.index(value) if value in values else -1)
    return found


def softened(picture: Any, rng: np.random.Generator) -> Any:
    """The picture with blur, noise and a change of light at random: generated pictures have them, renders have not."""
    import cv2

    out = picture.astype(np.float32)
    if rng.random() < 0.5:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.1)))
    if rng.random() < 0.3:
        out = out + rng.normal(0, rng.uniform(1, 8), out.shape).astype(np.float32)
    if rng.random() < 0.3:
        out = (out - 128) * rng.uniform(0.9, 1.08) + 128 + rng.uniform(-6, 6)
    return np.clip(out, 0, 255).astype(np.uint8)


def loss_of(network: Any, batch: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """(loss, hits per label, asked per label)."""
    import torch
    import torch.nn.functional as F

    pixels, wanted, points, masks = batch
    told = network(pixels)
    loss = 0.5 * F.binary_cross_entropy_with_logits(told["mask"], masks)
    person = wanted[:, 0] == 0
    seen = points[..., 2]
    loss = loss + F.binary_cross_entropy_with_logits(told["seen"][person], seen[person])
    off = (told["points"] - points[..., :2]).abs().sum(-1)
    loss = loss + 20 * (off * seen)[person].sum() / seen[person].sum().clamp(min=1)
    hits, asked = torch.zeros(len(LABELS)), torch.zeros(len(LABELS))
    for column, key in enumerate(LABELS):
        has = wanted[:, column] >= 0
        if has.any():
            guess = told["labels"][key][has]
            loss = loss + F.cross_entropy(guess, wanted[has, column], label_smoothing=0.02)
            hits[column] = (guess.argmax(-1) == wanted[has, column]).sum()
            asked[column] = has.sum()
    return loss, hits, asked


def fit(folder: Path, target: Path, minutes: float, seed: int = 0) -> None:
    """Train for so many minutes, from the judge at `target`, else from the shipped one; write fp16 safetensors."""
    import torch

    torch.manual_seed(seed)
    data, rng = Renders(folder), np.random.default_rng(seed)
    network = build()
    begin_from(network, target if target.is_file() else shipped())
    if target.is_file():
        rng = np.random.default_rng(seed + 1)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    print(f"judge: {len(data.pixels)} renders", flush=True)
    hits, asked = torch.zeros(len(LABELS)), torch.zeros(len(LABELS))
    for step, done in _clock(minutes * 60):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 100) * max(0.01, 1 - done)
        loss, right, of = loss_of(network, data.draw(rng, BATCH))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hits, asked = 0.98 * hits + right, 0.98 * asked + of
        if step % 50 == 49:
            shares = " ".join(f"{key} {float(hits[at] / asked[at]):.2f}" for at, key in enumerate(LABELS))
            print(f"judge {done * minutes:5.1f} min  step {step + 1}  loss {loss.item():.2f}  {shares}", flush=True)
    save(network, target)


def begin_from(network: Any, earlier: Path) -> None:
    """Take over what an earlier judge knew; a head that has gained values keeps the rows of the old ones."""
    import torch
    from safetensors.torch import load_file

    if not earlier.is_file():
        return
    own = network.state_dict()
    for key, value in load_file(earlier).items():
        if key in own and own[key].shape[1:] == value.shape[1:] and len(own[key].shape) == len(value.shape):
            with torch.no_grad():
                if value.dim():
                    own[key][: len(value)] = whole(value)[: len(own[key])]
                else:
                    own[key].copy_(value)


def save(network: Any, target: Path) -> None:
    """Write the weights in fp16; counters stay whole numbers."""
    from safetensors.torch import save_file

    tensors = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    part = target.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in tensors.items()}, part)
    part.replace(target)


def _clock(seconds: float) -> Iterator[tuple[int, float]]:
    """(step, share of the time that is over), until it is over."""
    began, step = time.monotonic(), 0
    while (spent := time.monotonic() - began) < seconds:
        yield step, spent / seconds
        step += 1
