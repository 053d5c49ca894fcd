"""Pipelines: TOML files that say what to vary and how to say it, read into a `Recipe` and checked whole.

    [pipeline]  name, domain, caption
    [prompt]    template with {axis} and {subject} fields, negative
    [axes]      axis = [values]; pose = "library" means every group of the pose library
    [settings]  what the base is told: SETTINGS below
    [gates]     gate = "reject" | "measure" | "off"

Data only: no code, no paths, no expressions. All problems of a file are told at once, each with its section.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

from synthgen import resources, rooms, toml_file
from synthgen.errors import RequestError, UnknownName
from synthgen.types import Recipe

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("name", "domain", "caption"),
    "prompt": ("template", "negative"),
}
SETTINGS: Mapping[str, tuple[type, float, float]] = {  # name -> kind, lowest, highest
    "num_inference_steps": (int, 1, 500),
    "guidance_scale": (float, 0.0, 50.0),
    "controlnet_conditioning_scale": (float, 0.0, 4.0),
    "size": (int, 64, 4096),  # px, both sides; a multiple of 8, since a VAE halves it three times
    "batch": (int, 1, 512),  # pictures at once
    "threads": (int, 1, 512),  # per worker; results differ in the last bits between thread counts
    "copy_alpha": (float, 0.001, 0.5),  # share of fresh real images that the copy gate may take for copies
}
DEFAULTS: Mapping[str, Any] = {
    "num_inference_steps": 8,
    "guidance_scale": 3.0,
    "controlnet_conditioning_scale": 1.0,
    "size": 256,
    "batch": 8,
}
DEFAULT_GATES: Mapping[str, str] = {"blank": "reject", "broken": "reject"}
DOMAIN_GATES: Mapping[str, Mapping[str, str]] = {"medical": {"copy": "reject"}}
GATE_MODES = ("reject", "measure", "off")
SUBJECT = "subject"  # the one template field that is no axis
_AXIS_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def load(name_or_path: str | Path) -> Recipe:
    """A pipeline by name (./pipelines, SYNTHGEN_HOME, then the shipped ones) or by path.

    Raises UnknownName with the nearest name, or RequestError with every problem of the file.
    """
    path = _find(str(name_or_path))
    table, problems = toml_file.read(path), []
    allowed = (*SECTIONS, "axes", "settings", "gates")
    problems += toml_file.unknown_keys(table, allowed, str(path))
    parts = {section: _section(table, section, path, problems) for section in allowed}
    for section, keys in SECTIONS.items():
        problems += toml_file.unknown_keys(parts[section], keys, f"{path} [{section}]")
        for key, value in parts[section].items():
            if key in keys and not isinstance(value, str):
                problems.append(f"{path} [{section}]: {key} is {value!r}; wanted text.")
    axes = _axes(parts["axes"], f"{path} [axes]", problems)
    problems += _settings_problems(parts["settings"], f"{path} [settings]")
    problems += _gate_problems(parts["gates"], f"{path} [gates]")
    problems += _domain_problems(parts["pipeline"], f"{path} [pipeline]")
    problems += _template_problems(parts["prompt"].get("template"), list(parts["axes"]), f"{path} [prompt]")
    if problems:
        raise RequestError("\n".join([*problems, "Nothing was loaded."]))
    return Recipe(
        name=parts["pipeline"].get("name") or path.stem,
        domain=parts["pipeline"]["domain"],
        prompt=parts["prompt"]["template"],
        negative_prompt=parts["prompt"].get("negative", ""),
        axes=axes,
        settings={**DEFAULTS, **_numbers(parts["settings"])},
        gates={**DEFAULT_GATES, **DOMAIN_GATES.get(parts["pipeline"]["domain"], {}), **parts["gates"]},
        source=path,
    )


def names() -> dict[str, str]:
    """Every pipeline's name with its caption, the user's own first; a broken file is listed as such, not raised."""
    found: dict[str, str] = {}
    for folder in resources.search("pipelines"):
        for path in sorted(folder.glob("*.toml")):
            if path.stem not in found:
                try:
                    caption = toml_file.read(path).get("pipeline", {}).get("caption", "")
                except (RequestError, AttributeError):
                    caption = "(cannot be read; see synthgen check)"
                found[path.stem] = str(caption)
    return dict(sorted(found.items()))


def dump(recipe: Recipe) -> str:
    """The recipe as TOML text that `load` reads back to the same recipe."""
    import tomli_w

    return tomli_w.dumps(
        {
            "pipeline": {"name": recipe.name, "domain": recipe.domain},
            "prompt": {"template": recipe.prompt, "negative": recipe.negative_prompt},
            "axes": {axis: list(values) for axis, values in recipe.axes.items()},
            "settings": dict(recipe.settings),
            "gates": dict(recipe.gates),
        }
    )


def adjusted(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with some settings replaced (command line beats recipe). Raises RequestError as `load` does."""
    problems = _settings_problems(settings, "settings")
    if problems:
        raise RequestError("\n".join([*problems, "Nothing was loaded."]))
    return dataclasses.replace(recipe, settings={**recipe.settings, **_numbers(settings)})


def fields(template: str) -> tuple[str, ...]:
    """The names of a template's {fields}, in order. Raises ValueError for anything but plain {name} fields."""
    found = []
    for _, field, form, conversion in Formatter().parse(template):
        if field is None:
            continue
        if form or conversion or not field.isidentifier():
            raise ValueError(f"'{{{field}}}' is no plain field")
        found.append(field)
    return tuple(found)


def filled(template: str, say: Callable[[str], str]) -> str:
    """The template with what `say` says for each field, "a" or "an" as the next word wants, single spaces."""
    text = ""
    for literal, field, _, _ in Formatter().parse(template):
        text += literal
        if field is None:
            continue
        said = say(field)
        if said[:1].lower() in set("aeiou") and (text == "a " or text.endswith(" a ")):
            text = text[:-1] + "n "
        text += said
    return " ".join(text.split())


def stated(recipe: Recipe) -> frozenset[str]:
    """The settings that the recipe's own file states; the others are the base's to choose."""
    return frozenset(toml_file.read(recipe.source).get("settings", {})) if recipe.source else frozenset()


def _find(name: str) -> Path:
    if name.endswith(".toml") or os.sep in name:
        path = Path(name)
        if not path.is_file():
            raise RequestError(f"{path} is no pipeline file. Name one that `synthgen list pipelines` shows, or a file.")
        return path
    for folder in resources.search("pipelines"):
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise UnknownName("pipelines", name, names())


def _section(table: Mapping[str, Any], section: str, path: Path, problems: list[str]) -> dict[str, Any]:
    part = table.get(section, {})
    if not isinstance(part, dict):
        problems.append(f"{path}: '{section}' must be a section [{section}].")
        return {}
    return part


def _axes(part: Mapping[str, Any], where: str, problems: list[str]) -> dict[str, tuple[str, ...]]:
    axes: dict[str, tuple[str, ...]] = {}
    if not part:
        problems.append(f'{where}: no axis. Wanted at least one, as in: place = ["studio", "street"].')
    for axis, values in part.items():
        if not _AXIS_NAME.match(axis) or axis == SUBJECT:
            problems.append(
                f"{where}: '{axis}' is no axis name; wanted lower-case letters, digits and _, not 'subject'."
            )
            continue
        if axis == "pose" and values == "library":
            axes[axis] = _pose_groups()
            continue
        problem = _values_problem(values)
        if problem:
            problems.append(f"{where}: {axis} {problem}")
            continue
        axes[axis] = tuple(value.strip() for value in values)
        if axis == "pose":
            problems += [
                f"{where}: pose '{value}' is in no group of the pose library."
                f"{toml_file.suggestion(value, _pose_groups())}"
                for value in axes[axis]
                if value not in _pose_groups()
            ]
    return axes


def _values_problem(values: Any) -> str:
    """What is wrong with an axis's list of values, or ""."""
    if not isinstance(values, list) or not values:
        return f"is {values!r}; wanted a list of texts."
    wrong = [value for value in values if not isinstance(value, str) or not value.strip() or not value.isprintable()]
    if wrong:
        return f"has {wrong[0]!r}; wanted one line of text for each value."
    cleaned = [value.strip() for value in values]
    twice = sorted({value for value in cleaned if cleaned.count(value) > 1})
    return f"has '{twice[0]}' twice." if twice else ""


def _pose_groups() -> tuple[str, ...]:
    from synthgen import poses

    return tuple(poses.groups())


def _settings_problems(part: Mapping[str, Any], where: str) -> list[str]:
    problems = toml_file.unknown_keys(part, SETTINGS, where)
    for key, value in part.items():
        if key not in SETTINGS:
            continue
        kind, low, high = SETTINGS[key]
        number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        if not number or not low <= value <= high or (key == "size" and value % 8):
            form = "a whole number" if kind is int else "a number"
            step = ", divisible by 8" if key == "size" else ""
            problems.append(f"{where}: {key} is {value!r}; wanted {form} from {low} to {high}{step}.")
    return problems


def _numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Each setting as its own kind of number, so that 3 and 3.0 give the same plan."""
    return {key: SETTINGS[key][0](value) for key, value in settings.items()}


def _gate_problems(part: Mapping[str, Any], where: str) -> list[str]:
    problems = toml_file.unknown_keys(part, rooms.members("gates"), where) if part else []
    return problems + [
        f'{where}: {gate} is {mode!r}; wanted "reject", "measure" or "off".'
        for gate, mode in part.items()
        if mode not in GATE_MODES
    ]


def _domain_problems(part: Mapping[str, Any], where: str) -> list[str]:
    known, domain = rooms.members("domains"), part.get("domain")
    if domain in known:
        return []
    return [f"{where}: domain is {domain!r}.{toml_file.suggestion(str(domain or ''), known)}"]


def _template_problems(template: Any, axes: Sequence[str], where: str) -> list[str]:
    if not isinstance(template, str) or not template.strip():
        return [f"{where}: template is missing; wanted text with {{axis}} and {{subject}} fields."]
    try:
        used = fields(template)
    except ValueError as error:
        return [f"{where}: template cannot be read ({error}). Write a plain brace as {{{{ or }}}}."]
    allowed = [*axes, SUBJECT]
    return [
        f"{where}: template has {{{field}}}, which is no axis.{toml_file.suggestion(field, allowed)}"
        for field in dict.fromkeys(used)
        if field not in allowed
    ]
