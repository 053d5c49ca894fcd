"""Photos in, adapter out: the one training loop, for every base family and domain.

    images.read -> captions.write -> licenses.require -> base.encode -> (tuning.find) -> fit -> effect test
    -> adapters.save

Every random draw of a step follows from (seed, step) alone, so a training that was killed goes on exactly as if it had
not been. A checkpoint is written after each epoch; the card, written last, says that the adapter is finished.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import (
    adapters,
    adults,
    bases,
    buckets,
    card,
    card_preset,
    checkpoint,
    folds,
    images,
    licensee,
    licenses,
    membership,
    photo_check,
    photo_split,
    private_photos,
    rights_file,
    rooms,
    run_lock,
    text_length,
    training_card,
    training_crew,
    training_logs,
    training_material,
    training_measures,
    training_report,
    training_request,
    tuning,
)
from synthgen.caption_lint import Words
from synthgen.errors import RequestError, SynthgenError, UnfitAdapter
from synthgen.masks import Mask, Masks
from synthgen.progress import Progress
from synthgen.training_check import choice
from synthgen.training_crew import Crew
from synthgen.training_loop import Loop, Material
from synthgen.training_material import Lesson
from synthgen.training_measures import UNRELATED, Samples, Scene
from synthgen.training_request import Budget, TrainRequest
from synthgen.types import Asset, ImageSet, Photo, Taught
from synthgen.vocabulary import CATEGORIES, category_of

__all__ = ["Budget", "TrainRequest", "fit", "look", "tune"]

LEAST_EFFECT = 1.0  # grey levels (0 to 255) that the adapter must change test pictures by, on average
TUNING = Path("private") / "tuning"  # in an adapter's folder, until it is finished


@dataclass(frozen=True)
class _Ready:
    """A request whose photos were read, described and cleared."""

    request: TrainRequest
    module: Any
    identity: Any
    domain: Any
    photos: ImageSet
    taught: Taught
    known: Masks

    @property
    def digest(self) -> str:
        """One hash of everything that decides what comes of it."""
        return training_request.digest(self.request, self.photos, self.identity)

    @property
    def of_study(self) -> str:
        """The same for a study of settings: more time is no other study."""
        return training_request.digest(replace(self.request, auto=None), self.photos, self.identity)

    def lesson(self, digest: str) -> Lesson:
        """What is learned. Raises RequestError where the photos are not fit to train on."""
        report = _check(self)
        kept = getattr(self.module, "TAUGHT", {}).get(self.request.domain, self.taught)
        return Lesson(self.photos, self.domain, self.taught, kept, digest, _masks(report))

    def load(self) -> Any:
        """The base, at the size that is trained."""
        base = self.module.load(self.identity, self.request.device)
        base.size, base.precision = self.request.size or base.size, self.request.precision
        base.buckets = buckets.require(self.request.buckets, self.module.SQUARES_ONLY, self.identity.id)
        return base


@dataclass(frozen=True)
class _Prepared:
    """What trainings on one set of photos have in common."""

    train: list[Photo]
    held: list[Photo]
    material: Material
    scene: Scene


def fit(request: TrainRequest) -> Path:
    """Train an adapter on the photos of one product or condition; its folder comes back.

    A finished adapter of the same request is left as it is; an unfinished one is gone on with.
    Raises RequestError (photos, names), Refused (a licence says no), UnfitAdapter (the folder holds another training).
    """
    if request.auto:
        training_crew.require_alone("--auto")
    crew = training_crew.present(request.device)
    with crew.quiet():
        return _fitted(_ready(request), crew)


def _fitted(ready: _Ready, crew: Crew) -> Path:
    digest, folder = ready.digest, training_request.folder(ready.request, ready.photos)
    lock = run_lock.hold(folder) if crew.main else None
    try:
        done = crew.main and _already(folder, digest, ready.request.replace)
        if crew.agreed(done):
            if crew.main:
                news = _restate(folder, ready.photos)
                training_report.say(f"{folder} is already trained on these photos; {news}.")
            return folder
        lesson, base = ready.lesson(digest), ready.load()
        if crew.main:
            checkpoint.prepare(folder, digest)
            _train(base, ready, lesson, folder, crew)
        else:
            _help(base, ready, lesson, folder, crew)
    finally:
        if lock is not None:
            lock.release()
    return folder


def tune(request: TrainRequest, place: Path | None = None) -> tuple[Path, tuning.Found]:
    """Find settings for these photos and make no adapter: (the folder with table and picture, what was found).

    The same again goes on where it was left. Raises what `fit` raises.
    """
    training_crew.require_alone("finding settings")
    ready = _ready(replace(request, auto=request.auto or Budget()))
    name = training_request.folder(replace(ready.request, out=None), ready.photos).name
    place = place or Path(f"{name}-tuning")
    lock = run_lock.hold(place)
    try:
        tuning.require_place(place, ready.of_study)
        lesson, base = ready.lesson(ready.digest), ready.load()
        prepared = _prepare(base, lesson, ready.request)
        found = _find(base, ready, prepared, place)
        tuning.write(place, found)
        tuning.forget_checkpoints(place)
    finally:
        lock.release()
    return place, found


def _ready(request: TrainRequest) -> _Ready:
    request = card_preset.for_training(request)
    module, identity = bases.find(request.base, request.controlnet, request.memory)
    request = training_request.checked(request)
    module.require_trainable(identity, request.size)
    module.modules(request.targets)
    buckets.require(request.buckets, module.SQUARES_ONLY, identity.id)
    module.require_readable(identity.id, request.text_encoder, request.method)
    domain, known = rooms.member("domains", request.domain), _finder(request)
    photos, taught = _described(request, module, domain, known)
    adults.require_captions(domain, photos.photos)
    count = sum(not photo.duplicate_of for photo in photos.photos)
    request = training_request.filled(request, training_request.preset_of(module, count))
    about = licensee.circumstances(licenses.Circumstances(request.reading))
    verdict = licenses.require(_assets(identity, photos), request.use, about=about, also=("derive_adapter",))
    if remark := licenses.remark(verdict):
        training_report.say(remark)
    return _Ready(request, module, identity, domain, photos, taught, known)


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
    domain, known = rooms.member("domains", request.domain), _finder(request)
    photos, taught = _described(request, module, domain, known)
    progress.total = len(photos.photos)
    return _looked(_Ready(request, module, identity, domain, photos, taught, known), progress)


def _finder(request: TrainRequest) -> Masks:
    """A product lies on its ground and may be found there; an X-ray has none."""
    return Masks("given" if request.masks == "auto" and request.domain != "apparel" else request.masks)


def _described(request: TrainRequest, module: Any, domain: Any, known: Masks) -> tuple[ImageSet, Taught]:
    """The photos with the captions that are trained on, and what an adapter will have learned from them."""
    own = getattr(module, "looks", None)
    looks = (lambda photos: own(photos, known)) if own else None
    told = {"looks": looks, "person": getattr(module, "person", None), **request.told}
    return domain.describe(_read(request), request.trigger, told)


def _looked(ready: _Ready, progress: Progress) -> photo_check.Report:
    words = Words(ready.request.trigger, *text_length.of(ready.identity.folder))
    size = ready.request.size or ready.module.side(ready.identity)
    return photo_check.look(ready.photos, size, words, ready.known, progress.step)


def _check(ready: _Ready) -> photo_check.Report:
    """The same checks before training: what is found is said, what blocks is raised."""
    with Progress(len(ready.photos.photos), "look at", "photos") as progress:
        report = _looked(ready, progress)
    for finding in report.findings:
        training_report.say(f"{finding.level}: {finding.line}")
    if not ready.request.ignore_blocks:
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
    return [*identity.assets(), rights_file.photos(photos.folder.name, photos.rights, photos.digest)]


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


def _divided(base: Any, lesson: Lesson, request: TrainRequest) -> tuple[list[Photo], list[Photo], Material]:
    kept = private_photos.joined([photo for photo in lesson.photos.photos if not photo.duplicate_of])
    train, held = training_material.without_twins(*photo_split.divide(kept, request.seed))
    folds.require(request.folds, len(kept), held is not train, bool(request.auto))
    training_report.say(f"{len(train)} photos to learn from, {len(held) if held is not train else 'none'} held out")
    material = training_material.make(base, train, held, lesson, request.seed)
    if request.gradient_checkpointing:
        base.denoiser.enable_gradient_checkpointing()
    return train, held, material


def _prepare(base: Any, lesson: Lesson, request: TrainRequest) -> _Prepared:
    train, held, material = _divided(base, lesson, request)
    scene = Scene(base, held, lesson.domain.unrelated(lesson.taught, UNRELATED), request.seed)
    return _Prepared(train, held, material, scene)


def _count(train: list[Photo], held: list[Photo]) -> int:
    return len({photo.path for photo in (*train, *held)})


def _find(base: Any, ready: _Ready, prepared: _Prepared, place: Path) -> tuning.Found:
    """Settings for these photos, found by trials in this place."""
    preset = training_request.settings(ready.request, ready.module, _count(prepared.train, prepared.held))
    space = tuning.space(ready.request, ready.module, preset)
    budget = ready.request.auto or Budget()
    found = tuning.find(tuning.Bench(base, prepared.material, prepared.scene), preset, space, budget, place)
    training_report.say(found.reason)
    return found


def _help(base: Any, ready: _Ready, lesson: Lesson, folder: Path, crew: Crew) -> None:
    """What a process does that is not the first: its share of every step; the rest is that one's."""
    train, held, material = _divided(base, lesson, ready.request)
    settings = training_request.settings(ready.request, ready.module, _count(train, held))
    if ready.request.folds:
        chosen = folds.choose(base, material, settings, folder, ready.request.folds, crew)
        settings = replace(settings, ends=chosen.step)
    Loop(base, material, settings, crew).run(folder)


def _train(base: Any, ready: _Ready, lesson: Lesson, folder: Path, crew: Crew) -> None:
    began, request, taught = time.monotonic(), ready.request, lesson.taught
    prepared = _prepare(base, lesson, request)
    train, held, material, scene = prepared.train, prepared.held, prepared.material, prepared.scene
    private_photos.remember(folder, train, held, base.size)
    before = training_report.test_pictures(base, lesson.domain, taught, request.seed)
    settings, told = training_request.settings(request, ready.module, _count(train, held)), {}
    if request.auto:
        tuning.require_place(folder / TUNING, ready.of_study, anew=True)
        found = _find(base, ready, prepared, folder / TUNING)
        settings, told = found.settings, {"tuned": found.reason}
        tuning.hand_over(found, folder / TUNING, folder)
        (folder / "report").mkdir(exist_ok=True)
        tuning.write(folder / "report", found)
    training_report.say(f"{settings.steps} steps of {settings.batch}")
    chosen = folds.choose(base, material, settings, folder, request.folds, crew) if request.folds else None
    if chosen:
        settings = replace(settings, ends=chosen.step)
        folds.write(folder, chosen)
    loop, logs = Loop(base, material, settings, crew), training_logs.Logs(request.log, folder, settings)
    losses = loop.run(folder, [Samples(scene, folder, request.samples), logs])
    logs.close()
    why = chosen.reason if chosen else choice(losses.checks, material.held_units, settings.steps, material.apart)
    training_report.say(why)
    attack = membership.attack(base, train, held, folder, request.seed) if any(photo.group for photo in train) else {}
    after = training_report.test_pictures(base, lesson.domain, taught, request.seed)
    effect = float(np.abs(after.astype(np.float32) - before.astype(np.float32)).mean())
    drawn = scene.look(losses.best_step)
    training_report.write(folder, before, after, [*train, *held])
    _report(folder, losses, material, [scene.before, *training_measures.kept(folder), drawn])
    if effect < LEAST_EFFECT:
        raise SynthgenError(
            f"{folder}: the adapter changes test pictures by {effect:.2f} grey levels of 255; wanted {LEAST_EFFECT:g} "
            "at least. It learned nothing: raise --steps or --learning-rate, with --replace. The report is kept; no "
            "adapter was written."
        )
    (folder / card.NAME).unlink(missing_ok=True)  # of an adapter that is replaced: its weights go next
    _save_last(base, loop, losses, folder)
    base.save_adapter(folder)
    course = training_card.Course(
        settings, material, losses, scene.before, drawn, _count(train, held), effect, time.monotonic() - began,
        base.device, attack, told, chosen.reason if chosen else "",
    )  # fmt: skip
    adapters.save(folder, training_card.make(folder.name, request, lesson, base.identity, course))
    checkpoint.clear(folder)
    shutil.rmtree(folder / TUNING, ignore_errors=True)


def _report(folder: Path, losses: checkpoint.Losses, material: Material, states: list[training_measures.Seen]) -> None:
    by_step = {state.step: state for state in states}  # the last of two is the kept one, drawn with more prompts
    shown = training_measures.alike([by_step[step] for step in sorted(by_step)])
    training_report.curve(folder, losses, material, shown)
    training_report.checkpoints(folder, shown, losses.best_step)


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
