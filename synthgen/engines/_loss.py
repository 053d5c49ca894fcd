"""A device that fails in the middle of a run: one clear error, instead of the trace of whichever call met it.

torch raises AcceleratorError, or RuntimeError in older versions and for other devices, at the next call that waits for
the device. A process whose device failed so cannot use it any more; another one may.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from synthgen.errors import SynthgenError

SAID = ("CUDA error", "CUDA driver error", "HIP error", "MPS backend", "cudaError", "CUBLAS_STATUS", "CUDNN_STATUS")


@contextmanager
def told(device: str) -> Iterator[None]:
    """Raises SynthgenError for what a lost device raises. Too little memory passes as it is."""
    try:
        yield
    except RuntimeError as error:
        if not is_lost(error):
            raise
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise SynthgenError(
            f"device {device} failed in the middle of the run ({said[:200]}). What is finished is kept; the same "
            "command makes the rest, once the device answers again, or on another one with --device."
        ) from error


def is_lost(error: BaseException) -> bool:
    """Whether the device itself failed, by the class of the error or by its words."""
    if isinstance(error, SynthgenError) or type(error).__name__ == "OutOfMemoryError" or "out of memory" in str(error):
        return False
    return type(error).__name__ == "AcceleratorError" or str(error).startswith(SAID)
