"""An adapter and a count in, a labelled data set out: the one generate loop.

recipes.load -> licenses.require -> plan.jobs -> store.pending -> pose.prepare -> base.render
  -> gates.judge -> provenance.record -> store.add       (rejected jobs come again with new seeds, in rounds)
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synthgen import (
    adapter_choice,
    adapters,
    background,
    balance,
    bases,
    card_preset,
    guides,
    images,
    licensee,
    licenses,
    lora_fit,
    marks,
    plan,
    provenance,
    recipe_choice,
    remote_run,
    retouch,
    rights_file,
    rights_report,
    rooms,
    rounds,
    severity,
    signing,
    sweep,
    watermark,
)
from synthgen.card import taught as taught_by
from synthgen.conditioners import pose
from synthgen.engines import Work
from synthgen.errors import SynthgenError
from synthgen.gates import _sentences as label_judge
from synthgen.poses import Pose
from synthgen.progress import Progress
from synthgen.steered import Steered
from synthgen.store import Run
from synthgen.types import AdapterUse, Asset, Job, Judgement, Picture, Recipe, Rights, RunFacts, Taught, Verdict

TRIES = 5
LIBRARIES = ("torch", "diffusers", "transformers", "peft", "numpy", "pillow")


@dataclass(frozen=True)
class GenerateRequest:
    """What to make. Zero, empty or None means: as the recipe or the adapter says."""

    count: int
    pipeline: str = ""
    base: str = ""
    memory: str = "full"  # one of memory_modes.MODES
    controlnet: tuple[str, ...] = ()  # FOLDER of a ControlNet for poses, KIND=FOLDER of one for another condition
    condition: tuple[str, ...] = ()  # KIND=PATH:SCALE:START:END of photos; pose:SCALE:START:END
    condition_map: tuple[str, ...] = ()  # the same of control pictures that are ready
    reference: tuple[Path, ...] = ()  # photos, or folders of them, that the base is shown beside the words
    adapters: tuple[str, ...] = ()
    no_adapter: bool = False
    seed: int = 0
    out: Path | str | None = None  # a folder, or an address that fsspec knows
    use: str = "internal"
    reading: str = "strict"
    only: tuple[str, ...] = ()
    weight: tuple[str, ...] = ()
    cross: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()  # "NAME=LOW:HIGH:STEP"; `count` pictures at each strength
    block_weight: tuple[str, ...] = ()  # "NAME=BLOCK:FACTOR,BLOCK:FACTOR"
    steps: int = 0
    guidance: float | None = None
    batch: int = 0
    size: int = 0
    poses: tuple[Path, ...] = ()
    into: Path | None = None  # a photo, or a folder of photos, that pictures are drawn into
    mask: str = ""  # what of them is drawn anew: "garment", "product", a file or a folder; "": everything
    strength: float | None = None  # 0 to 1, the share of the steps that is done; None: 0.6, with a mask 1
    strict: bool = False
    label_judge: Path | None = None  # folder of a CLIP or SigLIP that reads labels from the pictures
    dry_run: bool = False
    device: str = ""
    engine: str = "local"  # or "ray"
    address: str = ""  # of the Ray cluster: "auto", "local", HOST:PORT
    threads: int = 0  # of one process that draws
    accept_base_change: bool = False
    other_lineage: bool = False
    publish_prompts: bool = False  # in the marks of the pictures; the store has them in any case
    prompt_writer: str = ""
    certificate: Path | None = None  # PEM chain to sign with, and its key; the local one where there is none
    key: Path | None = None
    watermark: str = ""  # a member of watermarks; "": none
    sign_with: str = ""  # a command that signs in place of the key


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    folder: Path | str  # or the address that it went to
    count: int
    made: int  # by this command
    already: int  # before it
    rejected: int
    verdict: Verdict
    cells: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before a weight is opened."""

    recipe: Recipe
    uses: tuple[AdapterUse, ...]
    cards: tuple[Any, ...]
    module: Any
    identity: Any
    verdict: Verdict
    plan: plan.Request
    jobs: Sequence[Job]
    own_poses: tuple[Pose, ...]
    folder: Path
    address: remote_run.Address | None = None  # where the run goes that is made in the folder
    sweeps: tuple[sweep.Sweep, ...] = ()
    conditions: tuple[guides.Condition, ...] = ()
    into: retouch.Retouch | None = None
    fits: tuple[str, ...] = ()  # of each adapter to the base: a verdict of lora_fit
    grey: bool = False  # what was learned has no colour, so what is drawn gets none


def run(request: GenerateRequest) -> RunResult:
    """Make the pictures that are not there yet.

    Raises RequestError, UnfitAdapter or Refused before anything is drawn; SynthgenError where cells stay short.
    """
    ready = _prepare(request)
    rooms.member("engines", request.engine)  # an engine that is not there is told before anything is made
    cells = plan.cells(ready.jobs, ready.plan.cross)
    place = ready.address.text if ready.address else ready.folder
    if not ready.address:
        recipe_choice.check_use(ready.folder, place, request)
    if request.device and not request.dry_run:
        for device in request.device.split(","):
            ready.module.device_of(device)
    if request.dry_run:
        return RunResult(place, len(ready.jobs), 0, 0, 0, ready.verdict, cells)
    adapter_choice.say(*recipe_choice.remarks(ready))
    elsewhere = signing.command(request.sign_with) if request.sign_with else None
    who = signing.identity(request.certificate, request.key, elsewhere)
    marker = marks.Marker(who, request.publish_prompts, request.prompt_writer)
    described = {**plan.described(ready.plan), "count": len(ready.jobs)}
    with contextlib.ExitStack() as held:
        mirror = held.enter_context(remote_run.mirrored(ready.address))
        if mirror:
            if there := mirror.finished(described["digest"]):
                recipe_choice.check_line(there["line"], place, request)
                made, refused = int(there["made"]), int(there["rejected"])
                adapter_choice.say(f"{place} is finished: {made} pictures.")
                return RunResult(place, len(ready.jobs), 0, made, refused, ready.verdict, cells)
            mirror.pull()
            recipe_choice.check_use(ready.folder, place, request)
        store = held.enter_context(Run.open(ready.folder, described, mirror))
        already = store.made
        if store.finished:
            adapter_choice.say(f"{place} is finished: {already} pictures.")
        else:
            if already:
                adapter_choice.say(f"{place}: {already} of {len(ready.jobs)} pictures are already there.")
            _make(store, ready, request, marker)
            if ready.sweeps:  # first: of a run that says it is finished nothing is made again
                graded = severity.readable(ready.identity.id, ready.cards)
                adapter_choice.say(*sweep.write(ready.folder, ready.sweeps, graded))
            store.finish()
        adapter_choice.say(*rights_report.complete(ready.folder))
        return RunResult(place, len(ready.jobs), store.made - already, already, store.rejected, ready.verdict, cells)


def _prepare(request: GenerateRequest) -> Prepared:
    uses = adapter_choice.chosen(request)
    conditions = guides.parse(request.condition, request.condition_map, request.reference)
    into = retouch.parse(request.into, request.mask, request.strength)
    sweeps = sweep.parse(request.sweep, uses)
    cards = tuple(adapters.load_card(use.path) for use in uses)
    base = request.base or recipe_choice.base_of(cards)
    request = card_preset.for_drawing(request, base, uses)
    module, identity = bases.find(base, request.controlnet, request.memory)
    recipe_choice.check_conditions(module, identity, conditions)
    uses = adapter_choice.blocks(request.block_weight, uses, module.places(identity) if request.block_weight else ())
    recipe = recipe_choice.chosen(request, cards, module.settings(identity))
    recipe = recipe_choice.hastened(recipe, module, uses, request)
    recipe = replace(recipe, settings={**recipe.settings, **guides.settings(conditions)})
    recipe_choice.check_size(int(recipe.settings["size"]), module.SIDE_STEP, identity.id)
    watermark.check(request.watermark, request.use, int(recipe.settings["size"]), into is not None)
    about = licensee.circumstances(licenses.Circumstances(request.reading))
    assets = [*_assets(identity, cards, request), *guides.assets(conditions), *(retouch.assets(into) if into else [])]
    verdict = licenses.require(assets, request.use, about=about)
    fits = adapter_choice.fits(uses, cards, module, identity, request)
    domain = rooms.member("domains", recipe.domain)
    domain.check(recipe)
    own = pose.read(request.poses)
    if own:
        recipe = replace(recipe, axes={**recipe.axes, "pose": tuple(dict.fromkeys(item.name for item in own))})
    adapter_choice.warn_of_blend(cards)
    taught = taught_by(cards) if cards else getattr(module, "TAUGHT", {}).get(recipe.domain, Taught())
    recipe = recipe_choice.suited(recipe, domain, taught)
    if into:
        retouch.check(into, module, identity, conditions)
        recipe = retouch.planned(recipe, domain, into)
    hashes = {
        **({"grey": "mean of the channels"} if taught.grey else {}),
        "base": identity.sha256,
        **sweep.said(sweeps),
        **identity.control_hash(),
        **guides.hashes(conditions),
        **({"into": into.digest} if into else {}),
        **({"watermark": request.watermark} if request.watermark else {}),
        **({"label judge": label_judge.digest(request.label_judge)} if request.label_judge else {}),
        **{f"adapter {number} on": fit for number, fit in enumerate(fits) if fit != lora_fit.EXACT},
        **{f"adapter {number}": card.weights_sha256 for number, card in enumerate(cards)},
        **{f"pose {item.name}": sha256(item.points.tobytes()).hexdigest() for item in own},
    }
    asked = plan.Request(
        recipe, request.count, request.seed, uses, identity.id, domain.subject_of(taught), taught.category,
        plan.parse_only(request.only), balance.parse_weights(request.weight), balance.parse_cross(request.cross),
        hashes,
    )  # fmt: skip
    jobs = plan.jobs(asked, lambda requested: domain.prompt(recipe, requested, asked.subject), domain.labels)
    recipe_choice.check_people(domain, jobs)
    if sweeps:
        jobs = sweep.jobs(jobs, sweeps, _concepts(sweeps, uses, cards, domain, recipe))
    name = "-".join(use.name for use in uses) or f"{recipe.name}-{identity.id}"
    out = remote_run.parse(request.out)
    address, chosen = (out, out.here) if isinstance(out, remote_run.Address) else (None, out)
    folder = chosen or Path("runs") / f"{name}-{plan.digest(asked)}"
    return Prepared(
        recipe, uses, cards, module, identity, verdict, asked, jobs, own, folder, address, sweeps, conditions,
        into, fits, taught.grey,
    )  # fmt: skip


def _concepts(
    sweeps: Sequence[sweep.Sweep], uses: Sequence[AdapterUse], cards: Sequence[Any], domain: Any, recipe: Recipe
) -> dict[str, Callable[[Job], Job]]:
    """Where two adapters are swept: a job in the words of one of them alone."""

    def spoken(card: Any) -> Callable[[Job], Job]:
        taught = taught_by((card,))

        def of(job: Job) -> Job:
            asked = {axis: job.requested[axis] for axis in recipe.axes}
            return replace(
                job, prompt=domain.prompt(recipe, asked, domain.subject_of(taught)), category=taught.category
            )

        return of

    by_name = {use.name: card for use, card in zip(uses, cards, strict=True)}
    return {item.name: spoken(by_name[item.name]) for item in sweeps} if len(sweeps) > 1 else {}


def _assets(identity: Any, cards: Sequence[Any], request: GenerateRequest) -> list[Asset]:
    return [*identity.assets(), *(adapter_choice.asset(card, identity.id) for card in cards), *_poses(request)]


def _poses(request: GenerateRequest) -> list[Asset]:
    """The user's own poses, with the rights that a rights.toml beside them states."""
    found = []
    for file in request.poses:
        rights = rights_file.rights_beside(file.parent) or Rights()
        found.append(replace(rights_file.photos(file.name, rights), kind="poses"))
    return found


def _make(store: Run, ready: Prepared, request: GenerateRequest, marker: marks.Marker) -> None:
    """Rounds until every job has its picture: the plan, then all that was rejected, with new seeds, and so on.

    Who is in a round follows from the rejections alone, so a resumed run draws the same batches as an undisturbed one.
    """
    settings = ready.recipe.settings
    steered = ready.identity.controlnet is not None
    if not steered and any("pose" in job.requested for job in ready.jobs[:1]):
        adapter_choice.say(
            f"{ready.module.without_control(ready.identity)} Poses are asked for in words only; no keypoints are told."
        )
    photos = retouch.Photos(ready.into, int(settings["size"])) if ready.into else None
    skeletons = steered and (ready.into is None or retouch.posed(ready.into, ready.module, ready.conditions))
    steer = Steered(guides.Guides(ready.conditions, int(settings["size"]), ready.own_poses), skeletons, photos)
    work = Work(ready.module, ready.identity, request.device, settings, steer)
    with rooms.member("engines", request.engine).start(work, store.batch_tolerance, request.address) as engine:
        _draw(engine, store, ready, request, marker)


def _draw(engine: Any, store: Run, ready: Prepared, request: GenerateRequest, marker: marks.Marker) -> None:
    """Every round of every group; pictures are judged, marked and kept while the next ones are drawn."""
    engine.attach(ready.uses)
    facts = RunFacts(
        ready.folder, ready.uses, ready.recipe.settings, request.use, ready.jobs, engine.redraw, request.label_judge
    )
    judges = _judges(ready, facts)
    progress = Progress(len(ready.jobs), f"generate {ready.folder.name}", "pictures", already=store.made)
    with progress, background.Background() as aside:
        for (uses, group), attempt in itertools.product(sweep.groups(ready.uses, ready.jobs), range(TRIES)):
            tries = functools.partial(rounds.tries, store, group, attempt)
            if not any(map(store.wants, tries())):
                continue
            engine.attach(uses)
            context = _context(ready, uses)
            for pictures in engine.draw(tries(), store.wants):
                greyed = map(images.greyed, pictures) if ready.grey else pictures
                settled = [watermark.marked(one, request.watermark) for one in greyed]
                aside.do([functools.partial(_judge, store, one, judges, context, marker, progress) for one in settled])
            aside.wait()  # who is in the next round follows from what was rejected in this one
    adapter_choice.say(*[gate.finish() for _, gate, _ in judges if hasattr(gate, "finish")])
    if store.made < len(ready.jobs):
        short = sum(1 for _ in store.waiting(ready.jobs))
        raise SynthgenError(
            f"{ready.folder}: {short} pictures were rejected {TRIES} times each; short cells: "
            f"{plan.commonest(store.waiting(ready.jobs))}. What is finished is kept; see rejected/ and report.html."
        )


def _judges(ready: Prepared, facts: RunFacts) -> list[tuple[str, Any, str]]:
    """The gates that are asked, each with its mode; one that has `open` is opened for this run.

    One that knows certain bases only is not asked about others.
    """
    found = []
    real = {} if ready.module.name == bases.EMBEDDED else {"safety": "reject"}  # whatever a recipe says
    for name, mode in {**ready.recipe.gates, **real}.items():
        gate = rooms.member("gates", name)
        known = getattr(gate, "BASES", (ready.identity.id,))
        asked = gate.knows(facts, ready.identity.id) if hasattr(gate, "knows") else ready.identity.id in known
        if mode != "off" and asked:
            found.append((name, (gate.open(facts) or gate) if hasattr(gate, "open") else gate, mode))
        elif mode == "reject":
            adapter_choice.say(
                f"gate '{name}' is not asked: it knows {', '.join(known)} and not base '{ready.identity.id}'."
            )
    return found


def _judge(
    store: Run, picture: Picture, judges: Sequence[Any], context: Any, marker: marks.Marker, progress: Progress
) -> None:
    said: list[Judgement] = []
    refused = False
    for _, gate, mode in judges:
        judgement = gate.judge(picture)
        refused |= mode == "reject" and not judgement.accepted
        said.append(judgement)
    record = provenance.record(picture, context, said)
    png = marker.mark(picture.pixels, record)
    if refused:
        store.reject(picture, said, png)
        progress.step(0, f"{store.rejected} rejected")
    else:
        store.add(picture, record, png)
        for _, gate, _ in judges:
            if hasattr(gate, "kept"):
                gate.kept(picture)
        progress.step()


def _context(ready: Prepared, uses: Sequence[AdapterUse]) -> provenance.Context:
    identity = ready.identity
    return provenance.Context(
        base=identity.told(),
        adapters=adapter_choice.told(uses, ready.cards, ready.fits),
        verdict=ready.verdict,
        pipeline=ready.recipe.name,
        settings=dict(ready.recipe.settings),
        versions={name: version(name) for name in LIBRARIES},
        pose_license=_pose_license(ready),
        plan=plan.digest(ready.plan),
        notice=getattr(rooms.member("domains", ready.recipe.domain), "NOTICE", ""),
    )


def _pose_license(ready: Prepared) -> str:
    """Of the skeletons: those of the user's own, else of the library's."""
    stated = sorted({asset.license for asset in ready.verdict.assets if asset.kind == "poses"})
    return " AND ".join(f"({one})" if " OR " in one else one for one in stated) or "Apache-2.0"
