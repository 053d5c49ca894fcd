"""Which base and recipe a run uses, with which settings, and whether they go together."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthgen import adapter_choice, adapters, adults, bases, guides, hub, licenses, recipes, rooms, store
from synthgen.errors import RequestError
from synthgen.types import AdapterUse, Job, Recipe, Taught


def chosen(request: Any, cards: Sequence[Any], preset: Mapping[str, Any]) -> Recipe:
    """The recipe that is named, or that of the adapter's domain; what nobody says is the base's own, `preset`."""
    recipe = recipes.load(request.pipeline or (cards[0].domain if cards else "") or adapter_choice.DEFAULT_PIPELINE)
    if cards:
        preset = with_adapter(preset, rooms.member("domains", recipe.domain))
    scheduler = {key: value for key, value in preset.items() if key == "scheduler"}
    settings = {
        **{key: value for key, value in preset.items() if key not in recipes.stated(recipe) and key not in scheduler},
        "threads": recipe.settings.get("threads") or os.cpu_count() or 1,
    }
    said = {
        "num_inference_steps": request.steps or None,
        "guidance_scale": request.guidance,
        "batch": request.batch or None,
        "size": request.size or None,
        "threads": request.threads or None,
    }
    settings |= {key: value for key, value in said.items() if value is not None}
    recipe = replace(recipe, prompt=adapters.from_prompt(recipe.prompt)[0])
    recipe = recipes.adjusted(recipe, settings)
    recipe = replace(recipe, settings={**recipe.settings, **scheduler})
    if request.strict:
        strict = {gate: "off" if mode == "off" else "reject" for gate, mode in recipe.gates.items()}
        recipe = replace(recipe, gates=strict)
    return recipe


def hastened(recipe: Recipe, module: Any, uses: Sequence[AdapterUse], request: Any) -> Recipe:
    """The recipe as an adapter wants it that makes a base draw in few steps; what the user says stays. Said once."""
    told: dict[str, Any] = {}
    for use in uses:
        told |= module.hastened(use.name)
    if not told:
        return recipe
    own = {"num_inference_steps": request.steps or None, "guidance_scale": request.guidance}
    told |= {key: value for key, value in own.items() if value is not None}
    adapter_choice.say(
        f"Lightning: {told['num_inference_steps']} steps, guidance {told['guidance_scale']:g}, and its own scheduler"
    )
    return replace(recipe, settings={**recipe.settings, **told})


def with_adapter(settings: Mapping[str, Any], domain: Any) -> dict[str, Any]:
    """A base's own settings for what an adapter has learned: guidance no more than the domain's GUIDANCE, if any."""
    most = getattr(domain, "GUIDANCE", None)
    scale = settings.get("guidance_scale", most)
    return {**settings, **({} if most is None else {"guidance_scale": min(scale, most)})}


def suited(recipe: Recipe, domain: Any, taught: Taught) -> Recipe:
    """The recipe as far as what was learned can follow it; axes that are left out are told."""
    kept: Recipe = domain.suited(recipe, taught)
    if left := [axis for axis in recipe.axes if axis not in kept.axes]:
        adapter_choice.say(f"not asked for, since it does not go with what was learned: {', '.join(left)}")
    return kept


def check_size(size: int, step: int, base: str) -> None:
    if size % step:
        near = max(step, round(size / step) * step)
        raise RequestError(
            f"--size is {size} px; base '{base}' draws sides that are multiples of {step} px. Nearest: {near}. Nothing "
            "was drawn."
        )


def base_of(cards: Sequence[Any]) -> str:
    """The base that the first adapter was trained for. A base from a folder must be given again: cards hold no path."""
    if not cards:
        return "mini"
    if cards[0].base not in bases.names() and not hub.is_id(cards[0].base):
        raise RequestError(
            f"adapter '{cards[0].name}' was trained on the base folder '{cards[0].base}'. Give it: --base FOLDER."
        )
    return str(cards[0].base)


def check_conditions(module: Any, identity: Any, conditions: Sequence[guides.Condition]) -> None:
    """Raises RequestError for what the base cannot be drawn along, and for a ControlNet that would be shown nothing."""
    steering = guides.steering(conditions)
    module.check_references(identity, len(conditions) - len(steering))
    module.check_conditions(identity, [one.kind for one in steering], guides.timed(steering))
    asked = {one.kind for one in steering}
    for idle in (control.kind for control in identity.controls if control.kind not in asked):
        raise RequestError(
            f"--controlnet {idle}=... has nothing to show it: say --condition {idle}=PHOTOS, or --condition-map "
            f"{idle}=PICTURES. Nothing was drawn."
        )


def check_people(domain: Any, jobs: Sequence[Job]) -> None:
    """Raises RequestError where people who are pictured would be minors."""
    if getattr(domain, "PEOPLE", False):
        adults.require(job.prompt for job in jobs)


def remarks(ready: Any) -> list[str]:
    """What a user should know before the pictures of a prepared run are made."""
    said = [remark] if (remark := licenses.remark(ready.verdict)) else []
    if ready.recipe.negative_prompt and not ready.module.hears_negative(ready.identity):
        said.append(
            f"warning: base '{ready.identity.id}' has its guidance built in: the negative prompt changes nothing."
        )
    return said


def check_use(folder: Path, place: Path | str, request: Any) -> None:
    """Raises RequestError where the run in a folder was made for another use than is asked for now."""
    for line in itertools.islice(store.lines(folder), 1) if (folder / store.ABOUT).is_file() else []:
        check_line(line, place, request)


def check_line(line: Mapping[str, Any], place: Path | str, request: Any) -> None:
    """A verdict is frozen into each record: a run made for one use must not be finished, or passed on, as another's."""
    frozen = line["lineage"]["license"]
    for option, before, now in (
        ("--use", frozen["use"], request.use),
        ("--reading", frozen.get("reading", "strict"), request.reading),
    ):
        if before != now:
            raise RequestError(
                f"{place} was made for {option} {before} and this command says {option} {now}. Say {option} "
                f"{before}, or give this run a place of its own with --out. It is untouched."
            )
