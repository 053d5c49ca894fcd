"""Settings are found by trials: the lowest held-out loss is taken, a study resumes, training goes on from there."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_base import OWN, interrupted_once, photos

from synthgen import adapters, bases, checkpoint, train, training_request, tuning, tuning_report
from synthgen.errors import RequestError
from synthgen.train import Budget, TrainRequest
from synthgen.tuning_report import Trial

TRIALS = 3


@pytest.fixture(scope="module")
def shirts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("tuned") / "shirts", 6)


def asked(shirts: Path, toy: Path, trials: int = TRIALS, **more: Any) -> TrainRequest:
    return TrainRequest(
        shirts, base=str(toy), batch=4, rights=OWN, samples=0, auto=Budget(60, trials),
        **{"steps": 40, "targets": "attention", **more},
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(shirts: Path, toy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuning.Found]:
    return train.tune(asked(shirts, toy), tmp_path_factory.mktemp("study") / "tuning")


def test_the_preset_is_tried_first_and_the_lowest_loss_is_taken(found: tuple[Path, tuning.Found], toy: Path) -> None:
    _, told = found
    family = bases.find(str(toy))[0]
    assert len(told.trials) == TRIALS
    assert (told.trials[0].rank, told.trials[0].alpha) == (family.RANK, float(family.RANK))
    assert told.trials[0].learning_rate == family.LEARNING_RATE
    assert told.chosen.loss == min(trial.loss for trial in told.trials if trial.held)
    assert {trial.steps for trial in told.trials} == {40} and {trial.targets for trial in told.trials} == {"attention"}
    assert len({trial.learning_rate for trial in told.trials}) == TRIALS
    assert told.settings.rank == told.chosen.rank and told.settings.learning_rate == told.chosen.learning_rate
    assert f"trial {told.chosen.number + 1} of {TRIALS} taken" in told.reason and "the lowest" in told.reason


def test_a_trial_in_the_worse_half_of_those_that_came_as_far_ends_there(found: tuple[Path, tuning.Found]) -> None:
    _, told = found
    assert told.trials[0].end == "finished" and told.trials[0].stopped_at == 40
    ended = [trial for trial in told.trials if trial.end == "ended early"]
    for trial in ended:
        before = [other for other in told.trials if other.number < trial.number and other.held]
        assert trial.stopped_at < 40 or trial.loss > min(other.loss for other in before)
    assert all(trial.drift is None for trial in ended)
    assert all(trial.drift is not None for trial in told.trials if trial.end == "finished")


def test_table_picture_and_recommendation_stand_beside(found: tuple[Path, tuning.Found]) -> None:
    place, told = found
    with (place / tuning_report.TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["rank"]) for row in rows] == [trial.rank for trial in told.trials]
    text = (place / tuning_report.TEXT).read_text()
    assert told.chosen.options in text and told.reason[1:] in text
    assert np.asarray(Image.open(place / tuning_report.PICTURE).convert("L")).std() > 10
    assert not (place / "trials").exists()


def test_a_study_that_was_killed_goes_on_to_the_same_trials(
    found: tuple[Path, tuning.Found], shirts: Path, toy: Path, tmp_path: Path
) -> None:
    place = tmp_path / "tuning"
    checkpoints = lambda: sorted((place / "trials").glob("*/private/checkpoint/state.json"))  # noqa: E731
    with interrupted_once(lambda: len(checkpoints()) == 2):
        train.tune(asked(shirts, toy), place)
    _, told = train.tune(asked(shirts, toy), place)
    known = [(trial.options, trial.loss) for trial in found[1].trials]
    assert [(trial.options, trial.loss) for trial in told.trials] == known


def test_more_trials_may_be_added_and_another_study_is_refused(
    found: tuple[Path, tuning.Found], shirts: Path, toy: Path
) -> None:
    place, told = found
    _, more = train.tune(asked(shirts, toy, trials=TRIALS + 1), place)
    assert more.trials[:TRIALS] == told.trials and len(more.trials) == TRIALS + 1
    with pytest.raises(RequestError, match="a study of other photos or settings"):
        train.tune(asked(shirts, toy, seed=1), place)


def test_auto_trains_what_it_found_as_if_it_had_been_asked_for(shirts: Path, toy: Path, tmp_path: Path) -> None:
    request = asked(shirts, toy, trials=2, steps=20, out=tmp_path / "auto")
    folder = train.fit(request)
    card = adapters.load_card(folder)
    assert card.training["tuned"].startswith("trial ") and card.training["targets"] == "attention"
    said = replace(
        request, auto=None, out=tmp_path / "said", rank=card.rank, alpha=card.alpha,
        learning_rate=card.training["learning_rate"], steps=card.training["steps"],
    )  # fmt: skip
    again = train.fit(said)
    assert (again / "adapter.safetensors").read_bytes() == (folder / "adapter.safetensors").read_bytes()
    assert {"trials.csv", "pareto.png", "recommendation.md"} <= {path.name for path in (folder / "report").iterdir()}
    assert not (folder / train.TUNING).exists()
    before = (folder / "card.toml").read_bytes()
    assert train.fit(request) == folder and (folder / "card.toml").read_bytes() == before


def test_time_that_is_spent_ends_a_trial_at_its_next_check_and_training_goes_on(
    shirts: Path, toy: Path, tmp_path: Path
) -> None:
    request = replace(asked(shirts, toy, out=tmp_path / "quick", learning_rate=5e-3), auto=Budget(1e-6))
    folder = train.fit(request)
    card = adapters.load_card(folder)
    with (folder / "report" / tuning_report.TABLE).open() as file:
        (row,) = csv.DictReader(file)
    assert (row["end"], row["stopped_at"]) == ("out of time", "20")
    assert card.losses["stopped_at"] == 40


def test_what_is_stated_is_not_searched(toy: Path) -> None:
    family = bases.find(str(toy))[0]

    def names(**more: Any) -> set[str]:
        request = TrainRequest(Path("x"), base=str(toy), auto=Budget(), **more)
        return set(tuning.space(request, family, training_request.settings(request, family, 20)))

    assert names() == {"rank", "alpha", "learning_rate", "steps", "targets"}
    assert names(rank=8, learning_rate=1e-3) == {"alpha", "steps", "targets"}
    assert names(method="oft") == {"rank", "learning_rate", "steps", "targets"}
    with pytest.raises(RequestError, match="nothing to find"):
        names(rank=8, alpha=8.0, learning_rate=1e-3, steps=9, targets="attention")


@pytest.mark.slow
def test_a_space_that_can_be_counted_is_tried_once_each(shirts: Path, toy: Path, tmp_path: Path) -> None:
    request = asked(shirts, toy, trials=0, rank=4, learning_rate=5e-3, steps=20)
    place, told = train.tune(request, tmp_path / "tuning")
    assert {trial.alpha for trial in told.trials} == {2.0, 4.0, 8.0}
    assert len(told.trials) <= 9
    assert checkpoint.digest_of(place) == ""


def test_the_reason_names_what_is_smaller_and_no_worse() -> None:
    units, held = (0, 1, 2, 3), (0.30, 0.31, 0.29, 0.30)
    base = Trial(0, 16, 16.0, 1e-3, 100, "all", 0.4, 60, 100, "finished", 9.0, 1000, held=(0.40, 0.41, 0.39, 0.40))
    best = replace(base, number=1, loss=0.3, held=held)
    small = replace(best, number=2, rank=4, values=200, loss=0.301, held=(0.31, 0.30, 0.295, 0.299))
    told = tuning_report.reason([base, best, small], best, units, True)
    assert "trial 2 of 3 taken" in told and "the preset came to 0.4000 (worse beyond chance)" in told
    assert "Trial 3" in told and "20% of the size" in told
    assert tuning_report.reason([base], base, units, True).endswith("it is the preset")


def test_the_command_prints_options_that_train_product_takes(
    synthgen: Any, shirts: Path, toy: Path, empty_folder: Path
) -> None:
    more = ("--images", shirts, "--base", toy, "--batch-size", 4, "--steps", 20, "--targets", "attention")
    code, out, err = synthgen("tune", *more, "--trials", 1)
    assert code == 0 and "it is the preset" in err
    assert Path("shirts-tuning/trials.csv").is_file()
    options = [word for word in out.split() if word]
    assert synthgen("train-product", "--images", shirts, "--base", toy, "--batch-size", 4, *options).code == 0
    code, _, err = synthgen("train-product", "--images", shirts, "--base", toy, "--budget", 3)
    assert code == 2 and "go with --auto" in err
    told = json.loads(synthgen("tune", *more, "--trials", 1, "--json").out)
    assert told["settings"]["rank"] == adapters.load_card(Path("adapters/shirts")).rank
