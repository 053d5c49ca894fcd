"""One process for one address: a file that is put only where none is, and beats while its process lives.

Clocks of two machines differ, so nobody's time is compared: who finds the file watches it, and takes it over only where
it has not changed for LEASE_S seconds, or where its process was on this machine and is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from synthgen.errors import RequestError

NAME = ".lock"
BEAT_S, LEASE_S = 5.0, 30.0


class Lease:
    """A held lock. `lost` is true once another process has it."""

    def __init__(self, fs: Any, path: str, text: str) -> None:
        """fs  fsspec's file system; path  of the lock in it; text  the address as the user wrote it"""
        self._fs, self._path, self._text = fs, path, text
        self._token, self._beats = uuid.uuid4().hex, 0
        self._over, self._beating = threading.Event(), threading.Thread(target=self._beat, daemon=True)
        self.lost = False

    def take(self) -> None:
        """Raises RequestError where another process holds it, or the address cannot be written to."""
        try:
            if not self._put():
                self._take_over()
        except RequestError:
            raise
        except Exception as error:  # every file system has its own
            raise RequestError(f"{self._text} cannot be written to ({said(error)}). Nothing was drawn.") from error
        self._beating.start()

    def give_back(self) -> None:
        """Let it go, unless another process has it. May be called twice."""
        self._over.set()
        if self._beating.is_alive():
            self._beating.join()
        with contextlib.suppress(Exception):
            if self._holder().get("token") == self._token:
                self._fs.rm_file(self._path)

    def _content(self) -> bytes:
        told = {"token": self._token, "beats": self._beats, "process": os.getpid(), "machine": _machine()}
        return json.dumps(told).encode("ascii")

    def _put(self) -> bool:
        """Put the file where there is none; whether that was so."""
        try:
            write(self._fs, self._path, self._content(), mode="create")
        except FileExistsError:
            return False
        except (NotImplementedError, TypeError, ValueError):  # a file system that cannot put on a condition
            if self._fs.exists(self._path):
                return False
            self._fs.pipe_file(self._path, self._content())
        return True

    def _holder(self) -> dict[str, Any]:
        """Who has it; empty where nobody has, or the file says nothing that is understood."""
        self._fs.invalidate_cache()
        try:
            told = json.loads(self._fs.cat_file(self._path))
        except (FileNotFoundError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def _take_over(self) -> None:
        first = self._holder()
        who = f"process {first.get('process', '?')} on {str(first.get('machine', '?')).partition('|')[0]}"
        if not _gone(first):
            print(f"{self._text} is held by {who}; watching whether it lives", file=sys.stderr, flush=True)
            until = time.monotonic() + LEASE_S
            while time.monotonic() < until:
                time.sleep(min(0.2, LEASE_S / 10))
                if self._holder() != first:
                    raise self._in_use(who)
        if self._holder() != first:
            raise self._in_use(who)
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path)
        if not self._put():
            raise self._in_use("another process")

    def _in_use(self, who: str) -> RequestError:
        return RequestError(
            f"{self._text} is in use by {who}. Wait until it ends, or choose another address with --out. Nothing was "
            "changed."
        )

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(Exception):  # a store that is away for a moment; the next beat tries again
                if self._holder().get("token") != self._token:
                    self.lost = True
                    return
                self._beats += 1
                self._fs.pipe_file(self._path, self._content())


@contextlib.contextmanager
def held(fs: Any, root: str, text: str) -> Iterator[Lease]:
    """The lock of an address while the block runs. Raises RequestError."""
    lease = Lease(fs, f"{root}/{NAME}", text)
    lease.take()
    try:
        yield lease
    finally:
        lease.give_back()


def write(fs: Any, path: str, data: bytes, mode: str = "overwrite") -> None:
    """Put a file, with its folder where the file system has folders. A bucket that is not there is not made."""
    try:
        fs.pipe_file(path, data, mode=mode)
    except FileNotFoundError:
        top = path.partition("/")[0] or "/"
        if not fs.exists(top):
            raise
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        fs.pipe_file(path, data, mode=mode)


def said(error: Exception) -> str:
    """An error of somebody else's in one line."""
    told = str(error).strip().splitlines()
    return f"{type(error).__name__}: {told[0][:200]}" if told else type(error).__name__


def _machine() -> str:
    """This machine, and this space of process numbers on it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{platform.node()}|{space}"


def _gone(holder: dict[str, Any]) -> bool:
    """Whether a holder was a process of this machine that is no more."""
    pid = holder.get("process")
    if holder.get("machine") != _machine() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
