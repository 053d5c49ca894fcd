"""Settings of a training, found by trials on the user's own photos: rank, alpha, learning rate, steps, modules.

An Optuna study. The first trial is the base's preset; the others are drawn by TPE. Each is a training like any other,
judged by its loss on held-out photos with fixed noise, and ends early where it is in the worse half of those that came
as far (successive halving). The one with the lowest loss is taken; where it was still under way, it is gone on with.

In its place lie study.log (Optuna's journal) and the checkpoints of trials, so that a study which was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from synthgen import checkpoint, tuning_report
from synthgen.adapter_methods import TARGETS
from synthgen.checkpoint import Losses, Settings
from synthgen.errors import RequestError, SynthgenError
from synthgen.ledger import write_whole
from synthgen.training_check import best, membership
from synthgen.training_loop import Loop, Material, Watch
from synthgen.training_measures import AT_CHECKS, Scene
from synthgen.training_request import Budget, TrainRequest
from synthgen.tuning_report import Trial

RANKS = (4, 8, 16, 32, 64)
SHARES = (0.5, 1.0, 2.0)  # of the rank, for alpha; of the preset, for steps
REACH = 4.0  # how far the learning rate may be from the preset's, either way
FIRST = 4  # trials that are drawn blindly before TPE has something to go by
HALVES = 2  # of those that came as far, one in so many goes on
WORDS = {"COMPLETE": "finished", "PRUNED": "ended early", "CUT": "out of time"}


@dataclass(frozen=True)
class Bench:
    """What trials are made on: one base, one material, one scene."""

    base: Any
    material: Material
    scene: Scene


@dataclass(frozen=True)
class Found:
    """The settings that are taken, all trials, and why."""

    settings: Settings
    trials: tuple[Trial, ...]
    reason: str
    chosen: Trial


def space(request: TrainRequest, module: Any, preset: Settings) -> dict[str, tuple[Any, ...]]:
    """What may vary: name -> values, of the learning rate its two ends. What the user states does not."""
    ranks = tuple(sorted({*RANKS, preset.rank}))
    steps = tuple(max(1, round(share * preset.steps)) for share in SHARES)
    free: dict[str, tuple[Any, ...]] = {
        "rank": () if request.rank else ranks,
        "alpha": () if request.alpha or request.method == "oft" else SHARES,
        "learning_rate": () if request.learning_rate else (preset.learning_rate / REACH, preset.learning_rate * REACH),
        "steps": () if request.steps else steps,
        "targets": TARGETS if request.targets == "all" and not isinstance(module.TARGETS, str) else (),
    }
    free = {name: values for name, values in free.items() if values}
    if not free:
        raise RequestError("--auto has nothing to find: rank, alpha, learning rate, steps and targets are all stated.")
    return free


def require_place(place: Path, digest: str, anew: bool = False) -> None:
    """Make the place of a study of this digest. Raises RequestError where it holds something else.

    anew  a study of another digest gives way
    """
    note = place / "digest"
    before = note.read_text().strip() if note.is_file() else ""
    if before != digest and place.is_dir() and any(place.iterdir()):
        if not anew:
            what = "a study of other photos or settings" if before else "something else"
            raise RequestError(f"{place} holds {what}. Give --out a new folder. It is untouched.")
        shutil.rmtree(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        write_whole(note, digest.encode())
    except OSError as error:
        raise RequestError(f"cannot write to {place}: {error.strerror}. Use --out. Nothing was trained.") from error


def find(
    bench: Bench, preset: Settings, space: Mapping[str, tuple[Any, ...]], budget: Budget, place: Path
) -> Found:  # fmt: skip
    """Make trials until the budget is spent, and take the one with the lowest loss on held-out photos.

    preset  the settings of the first trial; what `space` does not name is so in every trial
    place   as `require_place` left it
    Raises SynthgenError where no trial gave a finite loss.
    """
    study = _study(place)
    _forget_unfinished(study, space)
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial({name: _preset(name, preset, values) for name, values in space.items()})
    while not _spent(study, budget, space):
        number = len(_trials(study))
        study.sampler = _sampler(preset.seed, number)  # anew each time, so that a study which was killed draws the same
        trial = study.ask()
        settings = _settings(trial, preset, space)
        _run(bench, _Judge(study, trial, number, budget.minutes), settings, _folder(place, settings))
    trials = tuple(_trials(study))
    sound = [trial for trial in trials if trial.held]
    if not sound:
        raise SynthgenError(
            f"none of {len(trials)} trials gave a finite loss. Give --learning-rate a lower number, or --budget a "
            "higher one. Nothing was kept."
        )
    chosen = min(sound, key=lambda trial: (trial.loss, trial.number))
    told = tuning_report.reason(trials, chosen, bench.material.held_units, bench.material.apart)
    return Found(_of(chosen, preset), trials, told, chosen)


def trials(place: Path) -> tuple[Trial, ...]:
    """The trials of a study that came to an end, in their order."""
    return tuple(_trials(_study(place)))


def hand_over(found: Found, place: Path, folder: Path) -> None:
    """Put the chosen trial's checkpoint into an adapter's folder, unless one is there: from it, training goes on."""
    target = folder / checkpoint.PLACE
    if (target / "state.json").is_file():
        return
    source = _folder(place, found.settings) / checkpoint.PLACE
    for file in sorted(source.iterdir(), key=lambda file: file.name == "state.json"):  # which names the others: last
        if file.name != "digest":
            write_whole(target / file.name, file.read_bytes())
    checkpoint.reopen(folder)


def forget_checkpoints(place: Path) -> None:
    """Take away what only a training that goes on would need; the study stays, and may be added to."""
    shutil.rmtree(place / "trials", ignore_errors=True)


def write(place: Path, found: Found) -> None:
    """trials.csv, pareto.png and recommendation.md."""
    tuning_report.write(place, found.trials, found.chosen, found.reason)


# ---------------------------------------------------------------- the study


def _study(place: Path) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(place / "study.log")))
    return optuna.create_study(
        storage=storage, study_name="settings", direction="minimize", load_if_exists=True, pruner=_halving()
    )


def _halving() -> Any:
    """Optuna's own successive halving counts a trial twice that was killed and made again."""
    from optuna.pruners import BasePruner
    from optuna.trial import TrialState

    class Halving(BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            """Whether a trial is not in the best half of those that came to its check: the 1st, 2nd, 4th, 8th, ..."""
            at = trial.last_step
            if at & (at - 1):
                return False
            ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
            others = [other.intermediate_values[at] for other in ended if at in other.intermediate_values]
            own = trial.intermediate_values[at]
            ranked = sorted(value for value in (*others, own) if value == value)
            return not own <= ranked[max(1, len(ranked) // HALVES) - 1] if ranked else True

    return Halving()


def _sampler(seed: int, number: int) -> Any:
    import optuna

    return optuna.samplers.TPESampler(n_startup_trials=FIRST, seed=(seed * 1_000_003 + number) % 2**32)


def _forget_unfinished(study: Any, space: Mapping[str, tuple[Any, ...]]) -> None:
    """A trial that was under way when the study was killed is asked for again; its checkpoint goes on."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if "told" in trial.user_attrs:  # it had come to its end, and only the study was not told
            _tell(study, trial.number, json.loads(trial.user_attrs["told"]))
            continue
        study.tell(trial.number, state=TrialState.FAIL)
        if set(trial.params) == set(space):
            study.enqueue_trial(trial.params)


def _tell(study: Any, number: int, row: Mapping[str, Any]) -> None:
    """End a trial in the study as it ended."""
    from optuna.trial import TrialState

    if not row["held"]:
        study.tell(number, state=TrialState.FAIL)
    elif row["end"] == WORDS["COMPLETE"]:
        study.tell(number, row["loss"])
    else:
        study.tell(number, state=TrialState.PRUNED)


def _spent(study: Any, budget: Budget, space: Mapping[str, tuple[Any, ...]]) -> bool:
    """Whether the time or the number is reached, or, where all that varies can be counted, everything was tried."""
    rows = _trials(study)
    full = bool(budget.trials) and len(rows) >= budget.trials
    if "learning_rate" not in space:
        ways = math.prod(len(values) for values in space.values())
        full = full or len({row.options for row in rows}) >= ways or len(rows) >= 3 * ways
    return full or _seconds(study) >= 60 * budget.minutes


def _seconds(study: Any) -> float:
    """Spent on trials so far, those that were killed included."""
    return sum(float(trial.user_attrs.get("seconds", 0.0)) for trial in study.get_trials(deepcopy=False))


def _trials(study: Any) -> list[Trial]:
    names = {entry.name for entry in fields(Trial)}
    rows = [json.loads(trial.user_attrs["told"]) for trial in study.get_trials(deepcopy=False)
            if "told" in trial.user_attrs]  # fmt: skip
    return [Trial(**{**{key: row[key] for key in names}, "held": tuple(row["held"])}) for row in rows]


def _preset(name: str, preset: Settings, values: Sequence[Any]) -> Any:
    if name == "alpha":
        return preset.alpha / preset.rank
    return getattr(preset, name)


def _settings(trial: Any, preset: Settings, space: Mapping[str, tuple[Any, ...]]) -> Settings:
    drawn = {
        name: trial.suggest_float(name, *values, log=True)
        if name == "learning_rate"
        else trial.suggest_categorical(name, list(values))
        for name, values in space.items()
    }
    rank = int(drawn.get("rank", preset.rank))
    share = drawn.pop("alpha", None)
    alpha = preset.alpha if share is None else float(share) * rank
    if preset.method == "oft":
        alpha = float(rank)
    return replace(preset, **{**drawn, "rank": rank, "alpha": alpha})


def _of(trial: Trial, preset: Settings) -> Settings:
    return replace(
        preset, rank=trial.rank, alpha=trial.alpha, learning_rate=trial.learning_rate, steps=trial.steps,
        targets=trial.targets,
    )  # fmt: skip


def _folder(place: Path, settings: Settings) -> Path:
    """A trial's folder is named by its settings: the same ones find their checkpoint again."""
    told = json.dumps(asdict(settings), sort_keys=True)
    return place / "trials" / hashlib.sha256(told.encode()).hexdigest()[:12]


class _Judge(Watch):
    """Reports each check to the study; ends a trial that is in the worse half, or when the time is spent."""

    def __init__(self, study: Any, trial: Any, number: int, minutes: float) -> None:
        """number  of the trial among those that came to an end, from 0"""
        self.study, self.trial, self.number, self.left = study, trial, number, 60 * minutes - _seconds(study)
        self.began, self.told, self.end = time.monotonic(), 0, "COMPLETE"

    def checked(self, loop: Loop, losses: Losses) -> bool:
        """True ends the trial."""
        checks = losses.checks[1:]
        while self.told < len(checks):
            self.told += 1
            sound = [check.loss for check in checks[: self.told] if check.loss < float("inf")]
            self.trial.report(min(sound) if sound else float("nan"), self.told)
        seconds = time.monotonic() - self.began
        self.trial.set_user_attr("seconds", seconds)
        if seconds > self.left:
            self.end = "CUT"
        elif self.trial.should_prune():
            self.end = "PRUNED"
        return self.end != "COMPLETE"


def _run(bench: Bench, judge: _Judge, settings: Settings, folder: Path) -> None:
    """One trial, told to the study."""
    study, trial = judge.study, judge.trial
    checkpoint.prepare(folder, folder.name)
    loop = Loop(bench.base, bench.material, settings)
    size = sum(value.numel() for value in loop.parameters.values())
    row = Trial(judge.number, settings.rank, settings.alpha, settings.learning_rate, settings.steps, settings.targets,
                values=size)  # fmt: skip
    try:
        losses = loop.run(folder, [judge], f"trial {judge.number + 1}")
        if losses.ended and judge.end == "COMPLETE":  # it had been ended when the study was killed
            judge.checked(loop, losses)
        row = _measured(bench, row, losses, judge.end)
    except SynthgenError:  # no finite loss: there is nothing to say of it
        row = replace(row, end="diverged")
    finally:
        bench.base.drop_adapter()
    row = replace(row, seconds=round(time.monotonic() - judge.began, 1))
    trial.set_user_attr("seconds", row.seconds)
    trial.set_user_attr("told", json.dumps(asdict(row)))
    _tell(study, trial.number, asdict(row))


def _measured(bench: Bench, row: Trial, losses: Losses, end: str) -> Trial:
    """What came of a trial; pictures are drawn of those that were not ended early."""
    first, kept = losses.checks[0], best(losses.checks)
    row = replace(
        row, loss=kept.loss, held=kept.held, best_step=kept.step, stopped_at=losses.checks[-1].step, end=WORDS[end],
        membership=membership(first, kept, bench.material.held_units, bench.material.apart).advantage,
    )  # fmt: skip
    if end == "PRUNED":
        return row
    seen = bench.scene.look(kept.step, AT_CHECKS, AT_CHECKS)
    return replace(row, similarity=round(seen.similarity.value, 5), drift=round(seen.drift.value, 5))
