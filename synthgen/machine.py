"""What this machine has, and what synthgen can do with it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from synthgen import precision

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors", "accelerate", "c2pa-python")
LEAST_MEMORY = 3 * 2**30  # bytes: training mini's adapter was seen to take 1.1 GB, and the system wants some
LEAST_DISK = 2**30


@dataclass(frozen=True)
class Machine:
    """Facts, none of them guessed."""

    system: str
    python: str
    cores: int  # that this process may use
    memory: int  # bytes in all
    memory_free: int  # bytes that a new program could take
    disk_free: int  # bytes in the current folder's file system
    devices: tuple[Mapping[str, Any], ...]  # name, kind, memory (bytes, 0 where it is the system's), bf16
    libraries: Mapping[str, str]


def describe() -> Machine:
    """Look at the machine. Takes as long as importing torch."""
    total, free = _memory()
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=total,
        memory_free=free,
        disk_free=shutil.disk_usage(Path.cwd()).free,
        devices=tuple(_devices()),
        libraries={name: _version(name) for name in LIBRARIES},
    )


def shortcomings(machine: Machine) -> list[str]:
    """What is missing, each with what to do."""
    found = [f"the library {name} is not installed. Install synthgen again." for name, held in machine.libraries.items()
             if not held]  # fmt: skip
    if machine.memory_free and machine.memory_free < LEAST_MEMORY:
        found.append(
            f"{size(machine.memory_free)} of memory are free; {size(LEAST_MEMORY)} are wanted. Close programs."
        )
    if machine.disk_free < LEAST_DISK:
        found.append(f"{size(machine.disk_free)} are free in the current folder; {size(LEAST_DISK)} are wanted.")
    return found


def size(count: int) -> str:
    """Bytes as a person says them."""
    return f"{count / 2**30:.1f} GiB"


def _memory() -> tuple[int, int]:
    """(all, free) bytes, of the control group where that is tighter; 0 where the system does not tell."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(rows[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return 0, 0
    try:  # a container may have less than its host
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return total, free
    return min(total, limit), min(free, max(0, limit - used))


def _devices() -> list[Mapping[str, Any]]:
    import torch

    found: list[Mapping[str, Any]] = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        told = torch.cuda.get_device_properties(number)
        bf16 = torch.cuda.is_bf16_supported()
        found.append({"name": f"cuda:{number}", "kind": told.name, "memory": told.total_memory, "bf16": bf16})
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "kind": "Apple GPU", "memory": 0, "bf16": False})
    kind = platform.processor() or platform.machine()
    return [*found, {"name": "cpu", "kind": _processor() or kind, "memory": 0, "bf16": precision.cpu_has_bfloat16()}]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
