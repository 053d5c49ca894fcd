"""Where half precision pays: on accelerators, and on processors that compute in bfloat16 themselves.

Elsewhere a processor only imitates it: a convolution took 290 ms instead of 11 ms on an AVX2 machine.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache
from typing import Any

from synthgen.errors import RequestError, UnknownName


@cache
def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    import torch

    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))


NAMES = ("auto", "no", "bf16")  # of --mixed-precision


def autocast(device: Any, how: str = "auto") -> Any:
    """A context in which training computes in bfloat16, or in float32.

    how  one of NAMES; "auto": in bfloat16 where that is faster on `device`
    """
    import torch

    kind = torch.device(device).type
    if how == "no" or (how == "auto" and kind == "cpu" and not cpu_has_bfloat16()):
        return contextlib.nullcontext()
    return torch.autocast(kind, torch.bfloat16)


def wanted(stated: str) -> str:
    """One of NAMES: as stated, else as `accelerate launch --mixed_precision` says. Raises UnknownName, RequestError."""
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    name = launched if stated == "auto" and launched != "no" else stated
    if name in ("fp16", "fp8"):
        raise RequestError(
            f"mixed precision {name} needs losses scaled, and small weights are lost in it; bf16 needs neither. Say "
            "--mixed-precision bf16, or no. Nothing was trained."
        )
    if name not in NAMES:
        raise UnknownName("--mixed-precision", name, NAMES)
    return name
