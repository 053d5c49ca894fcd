"""An attack on an adapter by who owns it: does it predict the noise better on images that it was trained on.

The base without the adapter is the yardstick of how hard each image is, so only what the adapter added counts. All
images get the same words: captions of their own would tell members apart by themselves.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import images, measures
from synthgen.ledger import write_whole
from synthgen.types import Photo

if TYPE_CHECKING:
    import numpy as np

NAME = "membership.json"  # in an adapter's report/
MOST = 120  # images on each side; 100 held-out ones show 1 % of false alarms
DRAWS = 8  # of time and noise, the same for every image
BATCH = 16


def attack(base: Any, train: Sequence[Photo], held: Sequence[Photo], folder: Path, seed: int = 0) -> dict[str, Any]:
    """Attack the adapter in training and write what came out to its report/: AUC, hits at 1 %, and their nulls.

    base  with its adapter attached and trained. Nothing is written where no image is held out; {} comes back then.
    """
    held = [photo for photo in held if photo not in train][:MOST]
    if not held:
        return {}
    words = Counter(photo.caption for photo in train).most_common(1)[0][0]
    train = list(train)[:MOST]
    gained, blank = _gains(base, train, words, seed), _gains(base, held, words, seed)
    groups, others = ([photo.group or photo.sha256 for photo in side] for side in (train, held))
    told = {
        **measures.attack_told(gained, blank, groups, others, seed),
        "attack": f"error of the noise without the adapter less that with it, mean of {DRAWS} draws, one caption",
    }  # fmt: skip
    (folder / "report").mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report" / NAME, (json.dumps(told, indent=1) + "\n").encode())
    return told


def _gains(base: Any, photos: Sequence[Photo], words: str, seed: int) -> np.ndarray:
    """(n,) float64: by how much the adapter makes the error of each image smaller."""
    import numpy as np
    import torch

    read = {}
    for used in (False, True):
        base.use_adapter(used)
        read[used] = base.encode_texts([words] * BATCH)
    gains = []
    for start in range(0, len(photos), BATCH):
        some = photos[start : start + BATCH]
        pixels = np.stack([np.asarray(images.square(images.pixels(photo), base.size)) for photo in some])
        latents = base.encode_pixels(pixels)
        rng = np.random.default_rng([seed, 99])
        total = np.zeros(len(some))
        for draw in range(DRAWS):
            moment = int((draw + 0.5) / DRAWS * base.train_steps)
            one = rng.standard_normal(tuple(latents.shape[1:]), dtype=np.float32)
            noise = torch.from_numpy(np.repeat(one[None], len(some), axis=0)).to(latents.device)
            times = torch.full((len(some),), moment, device=latents.device)
            errors = []
            for used in (False, True):
                base.use_adapter(used)
                with torch.no_grad():
                    errors.append(base.loss(latents, read[used][: len(some)], times, noise).double().cpu().numpy())
            total += errors[0] - errors[1]
        gains.append(total / DRAWS)
    base.use_adapter(True)
    return np.concatenate(gains)
