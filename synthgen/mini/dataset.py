"""Renders on disk, in shards that are finished or absent, so that rendering and training may be killed and go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHARD = 500
MIX = {"person": 0.54, "flat": 0.2, "xray": 0.14, "smear": 0.12}
EVALUATION_SEED = 1 << 40  # renders for checks come from seeds that training never draws


@dataclass(frozen=True)
class Shard:
    """One finished shard: `count` renders with captions."""

    stem: Path
    count: int

    def pixels(self) -> np.ndarray:
        """(n, 256, 256, 3) uint8 sRGB, memory-mapped."""
        return np.load(self.stem.with_suffix(".pixels.npy"), mmap_mode="r")

    def keypoints(self) -> np.ndarray:
        """(n, 18, 3) float32 px with visibility; all zero where there is no person."""
        return np.load(self.stem.with_suffix(".keypoints.npy"))

    def masks(self) -> np.ndarray:
        """(n, 8192) uint8, a bit for each px, row by row: 1 where the labelled garment or finding is seen."""
        return np.load(self.stem.with_suffix(".masks.npy"))

    def rows(self) -> list[dict]:
        """One {"kind", "labels"} per render."""
        return [json.loads(line) for line in self.stem.with_suffix(".jsonl").read_text().splitlines()]


def shards(folder: Path) -> list[Shard]:
    """The finished shards of a folder, in order."""
    found = sorted(folder.glob("*.jsonl"))
    return [Shard(path.with_suffix(""), sum(1 for _ in path.open())) for path in found]


def render_shard(folder: Path, number: int) -> Path:
    """Render shard `number`; does nothing where it is finished. Deterministic in the number."""
    from synthgen.mini.world import render

    stem = folder / f"{number:05d}"
    done = stem.with_suffix(".jsonl")
    if done.exists():
        return done
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.empty((SHARD, 256, 256, 3), np.uint8)
    keypoints = np.zeros((SHARD, 18, 3), np.float32)
    masks = np.zeros((SHARD, 256 * 256 // 8), np.uint8)
    lines = []
    for position in range(SHARD):
        seed = number * SHARD + position
        kind = str(np.random.default_rng([seed, 11]).choice(list(MIX), p=list(MIX.values())))
        made = render(kind, seed)
        pixels[position] = made.pixels
        if made.keypoints is not None:
            keypoints[position] = made.keypoints
        if made.mask is not None:
            masks[position] = np.packbits(made.mask > 0)
        lines.append(json.dumps({"kind": kind, "labels": made.labels}))
    for name, array in (("pixels", pixels), ("keypoints", keypoints), ("masks", masks)):
        target = stem.with_suffix(f".{name}.npy")
        with (temporary := target.with_suffix(".part")).open("wb") as file:
            np.save(file, array)
        os.replace(temporary, target)
    temporary = done.with_suffix(".part")
    temporary.write_text("\n".join(lines) + "\n")
    os.replace(temporary, done)
    return done


def render_many(folder: Path, count: int, workers: int = 1) -> Iterator[Path]:
    """Render shards 0 to count - 1 in `workers` processes; yields each as it is finished."""
    from concurrent.futures import ProcessPoolExecutor

    if workers <= 1:
        yield from (render_shard(folder, number) for number in range(count))
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(render_shard, [folder] * count, range(count))


def corpus(count: int = 6000) -> list[str]:
    """Captions of imagined renders: what the tokenizer is learned from. Every word of the vocabulary is in it."""
    from synthgen import vocabulary
    from synthgen.mini.world import caption, render

    words = [
        *vocabulary.CATEGORIES.values(), *vocabulary.COLOURS, *vocabulary.PATTERNS, *vocabulary.TRIGGER_WORDS,
        *vocabulary.BODY_TYPES.values(), *vocabulary.AGE_BANDS.values(), *vocabulary.PLACES.values(),
        *vocabulary.VIEWS.values(), *vocabulary.FINDINGS.values(), *vocabulary.HAIR_STYLES,
        *vocabulary.WHITE_CELLS, *vocabulary.STAINS,
        *vocabulary.HAIR_COLOURS, *(phrase for _, phrase in vocabulary.SKIN_TONES.values()),
    ]  # fmt: skip
    texts = [word for word in words for _ in range(40)]
    for seed in range(count // 20):
        kind = ("person", "person", "flat", "xray", "smear")[seed % 5]
        labels = render(kind, EVALUATION_SEED - 1 - seed).labels
        texts += [caption(labels, np.random.default_rng([seed, turn])) for turn in range(20)]
    return texts
