"""What an adapter does to pictures is measured: likeness to held-out photos, drift on other prompts, a grid of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_base import photos

from synthgen import adapters, bases, captions, checkpoint, images, training_measures
from synthgen.checkpoint import Settings
from synthgen.domains import apparel, medical
from synthgen.training_loop import Kept, Loop, Material
from synthgen.training_measures import AT_CHECKS, Samples, Scene, Seen
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


def test_the_report_shows_the_states_and_marks_the_kept_one(trained: Path) -> None:
    sheet = np.asarray(Image.open(trained / "report" / "checkpoints.png"))
    assert sheet.shape[1] == 2 * AT_CHECKS * 64
    assert (np.abs(sheet.astype(int) - (30, 140, 60)).sum(2) == 0).sum() > 500
    losses = adapters.load_card(trained).losses
    assert losses["similarity"]["low"] <= losses["similarity"]["value"] <= losses["similarity"]["high"]
    assert losses["drift"]["value"] > 0


def test_looking_on_changes_no_weight(scene: Scene, tmp_path: Path) -> None:
    import torch

    rows = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    words = scene.base.encode_texts(["a photo of a sks shirt"] * 4 + [""])
    own = Kept.ask(scene.base, rows[:2], words[:2], 0)
    material = Material(rows, words, rows[:2], words[:2], own, (0, 1), (0, 1), True)
    found = []
    for name, each in (("drawn", AT_CHECKS), ("blind", 0)):
        loop = Loop(scene.base, material, Settings(20, 3, 5e-3, 0, 4, 4.0))
        checkpoint.prepare(tmp_path / name, "x")
        loop.run(tmp_path / name, [Samples(scene, tmp_path / name, each)])
        found.append([value.detach().clone() for value in loop.parameters.values()])
        scene.base.drop_adapter()
    assert all((one == other).all() for one, other in zip(*found, strict=True))
    assert [len(training_measures.kept(tmp_path / name)) for name in ("drawn", "blind")] == [1, 0]


def test_states_are_compared_on_the_prompts_that_all_have() -> None:
    def state(step: int, alike: int, apart: int) -> Seen:
        pictures = np.arange(alike + apart, dtype=np.uint8).reshape(-1, 1, 1, 1)
        return Seen(step, pictures, np.arange(alike) / 10, np.arange(apart) / 100)

    few, many = training_measures.alike([state(20, 2, 1), state(40, 3, 4)])
    assert many.pictures.ravel().tolist() == [0, 1, 3] and few.pictures.ravel().tolist() == [0, 1, 2]
    assert many.similarity.value == pytest.approx(0.05)
