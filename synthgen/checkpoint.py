"""Training state on disk: safetensors and JSON, whole or absent, so that a killed training goes on bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthgen.errors import RequestError, SynthgenError
from synthgen.ledger import write_whole

PLACE = Path("private") / "checkpoint"


@dataclass(frozen=True)
class Settings:
    """What a training loop is told."""

    steps: int
    batch: int
    learning_rate: float
    seed: int
    rank: int
    alpha: float


@dataclass
class Losses:
    """The course of a training, and the best weights seen on it."""

    training: list[float] = field(default_factory=list)
    validation: list[list[float]] = field(default_factory=list)  # [step, loss]
    best: float = float("inf")
    best_step: int = 0
    best_weights: dict[str, Any] = field(default_factory=dict)

    def note(self, step: int, loss: float, parameters: Mapping[str, Any]) -> None:
        """Keep a validation loss; keep the weights too where it is the lowest after the first step."""
        self.validation.append([step, loss])
        if step > 0 and loss < self.best:
            self.best, self.best_step = loss, step
            self.best_weights = {name: value.detach().clone() for name, value in parameters.items()}

    def restore(self, parameters: Mapping[str, Any]) -> None:
        """Put the best weights back. Raises SynthgenError where no step gave a finite loss."""
        if not self.best_weights:
            raise SynthgenError(
                "training diverged: no step gave a finite loss. Lower --learning-rate, with --replace. The photos are "
                "untouched."
            )
        for name, value in parameters.items():
            value.data.copy_(self.best_weights[name])


def prepare(folder: Path, digest: str) -> None:
    """Make the adapter folder and note which training it is for."""
    place = folder / PLACE
    try:
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / "digest", digest.encode())
    except OSError as error:
        raise RequestError(
            f"cannot write to {folder}: {error.strerror}. Free the place or use --out. Nothing was trained."
        ) from error


def digest_of(folder: Path) -> str:
    """Which training an unfinished folder is for; "" where there is none."""
    note = folder / PLACE / "digest"
    return note.read_text().strip() if note.is_file() else ""


def save(folder: Path, step: int, parameters: Mapping[str, Any], optimizer: Any, losses: Losses) -> None:
    """Write weights, optimizer state, best weights and losses; the JSON that names them comes last."""
    from safetensors.torch import save as to_bytes

    tensors = {f"now.{name}": value.detach() for name, value in parameters.items()}
    tensors |= {f"best.{name}": value for name, value in losses.best_weights.items()}
    for name, value in parameters.items():
        kept = optimizer.state[value]
        if (
            not kept
        ):  # no gradient has reached it: in the last block of Qwen-Image what becomes of the words is not read
            continue
        tensors[f"first.{name}"], tensors[f"second.{name}"] = kept["exp_avg"], kept["exp_avg_sq"]
    place = folder / PLACE
    weights = f"step-{step:06d}.safetensors"
    try:
        write_whole(place / weights, to_bytes({name: value.cpu().contiguous() for name, value in tensors.items()}))
        told = {
            "step": step, "weights": weights, "training": losses.training, "validation": losses.validation,
            "best": losses.best, "best_step": losses.best_step,
        }  # fmt: skip
        write_whole(place / "state.json", json.dumps(told).encode())
    except OSError as error:
        raise SynthgenError(f"cannot write a checkpoint to {place}: {error.strerror}. The last one is kept.") from error
    for old in place.glob("step-*.safetensors"):
        if old.name != weights:
            old.unlink()


def load(folder: Path, parameters: Mapping[str, Any], optimizer: Any) -> tuple[Losses, int]:
    """(losses so far, steps done): put the last checkpoint back, or start at nothing."""
    import torch
    from safetensors.torch import load_file

    state = folder / PLACE / "state.json"
    if not state.is_file():
        return Losses(), 0
    told = json.loads(state.read_text())
    tensors = load_file(state.parent / told["weights"])
    for name, value in parameters.items():
        value.data.copy_(tensors[f"now.{name}"])
        if f"first.{name}" not in tensors:
            continue
        optimizer.state[value] = {
            "step": torch.tensor(float(told["step"])),
            "exp_avg": tensors[f"first.{name}"].to(value.device),
            "exp_avg_sq": tensors[f"second.{name}"].to(value.device),
        }
    best = {name: tensors[f"best.{name}"] for name in parameters if f"best.{name}" in tensors}
    return Losses(told["training"], told["validation"], told["best"], told["best_step"], best), told["step"]


def clear(folder: Path) -> None:
    """Remove the training state of a finished adapter."""
    shutil.rmtree(folder / PLACE, ignore_errors=True)
