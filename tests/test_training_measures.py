"""What an adapter does to pictures is measured: likeness to held-out photos, drift on other prompts, a grid of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_base import OWN, interrupted_once, photos

from synthgen import adapters, bases, captions, images, train, training_measures
from synthgen.domains import apparel, medical
from synthgen.training_measures import AT_CHECKS, Scene, Seen
from synthgen.types import Taught


@pytest.fixture(scope="module")
def scene(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    module, identity = bases.find(str(toy))
    known = captions.write(images.read(photos(tmp_path_factory.mktemp("scene") / "shirts", 3)), "sks")
    return Scene(module.load(identity, "cpu"), known.photos, apparel.unrelated(Taught("sks", "shirt"), 4), 0)


def test_a_fresh_adapter_has_no_drift_and_a_stirred_one_has_some(scene: Scene) -> None:
    import torch

    parameters = scene.base.add_adapter(4, 4.0)
    fresh = scene.look(0)
    assert (fresh.pictures == scene.before.pictures).all()
    assert abs(fresh.drift.value) < 1e-9 and fresh.similarity.value == pytest.approx(scene.before.similarity.value)
    rng = torch.Generator().manual_seed(0)
    for value in parameters.values():
        value.data += torch.randn(value.shape, generator=rng)
    stirred = scene.look(1)
    scene.base.drop_adapter()
    assert 0 < stirred.drift.low <= stirred.drift.value <= stirred.drift.high <= 1
    assert stirred.similarity.value != pytest.approx(fresh.similarity.value)
    assert (scene.look(2).pictures == scene.before.pictures).all()


def test_a_photo_is_most_like_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    own = training_measures._features(scene.base.render(scene.alike[:1], [None], {
        "controlnet_conditioning_scale": 1.0, **scene.base.settings,
    })[0].pixels[None])  # fmt: skip
    monkeypatch.setattr(scene, "photos", own)
    seen = scene.look(0)
    assert seen.alike[0] == pytest.approx(1.0) and seen.alike[0] >= seen.alike.max() - 1e-9


def test_dropping_an_adapter_leaves_the_network_that_was_loaded(toy: Path) -> None:
    module, identity = bases.find(str(toy))
    base = module.load(identity, "cpu")
    names = [name for name, _ in base.denoiser.named_modules()]
    before = {name: value.clone() for name, value in base.denoiser.state_dict().items()}
    for method, targets in (("lora", "all"), ("oft", "attention"), ("dora", "all")):
        assert base.add_adapter(4, 4.0, method, targets)
        base.drop_adapter()
        assert [name for name, _ in base.denoiser.named_modules()] == names
        assert all((value == before[name]).all() for name, value in base.denoiser.state_dict().items())
        assert all(value.requires_grad for value in base.denoiser.parameters())


def test_attention_alone_is_a_part_of_all(toy: Path) -> None:
    module, identity = bases.find(str(toy))
    base = module.load(identity, "cpu")
    found = {}
    for targets in ("all", "attention"):
        found[targets] = set(base.add_adapter(4, 4.0, "lora", targets))
        base.drop_adapter()
    assert found["attention"] < found["all"]
    assert all(".to_" in name for name in found["attention"])


@pytest.mark.parametrize("domain", [apparel, medical])
def test_prompts_of_other_things_name_neither_the_product_nor_its_kind(domain: Any) -> None:
    taught = Taught("sks", "shirt") if domain is apparel else Taught("sks", "pneumonia", "chest-xray")
    said = domain.unrelated(taught, 10)
    assert len(said) == 10 and len(set(said)) == 10
    assert not any("sks" in text or " shirt" in text or "x-ray" in text for text in said)


def test_the_report_shows_the_states_and_marks_the_kept_one_resumed_or_not(toy: Path, tmp_path: Path) -> None:
    shirts = photos(tmp_path / "shirts", 6)

    def request(out: str) -> train.TrainRequest:
        return train.TrainRequest(
            shirts, base=str(toy), steps=60, batch=4, rank=4, rights=OWN, learning_rate=5e-3, out=tmp_path / out
        )

    whole = train.fit(request("whole"))
    state = tmp_path / "parts" / "private" / "checkpoint" / "state.json"
    with interrupted_once(lambda: state.is_file() and json.loads(state.read_text())["step"] == 20):
        train.fit(request("parts"))
    assert list(state.parent.glob("seen-*.npz"))
    parts = train.fit(request("parts"))
    sheets = [np.asarray(Image.open(folder / "report" / "checkpoints.png")) for folder in (whole, parts)]
    assert (sheets[0] == sheets[1]).all()
    assert sheets[0].shape[1] == 2 * AT_CHECKS * 64
    assert (np.abs(sheets[0].astype(int) - (30, 140, 60)).sum(2) == 0).sum() > 500
    losses = adapters.load_card(whole).losses
    assert losses["similarity"]["low"] <= losses["similarity"]["value"] <= losses["similarity"]["high"]
    assert losses["drift"]["value"] > 0 and losses["drift"] == adapters.load_card(parts).losses["drift"]
    without = train.fit(train.TrainRequest(**{**vars(request("none")), "samples": 0}))
    assert (without / "adapter.safetensors").read_bytes() == (whole / "adapter.safetensors").read_bytes()
    assert Image.open(without / "report" / "checkpoints.png").height < sheets[0].shape[0]


def test_states_are_compared_on_the_prompts_that_all_have() -> None:
    def state(step: int, alike: int, apart: int) -> Seen:
        pictures = np.arange(alike + apart, dtype=np.uint8).reshape(-1, 1, 1, 1)
        return Seen(step, pictures, np.arange(alike) / 10, np.arange(apart) / 100)

    few, many = training_measures.alike([state(20, 2, 1), state(40, 3, 4)])
    assert many.pictures.ravel().tolist() == [0, 1, 3] and few.pictures.ravel().tolist() == [0, 1, 2]
    assert many.similarity.value == pytest.approx(0.05)
