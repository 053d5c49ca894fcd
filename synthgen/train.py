"""Photos in, adapter out: the one training loop, for every base family and domain.

    images.read -> captions.write -> licenses.require -> base.encode -> fit -> effect test -> adapters.save

Every random draw of a step follows from (seed, step) alone, so a training that was killed goes on exactly as if it had
not been. A checkpoint is written after each epoch; the card, written last, says that the adapter is finished.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import (
    adapter_methods,
    adapters,
    bases,
    card,
    checkpoint,
    images,
    licensee,
    licenses,
    membership,
    optimizers,
    photo_check,
    photo_split,
    private_photos,
    rights_file,
    rooms,
    run_lock,
    text_length,
    training_check,
    training_material,
    training_measures,
    training_report,
)
from synthgen.caption_lint import Words
from synthgen.card import Card
from synthgen.errors import RequestError, SynthgenError, UnfitAdapter, UnknownName
from synthgen.masks import HOW, Mask, Masks
from synthgen.progress import Progress
from synthgen.provenance import canonical_json
from synthgen.training_check import choice
from synthgen.training_loop import Loop, Material
from synthgen.training_material import Lesson
from synthgen.training_measures import AT_CHECKS, UNRELATED, Samples, Scene
from synthgen.types import Asset, ImageSet, Rights, Taught
from synthgen.vocabulary import CATEGORIES, category_of

PATIENCE = 5
LEAST_EFFECT = 1.0  # grey levels (0 to 255) that the adapter must change test pictures by, on average


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
    optimizer: str = "adamw"  # one of optimizers.NAMES
    caption_dropout: float = 0.0
    ema: float = 0.0
    gradient_checkpointing: bool = False
    masks: str = "auto"  # one of masks.HOW
    samples: int = AT_CHECKS  # pictures of the product, and as many of other things, at some checks; 0: none
    patience: int = PATIENCE  # checks without a better one, after which training ends; 0: never
    ignore_blocks: bool = False  # train whatever the check of the photos says
    domain: str = "apparel"
    told: Mapping[str, Any] = field(
        default_factory=dict
    )  # what the domain wants to know: condition, modality, metadata


def fit(request: TrainRequest) -> Path:
    """Train an adapter on the photos of one product or condition; its folder comes back.

    A finished adapter of the same request is left as it is; an unfinished one is gone on with.
    Raises RequestError (photos, names), Refused (a licence says no), UnfitAdapter (the folder holds another training).
    """
    module, identity = bases.find(request.base, request.controlnet, request.memory)
    request = _checked(request, module.RANK)
    module.require_trainable(identity, request.size)
    domain = rooms.member("domains", request.domain)
    known = _finder(request)
    photos, taught = _described(request, module, domain, known)
    about = licensee.circumstances(licenses.Circumstances(request.reading))
    verdict = licenses.require(_assets(identity, photos), request.use, about=about, also=("derive_adapter",))
    if remark := licenses.remark(verdict):
        training_report.say(remark)
    digest = _digest(request, photos, identity)
    folder = _folder(request, photos)
    lock = run_lock.hold(folder)
    try:
        if _already(folder, digest, request.replace):
            news = _restate(folder, photos)
            training_report.say(f"{folder} is already trained on these photos; {news}.")
            return folder
        report = _check(request, module, identity, photos, known)
        base = module.load(identity, request.device)
        base.size = request.size or base.size
        checkpoint.prepare(folder, digest)
        kept = getattr(module, "TAUGHT", {}).get(request.domain, taught)
        _train(base, module, request, Lesson(photos, domain, taught, kept, digest, _masks(report)), folder)
    finally:
        lock.release()
    return folder


def _checked(request: TrainRequest, rank: int) -> TrainRequest:
    """The request with its rank and alpha filled in. Raises RequestError for numbers that no training can use."""
    for name, value in (("--learning-rate", request.learning_rate), ("--alpha", request.alpha)):
        if not math.isfinite(value) or value < 0:
            raise RequestError(f"{name} is {value}; wanted a number above 0.")
    known = {"masks": HOW, "method": adapter_methods.NAMES, "optimizer": optimizers.NAMES}
    for name, names in known.items():
        if getattr(request, name) not in names:
            raise UnknownName(f"--{name}", getattr(request, name), names)
    if not 0 <= request.seed < 2**53:
        raise RequestError(f"--seed is {request.seed}; wanted a whole number from 0 to 2^53 - 1.")
    rank = request.rank or rank
    adapter_methods.require_alpha(request.method, rank, request.alpha)
    return replace(request, rank=rank, alpha=request.alpha or float(rank))


def _read(request: TrainRequest) -> ImageSet:
    photos = images.read(request.images, request.rights)
    for name, reason in photos.skipped:
        training_report.say(f"skipped {name}: {reason}")
    category = (category_of(request.category) or request.category) if request.category else photos.category
    if category and category not in CATEGORIES and request.domain == "apparel":
        training_report.say(f"category '{category}' is not one that synthgen knows; it is used as a word.")
    if request.category:
        photos = replace(photos, photos=tuple(replace(photo, category=category) for photo in photos.photos))
    return replace(photos, category=category)


def look(request: TrainRequest, progress: Progress) -> photo_check.Report:
    """What `synthgen doctor --images` shows: the photos of a request as this training would see them."""
    module, identity = bases.find(request.base)
    known = _finder(request)
    photos, _ = _described(request, module, rooms.member("domains", request.domain), known)
    progress.total = len(photos.photos)
    return _looked(request, (module, identity), photos, known, progress)


def _finder(request: TrainRequest) -> Masks:
    """A product lies on its ground and may be found there; an X-ray has none."""
    return Masks("given" if request.masks == "auto" and request.domain != "apparel" else request.masks)


def _described(request: TrainRequest, module: Any, domain: Any, known: Masks) -> tuple[ImageSet, Taught]:
    """The photos with the captions that are trained on, and what an adapter will have learned from them."""
    own = getattr(module, "looks", None)
    looks = (lambda photos: own(photos, known)) if own else None
    photos, taught = domain.describe(_read(request), request.trigger, {"looks": looks, **request.told})
    return photos, taught


def _looked(
    request: TrainRequest, base: tuple[Any, Any], photos: ImageSet, known: Masks, progress: Progress
) -> photo_check.Report:
    module, identity = base
    words = Words(request.trigger, *text_length.of(identity.folder))
    return photo_check.look(photos, request.size or module.side(identity), words, known, progress.step)


def _check(request: TrainRequest, module: Any, identity: Any, photos: ImageSet, known: Masks) -> photo_check.Report:
    """The same checks before training: what is found is said, what blocks is raised."""
    with Progress(len(photos.photos), "look at", "photos") as progress:
        report = _looked(request, (module, identity), photos, known, progress)
    for finding in report.findings:
        training_report.say(f"{finding.level}: {finding.line}")
    if not request.ignore_blocks:
        report.require()
    return report


def _masks(report: photo_check.Report) -> dict[Path, Mask]:
    """The masks that training uses, by photo; said once."""
    known = {look.photo.path: look.mask for look in report.looks if look.mask.source}
    if known:
        told = Counter(mask.source for mask in known.values())
        listed = ", ".join(f"{count} {source}" for source, count in sorted(told.items()))
        training_report.say(f"masks: {listed}; beside the product the ground counts {training_material.GROUND:.0%}")
    return known


def _assets(identity: Any, photos: ImageSet) -> list[Asset]:
    return [
        *identity.assets(),
        rights_file.photos(photos.folder.name, photos.rights, photos.digest),
    ]


def _digest(request: TrainRequest, photos: ImageSet, identity: Any) -> str:
    """One hash of everything that decides the adapter."""
    told = {
        "base": identity.sha256, "photos": photos.digest, "captions": [photo.caption for photo in photos.photos],
        "trigger": request.trigger, "rank": request.rank, "alpha": float(request.alpha), "steps": request.steps,
        "learning_rate": float(request.learning_rate), "batch": request.batch, "seed": str(request.seed),
        "category": photos.category,
        **({"domain": request.domain} if request.domain != "apparel" else {}),
        **({"size": request.size} if request.size else {}),
        **identity.control_hash(),
        **_chosen(request),
    }  # fmt: skip
    return hashlib.sha256(canonical_json(told).encode()).hexdigest()


def _chosen(request: TrainRequest) -> dict[str, Any]:
    """The ways of training that are not the usual ones."""
    usual = {entry.name: entry.default for entry in fields(TrainRequest)}
    names = ("method", "optimizer", "caption_dropout", "ema", "masks", "patience")
    return {name: getattr(request, name) for name in names if getattr(request, name) != usual[name]}


def _folder(request: TrainRequest, photos: ImageSet) -> Path:
    name = request.name or photos.folder.resolve().name
    if any(sign in name for sign in "/\\:<>") or name in ("", ".", ".."):
        raise RequestError(f"'{name}' cannot name an adapter. Give a plain word with --name.")
    return request.out or Path("adapters") / name


def _already(folder: Path, digest: str, replace_it: bool) -> bool:
    """Whether the folder holds this very training, finished. Raises where it holds another one, or something else.

    With `replace_it` an adapter that is there stays whole and in use until the new one is ready.
    """
    here = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if not here:
        return False
    other = checkpoint.digest_of(folder)
    if card.NAME not in here and not other and here != ["private"]:
        raise RequestError(f"{folder} is not empty and holds no adapter. Give --out a new folder. It is untouched.")
    try:
        if adapters.load_card(folder).training.get("digest") == digest:
            return True
    except UnfitAdapter:
        pass
    if other == digest or (card.NAME not in here and not other):
        return False
    if not replace_it:
        raise UnfitAdapter(
            f"{folder} holds an adapter from other photos or settings. Use --replace to train it anew, or --name for a "
            "new one. It is untouched."
        )
    checkpoint.clear(folder)
    return False


def _restate(folder: Path, photos: ImageSet) -> str:
    """Bring the rights in a finished card up to what is stated now; the weights stay. What was done, in words."""
    told = adapters.load_card(folder)
    rights = asdict(photos.rights)
    before = {key: told.trained_on.get(key, "") for key in rights}
    if before == rights:
        return "nothing to do"
    card.write(folder, replace(told, license=photos.rights.license, trained_on={**told.trained_on, **rights}))
    return f"its card now states the licence '{photos.rights.license}' and the rights given"


def _train(base: Any, module: Any, request: TrainRequest, lesson: Lesson, folder: Path) -> None:
    began, photos, taught = time.monotonic(), lesson.photos, lesson.taught
    kept = private_photos.joined([photo for photo in photos.photos if not photo.duplicate_of])
    train, held = photo_split.divide(kept, request.seed)
    batch = request.batch or module.BATCH
    steps = request.steps or module.steps(len(kept))
    own = adapter_methods.rate(request.method, module.LEARNING_RATE)
    rate = optimizers.rate(request.optimizer, request.learning_rate, own)
    training_report.say(f"{len(train)} photos to learn from, {len(held)} held out; {steps} steps of {batch}")
    material = training_material.make(base, train, held, lesson, request.seed)
    private_photos.remember(folder, train, held, base.size)
    before = training_report.test_pictures(base, lesson.domain, taught, request.seed)
    scene = Scene(base, held, lesson.domain.unrelated(taught, UNRELATED), request.seed)
    if request.gradient_checkpointing:
        base.denoiser.enable_gradient_checkpointing()
    loop = Loop(base, material, _settings(request, steps, batch, rate))
    losses = loop.run(folder, [Samples(scene, folder, request.samples)])
    training_report.say(choice(losses.checks, material.held_units, steps, material.apart))
    attack = membership.attack(base, train, held, folder, request.seed) if any(photo.group for photo in train) else {}
    after = training_report.test_pictures(base, lesson.domain, taught, request.seed)
    effect = float(np.abs(after.astype(np.float32) - before.astype(np.float32)).mean())
    drawn = scene.look(losses.best_step)
    states = training_measures.alike(
        sorted(
            [scene.before, *(state for state in training_measures.kept(folder) if state.step != drawn.step), drawn],
            key=lambda state: state.step,
        )
    )
    training_report.write(folder, before, after, kept)
    training_report.curve(folder, losses, material, states)
    training_report.checkpoints(folder, states, losses.best_step)
    if effect < LEAST_EFFECT:
        raise SynthgenError(
            f"{folder}: the adapter changes test pictures by {effect:.2f} grey levels of 255; wanted {LEAST_EFFECT:g} "
            "at least. It learned nothing: raise --steps or --learning-rate, with --replace. The report is kept; no "
            "adapter was written."
        )
    rights = asdict(photos.rights)
    (folder / card.NAME).unlink(missing_ok=True)  # of an adapter that is replaced: its weights go next
    _save_last(base, loop, losses, folder)
    base.save_adapter(folder)
    adapters.save(
        folder,
        Card(
            name=folder.name, trigger=request.trigger, category=photos.category, domain=request.domain,
            base=base.identity.id, base_sha256=base.identity.sha256, base_files=base.identity.files,
            rank=request.rank, alpha=request.alpha,
            license=photos.rights.license,
            trained_on={
                "digest": photos.digest, "photos": len(kept), **rights,
                "skipped": [f"{name}: {reason}" for name, reason in photos.skipped],
                "captions": sorted({photo.caption for photo in photos.photos})[:20],
                **_learned(taught),
            },
            training={
                "digest": lesson.digest, "steps": steps, "batch": batch, "learning_rate": rate,
                "seed": str(request.seed), "seconds": round(time.monotonic() - began, 1), "device": base.device,
                "effect": round(effect, 2), **_chosen(request),
                **({"membership_auc": round(attack["auc"]["value"], 3)} if attack else {}),
            },
            losses={
                "best_step": losses.best_step, "best_validation": losses.best, "validation": losses.validation,
                **_judged(losses, material, steps),
                "similarity": {**asdict(drawn.similarity), "before": scene.before.similarity.value},
                "drift": asdict(drawn.drift),
            },
        ),
    )  # fmt: skip
    checkpoint.clear(folder)


def _settings(request: TrainRequest, steps: int, batch: int, rate: float) -> checkpoint.Settings:
    return checkpoint.Settings(
        steps,
        batch,
        rate,
        request.seed,
        request.rank,
        request.alpha,
        request.optimizer,
        request.method,
        request.caption_dropout,
        request.ema,
        request.patience,
    )


def _save_last(base: Any, loop: Loop, losses: checkpoint.Losses, folder: Path) -> None:
    """private/last.safetensors: the weights at the end, where they are not the ones that are kept."""
    target = folder / "private" / "last.safetensors"
    target.unlink(missing_ok=True)
    if losses.last_weights:
        checkpoint.put(loop.parameters, losses.last_weights)
        beside = folder / "private" / "last"
        base.save_adapter(beside).replace(target)
        beside.rmdir()
        checkpoint.put(loop.parameters, losses.best_weights)


def _judged(losses: checkpoint.Losses, material: Material, steps: int) -> dict[str, Any]:
    """What a card says of the choice: why, how far training and validation part, what it gives away."""
    first, kept = losses.checks[0], training_check.best(losses.checks)
    return {
        "choice": choice(losses.checks, material.held_units, steps, material.apart),
        "stopped_at": losses.checks[-1].step,
        "divergence": training_check.divergence(kept, first),
        "membership": {
            k: v
            for k, v in asdict(training_check.membership(first, kept, material.apart)).items()
            if v not in (None, "")
        },
    }


def _learned(taught: Taught) -> dict[str, Any]:
    """What a card says beside the rights: labels that captions have told, and of a medical set its modality."""
    labels = {"labels": {axis: list(values) for axis, values in taught.labels.items()}} if taught.labels else {}
    return {"modality": taught.modality, "grey": taught.grey, **labels} if taught.modality else labels
