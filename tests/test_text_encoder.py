"""Text encoders that learn: saved so that unmodified diffusers and the web UIs read them, and resumed bit for bit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import toy_bases
from safetensors import safe_open
from safetensors.torch import load_file
from test_training_loop import Killed, weights
from toy_base import OWN, photos

from synthgen import adapter_choice, adapters, bases, checkpoint, licenses, lora_exchange, train, training_loop
from synthgen.checkpoint import Settings
from synthgen.errors import RequestError
from synthgen.training_loop import Kept, Loop, Material
from synthgen.types import AdapterUse

TEXTS = ("a photo of a sks shirt, flat lay", "a photo of a sks dress", "")


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy with one text encoder, and one with two."""
    place = toy_bases.write(request.param, tmp_path_factory.mktemp("reading") / f"toy-{request.param}")
    (place / "rights.toml").write_text('owner = "Acme"\nlicense = "CC-BY-4.0"\nexpires = 2027-03-31\n')
    return place


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """An adapter of three steps on four photos."""
    place, family = folder.parent, bases.find(str(folder))[0]
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(type(family), "SETTINGS", {**family.SETTINGS, "num_inference_steps": 2, "batch": 8})
        return train.fit(
            train.TrainRequest(
                photos(place / "shirts", 4), base=str(folder), size=toy_bases.SIDE_PX, steps=3, batch=4, rank=4,
                alpha=2.0, learning_rate=1.0, text_encoder=True, rights=OWN, samples=0, out=place / "adapters" / "it",
            )
        )  # fmt: skip


def test_all_that_is_stated_of_a_base_goes_with_its_adapter_to_another_base(trained: Path) -> None:
    card = adapters.load_card(trained)
    assert card.base_rights == {"owner": "Acme", "license": "CC-BY-4.0", "expires": "2027-03-31"}
    chain = [adapter_choice.asset(card, "another")]
    assert licenses.clear(chain, "commercial", date(2027, 3, 31)).answer == "conditional"
    ended = licenses.clear(chain, "commercial", date(2027, 4, 1))
    assert ended.answer == "deny" and "the grant ended on 2027-03-31" in ended.reasons[0]


def unmodified(folder: Path) -> Any:
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)


def changes(pipe: Any, part: str) -> dict[str, Any]:
    """Module -> what a loaded LoRA adds to its weight."""
    return {
        name: layer.get_delta_weight("it").detach()
        for name, layer in getattr(pipe, part).named_modules()
        if hasattr(layer, "lora_A") and "it" in layer.lora_A
    }


def test_unmodified_diffusers_and_the_web_uis_form_hold_what_was_trained(
    folder: Path, trained: Path, tmp_path: Path
) -> None:
    import torch

    family, identity = bases.find(str(folder))
    base, plain = family.load(identity, "cpu"), family.load(identity, "cpu")
    base.attach([AdapterUse("shirts", trained)])
    adapters.load_card(trained)
    lora_exchange.take_out(trained, "kohya", tmp_path / "web.safetensors", family.MODELSPEC)
    for file in (trained / adapters.WEIGHTS, tmp_path / "web.safetensors"):
        pipe = unmodified(folder)
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="it", use_safetensors=True)
        for part in family.TEXT_PARTS:
            found = changes(pipe, part)
            assert len(found) == 8  # four projections in each of two layers
            for name, change in found.items():
                ours = getattr(base.parts, part).get_submodule(name).weight
                before = getattr(plain.parts, part).get_submodule(name).weight
                assert torch.allclose(before + change, ours, atol=1e-6)
            assert sum(bool(change.abs().max() > 1e-4) for change in found.values()) >= 4  # XL reads the last but one
    with safe_open(trained / adapters.WEIGHTS, "np") as told:
        assert str(folder) not in str(told.metadata())


def test_what_was_read_in_training_is_what_is_read_with_the_adapter(folder: Path, trained: Path) -> None:
    family, identity = bases.find(str(folder))
    base = family.load(identity, "cpu")
    plain = base.encode_texts(TEXTS).values["states"]
    base.attach([AdapterUse("shirts", trained)])
    with_it = base.encode_texts(TEXTS).values["states"]
    assert float((with_it - plain).abs().mean()) > 1e-3
    base.attach([])
    held = {name.replace("text_model.", ""): value for name, value in load_file(trained / adapters.WEIGHTS).items()}
    for name, value in base.add_adapter(4, 2.0, text_encoder=True).items():
        key = name.replace(".default", "").replace("text_model.", "")
        value.data.copy_(held[key if key in held else f"unet.{key}"])
    assert float((base.encode_texts(TEXTS).values["states"] - with_it).abs().max()) < 1e-5
    base.drop_adapter()
    assert bool((base.encode_texts(TEXTS).values["states"] == plain).all())


def loop(folder: Path, settings: Settings) -> Loop:
    import torch

    family, identity = bases.find(str(folder))
    base = family.load(identity, "cpu")
    rng = torch.Generator().manual_seed(1)
    pictures, held, kept = (torch.randn(count, 4, 8, 8, generator=rng) for count in (2, 2, 2))
    words = base.encode_texts(TEXTS)
    own = Kept.ask(base, kept, words[:2], 0, ["a shirt", "a dress"])
    return Loop(
        base, Material(pictures, words, held, words[:2], own, (0, 1), (0, 1), True, None, None, TEXTS, TEXTS[:2]),
        settings,
    )  # fmt: skip


def test_killed_and_resumed_is_bit_for_bit_the_same(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loop, "PAUSE", 4)
    settings = Settings(7, 4, 5e-3, 0, 4, 4.0, caption_dropout=0.3, text_encoder=True)
    whole = loop(toy, settings)
    begun = {name: value.detach().clone() for name, value in whole.parameters.items()}
    checkpoint.prepare(tmp_path / "whole", "x")
    losses = whole.run(tmp_path / "whole")
    assert losses.checks[-1].loss != losses.checks[0].loss
    changed = {name for name, value in whole.parameters.items() if not bool((value == begun[name]).all())}
    assert any(name.startswith("text_encoder") and "lora_B" in name for name in changed)
    groups = whole.optimizer.param_groups
    assert groups[1]["lr"] == pytest.approx(groups[0]["lr"] / 5)
    checkpoint.prepare(tmp_path / "parts", "x")
    dying = loop(toy, settings)
    step = dying.step

    def step_or_die(number: int) -> float:
        if number == 5:
            raise Killed
        return step(number)

    dying.step = step_or_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        dying.run(tmp_path / "parts")
    last = loop(toy, settings)
    last.run(tmp_path / "parts")
    assert weights(last) == weights(whole)


def test_what_cannot_learn_to_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="language model"):
        bases.family("flux2").require_readable("klein", True, "lora")
    request = train.TrainRequest(photos(tmp_path / "shirts", 1), text_encoder=True)
    for method in ("dora", "lokr", "oft"):
        with pytest.raises(RequestError, match="--train-text-encoder"):
            train._ready(replace(request, method=method))
