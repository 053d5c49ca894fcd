"""What trials of a training's settings came to: a table, a picture of what is paid for what, and a recommendation."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from synthgen import training_check
from synthgen.ledger import write_whole

TABLE, PICTURE, TEXT = "trials.csv", "pareto.png", "recommendation.md"


@dataclass(frozen=True)
class Trial:
    """One trial: its settings, and what came of it."""

    number: int
    rank: int
    alpha: float
    learning_rate: float
    steps: int
    targets: str
    loss: float = float("nan")  # on held-out photos, at its best
    best_step: int = 0
    stopped_at: int = 0
    end: str = ""  # "finished", "ended early", "out of time", "diverged"
    seconds: float = 0.0
    values: int = 0  # numbers in the adapter
    similarity: float | None = None  # to the held-out photos
    drift: float | None = None  # on other prompts
    membership: float | None = None  # advantage of who guesses which photos were learned from
    held: tuple[float, ...] = ()  # the loss of each held-out view; none where no loss was finite

    @property
    def said(self) -> str:
        """Its settings, for people."""
        return (
            f"rank {self.rank}, alpha {self.alpha:g}, rate {self.learning_rate:.2g}, {self.steps} steps, "
            f"{self.targets} modules"
        )

    @property
    def options(self) -> str:
        """Its settings as options of a training."""
        return (
            f"--rank {self.rank} --alpha {self.alpha:g} --learning-rate {self.learning_rate!r} --steps {self.steps} "
            f"--targets {self.targets}"
        )


def reason(trials: Sequence[Trial], chosen: Trial, units: Sequence[int], apart: bool) -> str:
    """One line: which trial is taken and why.

    units  photo of each held-out view
    apart  whether these are photos that were not learned from
    """
    of = "held-out photos" if apart else "views that were held out"
    told = (
        f"trial {chosen.number + 1} of {len(trials)} taken ({chosen.said}): loss on {of} {chosen.loss:.4f} at step "
        f"{chosen.best_step}, the lowest"
    )
    first = trials[0]
    if chosen is not first and first.held:
        told += f"; the preset came to {first.loss:.4f} ({_worse(chosen, first, units)})"
    elif chosen is first:
        told += "; it is the preset"
    small = _smaller(trials, chosen, units)
    if small:
        told += (
            f". Trial {small.number + 1} ({small.said}) has {small.values / chosen.values:.0%} of the size and is no "
            "worse than chance"
        )
    return told


def _worse(chosen: Trial, other: Trial, units: Sequence[int]) -> str:
    low, _ = _gap(chosen, other, units)
    return "worse beyond chance" if low > 0 else "no worse than chance" if low == low else "one photo tells no chance"


def _gap(chosen: Trial, other: Trial, units: Sequence[int]) -> tuple[float, float]:
    """The 95 % interval of how much higher the other's loss is, photo by photo."""
    return training_check.interval([b - a for a, b in zip(chosen.held, other.held, strict=True)], units)


def _smaller(trials: Sequence[Trial], chosen: Trial, units: Sequence[int]) -> Trial | None:
    """The smallest of those whose loss is not higher beyond chance, where it is half as large or less."""
    level = [trial for trial in trials if trial.held and _gap(chosen, trial, units)[0] <= 0]
    smallest = min(level, key=lambda trial: (trial.values, trial.loss), default=chosen)
    return smallest if smallest.values <= chosen.values / 2 else None


def write(place: Path, trials: Sequence[Trial], chosen: Trial, why: str) -> None:
    """The three files. Raises OSError."""
    write_whole(place / TABLE, _table(trials).encode())
    write_whole(place / TEXT, _text(trials, chosen, why).encode())
    _picture(place / PICTURE, trials, chosen)


def _table(trials: Sequence[Trial]) -> str:
    names = [entry.name for entry in fields(Trial) if entry.name != "held"]
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(names)
    for trial in trials:
        row = {**vars(trial), "number": trial.number + 1, "learning_rate": f"{trial.learning_rate:.6g}"}
        rows.writerow(["" if row[name] is None else row[name] for name in names])
    return buffer.getvalue()


def _text(trials: Sequence[Trial], chosen: Trial, why: str) -> str:
    ends = {end: sum(trial.end == end for trial in trials) for end in dict.fromkeys(trial.end for trial in trials)}
    counted = ", ".join(f"{count} {end}" for end, count in ends.items())
    spent = sum(trial.seconds for trial in trials)
    return (
        f"# Settings\n\n{why[:1].upper()}{why[1:]}.\n\n    {chosen.options}\n\n{len(trials)} trials in {spent:.0f} s: "
        f"{counted}. {TABLE} has each; {PICTURE} shows what each costs in drift, in size and in what it gives away.\n"
    )


def _picture(path: Path, trials: Sequence[Trial], chosen: Trial) -> None:
    """Loss against drift, size as area, membership as colour; trials that no other beats in both are joined."""
    from matplotlib.figure import Figure

    drawn = [trial for trial in trials if trial.drift is not None and trial.held]
    figure = Figure(figsize=(7.2, 4.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    if drawn:
        largest = max(trial.values for trial in drawn)
        told = [trial.membership if trial.membership is not None else 0.0 for trial in drawn]
        dots = axes.scatter(
            [_drift(trial) for trial in drawn], [trial.loss for trial in drawn], c=told, vmin=-1, vmax=1,
            s=[40 + 360 * trial.values / largest for trial in drawn], cmap="coolwarm", edgecolors="0.3",
        )  # fmt: skip
        figure.colorbar(dots, label="membership advantage (0: nothing given away)")
        front = sorted((trial for trial in drawn if not any(_beats(other, trial) for other in drawn)), key=_drift)
        axes.plot(
            [_drift(trial) for trial in front], [trial.loss for trial in front], color="0.6", linewidth=1, zorder=0
        )
        for trial in drawn:
            name = f"{trial.number + 1}: rank {trial.rank}" + (" (taken)" if trial is chosen else "")
            axes.annotate(name, (_drift(trial), trial.loss), xytext=(9, 5), textcoords="offset points", fontsize=8)
    axes.margins(0.18)
    axes.set_xlabel("drift on other prompts")
    axes.set_ylabel("loss on held-out views")
    axes.set_title("Trials that were not ended early; area: size of the adapter", fontsize=10)
    figure.savefig(path)


def _drift(trial: Trial) -> float:
    return trial.drift if trial.drift is not None else float("inf")


def _beats(one: Trial, other: Trial) -> bool:
    """Whether one is as good in both and better in one."""
    pairs = ((one.loss, _drift(one)), (other.loss, _drift(other)))
    return pairs[0] != pairs[1] and pairs[0][0] <= pairs[1][0] and pairs[0][1] <= pairs[1][1]
