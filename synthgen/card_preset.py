"""How to hold a base on a card of so much memory: the first way that fits by the estimate, best first. Loads no tensor.

--memory is a mode of memory_modes; or an amount such as 24GB, the memory of a card; or auto: of the card that is here.
Without a card, training holds whole weights and computes in bfloat16 where the processor does; drawing holds them so.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthgen import adapter_methods, base_needs, bases, lora, precision
from synthgen.adapters import WEIGHTS
from synthgen.base_needs import Need
from synthgen.bases._device import device_of
from synthgen.errors import RequestError
from synthgen.memory_modes import MODES
from synthgen.types import AdapterUse

AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s?GB\Z", re.IGNORECASE)
CARDS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # without one of these torch need not be asked
SPARE = 0.08  # of a card: its driver, and what lies between tensors
BITS = (0, 8, 4)  # of weights in training, best first; 0: whole


@dataclass(frozen=True)
class Preset:
    """A way to hold a base."""

    memory: str  # one of memory_modes.MODES
    size: int  # px
    batch: int
    bytes: int  # by the estimate


def training(need: Need, card: float, size: int = 0, batch: int = 0, bits: Sequence[int] = BITS) -> Preset | None:
    """The preset to train with on a card of so many bytes; None where no way fits.

    The size is kept as long as it can be, then whole weights, then the batch; recomputing costs time only.

    size, batch  what the user says; 0: the base's own, or less where that does not fit
    bits         those of BITS in which the method of training can take the weights
    """
    step = need.family.SIDE_STEP
    sizes = [size] if size else [need.side * part // 4 // step * step for part in (4, 3, 2)]
    batches = [batch] if batch else list(_halves(need.family.BATCH))
    for side, few, many in itertools.product(sizes, bits, batches):
        for mode in (name for name, told in MODES.items() if told.bits == few and not told.offload):
            if (told := need.bytes(mode, side, many, True)) <= card * (1 - SPARE):
                return Preset(mode, side, many, told)
    return None


def drawing(need: Need, card: float, size: int = 0, references: int = 0, bits: Sequence[int] = BITS) -> Preset | None:
    """The same to draw with, a picture at a time at the least; the drawer finds how many go at once.

    references  pictures that the base is shown beside the words
    bits        those of BITS in which the adapters can take the weights
    """
    side = size or need.side
    for mode in (name for name, told in MODES.items() if told.bits in bits):
        if (told := need.bytes(mode, side, 1, False, references)) <= card * (1 - SPARE):
            return Preset(mode, side, 1, told)
    return None


def told(name: str, card: float) -> str:
    """How a base that is named would be trained and drawn with on a card of so many bytes, in words."""
    family, weights = bases.names()[name]
    try:
        need = base_needs.here(*bases.find(name))
    except RequestError:
        if weights is None or weights.size is None:
            return "its size is not known here"
        need = base_needs.published(family, weights.size)
    draws, trains = drawing(need, card), training(need, card)
    drawn = f"draws with --memory {draws.memory} (about {base_needs.said(draws.bytes)})" if draws else "does not fit"
    if weights is not None and weights.distilled:
        return f"{drawn}; is not trained on"
    if trains is None:
        return f"{drawn}; training does not fit"
    how = f"{trains.size} px, batches of {trains.batch}, about {base_needs.said(trains.bytes)}"
    return f"{drawn}; trains with --memory {trains.memory} ({how})"


def _halves(most: int) -> Iterator[int]:
    while most:
        yield most
        most //= 2


def for_training(request: Any) -> Any:
    """A request for training with --memory, size and batch as the preset has them; said once."""
    card = _card(request.memory, request.device)
    if card is None:
        return request
    if not card:
        return replace(request, memory="full")
    family, identity = bases.find(request.base, request.controlnet)
    beside = request.method in adapter_methods.BESIDE
    preset = training(base_needs.here(family, identity), card, request.size, request.batch, BITS if beside else (0,))
    if preset is None:
        others = " and ".join(adapter_methods.BESIDE)
        whole = f" by --method {request.method}, which unlike {others} needs whole weights,"
        raise RequestError(_too_little(identity.id, card, f"trained on{'' if beside else whole}"))
    _say(f"--memory {preset.memory}, {preset.size} px, batches of {preset.batch}", preset, card)
    return replace(request, memory=preset.memory, size=preset.size, batch=preset.batch)


def _stands_beside(use: AdapterUse) -> bool:
    """Whether an adapter can be added beside weights in few bits; DoRA, LoKr and OFT must read them."""
    return lora.read(use.path / WEIGHTS).kind == "lora"


def for_drawing(request: Any, base: str, uses: Sequence[AdapterUse] = ()) -> Any:
    """A request for pictures with --memory as the preset has it; said once."""
    card = _card(request.memory, request.device)
    if card is None:
        return request
    if not card:
        return replace(request, memory=_on_processor(request.device))
    family, identity = bases.find(base, request.controlnet)
    whole = [use.name for use in uses if not _stands_beside(use)]
    preset = drawing(
        base_needs.here(family, identity), card, request.size, len(request.reference), (0,) if whole else BITS
    )
    if preset is None:
        why = f" by adapter '{whole[0]}', which unlike a plain LoRA needs whole weights," if whole else ""
        raise RequestError(_too_little(identity.id, card, f"drawn with{why}"))
    _say(f"--memory {preset.memory}", preset, card)
    return replace(request, memory=preset.memory)


def _on_processor(device: str) -> str:
    """bfloat16 takes a quarter less time than float32 where the processor computes in it, and much more elsewhere."""
    if device_of(device) != "cpu" or not precision.cpu_has_bfloat16():
        return "full"
    print("--memory half: this processor computes in bfloat16", file=sys.stderr)
    return "half"


def _card(memory: str, device: str) -> float | None:
    """Bytes of the card that is meant; 0 where everything is main memory; None where no card is spoken of.

    Raises RequestError for a card of no memory, and for one that is not here.
    """
    if found := AMOUNT.match(memory):
        return _amount(memory, float(found[1]) * 1e9)
    if memory != "auto":
        return None  # a mode; or a name that is none: told by who looks for it
    kind, _, number = (device or "cuda").partition(":")
    if kind != "cuda" or not any(Path(place).exists() for place in CARDS):
        return 0
    import torch

    if not torch.cuda.is_available():
        return 0
    device_of(device)  # refuses a card that is not here
    return float(torch.cuda.get_device_properties(int(number or 0)).total_memory)


def _amount(memory: str, card: float) -> float:
    if not card:  # which would be taken for main memory
        raise RequestError(
            f"--memory {memory} is a card of no memory. Wanted that of a card, such as 24GB, or one of "
            f"{', '.join(MODES)}. Nothing was loaded."
        )
    return card


def _too_little(base: str, card: float, done: str) -> str:
    return (
        f"base '{base}' cannot be {done} with {base_needs.said(int(card))} by the estimate, in no mode. What each "
        f"needs: synthgen show base {base}. Nothing was loaded."
    )


def _say(what: str, preset: Preset, card: float) -> None:
    print(f"{what}: about {base_needs.said(preset.bytes)} of {base_needs.said(int(card))}", file=sys.stderr)
