"""Apparel: people wearing a product, in all poses, places and body types that the plan asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from string import Formatter
from typing import Any

from synthgen import captions, poses, toml_file
from synthgen.errors import RequestError
from synthgen.types import ImageSet, Recipe, Taught
from synthgen.vocabulary import (
    AGE_BANDS,
    BODY_TYPES,
    CATEGORIES,
    COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    LOWER_GARMENTS,
    PLACES,
    SKIN_TONES,
    VIEWS,
    article,
)

AXES: Mapping[str, Mapping[str, str]] = {  # axis -> label -> phrase in the prompt; other labels stand as they are
    "body_type": BODY_TYPES,
    "skin_tone": {label: phrase for label, (_, phrase) in SKIN_TONES.items()},
    "age": AGE_BANDS,
    "place": PLACES,
    "view": VIEWS,
}


def describe(photos: ImageSet, trigger: str, told: Mapping[str, Any]) -> tuple[ImageSet, Taught]:
    """The photos with captions, and what an adapter will have learned from them."""
    return captions.write(photos, trigger), Taught(trigger, photos.category)


def mirror(taught: Taught) -> float:
    """Share of training views that are mirrored."""
    return 0.5


def phrase(axis: str, label: str) -> str:
    """How a label is said: "monk-04" is "light skin", "arms-raised" is "arms raised"; others as they stand."""
    if axis == "pose":
        return label.replace("-", " ") if label in poses.groups() else "posing"
    return AXES.get(axis, {}).get(label, label)


def subject(trigger: str, category: str, colour: str = "", pattern: str = "") -> str:
    """The garment as a noun phrase: "a sks shirt", "sks trousers", "a red striped t-shirt".

    trigger    the adapter's word; "" where there is no adapter
    category   one of vocabulary.CATEGORIES, or the user's own word; "" is "garment"
    """
    noun = CATEGORIES.get(category, category.replace("-", " ").replace("_", " ")) or "garment"
    words = " ".join(word for word in (trigger, colour, "" if pattern == "plain" else pattern, noun) if word)
    return article(words) + words


def subject_of(taught: Taught) -> str:
    """What adapters have learned, as a noun phrase; a garment where there are none."""
    return subject(taught.triggers, taught.category)


def class_subjects(taught: Taught, count: int) -> list[str]:
    """Other garments of the class, in as many colours."""
    colours = list(COLOURS)
    return [subject("", taught.category, colours[number % len(colours)]) for number in range(count)]


def prompt(recipe: Recipe, requested: Mapping[str, str], subject: str) -> str:
    """The recipe's template with the phrases of the requested labels, and "a" or "an" as the next word wants."""
    text = ""
    for literal, field, _, _ in Formatter().parse(recipe.prompt):
        text += literal
        if field is None:
            continue
        said = subject if field == "subject" else phrase(field, requested[field])
        if said[:1].lower() in set("aeiou") and (text == "a " or text.endswith(" a ")):
            text = text[:-1] + "n "
        text += said
    return " ".join(text.split())


def check(recipe: Recipe) -> None:
    """Raises RequestError for values that nothing here can draw. Ages are adult bands: no child is ever asked for."""
    known: dict[str, Collection[str]] = {
        "body_type": BODY_TYPES,
        "view": VIEWS,
        "age": AGE_BANDS,
        "pose": poses.groups(),
    }
    problems = [
        f"[axes] {axis} has no '{value}'.{toml_file.suggestion(value, values)}"
        for axis, values in known.items()
        for value in recipe.axes.get(axis, ())
        if value not in values
    ]
    if problems:
        raise RequestError(f"{recipe.source or recipe.name}: {' '.join(problems)} Nothing was drawn.")


def suited(recipe: Recipe, taught: Taught) -> Recipe:
    """The recipe without views that would not show the product: trousers are not seen from the waist up."""
    views = recipe.axes.get("view", ())
    left = tuple(view for view in views if view != "close")
    if taught.category not in LOWER_GARMENTS or not left or left == views:
        return recipe
    return replace(recipe, axes={**recipe.axes, "view": left})


def labels(requested: Mapping[str, str]) -> dict[str, str]:
    """Labels that follow from the requested ones: "short black" hair is hair_style short, hair_colour black."""
    found = {}
    for word in requested.get("hair", "").split():
        if word in HAIR_STYLES:
            found["hair_style"] = word
        elif word in HAIR_COLOURS:
            found["hair_colour"] = word
    return found
