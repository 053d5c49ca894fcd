"""How severe a finding becomes as an adapter's strength rises, read from the pictures of a sweep.

The embedded judge reads phantoms, so that only the embedded base's chest X-rays are read. Its score is
P(finding) * sum(P(degree) * degree), mild 1, moderate 2, severe 3: 0 where no finding is seen, 3 where it is sure of a
severe one. Its own accuracy on fresh phantoms is measured in the same call and stands beside the scores.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import images
from synthgen.bases import EMBEDDED
from synthgen.card import Card
from synthgen.intervals import bootstrap, wilson
from synthgen.ledger import write_whole
from synthgen.mini import judge as judges

TABLE = "severity.csv"
MODALITY = "chest-xray"  # what the judge knows
DEGREES = judges.LABELS["severity"]
FRESH = 96  # phantoms, of the seeds that nothing was trained on


@dataclass(frozen=True)
class Level:
    """What is read at one strength."""

    strength: str
    pictures: int
    score: float
    interval: tuple[float, float]  # of the score, 95 %, over the prompts
    shares: Mapping[str, float]  # "none" and each degree -> share of the pictures


@dataclass(frozen=True)
class Severity:
    """All strengths, and how well the judge reads."""

    name: str
    levels: tuple[Level, ...]
    rising: float  # share of the prompts whose score is higher at the greatest strength than at the least
    judge: str
    right: int  # of FRESH phantoms
    fresh: int = FRESH


def readable(base: str, cards: Sequence[Card]) -> bool:
    """Whether the judge can read a severity from what these adapters draw on this base."""
    return base == EMBEDDED and all(card.trained_on.get("modality") == MODALITY for card in cards)


def measured(by: Mapping[tuple[str, ...], Path], name: str) -> Severity:
    """by: (row, strength) -> picture, every row at every strength."""
    reader = judges.load()
    rows = sorted({place[0] for place in by}, key=int)
    strengths = sorted({place[1] for place in by}, key=float)
    read = {place: _score(reader.read_one(images.drawn(path))) for place, path in by.items()}
    levels = []
    for strength in strengths:
        scores = np.array([read[row, strength][0] for row in rows])
        seen = [read[row, strength][1] for row in rows]
        shares = {degree: round(seen.count(degree) / len(rows), 3) for degree in ("none", *DEGREES)}
        low, high = bootstrap(_mean(scores), np.arange(len(rows)))
        levels.append(
            Level(strength, len(rows), round(float(scores.mean()), 2), (round(low, 2), round(high, 2)), shares)
        )
    rising = float(np.mean([read[row, strengths[-1]][0] > read[row, strengths[0]][0] for row in rows]))
    return Severity(name, tuple(levels), round(rising, 3), reader.name, _right(reader))


def _mean(scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda weights: weights @ scores / weights.sum(1)


def _score(reading: Any) -> tuple[float, str]:
    """The score, and the likeliest of none and the degrees."""
    none = float(reading.shares["finding"][judges.LABELS["finding"].index("none")])
    degrees = reading.shares["severity"]
    score = (1 - none) * float(np.dot(degrees, np.arange(1, len(DEGREES) + 1)))
    return score, "none" if reading.labels["finding"] == "none" else reading.labels["severity"]


def _right(reader: Any) -> int:
    from synthgen.mini.dataset import EVALUATION_SEED
    from synthgen.mini.world import render

    fresh = [render("xray", EVALUATION_SEED + number) for number in range(FRESH)]
    return sum(_score(reader.read_one(made.pixels))[1] == (made.labels["severity"] or "none") for made in fresh)


def write(folder: Path, found: Severity) -> None:
    """severity.csv: a row for each strength."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    shares = [f"share_{degree}" for degree in ("none", *DEGREES)]
    table.writerow(
        [f"strength_{found.name}", "pictures", "score", "low", "high", *shares, "judge", "judge_right", "judge_of"]
    )
    for level in found.levels:
        told = [level.strength, level.pictures, level.score, *level.interval, *level.shares.values()]
        table.writerow([*told, found.judge, found.right, found.fresh])
    write_whole(folder / TABLE, text.getvalue().encode())


def told(found: Severity) -> list[str]:
    """Lines for people."""
    low, high = wilson(found.right, found.fresh)
    scores: Sequence[str] = [
        f"{level.strength}: {level.score:.2f} [{level.interval[0]:.2f}, {level.interval[1]:.2f}]"
        for level in found.levels
    ]
    return [
        f"severity as read, 0 none to 3 severe, by the strength of {found.name}: {'; '.join(scores)}",
        f"  higher at the greatest strength than at the least in {100 * found.rising:.0f} % of the prompts; of fresh "
        f"phantoms the judge reads {100 * found.right / found.fresh:.0f} % [{100 * low:.0f}, {100 * high:.0f}] right. "
        "It knows phantoms and no patient: on an adapter of real X-rays look at the grid too.",
    ]
