"""Memory: what is said of published bases is counted, what passes through is measured, and presets fit their cards."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy_bases
from live_memory import LiveMemory

from synthgen import adapters, base_facts, base_needs, bases, card_preset, memory_modes, model_folder, precision, rooms
from synthgen.errors import RequestError
from synthgen.generate import GenerateRequest
from synthgen.memory_modes import MODES
from synthgen.train import TrainRequest
from synthgen.types import AdapterUse, Job

FAMILIES = sorted(rooms.members("bases"))
PUBLISHED = {name: told for name, told in bases.names().items() if told[1] is not None}
needs_bf16 = pytest.mark.skipif(not precision.cpu_has_bfloat16(), reason="this processor does not compute in bfloat16")


def full_size() -> Any:
    path = Path(__file__).parents[1] / "benchmarks" / "full_size.py"
    spec = importlib.util.spec_from_file_location("full_size", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [name for name in full_size().PARTS])
def test_a_published_base_has_as_many_numbers_as_its_family_says(name: str) -> None:
    import torch

    family, weights = PUBLISHED[name]
    size, counted, few, eight, largest = weights.size, {}, 0, 0, 0
    large = family.in_few_bits({part: kind for part, (kind, _, _) in full_size().PARTS[name].items()})
    for part, model in full_size().built(name).items():
        counted[part] = sum(value.numel() for value in model.parameters())
        if part == family.DENOISER:
            shapes = {key: tuple(value.shape) for key, value in model.named_parameters()}
            places = model_folder.matrices(part, shapes)
            assert memory_modes.adapter_numbers(places, family.targeted(places), 1) == size.pair
        tied = model.get_input_embeddings().weight if hasattr(model, "get_input_embeddings") else None
        layers = [sum(value.numel() for value in layer.parameters(recurse=False)) for layer in model.modules()]
        largest = max(largest, *layers)
        for key, layer in model.named_modules() if part in large else ():
            if type(layer) is torch.nn.Linear and layer.weight is not tied:
                few += layer.weight.numel() * (not key.endswith(".wo"))
                eight += layer.weight.numel() * key.endswith(".wo")
    assert (counted, few, eight, largest) == (dict(size.numbers), size.few, size.eight, family.LAYER)


@needs_bf16
@pytest.mark.parametrize("name", FAMILIES)
def test_what_passes_through_is_as_much_as_is_estimated(name: str, tmp_path: Path) -> None:
    """The estimate is seldom passed, and never by much; it counts the most words, and a toy reads few."""
    import torch

    folder = toy_bases.write(name, tmp_path / f"toy-{name}")
    for memory in ("half", "lean"):
        family, identity = bases.find(str(folder), memory=memory)
        base = family.load(identity, "cpu")
        base.size = 128
        job = Job("0" * 16, 0, "a photo of a sks shirt", "", 5, {})
        settings = {**base.settings, "num_inference_steps": 1, "threads": 1, "size": 64}
        with LiveMemory() as seen, np.errstate(invalid="ignore"):  # what is drawn is not looked at
            base.render([job], [None], settings)
        need = base_needs.here(family, identity)
        drawn = memory_modes.passing(MODES[memory], family.passing(need.configs, 64), 1, trains=False)
        latents = base.encode_pixels(np.zeros((2, 128, 128, 3), np.uint8))
        with LiveMemory() as read:  # of other readers than T5; in a real base it is little
            words = base.encode_texts(["a sks shirt"] * 2)
        assert 0.4 * drawn < seen.most < 1.2 * max(drawn, read.most), (memory, seen.most, drawn)
        base.add_adapter(4, 4.0)
        with LiveMemory() as seen:
            base.loss(latents, words, torch.tensor([300, 600]), torch.randn_like(latents)).mean().backward()
        told = family.passing(need.configs, 128, words.values["states"].shape[1])
        trained = memory_modes.passing(MODES[memory], told, 2, trains=True)
        assert 0.5 * trained < seen.most < 1.1 * trained, (memory, seen.most, trained)


def test_the_table_of_full_sizes_is_what_was_estimated_and_measured() -> None:
    made = full_size()
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "python benchmarks/full_size.py --page"
    assert made.RESULTS.is_file() or made.NOT_RUN in made.page()


# base -> its presets on cards of 24 and 12 GB: mode, px, batch
PRESETS = {
    "sd15": (("full", 512, 4), ("half", 512, 4)),
    "sdxl": (("lean", 1024, 4), ("lean", 1024, 2)),
    "sd35-medium": (("lean", 1024, 2), ("8bit", 1024, 2)),
    "sd35-large": (("8bit", 1024, 2), ("4bit", 768, 1)),
    "flux-dev": (("8bit", 1024, 1), None),
    "flux2-klein-base-4b": (("lean", 1024, 2), ("4bit", 1024, 2)),
    "qwen-image": (("4bit", 1024, 1), None),
    "z-image": (("8bit", 1024, 2), ("4bit", 1024, 1)),
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_base_that_trains_has_a_preset_for_each_card_or_says_that_it_does_not_fit(name: str) -> None:
    family, weights = PUBLISHED[name]
    need = base_needs.published(family, weights.size)
    for card, wanted in zip((24e9, 12e9), PRESETS[name], strict=True):
        found = card_preset.training(need, card)
        assert (found and (found.memory, found.size, found.batch)) == wanted
        assert found is None or found.bytes <= 0.92 * card
    draws, shown = card_preset.drawing(need, 24e9), base_facts.of(name)["memory about"]
    assert draws is None or shown[draws.memory].startswith(f"{base_needs.said(draws.bytes)} to draw")
    assert {*PRESETS} == {one for one, (_, told) in PUBLISHED.items() if not told.distilled}


def test_a_card_is_taken_for_what_it_holds(tmp_path: Path, synthgen: Callable[..., Any]) -> None:
    folder = toy_bases.write("sdxl", tmp_path / "toy")
    need = base_needs.here(*bases.find(str(folder)))
    card = need.bytes("4bit", 64, 1, True) / 0.92 + 100
    asked = TrainRequest(tmp_path, base=str(folder), memory=f"{card / 1e9:.9f}GB", size=64)
    found = card_preset.for_training(asked)
    assert (found.memory, found.size, found.batch) == ("4bit", 64, 1)
    assert card_preset.for_training(replace(asked, memory="auto", device="cpu")).memory == "full"
    assert card_preset.for_training(replace(asked, memory="lean")).memory == "lean"
    with pytest.raises(RequestError, match=r"cannot be trained on with 0\.00 GB by the estimate"):
        card_preset.for_training(replace(asked, memory="0.000001GB"))
    with pytest.raises(RequestError, match=r"--memory 0\.0 GB is a card of no memory\. Wanted .* 24GB"):
        card_preset.for_training(replace(asked, memory="0.0 GB"))
    asked = replace(asked, method="dora")  # it reads the weights: none in few bits
    with pytest.raises(RequestError, match="by --method dora, which unlike lora and rslora needs whole weights"):
        card_preset.for_training(asked)
    card = max(need.bytes("4bit", need.side, 1, True), need.bytes("lean", need.side // 2, 1, True)) / 0.92 + 100
    asked = replace(asked, memory=f"{card / 1e9:.9f}GB", size=0, batch=1)
    assert MODES[card_preset.for_training(replace(asked, method="lora")).memory].bits
    found = card_preset.for_training(asked)
    assert found.memory == "lean" and found.size < need.side
    told = synthgen("generate", "--count", 1, "--no-adapter", "--base", folder, "--size", 64, "--dry-run",
                    "--memory", f"{need.bytes('half', 64, 1, False) / 0.92 / 1e9 + 1e-7:.9f}GB")  # fmt: skip
    assert told.code == 0 and "--memory half: about 0.00 GB of 0.00 GB" in told.err
    told = synthgen("generate", "--count", 1, "--no-adapter", "--base", folder, "--memory", "0.000001GB")
    assert told.code == 2 and "cannot be drawn with" in told.err


@pytest.mark.parametrize(("computes", "mode"), [(True, "half"), (False, "full")])
def test_without_a_card_pictures_are_drawn_in_bfloat16_where_the_processor_computes_in_it(
    computes: bool, mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: computes)
    asked = GenerateRequest(1, no_adapter=True, device="cpu")
    assert card_preset.for_drawing(replace(asked, memory="auto"), "mini").memory == mode
    assert capsys.readouterr().err == "--memory half: this processor computes in bfloat16\n" * computes
    assert [card_preset.for_drawing(replace(asked, memory=said), "mini").memory for said in MODES] == [*MODES]


def test_adapters_that_must_read_the_weights_are_never_given_them_in_few_bits(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder = toy_bases.write("sdxl", tmp_path / "toy")
    need, module = base_needs.here(*bases.find(str(folder))), "unet.mid_block.attentions.0.proj_in"
    pair = {f"{module}.lora_A.weight": torch.ones(4, 32), f"{module}.lora_B.weight": torch.ones(32, 4)}
    uses = {}
    for name, more in (("lora", {}), ("dora", {f"{module}.lora_magnitude_vector": torch.ones(32)})):
        (tmp_path / name).mkdir()
        save_file({**pair, **more}, tmp_path / name / adapters.WEIGHTS)
        uses[name] = AdapterUse(name, tmp_path / name)

    def chosen(card: float, *names: str) -> str:
        asked = GenerateRequest(1, memory=f"{card / 1e9:.9f}GB", size=64)
        return str(card_preset.for_drawing(asked, str(folder), [uses[name] for name in names]).memory)

    card = max(need.bytes(mode, 64, 1, False) for mode in ("8bit", "4bit", "offload", "group")) / 0.92 + 100
    assert need.bytes("lean", 64, 1, False) > card * 0.92
    assert MODES[chosen(card, "lora")].bits
    assert not MODES[chosen(card, "dora", "lora")].bits
    with pytest.raises(RequestError, match="by adapter 'dora', which unlike a plain LoRA needs whole weights"):
        chosen(1000, "lora", "dora")


def test_auto_reads_the_memory_of_the_card_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine of ours has two cards: what torch would say of them is put in its mouth."""
    import torch

    cards = [SimpleNamespace(total_memory=24e9), SimpleNamespace(total_memory=12e9)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    monkeypatch.setattr(card_preset, "CARDS", (__file__,))
    found = [card_preset._card("auto", device) for device in ("", "cuda", "cuda:0", "cuda:1", "cpu", "mps")]
    assert found == [24e9, 24e9, 24e9, 12e9, 0, 0]
    for device in ("cuda:2", "cuda:", "cuda:-1"):
        with pytest.raises(RequestError, match=rf"--device '{device}' is not .* It has: .*cuda:0, cuda:1"):
            card_preset._card("auto", device)


def test_doctor_says_how_each_base_would_be_held_on_this_machine(synthgen: Callable[..., Any]) -> None:
    told = synthgen("doctor", "--json")
    can = json.loads(told.out)["can"]
    assert {*can} == {*bases.names()}
    assert "draws with --memory full" in can["mini"] and "trains with --memory full (256 px" in can["mini"]
    assert all("is not trained on" in can[name] for name, (_, weights) in PUBLISHED.items() if weights.distilled)
    assert "draws with --memory group (about 3." in (small := card_preset.told("flux-dev", 12e9))
    assert small.endswith("training does not fit")
    assert card_preset.told("flux-dev", 2e9) == "does not fit; training does not fit"
