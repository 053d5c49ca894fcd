"""What every family in synthgen/bases/ promises of weights in 8 and 4 bits: trained on, drawn with, and counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lora_tools
import numpy as np
import pytest
import toy_bases

from synthgen import adapters, base_needs, bases, lora_exchange, memory_modes, precision, rooms
from synthgen.errors import RequestError
from synthgen.lora_exchange import Base, Statement
from synthgen.types import AdapterUse, Job

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'synthgen[bits]'")
pytestmark = pytest.mark.skipif(not precision.cpu_has_bfloat16(), reason="this processor does not compute in bfloat16")
FAMILIES = sorted(rooms.members("bases"))
JOBS = [Job("0" * 16, 0, "a photo of a sks shirt", "", 5, {})]


WAYS = [*((name, "4bit") for name in FAMILIES), ("sdxl", "8bit"), ("flux", "8bit")]  # the latter has T5


@pytest.fixture(scope="module", params=WAYS, ids=[f"{name}-{memory}" for name, memory in WAYS])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name, memory = request.param
    family, identity = bases.find(
        str(toy_bases.write(name, tmp_path_factory.mktemp("bits") / f"toy-{name}")), memory=memory
    )
    base = family.load(identity, "cpu")
    base.size = toy_bases.SIDE_PX
    return base


def lean(of: Any) -> Any:
    """The same base in 16 bits."""
    base = of.family.load(replace(of.identity, memory="lean"), "cpu")
    base.size = toy_bases.SIDE_PX
    return base


def drawn(base: Any) -> np.ndarray:
    settings = {**base.settings, "num_inference_steps": 2, "controlnet_conditioning_scale": 1.0, "threads": 1}
    return np.asarray(base.render(JOBS, [None], settings)[0].pixels, np.float32)


def held(base: Any) -> int:
    """Bytes of the live tensors, scales included."""
    total = 0
    for model in base.models():
        for module in model.modules():
            total += sum(value.nbytes for value in module.buffers(recurse=False))
            for value in module.parameters(recurse=False):
                total += value.nbytes
                state = getattr(value, "quant_state", None)
                scales = [state.absmax, *([state.state2.absmax] if state.nested else [])] if state else []
                scales += [value.SCB] if getattr(value, "SCB", None) is not None else []
                total += sum(one.nbytes for one in scales)
    return total


def test_it_takes_the_memory_that_is_told_and_draws_nearly_the_same(loaded: Any) -> None:
    mode = loaded.mode
    kinds = {type(layer).__name__ for layer in loaded.denoiser.modules()}
    assert ("Linear8bitLt" if mode.bits == 8 else "Linear4bit") in kinds
    family, identity = loaded.family, loaded.identity
    told = memory_modes.at_least(mode, base_needs.parameters(identity), few=base_needs.few(family, identity, mode))
    found = held(loaded)
    assert told <= found * 1.01  # rows and blocks of a toy are short, so that scales weigh more than in a real one
    rows = sum(
        4 * one.out_features + 1024 for model in loaded.models() for one in model.modules() if hasattr(one, "compute")
    )
    assert found <= told * 1.02 + rows  # scales of short rows; a table of scales is at least 256 long
    whole = lean(loaded)
    assert found < held(whole)
    assert np.abs(drawn(loaded) - drawn(whole)).mean() < (6 if mode.bits == 8 else 25)  # of 255; no smooth network


def test_an_adapter_draws_beside_the_weights_as_in_them(loaded: Any, tmp_path: Path) -> None:
    """As much as it changes a picture of the whole weights, and gone without a trace."""
    family, identity = loaded.family, loaded.identity
    places, file = family.places(identity), tmp_path / "it.safetensors"
    lora_tools.write(file, family.name, "diffusers", places)
    folder, _ = lora_exchange.bring_in(
        file, Base(identity, places, family.MODELSPEC, family.FIRST), Statement(name="it"), tmp_path / "adapters"
    )
    use, plain = AdapterUse("it", folder, weight=0.5), drawn(loaded)
    loaded.attach([use])
    with_it = drawn(loaded)
    loaded.attach([])
    assert (drawn(loaded) == plain).all()
    whole = lean(loaded)
    before = drawn(whole)
    whole.attach([use])
    own, theirs = with_it - plain, drawn(whole) - before
    assert np.abs(theirs).mean() > 1
    assert np.vdot(own, theirs) > 0.6 * np.linalg.norm(own) * np.linalg.norm(theirs)


def test_it_trains_and_the_adapter_is_a_plain_one(loaded: Any, tmp_path: Path) -> None:
    import torch

    base = loaded
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    latents, words = base.encode_pixels(pixels), base.encode_texts(["a sks shirt", "a dress"])
    parameters = base.add_adapter(4, 2.0)
    try:
        optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2)
        torch.manual_seed(0)
        noise, losses = torch.randn_like(latents), []
        for _ in range(8):
            loss = base.loss(latents, words, torch.tensor([300, 700]), noise).mean()
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert losses[-1] < losses[0] and all(value.dtype == torch.float32 for value in parameters.values())
        file = base.save_adapter(tmp_path)
        assert all(name.startswith(f"{base.family.DENOISER}.") for name in adapters.check_safetensors(file))
    finally:
        base.drop_adapter()


def test_what_needs_the_weights_themselves_is_refused(tmp_path: Path) -> None:
    from toy_base import photos

    from synthgen import train

    with pytest.raises(RequestError, match=r"--method lokr changes the weights.*--method lora or rslora"):
        train.fit(train.TrainRequest(photos(tmp_path / "shirts", 1), memory="4bit", method="lokr"))
