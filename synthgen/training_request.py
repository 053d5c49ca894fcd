"""What a training is asked for: checked, filled in by the base's preset, and named by one hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from synthgen import adapter_methods, buckets, optimizers, precision, presets, rooms, training_logs
from synthgen.checkpoint import Settings
from synthgen.errors import RequestError, UnknownName
from synthgen.masks import HOW
from synthgen.memory_modes import MODES
from synthgen.presets import Preset
from synthgen.provenance import canonical_json
from synthgen.training_measures import AT_CHECKS
from synthgen.types import ImageSet, Rights

PATIENCE = 5
DECIDING = (  # what is said where it is not the usual
    "method", "targets", "optimizer", "caption_dropout", "ema", "masks", "patience", "precision", "buckets",
    "text_encoder", "folds", "membership_cap",
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """How much may be spent on finding settings."""

    minutes: float = 10.0
    trials: int = 0  # 0: as many as the time allows


@dataclass(frozen=True)
class TrainRequest:
    """What to learn from, and how. Zero or empty means: by the base's preset and the set's size."""

    images: Path
    name: str = ""
    trigger: str = "sks"
    base: str = "mini"
    controlnet: str = ""  # folder of a ControlNet for poses, for a base that has none inside
    memory: str = "full"
    size: int = 0  # px; 0: as the base draws
    rank: int = 0
    alpha: float = 0.0  # 0: as the rank, so that every program that reads the adapter agrees on its strength
    steps: int = 0
    learning_rate: float = 0.0
    batch: int = 0
    seed: int = 0
    out: Path | None = None
    replace: bool = False
    device: str = ""
    use: str = "internal"
    reading: str = "strict"
    rights: Rights | None = None
    category: str = ""
    method: str = "lora"  # one of adapter_methods.NAMES
    targets: str = "all"  # one of adapter_methods.TARGETS
    text_encoder: bool = False  # whether the base's text encoders learn too
    optimizer: str = "adamw"  # one of optimizers.NAMES
    caption_dropout: float = 0.0
    ema: float = 0.0
    gradient_checkpointing: bool = False
    precision: str = "auto"  # one of precision.NAMES
    log: tuple[str, ...] = ()  # trackers, of training_logs.NAMES
    masks: str = "auto"  # one of masks.HOW
    buckets: str = "auto"  # one of buckets.CHOICES: whether photos are learned in shapes of their own
    samples: int = AT_CHECKS  # pictures of the product, and as many of other things, at some checks; 0: none
    patience: int = PATIENCE  # checks without a better one, after which training ends; 0: never
    membership_cap: float | None = None  # advantage beyond which training ends; None: as the domain has it
    folds: int = 0  # trainings that each leave a part out, to choose the step where photos are too few; 0: none
    auto: Budget | None = None  # find rank, alpha, learning rate, steps and targets that are not said, within this
    ignore_blocks: bool = False  # train whatever the check of the photos says
    domain: str = "apparel"
    told: Mapping[str, Any] = field(
        default_factory=dict
    )  # what the domain wants to know: condition, modality, metadata


def checked(request: TrainRequest) -> TrainRequest:
    """The request, whose numbers and names can be; its precision as it will be.

    Raises RequestError for numbers that no training can use, UnknownName.
    """
    for name, value in (("--learning-rate", request.learning_rate), ("--alpha", request.alpha)):
        if not math.isfinite(value) or value < 0:
            raise RequestError(f"{name} is {value}; wanted a number above 0.")
    known = {
        "masks": HOW, "buckets": buckets.CHOICES, "method": adapter_methods.NAMES, "targets": adapter_methods.TARGETS,
        "optimizer": optimizers.NAMES,
    }  # fmt: skip
    for name, names in known.items():
        if getattr(request, name) not in names:
            raise UnknownName(f"--{name}", getattr(request, name), names)
    if not 0 <= request.seed < 2**53:
        raise RequestError(f"--seed is {request.seed}; wanted a whole number from 0 to 2^53 - 1.")
    if request.memory in MODES and MODES[request.memory].bits and request.method not in adapter_methods.BESIDE:
        raise RequestError(
            f"--method {request.method} changes the weights themselves, and --memory {request.memory} holds them in "
            f"few bits. Say --method {' or '.join(adapter_methods.BESIDE)}, or --memory lean. Nothing was trained."
        )
    request = replace(request, precision=precision.wanted(request.precision))
    training_logs.require(request.log)
    if request.auto and not (math.isfinite(request.auto.minutes) and request.auto.minutes > 0):
        raise RequestError(f"--budget is {request.auto.minutes:g} minutes; wanted a number above 0.")
    return request


def preset_of(module: Any, photos: int) -> Preset:
    """What a training of a base family on so many photos begins with."""
    own = Preset(module.RANK, float(module.RANK), module.LEARNING_RATE, module.steps(photos))
    return presets.of(module.name, photos, own)


def filled(request: TrainRequest, preset: Preset) -> TrainRequest:
    """The request with its rank and alpha filled in, but for those that are to be found. Raises RequestError."""
    rank = request.rank or preset.rank
    adapter_methods.require_alpha(request.method, rank, request.alpha)
    return request if request.auto else replace(request, rank=rank, alpha=_alpha(request, preset))


def _alpha(request: TrainRequest, preset: Preset) -> float:
    """As stated; of the preset's rank the preset's; else the rank."""
    usual = preset.alpha if not request.rank and request.method != "oft" else 0.0
    return request.alpha or usual or float(request.rank or preset.rank)


def settings(request: TrainRequest, module: Any, photos: int) -> Settings:
    """All numbers of the loop, the base's preset where nothing is said.

    photos  how many are learned from and held out together
    """
    preset = preset_of(module, photos)
    own = adapter_methods.rate(request.method, preset.learning_rate)
    domain = rooms.member("domains", request.domain)
    cap = getattr(domain, "MEMBERSHIP_CAP", 1.0) if request.membership_cap is None else request.membership_cap
    return Settings(
        steps=request.steps or getattr(domain, "LONGER", 1) * preset.steps, batch=request.batch or module.BATCH,
        learning_rate=optimizers.rate(request.optimizer, request.learning_rate, own), seed=request.seed,
        rank=request.rank or preset.rank, alpha=_alpha(request, preset), optimizer=request.optimizer,
        method=request.method,
        caption_dropout=request.caption_dropout, ema=request.ema, patience=request.patience, targets=request.targets,
        text_encoder=request.text_encoder, membership_cap=cap,
    )  # fmt: skip


def digest(request: TrainRequest, photos: ImageSet, identity: Any) -> str:
    """One hash of everything that decides the adapter."""
    told = {
        "base": identity.sha256, "photos": photos.digest, "captions": [photo.caption for photo in photos.photos],
        "trigger": request.trigger, "rank": request.rank, "alpha": float(request.alpha), "steps": request.steps,
        "learning_rate": float(request.learning_rate), "batch": request.batch, "seed": str(request.seed),
        "category": photos.category,
        **({"domain": request.domain} if request.domain != "apparel" else {}),
        **({"size": request.size} if request.size else {}),
        **({"auto": asdict(request.auto)} if request.auto else {}),
        **identity.control_hash(),
        **chosen(request),
    }  # fmt: skip
    return hashlib.sha256(canonical_json(told).encode()).hexdigest()


def chosen(request: TrainRequest) -> dict[str, Any]:
    """The ways of training that are not the usual ones."""
    usual = {entry.name: entry.default for entry in fields(TrainRequest)}
    return {name: getattr(request, name) for name in DECIDING if getattr(request, name) != usual[name]}


def folder(request: TrainRequest, photos: ImageSet) -> Path:
    """Where the adapter goes. Raises RequestError for a name that is none."""
    name = request.name or photos.folder.resolve().name
    if any(sign in name for sign in "/\\:<>") or name in ("", ".", ".."):
        raise RequestError(f"'{name}' cannot name an adapter. Give a plain word with --name.")
    return request.out or Path("adapters") / name
