"""What a card says of a finished training: what was learned, how, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from synthgen import rights_file, training_check, training_request
from synthgen.card import Card
from synthgen.checkpoint import Losses, Settings
from synthgen.training_loop import Material
from synthgen.training_material import Lesson
from synthgen.training_measures import Seen
from synthgen.training_request import TrainRequest
from synthgen.types import Taught


@dataclass(frozen=True)
class Course:
    """What a training was and what came of it."""

    settings: Settings
    material: Material
    losses: Losses
    before: Seen  # as the base draws
    drawn: Seen  # with the weights that are kept
    photos: int  # learned from and held out, without repeats
    effect: float  # grey levels
    seconds: float
    device: str
    attack: Mapping[str, Any] = field(default_factory=dict)  # what membership.attack told
    found: Mapping[str, Any] = field(default_factory=dict)  # how its settings were found, where they were
    choice: str = ""  # why this step, where not by the checks of this training


def make(name: str, request: TrainRequest, lesson: Lesson, identity: Any, course: Course) -> Card:
    """The card, but for the hashes of its weights."""
    photos, losses, of = lesson.photos, course.losses, course.settings
    return Card(
        name=name, trigger=request.trigger, category=photos.category, domain=request.domain,
        base=identity.id, base_sha256=identity.sha256, base_files=identity.files, base_license=identity.license,
        base_rights=rights_file.told(identity.rights),
        rank=of.rank, alpha=of.alpha,
        license=photos.rights.license,
        trained_on={
            "digest": photos.digest, "photos": course.photos, **asdict(photos.rights),
            "skipped": [f"{name}: {reason}" for name, reason in photos.skipped],
            "captions": sorted({photo.caption for photo in photos.photos})[:20],
            **_learned(lesson.taught),
        },
        training={
            "digest": lesson.digest, "steps": of.steps, "batch": of.batch, "learning_rate": of.learning_rate,
            "seed": str(request.seed), "seconds": round(course.seconds, 1), "device": course.device,
            "effect": round(course.effect, 2), **training_request.chosen(request),
            **({"targets": of.targets} if course.found else {}), **course.found,
            **({"membership_auc": round(course.attack["auc"]["value"], 3)} if course.attack else {}),
        },
        losses={
            "best_step": losses.best_step, "best_validation": losses.best, "validation": losses.validation,
            **_judged(losses, course.material, of.steps), **({"choice": course.choice} if course.choice else {}),
            "similarity": {**asdict(course.drawn.similarity), "before": course.before.similarity.value},
            "drift": asdict(course.drawn.drift),
        },
    )  # fmt: skip


def _judged(losses: Losses, material: Material, steps: int) -> dict[str, Any]:
    """Why this checkpoint, how far training and validation part, what it gives away."""
    first, kept = losses.checks[0], losses.kept
    member = asdict(training_check.membership(first, kept, material.held_units, material.apart))
    return {
        "choice": training_check.choice(losses.checks, material.held_units, steps, material.apart),
        "stopped_at": losses.checks[-1].step,
        "divergence": training_check.divergence(kept, first),
        "membership": {key: value for key, value in member.items() if value not in (None, "")},
    }


def _learned(taught: Taught) -> dict[str, Any]:
    """Beside the rights: labels that captions have told, and of a medical set its modality."""
    labels = {"labels": {axis: list(values) for axis, values in taught.labels.items()}} if taught.labels else {}
    return {"modality": taught.modality, "grey": taught.grey, **labels} if taught.modality else labels
