"""Bases held in less memory: they train, draw nearly the same, and the least that they need is told to the byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_bases

from synthgen import base_needs, bases, memory_modes, precision
from synthgen.bases._base import Base
from synthgen.errors import RequestError
from synthgen.types import Job

FAMILIES = ["sdxl", "flux2"]
JOB = Job("0" * 16, 0, "a photo of a sks shirt", "", 5, {})
needs_bf16 = pytest.mark.skipif(not precision.cpu_has_bfloat16(), reason="this processor does not compute in bfloat16")


@pytest.fixture(scope="module", params=FAMILIES)
def toy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bases.write(request.param, tmp_path_factory.mktemp("memory") / f"toy-{request.param}")


def loaded(folder: Path, memory: str) -> Any:
    family, identity = bases.find(str(folder), memory=memory)
    base = family.load(identity, "cpu")
    base.size = toy_bases.SIDE_PX
    return base


def step(base: Any) -> tuple[dict[str, Any], int]:
    """Gradients of one step, with an adapter whose halves are not zero, and the bytes that were kept for them."""
    import torch

    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    latents, words = base.encode_pixels(pixels), base.encode_texts(["a sks shirt", "a dress"])
    torch.manual_seed(0)
    parameters = base.add_adapter(4, 4.0)
    for value in parameters.values():
        torch.nn.init.normal_(value, std=0.1)
    noise, kept = torch.randn_like(latents), []

    def keep(value: Any) -> Any:
        kept.append(value.nbytes)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        loss = base.loss(latents, words, torch.tensor([300, 700]), noise).mean()
    loss.backward()
    return {name: value.grad for name, value in parameters.items() if value.grad is not None}, sum(kept)


@needs_bf16
def test_recomputing_keeps_less_and_gives_the_same_gradients(toy: Path) -> None:
    import torch

    (kept, much), (again, little) = step(loaded(toy, "half")), step(loaded(toy, "lean"))
    assert little < 0.7 * much
    assert kept.keys() == again.keys() and all(value.dtype == torch.float32 for value in again.values())
    off = sum(float((value - again[name]).norm()) for name, value in kept.items())
    assert off < 0.1 * sum(float(value.norm()) for value in kept.values())  # bfloat16 has two digits and a half


@needs_bf16
def test_half_the_memory_draws_nearly_the_same_and_says_so(toy: Path) -> None:
    def drawn(memory: str) -> np.ndarray:
        base = loaded(toy, memory)
        settings = {**base.settings, "num_inference_steps": 2, "controlnet_conditioning_scale": 1.0, "threads": 1}
        return np.asarray(base.render([JOB], [None], settings)[0].pixels, np.float32)

    full = drawn("full")
    for memory in ("half", "lean"):
        assert np.abs(drawn(memory) - full).mean() < 12, memory  # of 255; a random toy is no smooth network
        identity = bases.find(str(toy), memory=memory)[1]
        assert identity.told()["memory"] == memory and identity.control_hash() == {"memory": memory}


def test_the_least_memory_is_that_of_the_live_tensors_to_the_byte(toy: Path) -> None:
    family, identity = bases.find(str(toy))
    counts = base_needs.parameters(identity)
    for memory in ("full", "half") if precision.cpu_has_bfloat16() else ("full",):
        base = loaded(toy, memory)
        live = sum(value.nbytes for model in base.models() for value in model.parameters())
        buffers = sum(value.nbytes for model in base.models() for name, value in model.named_buffers())
        told = memory_modes.at_least(memory_modes.MODES[memory], counts)
        assert live <= told <= live + buffers, (memory, live, told)
        places = family.places(identity)
        numbers = memory_modes.adapter_numbers(places, family.targeted(places), 4)
        assert numbers == sum(value.numel() for value in base.add_adapter(4, 4.0).values())
        trained = memory_modes.at_least(memory_modes.MODES[memory], counts, numbers)
        assert trained == told + 16 * numbers  # float32: the number, its gradient, and AdamW's two means


@needs_bf16
def test_layers_that_wait_draw_the_same_to_the_last_bit_and_the_largest_alone_counts(toy: Path) -> None:
    """On a processor they wait where they work; what is called to move them is what an accelerator has."""
    family, identity = bases.find(str(toy), memory="group")
    waiting = Base(family, identity, family.open(identity), {}, "cpu")
    settings = {**waiting.settings, "num_inference_steps": 2, "size": 64, "threads": 1}
    drawn = [base.render([JOB], [None], settings)[0].pixels for base in (waiting, loaded(toy, "lean"))]
    assert (drawn[0] == drawn[1]).all()
    layers = [layer for model in waiting.models() for layer in model.modules()]
    numbers = [sum(value.numel() for value in layer.parameters(recurse=False)) for layer in layers]
    moved = sum(hasattr(layer, "_diffusers_hook") for layer in layers)
    assert moved > 20 and moved >= 0.9 * sum(map(bool, numbers))
    told = base_needs.here(family, identity).held["group"].bytes(memory_modes.MODES["group"])
    assert told == 2 * max(numbers)


def test_a_mode_that_cannot_be_here_is_refused(toy: Path) -> None:
    for memory in ("offload", "group"):
        family, identity = bases.find(str(toy), memory=memory)
        with pytest.raises(RequestError, match=f"{memory} keeps weights in main memory, and here all are"):
            family.load(identity, "cpu")
        with pytest.raises(RequestError, match="Train with --memory lean"):
            family.require_trainable(identity)
    with pytest.raises(RequestError, match="did you mean 'half'"):
        bases.find(str(toy), memory="haf")
    assert replace(identity, memory="full").control_hash() == {}
