"""Where a base computes, and what the libraries may say meanwhile."""

from __future__ import annotations

import os

from synthgen.errors import RequestError


def device_of(name: str = "") -> str:
    """The device of this name; "" finds cuda, mps or cpu by itself. Raises RequestError for one that is not here."""
    import torch

    here = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    if not name:
        return here[1] if len(here) > 1 else "cpu"
    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count() if "cuda" in here else 0)]
    if name not in {*here, *(f"{kind}:0" for kind in here), *cards}:
        told = ", ".join([*here, *cards])
        raise RequestError(f"--device '{name}' is not on this machine. It has: {told}. Nothing was done.")
    return name


def threads() -> int:
    """How many a process may take: all cores, shared with processes that were launched beside it.

    Results differ in their last bits between thread counts.
    """
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def quiet() -> None:
    """Progress bars and notes of the libraries are not for our users; what would matter is checked by us and raised."""
    import diffusers.utils.logging as of_diffusers
    import transformers.utils.logging as of_transformers

    from synthgen.bases import _bits

    _bits.quiet()
    for log in (of_diffusers, of_transformers):
        log.set_verbosity_error()
        log.disable_progress_bar()
