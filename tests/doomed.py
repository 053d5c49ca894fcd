"""Runs in processes of their own that are killed or starved: what tests/test_killed_runs.py starts.

They are forked from a server that has the libraries and no threads yet: a fork of the tests' own process would hang in
the thread pool of torch, and a new interpreter would load for seconds.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthgen import generate

PRELOAD = ["doomed", "c2pa", "cv2", "peft", "diffusers.pipelines.controlnet.pipeline_controlnet",
           "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion"]  # fmt: skip

M_ARENA_MAX = -8  # of malloc.h: threads that each reserve an arena of their own take what pictures need


def start(work: Callable[..., None], *arguments: Any) -> Any:
    """The process that does this work."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOAD)
    process = server.Process(target=_at_home, args=(os.environ["SYNTHGEN_HOME"], work, *arguments))
    process.start()
    return process


def _at_home(home: str, work: Callable[..., None], *arguments: Any) -> None:
    os.environ["SYNTHGEN_HOME"] = home  # the server has that of an earlier test
    work(*arguments)


def kill_at(number: int, request: generate.GenerateRequest) -> None:
    """A run that kills itself, as kill -9 does, just before its so-manyeth write inside its folder."""
    left = [number]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "os.rename" or (event == "open" and str(arguments[1])[:1] in ("w", "a"))
        if writes and str(arguments[0]).startswith(str(request.out)):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    generate.run(request)


def starve(spare_bytes: int, said: Path, request: generate.GenerateRequest) -> None:
    """A run that may take only so much address space beyond what it has when it begins; stderr goes to a file."""
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    generate.run(replace(request, out=said.with_name("first"), count=1, batch=1))  # loads all that a run loads
    with said.open("w") as file:
        os.dup2(file.fileno(), 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + spare_bytes, resource.RLIM_INFINITY))
    generate.run(request)
