"""The two sides of an evaluation: the pictures of runs, and real ones, kept to the labels that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from synthgen import classifiers, images, labelled_set, splits
from synthgen.candidates import SIDE_PX
from synthgen.errors import RequestError
from synthgen.types import LabelledPicture, LabelledSet

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Sets:
    """Both sides, kept to the labels that both have."""

    synthetic: tuple[LabelledSet, ...]
    training: LabelledSet  # real, trains the candidates
    testing: LabelledSet  # real, ranks them
    judged: LabelledSet  # real, judges the user's own classifiers
    labels: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def real(self) -> tuple[LabelledPicture, ...]:
        """All real pictures."""
        return self.training.pictures + self.testing.pictures

    @cached_property
    def small_training(self) -> np.ndarray:
        """(n, SIDE_PX, SIDE_PX, 3) uint8; so are the two below."""
        return decoded(self.training.pictures)

    @cached_property
    def small_testing(self) -> np.ndarray:
        return decoded(self.testing.pictures)

    @cached_property
    def small_made(self) -> np.ndarray:
        return decoded(self.made)

    @property
    def made(self) -> list[LabelledPicture]:
        """The pictures of all runs, in their order."""
        return [item for part in self.synthetic for item in part.pictures]


def read(runs: Sequence[Path], real_set: Path, label: str = "") -> Sets:
    """Both sides read, narrowed to common labels, the real one split by group.

    Raises RequestError where a folder cannot be read, or fewer than two labels are common.
    """
    synthetic = [labelled_set.read(path, label) for path in runs]
    real = labelled_set.read(real_set, label)
    names = {item.label for one in synthetic for item in one.pictures}
    common = sorted(names & {item.label for item in real.pictures})
    if len(common) < 2:
        raise RequestError(
            f"the runs have the labels {', '.join(sorted(names))} and {real_set} has "
            f"{', '.join(sorted({item.label for item in real.pictures}))}; at least two in common are needed. Merge "
            "several runs, or name the column with --label. Nothing was evaluated."
        )
    remarks = [
        f"{one.name}: {gone} pictures have a label that the other side lacks, and were left out"
        for one in (*synthetic, real)
        if (gone := sum(item.label not in common for item in one.pictures))
    ]
    synthetic, real = [_only(one, common) for one in synthetic], _only(real, common)
    training = [item for item in real.pictures if item.split == "train"]
    testing = [item for item in real.pictures if item.split in ("validation", "test")]
    if not training or not testing:
        parts = splits.assign(
            [item.group for item in real.pictures], [item.label for item in real.pictures], splits.parse("50/50")
        )
        training = [item for item, part in zip(real.pictures, parts, strict=True) if part == "train"]
        testing = [item for item, part in zip(real.pictures, parts, strict=True) if part == "test"]
        judged = real
        remarks.append("the real set names no train and test split: it was halved by group for the ranking, and all of "
                       "it judges the classifiers given")  # fmt: skip
    else:
        judged = replace(real, pictures=tuple(testing))
    return Sets(
        tuple(synthetic), replace(real, pictures=tuple(training)), replace(real, pictures=tuple(testing)), judged,
        tuple(common), tuple(remarks),
    )  # fmt: skip


def _only(one: LabelledSet, labels: Sequence[str]) -> LabelledSet:
    return replace(one, pictures=tuple(item for item in one.pictures if item.label in labels))


def decoded(pictures: Sequence[LabelledPicture]) -> np.ndarray:
    """(n, SIDE_PX, SIDE_PX, 3) uint8: the same way for both sides."""
    import numpy as np

    side = SIDE_PX
    return np.stack([np.asarray(images.square(classifiers.decoded(item.path, side), side)) for item in pictures])
