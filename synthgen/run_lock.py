"""One process for one run folder: a lock that the system lets go when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from synthgen import resources
from synthgen.errors import RequestError


def hold(folder: Path) -> Any:
    """The lock on this folder, held; `.release()` lets it go. Raises RequestError naming the holder where it is taken.

    The lock stands in SYNTHGEN_HOME, so that a run folder holds nothing but the data set.
    """
    from filelock import FileLock, Timeout

    place = resources.home() / "locks"
    name = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    holder = place / f"{name}.pid"
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / f"{name}.lock", timeout=0, thread_local=False)
        lock.acquire()
        holder.write_text(str(os.getpid()), encoding="ascii")
    except Timeout:
        with contextlib.suppress(OSError):
            pid = holder.read_text(encoding="ascii")
            raise RequestError(_in_use(folder, f"process {pid}")) from None
        raise RequestError(_in_use(folder, "another process")) from None
    except OSError as error:
        raise RequestError(
            f"{place} cannot be written ({error.strerror}). Set SYNTHGEN_HOME to a folder that can be."
        ) from error
    return lock


def _in_use(folder: Path, who: str) -> str:
    return f"{folder} is in use by {who}. Wait until it ends, or choose another folder with --out. Nothing was changed."
