"""What two adapters do to one another, seen by the embedded judge: each concept's fidelity, and how much bleeds in.

Pictures of one prompt and seed are compared by the judge's features of the whole and of the garment. `full` is the
concept's adapter alone at its greatest strength, `none` is neither adapter; their distance is the unit.

fidelity  1 - |picture - full| / |none - full|: 1 where a picture is what the concept's adapter alone makes of it
bleed     |picture - same strength without the other| / |none - full|: what the other adapter changes

Both are means over the prompts. The suggested strengths are those at which the worse of the two fidelities is best.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import images
from synthgen.ledger import write_whole
from synthgen.mini import judge as judges

TABLE = "blend.csv"
BATCH = 32
Places = Mapping[tuple[str, ...], Path]  # (concept, row, strength of the first, strength of the second) -> picture


@dataclass(frozen=True)
class Cell:
    """One concept at one pair of strengths."""

    concept: str
    strengths: tuple[str, str]
    fidelity: float
    bleed: float
    pictures: int


@dataclass(frozen=True)
class Blend:
    """All cells, and the strengths to take."""

    names: tuple[str, str]
    cells: tuple[Cell, ...]
    suggested: tuple[str, str]
    judge: str
    silent: tuple[str, ...]  # concepts whose adapter changes next to nothing, so that nothing can be said of them


def measured(by: Places, names: Sequence[str]) -> Blend | None:
    """The blend of a sweep of two adapters; None where it lacks strength 0 of either, which all is measured from."""
    levels = [sorted({place[2 + which] for place in by}, key=float) for which in (0, 1)]
    if any("0" not in found for found in levels):
        return None
    reader = judges.load()
    seen = _features(reader, by)
    cells, silent = [], []
    for which, name in enumerate(names):
        own = {place[1:]: value for place, value in seen.items() if place[0] == name}
        unit = _unit(own, levels, which)
        if min(unit.values()) < 1e-3:
            silent.append(name)
            continue
        cells += [
            _cell(name, own, unit, (first, second), which, levels) for first, second in itertools.product(*levels)
        ]
    return Blend((names[0], names[1]), tuple(cells), _best(cells, levels), reader.name, tuple(silent))


def _features(reader: Any, by: Places) -> dict[tuple[str, ...], Any]:
    places = list(by)
    seen: dict[tuple[str, ...], Any] = {}
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        pictures = [images.drawn(by[place]) for place in part]
        seen |= dict(zip(part, reader.features(pictures), strict=True))
    return seen


def _at(own: Mapping[tuple[str, ...], Any], row: str, mine: str, other: str, which: int) -> Any:
    """Features of a row at a strength of the concept's own adapter and one of the other's."""
    return own[(row, mine, other) if which == 0 else (row, other, mine)]


def _unit(own: Mapping[tuple[str, ...], Any], levels: Sequence[Sequence[str]], which: int) -> dict[str, float]:
    """Row -> how far the concept's adapter alone at its greatest strength moves a picture."""
    rows, full = {place[0] for place in own}, levels[which][-1]
    return {
        row: float(np.linalg.norm(_at(own, row, full, "0", which) - _at(own, row, "0", "0", which))) for row in rows
    }


def _cell(
    name: str, own: Mapping[tuple[str, ...], Any], unit: Mapping[str, float], strengths: tuple[str, str], which: int,
    levels: Sequence[Sequence[str]],
) -> Cell:  # fmt: skip
    mine, full = strengths[which], levels[which][-1]
    faithful, bleeding = [], []
    for row, one in unit.items():
        picture = own[(row, *strengths)]
        faithful.append(1 - float(np.linalg.norm(picture - _at(own, row, full, "0", which))) / one)
        bleeding.append(float(np.linalg.norm(picture - _at(own, row, mine, "0", which))) / one)
    return Cell(name, strengths, round(float(np.mean(faithful)), 3), round(float(np.mean(bleeding)), 3), len(unit))


def _best(cells: Sequence[Cell], levels: Sequence[Sequence[str]]) -> tuple[str, str]:
    """The pair whose worse fidelity is best; of equals the one that bleeds least."""

    def score(pair: tuple[str, ...]) -> tuple[float, float]:
        there = [cell for cell in cells if cell.strengths == pair]
        return min((cell.fidelity for cell in there), default=0.0), -sum(cell.bleed for cell in there)

    first, second = max(itertools.product(*levels), key=score)
    return first, second


def write(folder: Path, found: Blend) -> None:
    """blend.csv: one row for each concept and pair of strengths. Raises OSError."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow([*(f"strength_{name}" for name in found.names), "concept", "fidelity", "bleed", "pictures", "judge"])
    for cell in found.cells:
        rows.writerow([*cell.strengths, cell.concept, cell.fidelity, cell.bleed, cell.pictures, found.judge])
    write_whole(folder / TABLE, buffer.getvalue().encode("utf-8"))


def told(found: Blend) -> list[str]:
    """Lines for people."""
    lines = [f"adapter '{name}' changes next to nothing here; its blend cannot be told" for name in found.silent]
    for cell in found.cells:
        if cell.strengths == found.suggested:
            lines.append(f"{cell.concept}: fidelity {cell.fidelity:.2f}, bleed {cell.bleed:.2f}")
    pair = " ".join(f"--adapter {name}:{value}" for name, value in zip(found.names, found.suggested, strict=True))
    return [*lines, f"suggested: {pair}"]
