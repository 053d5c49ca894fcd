"""Settings of training by base family and size of the set, where `synthgen tune` found better than the family's own.

presets.toml is written by benchmarks/presets.py and by nobody's hand. What no row says is the family's own choice: of
all but mini what its practitioners take.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from synthgen import resources


@dataclass(frozen=True)
class Preset:
    """What a training begins with where the user says nothing."""

    rank: int
    alpha: float
    learning_rate: float
    steps: int


def of(family: str, photos: int, own: Preset) -> Preset:
    """The preset of a family for so many photos.

    own  the family's own for this number
    """
    fitting = [row for row in rows(family) if photos <= row["photos"]]
    if not fitting:
        return own
    row = min(fitting, key=lambda row: int(row["photos"]))
    rank = int(row.get("rank", own.rank))
    return Preset(
        rank, float(row.get("alpha", rank)), float(row.get("learning_rate", own.learning_rate)),
        max(1, round(float(row.get("steps_share", 1.0)) * own.steps)),
    )  # fmt: skip


def rows(family: str) -> list[dict[str, Any]]:
    """The table's rows of a family."""
    return _table().get(family, [])


@cache
def _table() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(resources.presets().read_text(encoding="utf-8"))
