"""What one classifier said of one set, and the usual measures of it.

Every measure takes weights, (draws, n), and gives one value for each draw, so that a bootstrap of a thousand draws is a
few matrix products. Tests hold each of them to scikit-learn's answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "calibration_error")
OF_SCORES = ("auroc", "calibration_error")  # not defined where only the chosen class is known
BINS = 15  # equal widths over [0, 1], as in most published calibration errors


@dataclass(frozen=True)
class Answers:
    """The scores of n pictures over c classes, with the truth."""

    classes: tuple[str, ...]
    truth: np.ndarray  # (n,) int, an index of classes
    scores: np.ndarray  # (n, c) float64, each row sums to 1
    units: np.ndarray  # (n,) int; pictures of one unit are not independent
    cells: Mapping[str, np.ndarray] = field(default_factory=dict)  # axis -> (n,) str, "" where not known
    scored: bool = True  # False: only the chosen class is known, and `scores` are 0 and 1

    @property
    def choice(self) -> np.ndarray:
        """(n,) int: the class with the highest score, the first of equals."""
        return self.scores.argmax(axis=1)

    @property
    def hits(self) -> np.ndarray:
        """(n,) bool: where the choice is the truth."""
        return self.choice == self.truth

    def part(self, chosen: np.ndarray) -> Answers:
        """The answers to some of the pictures; `chosen` is (n,) bool."""
        cells = {axis: values[chosen] for axis, values in self.cells.items()}
        return Answers(self.classes, self.truth[chosen], self.scores[chosen], self.units[chosen], cells, self.scored)

    def measured(self) -> tuple[str, ...]:
        """The metrics that are defined for these answers."""
        return tuple(name for name in METRICS if self.scored or name not in OF_SCORES)


def even(answers: Answers) -> np.ndarray:
    """(1, n) weights of 1."""
    import numpy as np

    return np.ones((1, len(answers.truth)))


def measure(answers: Answers, name: str, weights: np.ndarray) -> np.ndarray:
    """One of METRICS for each draw: (draws, n) weights -> (draws,); NaN where a draw leaves it undefined."""
    measures = {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "auroc": auroc,
        "calibration_error": calibration_error,
    }
    return measures[name](answers, weights)


def accuracy(answers: Answers, weights: np.ndarray) -> np.ndarray:
    """The share of pictures whose choice is the truth."""
    return _divided(weights @ answers.hits, weights.sum(axis=1))


def balanced_accuracy(answers: Answers, weights: np.ndarray) -> np.ndarray:
    """The mean over the classes that occur of the share of each that is found."""
    import numpy as np

    return _mean(np.stack([recall(answers, index, weights) for index in range(len(answers.classes))]))


def recall(answers: Answers, index: int, weights: np.ndarray) -> np.ndarray:
    """The share of one class that is found."""
    mine = answers.truth == index
    return _divided(weights @ (mine & answers.hits), weights @ mine)


def macro_f1(answers: Answers, weights: np.ndarray) -> np.ndarray:
    """The mean of F1 over the classes that occur or are chosen."""
    import numpy as np

    values = []
    for index in range(len(answers.classes)):
        mine, chosen = answers.truth == index, answers.choice == index
        values.append(_divided(2 * (weights @ (mine & chosen)), weights @ mine + weights @ chosen))
    return _mean(np.stack(values))


def auroc(answers: Answers, weights: np.ndarray) -> np.ndarray:
    """The mean over classes of the area under the curve of one against the rest; equal scores count half."""
    import numpy as np

    return _mean(np.stack([class_auroc(answers, index, weights) for index in range(len(answers.classes))]))


def class_auroc(answers: Answers, index: int, weights: np.ndarray) -> np.ndarray:
    """The area under the curve of one class against the rest, NaN where a draw has only one side."""
    import numpy as np

    scores = answers.scores[:, index].round(9)  # what a softmax leaves in the last bits is a tie
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    mine = (answers.truth == index)[order]
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * mine, starts, axis=1)
    negative = np.add.reduceat(ordered * ~mine, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    return _divided((positive * (below + negative / 2)).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def calibration_error(answers: Answers, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error of the chosen class: |confidence - accuracy| over BINS bins, by their weight."""
    import numpy as np

    surplus = answers.scores.max(axis=1) - answers.hits
    bins = confidence_bins(answers)
    apart = sum(np.abs(weights[:, bins == bin] @ surplus[bins == bin]) for bin in np.unique(bins))
    return _divided(np.asarray(apart), weights.sum(axis=1))


def confidence_bins(answers: Answers) -> np.ndarray:
    """(n,) int in [0, BINS): the bin of the highest score."""
    import numpy as np

    return np.minimum((answers.scores.max(axis=1) * BINS).astype(int), BINS - 1)


def confusion(answers: Answers) -> np.ndarray:
    """(c, c) int: rows are the truth, columns the choice."""
    import numpy as np

    table = np.zeros((len(answers.classes),) * 2, dtype=int)
    np.add.at(table, (answers.truth, answers.choice), 1)
    return table


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis of what is defined; NaN where nothing is."""
    import numpy as np

    good = ~np.isnan(values)
    return _divided(np.where(good, values, 0).sum(axis=0), good.sum(axis=0))
