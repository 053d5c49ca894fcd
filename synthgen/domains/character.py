"""Character: one person or mascot that stays the same in every picture, in all poses, views and places."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from synthgen import captions, photo_table, poses, recipes, toml_file
from synthgen.errors import RequestError
from synthgen.types import ImageSet, Photo, Recipe, Taught
from synthgen.vocabulary import CATEGORIES, COLOURS, PLACES, VIEWS, article

PERSON = "person"
TOLD = ("pose", "view", "place")  # columns of the photos' table that captions say: what changes from photo to photo


def describe(photos: ImageSet, trigger: str, told: Mapping[str, Any]) -> tuple[ImageSet, Taught]:
    """The photos with captions, and what an adapter will have learned from them.

    A caption names the character and, where the table of the photos tells them, pose, view and place: what is said
    beside the trigger word is not learned as a part of it.
    """
    kind = photos.category or PERSON
    rows = photo_table.read(photos.folder)

    def grammar(photo: Photo) -> tuple[str, str]:
        row = rows.get(photo_table.key(photo.path.name), {})
        noun = f"{trigger} {kind}"
        said = [phrase(axis, row[axis]) for axis in TOLD if row.get(axis)]
        return noun, ", ".join([f"a photo of {article(noun)}{noun}", *said])

    return captions.write(photos, trigger, grammar), Taught(trigger, kind)


def mirror(taught: Taught) -> float:
    """Share of training views that are mirrored."""
    return 0.5


def phrase(axis: str, label: str) -> str:
    """How a label is said: "arms-raised" is "arms raised"; others as they stand."""
    if axis == "pose":
        return poses.phrase(label)
    return {"place": PLACES, "view": VIEWS}.get(axis, {}).get(label, label)


def subject_of(taught: Taught) -> str:
    """What adapters have learned, as a noun phrase: "a sks person"."""
    noun = f"{taught.triggers} {taught.category or PERSON}".strip()
    return article(noun) + noun


def class_subjects(taught: Taught, count: int) -> list[str]:
    """Others of the kind; of people, in clothes of as many colours."""
    noun = taught.category or PERSON
    if noun != PERSON:
        return [article(noun) + noun] * count
    garments, colours = list(CATEGORIES.values()), list(COLOURS)
    worn = [f"{colours[n % len(colours)]} {garments[n % len(garments)]}" for n in range(count)]
    return [f"a person wearing {article(one)}{one}" for one in worn]


def unrelated(taught: Taught, count: int) -> list[str]:
    """Captions of garments that nobody wears, each in a colour: what an adapter of a character must not change."""
    garments, colours = list(CATEGORIES), list(COLOURS)
    return [
        captions.flat_lay(captions.subject("", garments[n % len(garments)], colours[n % len(colours)]))
        for n in range(count)
    ]


def prompt(recipe: Recipe, requested: Mapping[str, str], subject: str) -> str:
    """The recipe's template with the phrases of the requested labels, and "a" or "an" as the next word wants."""
    return recipes.filled(
        recipe.prompt, lambda field: subject if field == recipes.SUBJECT else phrase(field, requested[field])
    )


def check(recipe: Recipe) -> None:
    """Raises RequestError for values that nothing here can draw."""
    known: dict[str, Collection[str]] = {"view": VIEWS, "pose": poses.groups()}
    problems = [
        f"[axes] {axis} has no '{value}'.{toml_file.suggestion(value, values)}"
        for axis, values in known.items()
        for value in recipe.axes.get(axis, ())
        if value not in values
    ]
    if problems:
        raise RequestError(f"{recipe.source or recipe.name}: {' '.join(problems)} Nothing was drawn.")


def suited(recipe: Recipe, taught: Taught) -> Recipe:
    """The recipe; of what is no person without poses, which are those of a human skeleton."""
    if taught.category in ("", PERSON):
        return recipe
    unsaid = recipe.prompt.replace(", {pose}", "").replace("{pose}", "")
    return replace(recipe, prompt=unsaid, axes={axis: values for axis, values in recipe.axes.items() if axis != "pose"})


def into_photo(recipe: Recipe) -> Recipe:
    """The recipe for the character in a photo that is there: without what the photo decides."""
    axes = {axis: values for axis, values in recipe.axes.items() if axis not in TOLD}
    kept = {*axes, recipes.SUBJECT}.issuperset(recipes.fields(recipe.prompt))
    return replace(recipe, axes=axes, prompt=recipe.prompt if kept else "a photo of {subject}")


def labels(requested: Mapping[str, str]) -> dict[str, str]:
    """Nothing follows from pose, view and place."""
    return {}
