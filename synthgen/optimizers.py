"""The optimizers that training offers, each from the library that maintains it, and their state as tensors and numbers.

adamw          torch; warms up over ten steps, falls to a tenth over the last two fifths
adamw8bit      bitsandbytes (synthgen[bits]); states of large matrices in 8 bits
prodigy        prodigyopt; finds its rate itself: --learning-rate is a factor, 1 where nothing is said
schedule-free  schedulefree; needs no schedule and no number of steps known before; averages as it goes
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from synthgen.errors import RequestError, UnknownName

NAMES = ("adamw", "adamw8bit", "prodigy", "schedule-free")
WARM = 10  # steps
SHARED = ("qmap1", "qmap2")  # of adamw8bit: one table for all matrices, and files hold no tensor twice
OF_TEXT = 0.2  # of the rate: text encoders forget sooner; sd-scripts' pages say 1e-5 to 2e-5 beside 1e-4


def rate(name: str, stated: float, own: float) -> float:
    """The peak learning rate: as stated, else the optimizer's own habit, else the base's."""
    return stated or (1.0 if name == "prodigy" else own)


def groups(name: str, parameters: Mapping[str, Any]) -> list[Any]:
    """What `build` takes: the parameters, and where text encoders learn, theirs as a group with a rate of its own.

    A group's `share` is what the rate of a step is multiplied by. Prodigy finds one rate for all.
    """
    text = [value for key, value in parameters.items() if key.startswith("text_encoder")]
    if not text:
        return list(parameters.values())
    rest = [value for key, value in parameters.items() if not key.startswith("text_encoder")]
    return [{"params": rest, "share": 1.0}, {"params": text, "share": 1.0 if name == "prodigy" else OF_TEXT}]


def build(name: str, parameters: Iterable[Any], learning_rate: float) -> Any:
    """An optimizer. Raises UnknownName; RequestError where its library is not installed."""
    import torch

    told: dict[str, Any] = {"lr": learning_rate, "betas": (0.9, 0.99), "weight_decay": 1e-4}
    parameters = list(parameters)
    if name == "adamw":  # one kernel for all matrices, where the device has it
        return torch.optim.AdamW(parameters, **told, fused=_device(parameters) in ("cpu", "cuda"))
    if name == "adamw8bit":
        try:
            import bitsandbytes
        except ImportError as error:
            raise RequestError(
                "--optimizer adamw8bit needs 'bitsandbytes' (pip install bitsandbytes). Nothing was trained."
            ) from error
        return bitsandbytes.optim.AdamW8bit(parameters, **told)
    if name == "prodigy":
        from prodigyopt import Prodigy

        return Prodigy(parameters, **told, safeguard_warmup=True, use_bias_correction=True)
    if name == "schedule-free":
        from schedulefree import AdamWScheduleFree

        return AdamWScheduleFree(parameters, **told, warmup_steps=WARM, foreach=False)
    raise UnknownName("--optimizer", name, NAMES)


def _device(parameters: list[Any]) -> str:
    """Kind of device of the first of them, given as `groups` gives them."""
    first = parameters[0]
    return str((first["params"][0] if isinstance(first, dict) else first).device.type)


def schedule(name: str, step: int, steps: int) -> float:
    """Share of the peak rate at a step: the optimizers that find their own rate keep it."""
    if name in ("prodigy", "schedule-free"):
        return 1.0
    warm = min(1.0, (step + 1) / WARM)
    return warm * (0.1 + 0.9 * min(1.0, (steps - step) / (0.4 * steps)))


def state(optimizer: Any, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(tensors by "KEY.PARAMETER", what JSON can hold): all that a step of the optimizer depends on."""
    import torch

    tensors: dict[str, Any] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for name, value in parameters.items():
        for key, kept in optimizer.state[value].items():
            if isinstance(kept, torch.Tensor):
                tensors[f"{key}.{name}"] = kept.clone() if key in SHARED else kept
            else:
                numbers.setdefault(name, {})[key] = kept
    groups = [{key: kept for key, kept in group.items() if key != "params"} for group in optimizer.param_groups]
    return tensors, {"numbers": numbers, "groups": groups}


def restore(optimizer: Any, parameters: Mapping[str, Any], tensors: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Put back what `state` gave, bit for bit."""
    for full, kept in tensors.items():
        key, _, name = full.partition(".")
        value = parameters[name]
        here = key != "step" or optimizer.defaults.get("fused")  # a fused step counts beside its weights
        optimizer.state[value][key] = kept.to(value.device) if here else kept
    for name, row in told["numbers"].items():
        optimizer.state[parameters[name]].update(row)
    for group, row in zip(optimizer.param_groups, told["groups"], strict=True):
        group.update({key: tuple(kept) if isinstance(kept, list) else kept for key, kept in row.items()})
