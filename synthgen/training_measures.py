"""What an adapter does to pictures: how like the held-out photos they become, and what changes that should not.

After peft's public comparison of methods (method_comparison/image-gen): similarity is the mean cosine between features
of drawn pictures and of held-out photos; drift is (1 - cosine) / 2 between a picture by the base and the same one with
the adapter, on prompts that have nothing to do with what was learned. Here each has its 95 % interval over pictures.
The features are the embedded judge's, so the figures stand beside one another and not beside those of other features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import checkpoint, images, intervals
from synthgen.ledger import write_whole
from synthgen.training_loop import Loop, Watch
from synthgen.types import Job, Photo

if TYPE_CHECKING:
    import numpy as np

ALIKE, UNRELATED = 6, 10  # prompts that a finished training is measured on
AT_CHECKS = 3  # of each, at the first check, the second, the fourth, the eighth, ...
DRAWS = 2000


@dataclass(frozen=True)
class Mean:
    """A mean over pictures with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Seen:
    """One state of an adapter. Rows are pictures, in the order of the prompts."""

    step: int
    pictures: np.ndarray  # (n, s, s, 3) uint8: those like the product, then the unrelated ones
    alike: np.ndarray  # (a,) float: similarity of each of the first
    apart: np.ndarray  # (n - a,) float: drift of each of the others

    @property
    def similarity(self) -> Mean:
        """Over the pictures of the product."""
        return mean(self.alike)

    @property
    def drift(self) -> Mean:
        """Over the pictures of other things."""
        return mean(self.apart)


def alike(states: Sequence[Seen]) -> list[Seen]:
    """The same states, each with the prompts alone that all of them were drawn with: what can be compared."""
    import numpy as np

    first, others = min(len(state.alike) for state in states), min(len(state.apart) for state in states)
    cut = []
    for state in states:
        pictures = np.concatenate([state.pictures[:first], state.pictures[len(state.alike) :][:others]])
        cut.append(Seen(state.step, pictures, state.alike[:first], state.apart[:others]))
    return cut


class Scene:
    """Prompts, photos and the base's own pictures: all that states of one training are compared with."""

    def __init__(self, base: Any, held: Sequence[Photo], unrelated: Sequence[str], seed: int) -> None:
        """Draw the prompts by the base as it is now, without an adapter in training.

        held       photos to be alike; their captions, in turn, are the prompts for it
        unrelated  prompts of other things
        """
        import numpy as np

        self.base = base
        captions = [held[number % len(held)].caption for number in range(ALIKE)]
        self.alike = [_job(text, number, seed) for number, text in enumerate(captions)]
        self.others = [_job(text, 500 + number, seed) for number, text in enumerate(unrelated[:UNRELATED])]
        pixels = [np.asarray(images.square(images.pixels(photo), base.size)) for photo in held]
        self.photos = _features(pixels)
        self.plain = self._drawn(self.others)
        self.before = self._seen(0, self._drawn(self.alike), self.plain)

    def look(self, step: int, alike: int = ALIKE, others: int = UNRELATED) -> Seen:
        """Draw and measure the first of the prompts with the adapter as it is."""
        return self._seen(step, self._drawn(self.alike[:alike]), self._drawn(self.others[:others]))

    def _seen(self, step: int, alike: np.ndarray, others: np.ndarray) -> Seen:
        import numpy as np

        similar = (_features(alike) @ self.photos.T).mean(axis=1)
        same = (_features(others) * _features(self.plain[: len(others)])).sum(axis=1)
        return Seen(step, np.concatenate([alike, others]), similar, (1 - same) / 2)

    def _drawn(self, jobs: Sequence[Job]) -> np.ndarray:
        import numpy as np

        settings = {"controlnet_conditioning_scale": 1.0, **self.base.settings}
        batch, pictures = int(settings["batch"]), []
        for start in range(0, len(jobs), batch):
            some = jobs[start : start + batch]
            pictures += self.base.render(some, [None] * len(some), settings)
        return np.stack([picture.pixels for picture in pictures])


class Samples(Watch):
    """Draws a few pictures at some checks and keeps them beside the checkpoint until the training is done."""

    def __init__(self, scene: Scene, folder: Path, each: int = AT_CHECKS) -> None:
        """each  pictures of the product, and of other things, that are drawn; 0: none"""
        self.scene, self.place, self.each = scene, folder / checkpoint.PLACE, each

    def checked(self, loop: Loop, losses: checkpoint.Losses) -> bool:
        """Draw at the first check after the start, the second, the fourth, ..."""
        number = len(losses.checks) - 1
        if self.each and number & (number - 1) == 0:
            _keep(self.place, self.scene.look(losses.checks[-1].step, self.each, self.each))
        return False


def kept(folder: Path) -> list[Seen]:
    """What `Samples` drew so far, in the order of the steps; a run that was killed has its own among them."""
    import numpy as np

    found = []
    for path in sorted((folder / checkpoint.PLACE).glob("seen-*.npz")):
        with np.load(path) as held:
            found.append(Seen(int(held["step"]), held["pictures"], held["alike"], held["apart"]))
    return found


def mean(values: np.ndarray) -> Mean:
    """The mean of some pictures; the interval is NaN for a single one."""
    import numpy as np

    if len(values) < 2:
        return Mean(float(values.mean()), float("nan"), float("nan"))
    low, high = intervals.bootstrap(
        lambda weights: weights @ values / weights.sum(1), np.arange(len(values)), draws=DRAWS
    )
    return Mean(float(values.mean()), low, high)


def _keep(place: Path, seen: Seen) -> None:
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, step=seen.step, pictures=seen.pictures, alike=seen.alike, apart=seen.apart)
    write_whole(place / f"seen-{seen.step:06d}.npz", buffer.getvalue())


def _job(text: str, number: int, seed: int) -> Job:
    return Job(f"{number:016x}", number, text, "", (seed * 1_000_003 + 7919 * number) % 2**53, {})


def _features(pictures: Sequence[Any] | np.ndarray) -> np.ndarray:
    """(n, d), each of length 1, as the embedded judge sees them."""
    import numpy as np

    from synthgen.mini import judge as judges

    found = np.concatenate(
        [judges.load().features(list(pictures[start : start + 16])) for start in range(0, len(pictures), 16)]
    ).astype(np.float64)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
