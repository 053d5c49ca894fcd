"""Cross-validation for sets too small to hold photos out: how many steps to train, chosen by trainings that each leave
a part out.

With as many photos as folds, each training leaves whole photos out; with fewer, views of them. What was left out is
checked with fixed noise, as held-out photos are. The step with the lowest mean over all is taken; then all is learned
from, up to that step. A fold that was killed goes on from its checkpoint.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthgen import buckets, checkpoint, training_check, training_loop, training_material
from synthgen.checkpoint import Settings
from synthgen.errors import RequestError
from synthgen.ledger import write_whole
from synthgen.training_check import Check
from synthgen.training_crew import Crew
from synthgen.training_loop import CHECKED, Loop, Material

PLACE = checkpoint.PLACE / "folds"  # in an adapter's folder: goes when the checkpoint of all goes, which it is of
TABLE = "folds.csv"  # in its report/


@dataclass(frozen=True)
class Chosen:
    """The step that training ends at, and what the folds said of every step that all of them came to."""

    step: int
    reason: str
    curves: tuple[tuple[Check, ...], ...]  # of each fold
    means: Mapping[int, float]  # step -> mean loss over the folds


def require(folds: int, photos: int, apart: bool, auto: bool) -> None:
    """Raises RequestError where there is nothing to choose by folds, or not enough to leave out.

    photos  that are learned from and held out together
    apart   whether some are held out
    auto    whether trials choose the steps
    """
    if folds and apart:
        raise RequestError(
            f"--folds is for sets that are too small to hold photos out; of these {photos} some are. Leave it out. "
            "Nothing was trained."
        )
    if folds and auto:
        raise RequestError("--folds does not go with --auto, whose trials choose the steps. Nothing was trained.")
    most = photos * training_material.views_each(photos)
    if folds and not 2 <= folds <= most:
        raise RequestError(
            f"--folds is {folds}; wanted 2 to {most}, as each leaves out one view or more of the {most} that are "
            "learned from, or 0 for none. Nothing was trained."
        )


def choose(base: Any, material: Material, settings: Settings, folder: Path, folds: int, crew: Crew) -> Chosen:
    """Train once for each fold, and choose the step.

    material  whose rows are views, those of one photo side by side, each photo's first in `firsts`
    folder    of the adapter
    """
    by_photo = len(material.firsts) >= folds
    pause = training_loop.epoch(material, settings.batch)  # of all: folds differ in size, and are compared step by step
    photo_of = _photos(material)
    curves = []
    for number in range(folds):
        place = folder / PLACE / str(number)
        if crew.main:
            checkpoint.prepare(place, str(number))
        away = [row for row in range(len(photo_of)) if (photo_of[row] if by_photo else row) % folds == number]
        loop = Loop(base, without(material, away, photo_of), settings, crew, pause)
        losses = loop.run(place, what=f"fold {number + 1} of {folds}")
        base.drop_adapter()
        curves.append(tuple(losses.checks))
    return _chosen(tuple(curves), settings, by_photo)


def without(material: Material, away: list[int], photo_of: list[int]) -> Material:
    """The material without these rows, which are held out instead; a dozen of them at most are checked, evenly."""
    gone = set(away)
    left = [row for row in range(len(photo_of)) if row not in gone]
    taken = away[:: max(1, -(-len(away) // CHECKED))]
    firsts = [left.index(row) for row in material.firsts if row not in gone]
    where = material.where
    return replace(
        material,
        latents=_rows(material.latents, left), words=material.words[[*left, len(photo_of)]],
        held_latents=_rows(material.latents, taken), held_words=material.words[taken],
        held_units=tuple(photo_of[row] for row in taken), firsts=tuple(firsts or range(min(CHECKED, len(left)))),
        where=None if where is None else _rows(where, left), held_where=None if where is None else _rows(where, taken),
        texts=tuple(material.texts[row] for row in [*left, len(photo_of)]) if material.texts else (),
        held_texts=tuple(material.texts[row] for row in taken) if material.texts else (),
    )  # fmt: skip


def write(folder: Path, chosen: Chosen) -> None:
    """report/folds.csv: the loss of each fold on what it left out, and their mean, at each step."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["step", "mean", *(f"fold_{number + 1}" for number in range(len(chosen.curves)))])
    for step, mean in chosen.means.items():
        row = [check.loss for curve in chosen.curves for check in curve if check.step == step]
        table.writerow([step, f"{mean:.6f}", *row])
    (folder / "report").mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report" / TABLE, text.getvalue().encode())


def _photos(material: Material) -> list[int]:
    """Photo of each row: the one whose first view comes before it."""
    starts = sorted(material.firsts)
    return [sum(start <= row for start in starts) - 1 for row in range(len(material.latents))]


def _rows(held: Any, rows: list[int]) -> Any:
    """These rows, in their order; rows of one shape lie side by side, and stay so."""
    import torch

    groups = buckets.sorted_out(held, rows)
    return buckets.joined([held[torch.tensor([rows[place] for place in places])] for places in groups])


def _means(curves: Sequence[tuple[Check, ...]]) -> dict[int, float]:
    """Mean loss over the folds at each step that all came to, in order; patience may have ended some before others."""
    losses = [{check.step: check.loss for check in curve} for curve in curves]
    steps = sorted(set.intersection(*map(set, losses)))
    return {step: sum(of[step] for of in losses) / len(losses) for step in steps}


def _chosen(curves: tuple[tuple[Check, ...], ...], settings: Settings, by_photo: bool) -> Chosen:
    means = _means(curves)
    step = min((step for step in means if step), key=means.__getitem__)  # of equal ones the earliest
    held = [loss for curve in curves for check in curve if check.step == step for loss in check.held]
    units = [number for number, curve in enumerate(curves) for check in curve if check.step == step for _ in check.held]
    low, high = training_check.interval(held, units)
    what = "photos" if by_photo else "views"
    spread = f" (95 % over folds {low:.4f} to {high:.4f})" if low == low else ""
    told = (
        f"step {step} of {settings.steps} kept: of {len(curves)} trainings that each left some of the {what} out, the "
        f"lowest mean loss on that part, {means[step]:.4f}{spread}; {means[0]:.4f} before. All photos "
        "were then learned from, up to this step"
    )
    return Chosen(step, told, curves, means)
