"""Weights of linear layers held in 8 or 4 bits by bitsandbytes, on accelerators and processors alike.

8 bits: one scale a row, LLM.int8 (arXiv:2208.07339). 4 bits: NF4 in blocks of 64 whose scales are 8 bits themselves
(QLoRA, arXiv:2305.14314). What is calculated stays in the precision of the base; adapters stay beside the weights.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from synthgen.errors import RequestError

WANTED = "pip install 'synthgen[bits]'"


def require() -> None:
    """Raises RequestError where bitsandbytes is not installed."""
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise RequestError(f"weights in 8 or 4 bits need bitsandbytes: {WANTED}. Or say --memory lean.")


def hold(model: Any, bits: int, device: str, eight: Collection[str] = ()) -> None:
    """Replace every linear layer by one that is held in 8 or 4 bits, layer by layer, on the device.

    eight  ends of names of layers that stay at 8 bits
    """
    import torch

    require()
    tied = model.get_input_embeddings().weight if hasattr(model, "get_input_embeddings") else None
    for name, layer in list(model.named_modules()):
        if type(layer) is torch.nn.Linear and layer.weight is not tied:
            above, _, last = name.rpartition(".")
            own = 8 if last in eight else bits
            setattr(model.get_submodule(above), last, _layer(layer, own, device))


def _layer(layer: Any, bits: int, device: str) -> Any:
    import bitsandbytes
    import torch

    shape, bias, data = (layer.in_features, layer.out_features), layer.bias, layer.weight.data.cpu()
    with torch.device("meta"):
        if bits == 8:
            held = bitsandbytes.nn.Linear8bitLt(*shape, bias is not None, has_fp16_weights=False)
        else:
            held = bitsandbytes.nn.Linear4bit(*shape, bias is not None, compute_dtype=data.dtype, quant_type="nf4")
    # its other kernel for some processors takes rows by the 32 only, and packs weights so that no gradient passes
    held.support_avx512bf16_for_cpu = False
    if bits == 8:
        held.weight = bitsandbytes.nn.Int8Params(data, requires_grad=False, has_fp16_weights=False)
    else:
        held.weight = bitsandbytes.nn.Params4bit(data, requires_grad=False, quant_type="nf4", module=held)
    held.bias = bias
    held.compute = data.dtype
    # else it gives back what it is given, and mixed precision gives it float32 that the next layer does not take
    held.register_forward_pre_hook(lambda own, given: (given[0].to(own.compute), *given[1:]))
    return held.to(device).eval()


def is_held(layer: Any) -> bool:
    """Whether a layer's weight is held in few bits."""
    return hasattr(layer, "compute") and not layer.weight.is_floating_point()


def add(layer: Any, down: Any, up: Any, scale: float) -> Any:
    """Have a layer give scale x up x down of its input beside its own; what comes back has `remove`.

    down, up  (rank, in), (out, rank)
    """
    import torch

    device = layer.weight.device
    down, up = down.to(device, layer.compute), (scale * up.float()).to(device, layer.compute)

    def beside(_: Any, given: tuple[Any, ...], made: Any) -> Any:
        low = torch.nn.functional.linear(given[0].to(down.dtype), down)
        return made + torch.nn.functional.linear(low, up).to(made.dtype)

    return layer.register_forward_hook(beside)


def quiet() -> None:
    """That 8-bit products pass through float16 is known, and said for every layer."""
    import logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
