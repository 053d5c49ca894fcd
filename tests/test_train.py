"""Photos in, adapter out, on real diffusers classes at toy size."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_base import OWN, interrupted_once, photos

from synthgen import adapters, photo_split, train, training_material
from synthgen.errors import RequestError, SynthgenError, UnfitAdapter
from synthgen.types import Taught


def test_training_leaves_a_finished_adapter_with_its_card_report_and_private_part(trained: Path) -> None:
    card = adapters.load_card(trained)
    assert (card.rank, card.alpha, card.trigger, card.base, card.finished) == (8, 4.0, "sks", "toy", True)
    assert card.trained_on["owner"] == "Acme"
    assert card.license == "LicenseRef-own"
    assert card.losses["validation"][0][0] == 0
    assert card.losses["best_validation"] == min(loss for step, loss in card.losses["validation"] if step > 0)
    assert sorted(path.name for path in (trained / "report").iterdir()) == ["checkpoints.png", "loss.png", "tests.png"]
    private = json.loads((trained / "private" / "photos.json").read_text())
    assert {row["split"] for row in private} == {"train", "held-out"}
    assert len(private) == 6
    assert not (trained / "private" / "checkpoint").exists()


def test_training_lowers_the_loss_on_held_out_views(trained: Path) -> None:
    losses = adapters.load_card(trained).losses
    assert losses["best_validation"] < losses["validation"][0][1]


def test_unmodified_diffusers_loads_the_adapter_with_its_alpha(trained: Path, toy: Path) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(toy, local_files_only=True, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    prompt = {"prompt": "a photo of a sks shirt, flat lay", "num_inference_steps": 2, "output_type": "np"}
    before = pipe(**prompt, generator=torch.Generator().manual_seed(1)).images
    pipe.load_lora_weights(trained, weight_name="adapter.safetensors", use_safetensors=True)
    after = pipe(**prompt, generator=torch.Generator().manual_seed(1)).images
    assert np.abs(after - before).mean() > 1 / 255
    scales = {layer.scaling["default_0"] for layer in pipe.unet.modules() if hasattr(layer, "lora_A")}
    assert scales == {0.5}


def test_the_same_training_again_says_done_and_changes_nothing(trained: Path, toy: Path, capsys: Any) -> None:
    before = (trained / "card.toml").read_bytes()
    request = train.TrainRequest(
        trained.parent / "shirts", base=str(toy), steps=45, batch=4, rank=8, alpha=4.0, out=trained, rights=OWN,
        learning_rate=5e-3,
    )  # fmt: skip
    assert train.fit(request) == trained
    assert "nothing to do" in capsys.readouterr().err
    assert (trained / "card.toml").read_bytes() == before


def test_other_photos_need_replace(trained: Path, toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    request = train.TrainRequest(photos(tmp_path / "new", 1), base=str(toy), steps=2, batch=4, out=folder)
    with pytest.raises(UnfitAdapter, match="--replace"):
        train.fit(request)
    assert adapters.load_card(folder).rank == 8
    train.fit(replace(request, replace=True, learning_rate=0.02))
    assert adapters.load_card(folder).rank == 16


def test_an_interrupted_training_ends_bit_for_bit_like_an_undisturbed_one(
    trained: Path, toy: Path, tmp_path: Path
) -> None:
    request = train.TrainRequest(
        trained.parent / "shirts", base=str(toy), steps=45, batch=4, rank=8, alpha=4.0, out=tmp_path / "again",
        rights=OWN, learning_rate=5e-3,
    )  # fmt: skip
    state = tmp_path / "again" / "private" / "checkpoint" / "state.json"
    with interrupted_once(state.parent.is_dir):  # before the first checkpoint
        train.fit(request)
    for step in (20, 40):
        with interrupted_once(lambda: state.is_file() and json.loads(state.read_text())["step"] == step):  # noqa: B023
            train.fit(request)
        assert json.loads(state.read_text())["step"] == step
        assert not (tmp_path / "again" / "card.toml").exists()
    train.fit(request)
    for same in ("adapter.safetensors", "report/checkpoints.png"):
        assert (tmp_path / "again" / same).read_bytes() == (trained / same).read_bytes()
    cards = [adapters.load_card(folder) for folder in (trained, tmp_path / "again")]
    assert cards[0].losses == cards[1].losses


def test_an_adapter_that_learned_nothing_is_refused(toy: Path, tmp_path: Path) -> None:
    request = train.TrainRequest(
        photos(tmp_path / "shirts", 2), base=str(toy), steps=2, batch=4, learning_rate=1e-9, out=tmp_path / "none"
    )
    with pytest.raises(SynthgenError, match="It learned nothing"):
        train.fit(request)
    with pytest.raises(UnfitAdapter):
        adapters.load_card(tmp_path / "none")


def test_a_folder_of_something_else_is_never_trained_into(toy: Path, tmp_path: Path) -> None:
    shirts = photos(tmp_path / "shirts", 1)
    request = train.TrainRequest(shirts, base=str(toy), steps=2, out=shirts, replace=True)
    with pytest.raises(RequestError, match="holds no adapter"):
        train.fit(request)
    assert [path.name for path in shirts.iterdir()] == ["photo-0.png"]


def test_rights_stated_after_training_reach_the_card_and_leave_the_weights(
    trained: Path, toy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    request = train.TrainRequest(
        trained.parent / "shirts", base=str(toy), steps=45, batch=4, rank=8, alpha=4.0, out=folder, learning_rate=5e-3,
        rights=replace(OWN, license="CC-BY-NC-4.0", expires="2031-01-01"),
    )  # fmt: skip
    train.fit(request)
    card = adapters.load_card(folder)
    assert (card.license, card.trained_on["license"], card.trained_on["expires"]) == (
        "CC-BY-NC-4.0", "CC-BY-NC-4.0", "2031-01-01",
    )  # fmt: skip
    assert adapters.verify_weights(folder, card)


def test_an_adapter_that_is_being_replaced_stays_until_the_new_one_is_ready(
    trained: Path, toy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    request = train.TrainRequest(
        photos(tmp_path / "new", 1), base=str(toy), steps=2, batch=4, out=folder, replace=True, learning_rate=1e-9
    )
    with pytest.raises(SynthgenError, match="It learned nothing"):
        train.fit(request)
    assert adapters.verify_weights(folder, adapters.load_card(folder))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"learning_rate": float("nan")}, "--learning-rate"), ({"alpha": float("inf")}, "--alpha"),
     ({"seed": 2**64}, "--seed"), ({"device": "banana"}, "banana")],
)  # fmt: skip
def test_numbers_and_devices_that_cannot_be_are_wrong_requests(
    wrong: dict[str, Any], said: str, toy: Path, tmp_path: Path
) -> None:
    request = train.TrainRequest(photos(tmp_path / "shirts", 1), base=str(toy), out=tmp_path / "out", **wrong)
    with pytest.raises(RequestError, match=said):
        train.fit(request)
    assert not (tmp_path / "out").exists()


def test_the_category_that_is_said_is_the_one_that_is_learned(toy: Path, tmp_path: Path) -> None:
    request = train.TrainRequest(photos(tmp_path / "shirts", 1), base=str(toy), category="jackets")
    assert train._read(request).category == "outwear"
    assert {photo.category for photo in train._read(request).photos} == {"outwear"}


def test_below_five_photos_other_views_than_those_of_training_are_held_out(toy: Path, tmp_path: Path) -> None:
    from synthgen import captions
    from synthgen.bases import mini
    from synthgen.domains import apparel

    request = train.TrainRequest(photos(tmp_path / "shirts", 3), base=str(toy))
    known = captions.write(train._read(request), "sks")
    learn, held = photo_split.divide(list(known.photos), 0)
    lesson = training_material.Lesson(known, apparel, Taught("sks", "shirt"), Taught("", "shirt"), "", {})
    material = training_material.make(mini.load(mini.identify(toy)), learn, held, lesson, request.seed)
    gaps = (material.held_latents[:, None] - material.latents[None]).abs().amax((2, 3, 4))
    assert (gaps.amin(1) > 1e-3).float().mean() >= 0.5
