"""What a training is judged by: which checkpoint is kept and why, when to stop, what the product's mask changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_base import OWN, photos

from synthgen import adapters, checkpoint, images, masks, tensor_file, train, training_check
from synthgen.training_check import Check


def course(*losses: float) -> list[Check]:
    return [Check(20 * at, (loss, loss + 0.02, loss + 0.01), (loss / 2, loss / 2)) for at, loss in enumerate(losses)]


def test_the_lowest_held_out_loss_is_kept_and_the_line_says_why() -> None:
    checks = course(1.0, 0.8, 0.6, 0.9)
    assert training_check.best(checks).step == 40
    told = training_check.choice(checks, (0, 1, 2), 200, True)
    assert told.startswith("step 40 of 200 kept: loss on held-out photos 0.6100 (95 % 0.6")
    assert told.endswith("0.9100 at step 60 (worse beyond chance)")
    assert training_check.best([*checks[:2], Check(40, (float("nan"),) * 3, ())]).step == 20


def test_training_stops_when_patience_is_spent_and_never_without() -> None:
    checks = course(1.0, 0.8, 0.9, 0.9, 0.9)
    assert [training_check.stalled(checks, patience) for patience in (0, 2, 3, 4)] == [False, True, True, False]
    assert not training_check.stalled(course(1.0), 1)


def test_divergence_is_what_only_the_learned_photos_gained() -> None:
    checks = course(1.0, 0.6)
    assert training_check.divergence(checks[0], checks[0]) == 0
    assert training_check.divergence(Check(20, checks[0].held, (0.1, 0.1)), checks[0]) == pytest.approx(0.4)


def test_membership_is_told_from_its_absence() -> None:
    rng = np.random.default_rng(0)
    before = Check(0, tuple(rng.normal(1, 0.1, 40)), tuple(rng.normal(1, 0.1, 40)))
    alike = Check(20, *(tuple(np.array(side) - rng.normal(0.3, 0.05, 40)) for side in (before.held, before.learned)))
    twice = training_check.membership(before, alike, [view // 20 for view in range(40)], True)
    found = training_check.membership(before, alike, range(40), True)
    assert found.low is not None and found.high is not None and found.low < 0 < found.high
    assert twice.advantage == found.advantage and twice.low != found.low  # many views of two photos are two witnesses
    told = Check(20, tuple(np.array(before.held) - 0.1), tuple(np.array(before.learned) - 0.5))
    assert training_check.membership(before, told, range(40), True).advantage == 1
    assert training_check.membership(before, told, range(40), False).advantage is None


def test_the_loss_of_a_masked_picture_is_that_of_its_product(toy: Path) -> None:
    import torch

    from synthgen import bases

    module, identity = bases.find(str(toy))
    base = module.load(identity, "cpu")
    rng = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(2, 4, 8, 8, generator=rng) for _ in range(2))
    words, moments = base.encode_texts(["a shirt", "a dress"]), torch.tensor([300, 300])
    where = torch.zeros(2, 1, 8, 8)
    where[0, :, :4], where[1, :, :1] = 1, 1
    with torch.no_grad():
        whole = base.loss(latents, words, moments, noise)
        found = base.loss(latents, words, moments, noise, where)
        same = base.loss(latents, words, moments, noise, torch.full((2, 1, 8, 8), 0.3))
    assert torch.allclose(whole, same, rtol=1e-5)
    error = (base._predict(latents, words, moments, noise) - base.process.target(latents, noise, moments)).square()
    weight = base.process.weight(moments)
    expected = weight * torch.stack([error[0, :, :4].mean(), error[1, :, :1].mean()])
    assert torch.allclose(found, expected.detach(), rtol=1e-4)


def test_a_mask_moves_with_its_view() -> None:
    pixels = np.zeros((96, 80, 4), np.uint8)
    pixels[..., :3] = 40
    pixels[20:60, 30:70] = 255
    for view in images.views(Image.fromarray(pixels, "RGBA"), 6, 64, 3):
        assert view.shape == (64, 64, 4)
        bright, inside = view[..., :3].mean(2) > 140, view[..., 3] > 127
        assert (bright & inside).sum() / (bright | inside).sum() > 0.9


def test_masks_at_latents_are_shares() -> None:
    import torch

    given = np.zeros((1, 64, 64), np.uint8)
    given[:, :32, :36] = 255
    share = masks.at_latents(given, torch.zeros(1, 4, 8, 8))
    assert share.shape == (1, 1, 8, 8) and share[0, 0, 0, 4] == 0.5 and share.mean() == pytest.approx(18 / 64)
    rows = masks.at_latents(given, torch.zeros(1, 64, 16))
    assert torch.equal(rows[0, :, 0], share.flatten())


def test_a_training_that_gets_no_better_stops_and_keeps_best_and_last(toy: Path, tmp_path: Path) -> None:
    request = train.TrainRequest(
        photos(tmp_path / "shirts", 6), base=str(toy), steps=400, batch=4, rank=4, out=tmp_path / "out", rights=OWN,
        learning_rate=0.05, patience=1,
    )  # fmt: skip
    losses = adapters.load_card(train.fit(request)).losses
    assert losses["stopped_at"] == losses["best_step"] + 20 < 400
    assert losses["choice"].startswith(f"step {losses['best_step']} of 400 kept")
    last = tmp_path / "out" / "private" / "last.safetensors"
    assert tensor_file.check(last)[0].keys() == tensor_file.check(tmp_path / "out" / "adapter.safetensors")[0].keys()
    assert last.read_bytes() != (tmp_path / "out" / "adapter.safetensors").read_bytes()
    assert {"members", "others", "advantage"} <= losses["membership"].keys()
    assert json.loads((tmp_path / "out" / "private" / "photos.json").read_text())


def test_what_is_done_with_masks_is_said_and_can_be_refused(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shirts = photos(tmp_path / "shirts", 1)
    (shirts / "masks").mkdir()
    mask = np.zeros((96, 80), np.uint8)
    mask[10:60, 8:48] = 255
    Image.fromarray(mask).save(shirts / "masks" / "photo-0.png")
    made = {}
    for how in ("given", "off"):
        request = train.TrainRequest(
            shirts, base=str(toy), steps=4, batch=2, rank=4, out=tmp_path / how, learning_rate=0.02, masks=how
        )
        train.fit(request)
        made[how] = ((tmp_path / how / "adapter.safetensors").read_bytes(), capsys.readouterr().err)
    assert "masks: 1 file; beside the product the ground counts 10%" in made["given"][1]
    assert "masks:" not in made["off"][1]
    assert made["given"][0] != made["off"][0]


def test_weights_that_give_away_too_much_are_kept_only_where_there_are_no_others() -> None:
    rng = np.random.default_rng(0)
    first = Check(0, tuple(rng.normal(1, 0.1, 20)), tuple(rng.normal(1, 0.1, 12)))
    told = Check(40, tuple(np.array(first.held) - 0.3), tuple(np.array(first.learned) - 0.9))
    assert training_check.beyond(first, told, range(20), 0.5, True)
    assert not training_check.beyond(first, told, range(20), 1.0, True)  # no cap
    assert not training_check.beyond(first, told, range(20), 0.5, False)  # no photo was held out: it cannot be told
    alike = Check(
        20, *(tuple(np.array(side) - rng.normal(0.2, 0.05, len(side))) for side in (first.held, first.learned))
    )
    assert not training_check.beyond(first, alike, range(20), 0.5, True)
    told = dataclasses.replace(told, beyond=True)
    assert training_check.best([first, alike, told]).step == 20  # though its loss is higher
    assert training_check.best([first, told]).step == 40
    losses = checkpoint.Losses()
    for check in (first, alike, told):
        losses.note(check, {})
    assert losses.best_step == 20
    assert "ended at step 40, which gives away" in training_check.choice(losses.checks, range(20), 400, True)
