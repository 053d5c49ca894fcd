"""Training state on disk: safetensors and JSON, whole or absent, so that a killed training goes on bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synthgen import optimizers
from synthgen.errors import RequestError, SynthgenError
from synthgen.ledger import write_whole
from synthgen.training_check import Check

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
    optimizer: str = "adamw"
    method: str = "lora"
    caption_dropout: float = 0.0  # share of pictures that are learned without a word
    ema: float = 0.0  # how much of the mean of the weights each step keeps; 0: no mean
    patience: int = 0  # checks without a better one, after which training ends; 0: never
    membership_cap: float = 1.0  # membership advantage beyond which training ends; 1: none
    targets: str = "all"  # modules that the adapter is put on, one of adapter_methods.TARGETS
    text_encoder: bool = False  # whether text encoders learn too
    ends: int = 0  # step at which training ends and whose weights are kept, chosen before; 0: by the checks


@dataclass
class Losses:
    """The course of a training, and the best weights seen on it."""

    training: list[float] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    best: float = float("inf")
    best_step: int = 0
    best_weights: dict[str, Any] = field(default_factory=dict)
    averages: dict[str, Any] = field(default_factory=dict)  # of the weights over the steps, where they are kept
    last_weights: dict[str, Any] = field(default_factory=dict)  # at the end, where they are not the best
    ended: bool = False  # by who looked on

    @property
    def validation(self) -> list[list[float]]:
        """[step, held-out loss] of each check."""
        return [[check.step, check.loss] for check in self.checks]

    @property
    def kept(self) -> Check:
        """The check of the weights that are kept."""
        return next(check for check in self.checks if check.step == self.best_step)

    def note(self, check: Check, parameters: Mapping[str, Any], chosen: int = 0) -> None:
        """Keep a check; keep the weights too where its loss is the lowest after the first step.

        Weights that give away too much are kept only where there are no others.

        chosen  the only step whose weights are kept; 0: any
        """
        self.checks.append(check)
        if check.beyond and self.best_step:
            return
        if check.step > 0 and check.loss < self.best and chosen in (0, check.step):
            self.best, self.best_step = check.loss, check.step
            self.best_weights = {name: value.detach().clone() for name, value in parameters.items()}

    def keep_last(self, parameters: Mapping[str, Any]) -> None:
        """Keep the weights at the end beside the best ones, where they are others."""
        if self.checks[-1].step != self.best_step:
            self.last_weights = {name: value.detach().clone() for name, value in parameters.items()}

    def restore(self, parameters: Mapping[str, Any]) -> None:
        """Put the best weights back. Raises SynthgenError where no step gave a finite loss."""
        if not self.best_weights:
            raise SynthgenError(
                "training diverged: no step gave a finite loss. Lower --learning-rate, with --replace. The photos are "
                "untouched."
            )
        put(parameters, self.best_weights)


def put(parameters: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Set parameters to these weights."""
    for name, value in parameters.items():
        value.data.copy_(weights[name])


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
    tensors |= {f"mean.{name}": value for name, value in losses.averages.items()}
    held, numbers = optimizers.state(optimizer, parameters)
    tensors |= {f"optimizer.{name}": value for name, value in held.items()}
    place = folder / PLACE
    weights = f"step-{step:06d}.safetensors"
    try:
        write_whole(place / weights, to_bytes({name: value.cpu().contiguous() for name, value in tensors.items()}))
        told = {
            "step": step, "weights": weights, "training": losses.training,
            "checks": [asdict(check) for check in losses.checks],
            "best": losses.best, "best_step": losses.best_step,
            "optimizer": numbers, "ended": losses.ended,
        }  # fmt: skip
        write_whole(place / "state.json", json.dumps(told).encode())
    except OSError as error:
        raise SynthgenError(f"cannot write a checkpoint to {place}: {error.strerror}. The last one is kept.") from error
    for old in place.glob("step-*.safetensors"):
        if old.name != weights:
            old.unlink()


def reopen(folder: Path) -> None:
    """Let a training that was ended from outside go on to its end."""
    state = folder / PLACE / "state.json"
    write_whole(state, json.dumps({**json.loads(state.read_text()), "ended": False}).encode())


def load(folder: Path, parameters: Mapping[str, Any], optimizer: Any) -> tuple[Losses, int]:
    """(losses so far, steps done): put the last checkpoint back, or start at nothing."""
    from safetensors.torch import load_file

    state = folder / PLACE / "state.json"
    if not state.is_file():
        return Losses(), 0
    told = json.loads(state.read_text())
    tensors = load_file(state.parent / told["weights"])
    for name, value in parameters.items():
        value.data.copy_(tensors[f"now.{name}"])
    optimizers.restore(optimizer, parameters, _part(tensors, "optimizer."), told["optimizer"])
    best = _part(tensors, "best.")
    checks = [
        Check(row["step"], tuple(row["held"]), tuple(row["learned"]), row.get("beyond", False))
        for row in told["checks"]
    ]
    return Losses(
        told["training"], checks, told["best"], told["best_step"], best, averages=_part(tensors, "mean."),
        ended=told.get("ended", False),
    ), told["step"]  # fmt: skip


def _part(tensors: Mapping[str, Any], start: str) -> dict[str, Any]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def clear(folder: Path) -> None:
    """Remove the training state of a finished adapter."""
    shutil.rmtree(folder / PLACE, ignore_errors=True)
