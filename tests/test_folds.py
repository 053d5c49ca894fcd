"""Where photos are too few to hold out, trainings that each leave a part out choose the step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_training_loop import Killed
from toy_base import OWN, photos

from synthgen import adapters, bases, buckets, checkpoint, folds, train, training_loop
from synthgen.checkpoint import Settings
from synthgen.errors import RequestError
from synthgen.training_check import Check
from synthgen.training_crew import Crew
from synthgen.training_loop import Kept, Loop, Material

SETTINGS = Settings(8, 4, 2e-2, 0, 4, 4.0)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check at every fourth step."""
    monkeypatch.setattr(training_loop, "PAUSE", 4)


@pytest.fixture(scope="module")
def made(toy: Path) -> tuple[Any, Material]:
    """A toy base, and six random views: four of one photo, two of another in another shape."""
    import torch

    module, identity = bases.find(str(toy))
    base = module.load(identity, "cpu")
    rng = torch.Generator().manual_seed(1)
    latents = buckets.joined([torch.randn(4, 4, 8, 8, generator=rng), torch.randn(2, 4, 8, 16, generator=rng)])
    words = base.encode_texts([f"a sks shirt {number}" for number in range(6)] + [""])
    own = Kept.ask(base, torch.randn(2, 4, 8, 8, generator=rng), words[:2], 0)
    texts = (*(f"a sks shirt {number}" for number in range(6)), "")
    return base, Material(latents, words, latents, words[:6], own, (0,) * 6, (0, 4), False, texts=texts)


def test_what_a_fold_leaves_out_is_checked_and_not_learned(made: tuple[Any, Material]) -> None:
    import torch

    _, material = made
    rest = folds.without(material, [1, 4], [0, 0, 0, 0, 1, 1])
    assert [len(part) for part in rest.latents.parts] == [3, 1] and [len(p) for p in rest.held_latents.parts] == [1, 1]
    assert torch.equal(rest.held_latents[torch.tensor([1])], material.latents[torch.tensor([4])])
    assert torch.equal(rest.latents[torch.tensor([0, 1, 2])], material.latents[torch.tensor([0, 2, 3])])
    assert torch.equal(rest.words.values["states"], material.words.values["states"][[0, 2, 3, 5, 6]])
    assert rest.held_texts == ("a sks shirt 1", "a sks shirt 4") and rest.texts[-1] == "" and len(rest.texts) == 5
    assert rest.held_units == (0, 1) and rest.firsts == (0,)


@pytest.mark.parametrize("count", [2, 3])
def test_the_step_with_the_lowest_mean_over_folds_is_taken_and_a_fold_that_was_killed_goes_on(
    count: int, made: tuple[Any, Material], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, material = made
    held: list[tuple[int, ...]] = []
    plain = folds.without

    def watched(material: Material, away: list[int], photo_of: list[int]) -> Material:
        held.append(tuple(away))
        return plain(material, away, photo_of)

    monkeypatch.setattr(folds, "without", watched)
    chosen = folds.choose(base, material, SETTINGS, tmp_path / "whole", count, Crew())
    assert held == [(0, 1, 2, 3), (4, 5)] if count == 2 else held == [(0, 3), (1, 4), (2, 5)]  # photos, else views
    means = {
        check.step: sum(curve[row].loss for curve in chosen.curves) / count
        for row, check in enumerate(chosen.curves[0])
        if check.step
    }
    assert len(means) == 2 and chosen.step == min(means, key=lambda step: means[step])
    assert f"step {chosen.step} of 8" in chosen.reason and f"{means[chosen.step]:.4f}" in chosen.reason
    if count == 2:
        step = Loop.step

        def step_or_die(loop: Loop, number: int) -> float:
            if number == 5 and len(loop.material.held_units) == 2:
                raise Killed
            return step(loop, number)

        monkeypatch.setattr(Loop, "step", step_or_die)
        with pytest.raises(Killed):
            folds.choose(base, material, SETTINGS, tmp_path / "parts", count, Crew())
        base.drop_adapter()
        monkeypatch.setattr(Loop, "step", step)
        assert folds.choose(base, material, SETTINGS, tmp_path / "parts", count, Crew()) == chosen


def test_folds_of_unlike_sizes_are_checked_at_the_same_steps(
    made: tuple[Any, Material], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_loop, "PAUSE", 1)
    base, material = made
    settings = replace(SETTINGS, steps=7, batch=1)
    chosen = folds.choose(base, material, settings, tmp_path / "it", 2, Crew())  # two and four views to learn from
    assert [[check.step for check in curve] for curve in chosen.curves] == [[0, 6, 7], [0, 6, 7]]


def test_the_choice_is_among_the_checks_that_all_folds_have() -> None:
    short = tuple(Check(step, (loss,), (loss,)) for step, loss in ((0, 1.0), (20, 0.5), (40, 0.7)))
    long = tuple(Check(step, (loss,), (loss,)) for step, loss in ((0, 0.8), (20, 0.9), (40, 0.5), (60, 0.1), (80, 0.1)))
    chosen = folds._chosen((short, long), SETTINGS, by_photo=True)
    assert chosen.means == pytest.approx({0: 0.9, 20: 0.7, 40: 0.6}) and chosen.step == 40


def test_a_training_that_is_replaced_leaves_no_fold_to_go_on_from(made: tuple[Any, Material], tmp_path: Path) -> None:
    base, material = made
    quick, folder = replace(SETTINGS, steps=1), tmp_path / "replaced"
    checkpoint.prepare(folder, "before")
    before = folds.choose(base, material, quick, folder, 2, Crew())
    assert not train._already(folder, "after", replace_it=True)
    after = folds.choose(base, material, replace(quick, seed=1), folder, 2, Crew())
    assert all(anew != old for anew, old in zip(after.curves, before.curves, strict=True))


def test_one_photo_is_learned_from_whole_up_to_the_chosen_step(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = train.TrainRequest(
        photos(tmp_path / "shirts", 1), base=str(toy), steps=8, batch=12, rank=4, learning_rate=1.0, rights=OWN,
        samples=0, folds=2, out=tmp_path / "it",
    )  # fmt: skip
    real = folds.choose

    def early(*told: Any) -> folds.Chosen:
        chosen = real(*told)
        return replace(chosen, step=4)

    monkeypatch.setattr(folds, "choose", early)
    card = adapters.load_card(train.fit(asked))
    assert card.losses["best_step"] == 4 == card.losses["stopped_at"] and card.training["folds"] == 2
    assert "left some of the views out" in card.losses["choice"]
    rows = (tmp_path / "it" / "report" / folds.TABLE).read_text().splitlines()
    assert rows[0] == "step,mean,fold_1,fold_2" and [row.split(",")[0] for row in rows[1:]] == ["0", "4", "8"]
    assert not (tmp_path / "it" / folds.PLACE).exists()
    with pytest.raises(RequestError, match="of these 6 some are"):
        train.fit(replace(asked, images=photos(tmp_path / "many", 6), out=tmp_path / "other"))


def test_folds_that_choose_nothing_are_wrong_requests() -> None:
    for told in ((1, 1, False, False), (3, 8, True, False), (3, 1, False, True)):
        with pytest.raises(RequestError, match="--folds"):
            folds.require(*told)
    for photos_here in (1, 3):
        with pytest.raises(RequestError, match="--folds is 49; wanted 2 to 48"):
            folds.require(49, photos_here, False, False)
        folds.require(48, photos_here, False, False)
    folds.require(0, 8, True, True)


def test_only_the_chosen_step_is_kept_whatever_the_others_lose() -> None:
    from synthgen.checkpoint import Losses

    losses = Losses()
    for step, loss in ((0, 1.0), (20, 0.1), (40, 0.5)):
        losses.note(Check(step, (loss,), (loss,)), {}, 40)
    assert losses.best_step == 40 and losses.kept.loss == 0.5
