"""Memory that one layer gives back is kept for the next one, instead of going to the system and coming from it anew.

The C library maps every large tensor afresh, and the system fills each of its pages with zeros first: a third of the
time that the embedded base's autoencoder took on a CPU. What is computed stays the same.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # from malloc.h of glibc
LARGE = 2**30  # bytes


def keep() -> None:
    """From now on, in this process. Does nothing where the C library is not glibc."""
    if library := _glibc():
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        if not library.mallopt(M_MMAP_THRESHOLD, LARGE):  # older ones take no more than 32 MiB
            library.mallopt(M_MMAP_MAX, 0)


def give_back() -> None:
    """What is not used goes to the system at once."""
    if library := _glibc():
        library.malloc_trim(0)


def _glibc() -> Any:
    """The C library of this process, or None."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
