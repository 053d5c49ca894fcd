"""A family of small classifiers, trained here on real pictures only, so that there is something to rank.

They vary in what makes classifiers differ in the field: architecture, width, input size, augmentation, share of the
training pictures, label noise. Each is trained from its own seed with the same number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

SIDE_PX = 64  # what pictures are decoded to; a candidate may look at less
BATCH = 32


@dataclass(frozen=True)
class Candidate:
    """What a small classifier is and how it is trained."""

    name: str
    architecture: str  # "linear", "mlp", "conv", "residual", "patches"
    width: int = 16
    side: int = 32  # px
    augment: bool = True
    share: float = 1.0  # of the training pictures
    noise: float = 0.0  # share of training labels dealt out anew
    seed: int = 0

    @property
    def described(self) -> dict[str, Any]:
        """Its settings as plain values."""
        return asdict(self)


FAMILY = (
    Candidate("residual", "residual", 24, seed=1),
    Candidate("residual-plain", "residual", 16, augment=False, seed=2),
    Candidate("residual-large", "residual", 16, side=64, seed=3),
    Candidate("conv", "conv", 24, seed=4),
    Candidate("conv-narrow", "conv", 6, seed=5),
    Candidate("conv-few", "conv", 16, share=0.25, seed=6),
    Candidate("conv-noise20", "conv", 16, noise=0.2, seed=7),
    Candidate("conv-noise60", "conv", 16, noise=0.6, seed=8),
    Candidate("patches", "patches", 48, seed=9),
    Candidate("mlp", "mlp", 64, side=16, seed=10),
    Candidate("mlp-noise40", "mlp", 64, side=16, noise=0.4, seed=11),
    Candidate("linear-few", "linear", side=16, share=0.1, seed=12),
)


def family(count: int) -> tuple[Candidate, ...]:
    """`count` candidates: FAMILY, then the same again from other seeds."""
    more = []
    for number in range(count):
        again, place = divmod(number, len(FAMILY))
        one = FAMILY[place]
        more.append(replace(one, name=f"{one.name}-{again + 1}", seed=one.seed + 100 * again) if again else one)
    return tuple(more)


def train(candidate: Candidate, pixels: np.ndarray, labels: np.ndarray, classes: int, steps: int) -> Any:
    """A trained torch module: (n, 3, side, side) float32 in [-1, 1] -> (n, classes) logits. Same seed, same weights.

    pixels   (n, SIDE_PX, SIDE_PX, 3) uint8
    labels   (n,) int in [0, classes)
    """
    import numpy as np

    rng = np.random.default_rng(candidate.seed)
    chosen = _share(labels, candidate.share, rng)
    truth = labels[chosen].copy()
    dealt = rng.random(len(truth)) < candidate.noise
    truth[dealt] = rng.integers(0, classes, int(dealt.sum()))
    return train_in_turn(candidate, [(pixels[chosen], truth, steps)], classes, rng)


def train_in_turn(
    candidate: Candidate, turns: Sequence[tuple[np.ndarray, np.ndarray, int]], classes: int, rng: np.random.Generator
) -> Any:
    """The same, taught from one set after another: pixels, labels, steps. Share and noise are not applied.

    The learning rate rises and falls once over all steps.
    """
    import numpy as np
    import torch

    from synthgen.small_networks import network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(candidate.seed)
        module = network(candidate.architecture, candidate.width, candidate.side, classes).train()
        optimiser = torch.optim.AdamW(module.parameters(), lr=2e-3, weight_decay=0.01)
        whole = sum(steps for _, _, steps in turns)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=max(2, whole))
        for pixels, labels, steps in turns:
            inputs, targets = prepared(candidate, pixels), torch.from_numpy(labels.astype(np.int64))
            for _ in range(steps):
                rows = torch.from_numpy(rng.integers(0, len(labels), BATCH))
                batch = _augmented(inputs[rows], rng) if candidate.augment else inputs[rows]
                loss = torch.nn.functional.cross_entropy(module(batch), targets[rows])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
    return module.eval()


def scores(candidate: Candidate, module: Any, pixels: np.ndarray) -> np.ndarray:
    """(n, SIDE_PX, SIDE_PX, 3) uint8 -> (n, classes) float64, each row with sum 1."""
    import numpy as np
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(pixels), 256):
            logits = module(prepared(candidate, pixels[start : start + 256])).double()
            parts.append(torch.softmax(logits, dim=1).numpy())
    return np.concatenate(parts)


def prepared(candidate: Candidate, pixels: np.ndarray) -> Any:
    """(n, SIDE_PX, SIDE_PX, 3) uint8 -> (n, 3, side, side) float32 in [-1, 1]."""
    import numpy as np
    import torch

    inputs = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 127.5 - 1
    if candidate.side == SIDE_PX:
        return inputs
    return torch.nn.functional.interpolate(inputs, (candidate.side,) * 2, mode="bilinear", antialias=True)


def _share(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Indices of a share of every class, at least two of each."""
    import numpy as np

    parts: list[np.ndarray] = []
    for label in np.unique(labels):
        mine = rng.permutation(np.flatnonzero(labels == label))
        parts.append(mine[: max(2, round(share * len(mine)))])
    return np.concatenate(parts)


def _augmented(batch: Any, rng: np.random.Generator) -> Any:
    """Mirrored by half, moved by up to an eighth of the side, and lighter or darker."""
    import numpy as np
    import torch

    count, _, side, _ = batch.shape
    reach = side // 8
    padded = torch.nn.functional.pad(batch, (reach,) * 4, mode="reflect")
    moved = torch.empty_like(batch)
    places = rng.integers(0, 2 * reach + 1, (count, 2))
    for index, (top, left) in enumerate(places):
        moved[index] = padded[index, :, top : top + side, left : left + side]
    mirrored = torch.from_numpy(rng.random(count) < 0.5)
    moved[mirrored] = moved[mirrored].flip(-1)
    light = torch.from_numpy(rng.uniform(0.8, 1.2, (count, 1, 1, 1)).astype(np.float32))
    return moved * light
