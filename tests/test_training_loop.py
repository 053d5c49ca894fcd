"""The loop's choices, and that a training which was killed ends bit for bit like one that was not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen import bases, checkpoint, optimizers, training_request
from synthgen.bases._words import Words
from synthgen.checkpoint import Settings
from synthgen.domains import medical
from synthgen.errors import RequestError, UnknownName
from synthgen.train import TrainRequest
from synthgen.training_loop import Kept, Loop, Material, _each_once

STEPS = 46
PLAIN = Settings(STEPS, 3, 5e-3, 0, 4, 4.0)
WAYS = {
    "adamw": PLAIN,
    "prodigy": replace(PLAIN, optimizer="prodigy", learning_rate=1.0),
    "schedule-free": replace(PLAIN, optimizer="schedule-free"),
    "adamw8bit": replace(PLAIN, optimizer="adamw8bit", rank=64, alpha=64.0),  # small matrices stay in 32 bits
    "mean and silence": replace(PLAIN, ema=0.9, caption_dropout=0.3, method="rslora"),
}


def loop(toy: Path, settings: Settings) -> Loop:
    """A fresh adapter on the toy base, and material drawn at random: what is learned does not matter here."""
    import torch

    module, identity = bases.find(str(toy))
    base = module.load(identity, "cpu")
    rng = torch.Generator().manual_seed(1)
    words = base.encode_texts(
        [f"a photo of a sks shirt, {place}" for place in ("park", "beach", "street", "room")] + [""]
    )
    pictures, held, kept = (torch.randn(count, 4, 8, 8, generator=rng) for count in (4, 2, 2))
    own = Kept.ask(base, kept, words[2:4], 0)
    return Loop(base, Material(pictures, words, held, words[:2], own, (0, 1), (0, 1), True), settings)


def telling(toy: Path, settings: Settings) -> Loop:
    """What is learned is smooth, what is held out is noise: the one gains far more than the other."""
    import torch

    told = loop(toy, settings)
    smooth = torch.randn(6, 4, 1, 1, generator=torch.Generator().manual_seed(2)).expand(-1, -1, 8, 8).contiguous()
    words = told.material.words[torch.tensor([0, 1, 2, 3, 0, 1, 4])]
    noise = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    told.material = replace(
        told.material, latents=smooth, words=words, held_latents=noise, held_words=words[:4],
        held_units=(0, 1, 2, 3), firsts=tuple(range(6)),
    )  # fmt: skip
    told.words = words.joined(told.material.kept.words)
    return told


def weights(trained: Loop) -> bytes:
    return b"".join(value.detach().numpy().tobytes() for value in trained.parameters.values())


class Killed(BaseException):
    """What no handler catches."""


def killed_at(toy: Path, settings: Settings, folder: Path, step: int) -> None:
    """Train until a step has begun, and not a line further."""
    dying = loop(toy, settings)
    plain = dying.step

    def step_or_die(number: int) -> float:
        if number == step:
            raise Killed
        return plain(number)

    dying.step = step_or_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        dying.run(folder)


@pytest.fixture(scope="module")
def undisturbed(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """way -> weights of a training that nothing disturbed."""
    made: dict[str, bytes] = {}

    def get(way: str) -> bytes:
        if way not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            checkpoint.prepare(folder, "x")
            whole = loop(toy, WAYS[way])
            whole.run(folder)
            made[way] = weights(whole)
        return made[way]

    return get


def resumed(toy: Path, settings: Settings, folder: Path, points: list[int]) -> bytes:
    checkpoint.prepare(folder, "x")
    for point in points:
        killed_at(toy, settings, folder, point)
    last = loop(toy, settings)
    last.run(folder)
    return weights(last)


QUICK = "adamw"  # the others take minutes where cores are shared; `make prove` runs them


@pytest.mark.parametrize("way", [way if way == QUICK else pytest.param(way, marks=pytest.mark.slow) for way in WAYS])
def test_killed_twice_and_resumed_is_bit_for_bit_the_same(
    way: str, toy: Path, tmp_path: Path, undisturbed: Any
) -> None:
    assert resumed(toy, WAYS[way], tmp_path, [31, 45]) == undisturbed(way)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_anywhere_and_resumed_is_bit_for_bit_the_same(
    seed: int, toy: Path, tmp_path: Path, undisturbed: Any
) -> None:
    rng = np.random.default_rng(seed)
    way = list(WAYS)[seed % len(WAYS)]
    assert resumed(toy, WAYS[way], tmp_path, [int(rng.integers(STEPS))]) == undisturbed(way)


def test_ways_of_training_differ(undisturbed: Any) -> None:
    assert len({undisturbed(way) for way in WAYS}) == len(WAYS)


def test_rslora_scales_by_the_root_of_the_rank(toy: Path) -> None:
    scales = {}
    for method in ("lora", "rslora"):
        layers = loop(toy, replace(PLAIN, method=method)).base.denoiser.modules()
        scales[method] = {layer.scaling["default"] for layer in layers if hasattr(layer, "lora_A")}
    assert scales == {"lora": {1.0}, "rslora": {2.0}}


def test_a_fresh_adapter_keeps_the_class_as_the_base_sees_it(toy: Path) -> None:
    import torch

    made = loop(toy, PLAIN)
    kept = made.material.kept
    rows = kept.rows[:6]
    errors = made.base.loss(
        kept.latents[rows], kept.words[rows], kept.moments[:6], kept.noise[:6], None, kept.target[:6]
    )  # fmt: skip
    assert float(errors.detach().max()) < 1e-9
    assert len(torch.unique(kept.moments)) > 100 and int(kept.moments.max()) < made.base.train_steps


def test_texts_that_were_read_at_different_lengths_are_joined() -> None:
    import torch

    short, long = torch.ones(2, 3, 4), 2 * torch.ones(1, 5, 4)
    both = Words({"states": short, "mask": short[..., 0]}).joined(Words({"states": long, "mask": long[..., 0]}))
    assert both.values["states"].shape == (3, 5, 4) and both[torch.tensor([2])].values["states"].eq(2).all()
    assert both.values["mask"][0].tolist() == [1, 1, 1, 0, 0]


def test_gradient_checkpointing_changes_no_gradient(toy: Path) -> None:
    import torch

    gradients = []
    for saving in (False, True):
        made = loop(toy, PLAIN)
        if saving:
            made.base.denoiser.enable_gradient_checkpointing()
        made.step_loss(0).backward()
        gradients.append([value.grad for value in made.parameters.values()])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))


def test_caption_dropout_takes_the_row_without_words(toy: Path) -> None:
    import torch

    silent = loop(toy, replace(PLAIN, caption_dropout=1.0))
    chosen = torch.tensor([0, 2])
    assert silent._said(chosen, 0).tolist() == [4, 4]
    assert loop(toy, PLAIN)._said(chosen, 0) is chosen


def test_each_text_is_read_once_and_each_row_has_its_own() -> None:
    import torch

    asked: list[list[str]] = []

    def read(texts: list[str]) -> Any:
        asked.append(texts)
        return torch.tensor([len(text) for text in texts])

    assert _each_once(read, ["three", "a", "three", "to", "a"]).tolist() == [5, 1, 5, 2, 1]
    assert asked == [["three", "a", "to"]]


def test_unknown_and_missing_optimizers_are_wrong_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UnknownName, match="did you mean 'prodigy'"):
        optimizers.build("prodgy", [], 1.0)
    with pytest.raises(RequestError, match="pip install bitsandbytes"):
        optimizers.build("adamw8bit", [], 1.0)


def test_a_training_ends_where_it_shows_what_was_learned_from(toy: Path, tmp_path: Path) -> None:
    def trained(name: str, settings: Settings) -> tuple[Loop, checkpoint.Losses]:
        checkpoint.prepare(tmp_path / name, "x")
        one = telling(toy, settings)
        return one, one.run(tmp_path / name)

    capped, losses = trained("capped", replace(PLAIN, steps=200, membership_cap=0.5))
    last = losses.checks[-1]
    assert 0 < last.step < 200 and last.beyond and not any(check.beyond for check in losses.checks[:-1])
    again, _ = checkpoint.load(tmp_path / "capped", capped.parameters, capped.optimizer)
    assert again.checks == losses.checks and again.ended  # the same command does not go on
    for name, ways in {"free": {"membership_cap": 1.0}, "chosen": {"membership_cap": 0.5, "ends": 60}}.items():
        _, whole = trained(name, replace(PLAIN, steps=60, **ways))
        assert whole.checks[-1].step == 60 and not any(check.beyond for check in whole.checks)


def test_patients_have_a_cap_and_products_none_unless_it_is_said(toy: Path) -> None:
    module, _ = bases.find(str(toy))
    request = TrainRequest(Path("films"), domain="medical")
    assert training_request.settings(request, module, 20).membership_cap == medical.MEMBERSHIP_CAP < 1
    assert training_request.settings(replace(request, membership_cap=0.9), module, 20).membership_cap == 0.9
    assert training_request.settings(replace(request, domain="apparel"), module, 20).membership_cap == 1
    assert training_request.chosen(replace(request, membership_cap=0.9)) == {"membership_cap": 0.9}
