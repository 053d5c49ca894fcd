"""Apparel: people wearing a product, in all poses, places and body types that the plan asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from synthgen import captions, poses, recipes, toml_file
from synthgen.errors import RequestError
from synthgen.types import ImageSet, Photo, Recipe, Taught
from synthgen.vocabulary import (
    AGE_BANDS,
    BODY_TYPES,
    CATEGORIES,
    COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    LOWER_GARMENTS,
    PATTERNS,
    PLACES,
    SKIN_TONES,
    VIEWS,
    article,
    worn_where,
)

AXES: Mapping[str, Mapping[str, str]] = {  # axis -> label -> phrase in the prompt; other labels stand as they are
    "body_type": BODY_TYPES,
    "skin_tone": {label: phrase for label, (_, phrase) in SKIN_TONES.items()},
    "age": AGE_BANDS,
    "place": PLACES,
    "view": VIEWS,
}


PEOPLE = True  # are pictured, and are adults
WORN_WITH = "worn_with"  # axis: the garment that the product is worn with
OF_THE_PHOTO = ("pose", "body_type", "skin_tone", "age", "hair", "worn_with", "place", "view")
IN_PHOTO = "a photo of a person wearing {subject}"

LOOK = "{look}"  # in a subject: the place of the words for how the product looks
LEAST_SHARE = 0.04  # of the photos: a look that fewer have is not asked for
MOST_LOOKS = 8
ALL_ALIKE = 0.6  # of the photos: from here on they are photos of one thing, and other readings are errors


def describe(photos: ImageSet, trigger: str, told: Mapping[str, Any]) -> tuple[ImageSet, Taught]:
    """The photos with captions, and what an adapter will have learned from them.

    told  `looks`, for a base that has words of its own for how garments look: photos -> such words for each
    """
    looks: Sequence[str] = told["looks"](photos.photos) if told.get("looks") else ()
    if not looks:
        return captions.write(photos, trigger), Taught(trigger, photos.category)
    common = common_looks(looks)
    one = common[0] if len(common) == 1 else ""
    said = {photo.path: one or look for photo, look in zip(photos.photos, looks, strict=True)}

    def grammar(photo: Photo) -> tuple[str, str]:
        noun = captions.subject(trigger, photo.category or photos.category, said[photo.path])
        return noun, captions.flat_lay(noun)

    return captions.write(photos, trigger, grammar), Taught(trigger, photos.category, labels={"look": common})


def common_looks(looks: Sequence[str]) -> tuple[str, ...]:
    """The looks that pictures are asked for, commonest first; only one where most photos have it."""
    counted = Counter(looks).most_common(MOST_LOOKS)
    if counted[0][1] >= ALL_ALIKE * len(looks):
        return (counted[0][0],)
    return tuple(look for look, count in counted if count >= LEAST_SHARE * len(looks)) or (counted[0][0],)


def mirror(taught: Taught) -> float:
    """Share of training views that are mirrored."""
    return 0.5


def phrase(axis: str, label: str) -> str:
    """How a label is said: "monk-04" is "light skin", "arms-raised" is "arms raised"; others as they stand.

    What the product is worn with follows it: "black skirt" is " and a black skirt", nothing is nothing.
    """
    if axis == "pose":
        return poses.phrase(label)
    if axis == WORN_WITH:
        return f" and {article(label)}{label}" if label else ""
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
    """What adapters have learned, as a noun phrase; a garment where there are none.

    Where looks were learned it holds LOOK, which `prompt` fills.
    """
    return subject(taught.triggers, taught.category, LOOK if taught.labels.get("look") else "")


def class_subjects(taught: Taught, count: int) -> list[str]:
    """Other garments of the class, in as many colours."""
    colours = list(COLOURS)
    return [subject("", taught.category, colours[number % len(colours)]) for number in range(count)]


def unrelated(taught: Taught, count: int) -> list[str]:
    """Captions of other garments, lying flat, each in a colour: what an adapter of one must not change."""
    others = [name for name in CATEGORIES if name != taught.category]
    colours = list(COLOURS)
    return [
        captions.flat_lay(captions.subject("", others[number % len(others)], colours[number % len(colours)]))
        for number in range(count)
    ]


def prompt(recipe: Recipe, requested: Mapping[str, str], subject: str) -> str:
    """The recipe's template with the phrases of the requested labels, and "a" or "an" as the next word wants."""
    subject = " ".join(subject.replace(LOOK, requested.get("look", "")).split())

    def say(field: str) -> str:
        if field == recipes.SUBJECT:
            return subject
        return phrase(field, requested.get(field, "") if field == WORN_WITH else requested[field])

    return recipes.filled(recipe.prompt, say)


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
    """The recipe without views that would not show the product, with the looks that it has and what goes with it.

    Trousers are not seen from the waist up, and are worn with a shirt and not with shorts. A look that no prompt says
    is no label: where none was learned, the axis stays only if the template itself has a place for it.
    """
    if looks := taught.labels.get("look"):
        recipe = replace(recipe, axes={**recipe.axes, "look": recipe.axes.get("look", looks)})
    elif "look" in recipe.axes and "look" not in recipes.fields(recipe.prompt):
        recipe = replace(recipe, axes={axis: values for axis, values in recipe.axes.items() if axis != "look"})
    recipe = _dressed(recipe, taught.category)
    views = recipe.axes.get("view", ())
    left = tuple(view for view in views if view != "close")
    if taught.category not in LOWER_GARMENTS or not left or left == views:
        return recipe
    return replace(recipe, axes={**recipe.axes, "view": left})


def _dressed(recipe: Recipe, category: str) -> Recipe:
    """The recipe with no garment beside the product that is worn where the product is; without any, no such axis."""
    zone = worn_where(category)
    left = tuple(text for text in recipe.axes.get(WORN_WITH, ()) if zone and worn_where(text) != zone)
    axes = {axis: left if axis == WORN_WITH else values for axis, values in recipe.axes.items()}
    return replace(recipe, axes={axis: values for axis, values in axes.items() if values})


def into_photo(recipe: Recipe) -> Recipe:
    """The recipe for the garment alone, on a person whom a photo shows: without what the photo decides."""
    axes = {axis: values for axis, values in recipe.axes.items() if axis not in OF_THE_PHOTO}
    kept = {*axes, "subject"}.issuperset(recipes.fields(recipe.prompt))
    return replace(recipe, axes=axes, prompt=recipe.prompt if kept else IN_PHOTO)


def labels(requested: Mapping[str, str]) -> dict[str, str]:
    """Labels that follow from the requested ones: "short black" hair is hair_style short, hair_colour black.

    A look of "blue striped" is colour blue, pattern striped; of "blue", pattern plain.
    """
    found = {}
    if look := requested.get("look", ""):
        found = {"pattern": "plain"}
        for word in look.split():
            found |= {"colour": word} if word in COLOURS else {"pattern": word} if word in PATTERNS else {}
    for word in requested.get("hair", "").split():
        if word in HAIR_STYLES:
            found["hair_style"] = word
        elif word in HAIR_COLOURS:
            found["hair_colour"] = word
    return found
