"""The whole way on one base, timed: photos, training, pictures; the figures go into a results file.

Similarity and drift are those of the adapter's card: after peft's public comparison of methods, with features of the
embedded judge, so they stand beside one another only.
"""

from __future__ import annotations

import json
import platform
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from synthgen import adapters, store


def measure(
    base: str, place: Path, run: Callable[..., Any], train: tuple[object, ...] = (), draw: tuple[object, ...] = ()
) -> dict[str, Any]:  # fmt: skip
    """Train on fourteen rendered photos of one product and draw sixteen pictures, as a user would.

    base   a name, a folder or an id
    place  an empty folder
    run    a command of synthgen in this process, see conftest
    train, draw  options beside those
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made = run("samples", "--kind", "shirt", "--one-product", "--count", 14, "--out", place / "shirts")
    assert made.code == 0, made.err
    figures: dict[str, Any] = {
        "base": base, "date": datetime.now(UTC).strftime("%Y-%m-%d"), "device": _device(device),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "peft")},
    }  # fmt: skip
    adapter = place / "adapter"
    asked = ("train-product", "--images", place / "shirts", "--base", base, "--out", adapter, "--owner", "synthgen",
             "--license", "CC0-1.0", "--source", "rendered", *train)  # fmt: skip
    seconds, peak, said = _timed(lambda: run(*asked), device)
    assert said.code == 0, said.err
    card = adapters.load_card(adapter)
    steps, own = card.losses["stopped_at"], card.training["seconds"]  # of the loop alone
    figures["training"] = {
        "said": [line for line in said.err.splitlines() if line.startswith("--memory")], "seconds": round(seconds, 1),
        "steps": steps, "steps_per_second": round(steps / own, 3), "peak_memory_gb": peak,
        "similarity": card.losses["similarity"], "drift": card.losses["drift"],
    }  # fmt: skip
    asked = ("generate", "--count", 16, "--base", base, "--adapter", adapter, "--out", place / "run", *draw)
    seconds, peak, said = _timed(lambda: run(*asked), device)
    assert said.code == 0, said.err
    pictures = len(store.read(place / "run"))
    figures["generation"] = {
        "seconds": round(seconds, 1), "pictures": pictures, "pictures_per_second": round(pictures / seconds, 3),
        "peak_memory_gb": peak,
    }  # fmt: skip
    return figures


def write(figures: dict[str, Any], place: Path) -> Path:
    """Keep the figures: PLACE/weights-BASE.json."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"weights-{Path(str(figures['base'])).name}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return path


def _timed(work: Callable[[], Any], device: str) -> tuple[float, float, Any]:
    """(seconds, peak memory in GB, what it gave): the loading of weights is in the seconds."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    gave = work()
    seconds = time.monotonic() - began
    whole = torch.cuda.max_memory_allocated() if device == "cuda" else _resident()
    return seconds, round(whole / 1e9, 2), gave


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _device(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} processor"
