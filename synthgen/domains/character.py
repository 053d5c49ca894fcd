"""Character: one person or mascot that stays the same in every picture, in all poses, views and places."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from synthgen import captions, photo_table, poses, recipes, toml_file
from synthgen.errors import RequestError
from synthgen.types import ImageSet, Photo, Recipe, Taught
from synthgen.vocabulary import (
    CATEGORIES,
    COLOURS,
    HAIR_COLOURS,
    HAIR_STYLES,
    PATTERNS,
    PLACES,
    SKIN_TONES,
    VIEWS,
    article,
    garment,
)

PEOPLE = True  # are pictured, and are adults
PERSON = "person"
TOLD = ("pose", "view", "place")  # columns of the photos' table that captions say: what changes from photo to photo
OWN = ("skin_tone", "hair", "worn")  # labels of a person that stay, and are said in words that the base knows
WHO = "{who}"  # in a subject: the place of these words


def describe(photos: ImageSet, trigger: str, told: Mapping[str, Any]) -> tuple[ImageSet, Taught]:
    """The photos with captions, and what an adapter will have learned from them.

    A caption names the character and, where the table of the photos tells them, pose, view and place: what is said
    beside the trigger word is not learned as a part of it. A person's skin, hair and clothes are said too, in words
    of the base: an adapter alone lets them drift.

    told  `person`, for a base that has words for these: photos -> labels of OWN; the photos' table comes before it
    """
    kind = photos.category or PERSON
    rows = photo_table.read(photos.folder)
    own = _own(rows.values()) if kind == PERSON else {}
    if kind == PERSON and told.get("person"):
        own = {**told["person"](photos.photos), **own}

    def grammar(photo: Photo) -> tuple[str, str]:
        row = rows.get(photo_table.key(photo.path.name), {})
        noun = f"{trigger} {kind}"
        said = [phrase(axis, row[axis]) for axis in TOLD if row.get(axis)]
        return noun, ", ".join([f"a photo of {article(noun)}{noun}{_said(own)}", *said])

    labels = {axis: (own[axis],) for axis in OWN if axis in own}
    return captions.write(photos, trigger, grammar), Taught(trigger, kind, labels=labels)


def _own(rows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Labels of OWN that a table of photos tells, the same in every row."""
    told = [_labels(row) for row in rows]
    found = {axis: {one[axis] for one in told} for axis in OWN}
    return {axis: next(iter(values)) for axis, values in found.items() if len(values) == 1 and "" not in values}


def _labels(row: Mapping[str, str]) -> dict[str, str]:
    """Labels of OWN in one row of a table, "" for what it does not tell in known words."""
    tone, style, dye = (row.get(key, "") for key in ("skin_tone", "hair_style", "hair_colour"))
    category, colour, pattern = row.get("category", ""), row.get("colour", ""), row.get("pattern") or "plain"
    clothed = category in CATEGORIES and colour in COLOURS and pattern in PATTERNS
    return {
        "skin_tone": tone if tone in SKIN_TONES else "",
        "hair": f"{style} {dye}" if style in HAIR_STYLES and dye in HAIR_COLOURS else "",
        "worn": garment(category, colour, pattern) if clothed else "",
    }


def _said(own: Mapping[str, str]) -> str:
    """ " with tan skin and short black hair wearing a blue shirt", or as much of it as is known."""
    traits = [SKIN_TONES[own["skin_tone"]][1]] if own.get("skin_tone") in SKIN_TONES else []
    traits += [f"{own['hair']} hair"] if own.get("hair") else []
    worn = own.get("worn", "")
    return (f" with {' and '.join(traits)}" if traits else "") + (f" wearing {article(worn)}{worn}" if worn else "")


def mirror(taught: Taught) -> float:
    """Share of training views that are mirrored."""
    return 0.5


def phrase(axis: str, label: str) -> str:
    """How a label is said: "arms-raised" is "arms raised"; others as they stand."""
    if axis == "pose":
        return poses.phrase(label)
    return {"place": PLACES, "view": VIEWS}.get(axis, {}).get(label, label)


def subject_of(taught: Taught) -> str:
    """What adapters have learned, as a noun phrase: "a sks person"; with WHO, which `prompt` fills, if known."""
    noun = f"{taught.triggers} {taught.category or PERSON}".strip()
    return article(noun) + noun + (WHO if any(axis in taught.labels for axis in OWN) else "")


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
    subject = subject.replace(WHO, _said(requested))
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
    """The recipe with the looks that were learned; of what is no person without poses, which are a human's."""
    if taught.category in ("", PERSON):
        own = {axis: values for axis, values in taught.labels.items() if axis in OWN}
        return replace(recipe, axes={**own, **recipe.axes}) if own else recipe
    unsaid = recipe.prompt.replace(", {pose}", "").replace("{pose}", "")
    return replace(recipe, prompt=unsaid, axes={axis: values for axis, values in recipe.axes.items() if axis != "pose"})


def into_photo(recipe: Recipe) -> Recipe:
    """The recipe for the character in a photo that is there: without what the photo decides."""
    axes = {axis: values for axis, values in recipe.axes.items() if axis not in TOLD}
    kept = {*axes, recipes.SUBJECT}.issuperset(recipes.fields(recipe.prompt))
    return replace(recipe, axes=axes, prompt=recipe.prompt if kept else "a photo of {subject}")


def labels(requested: Mapping[str, str]) -> dict[str, str]:
    """Labels that follow from the requested ones.

    "short black" hair is hair_style short, hair_colour black; "blue striped shirt" is colour blue, pattern striped.
    """
    style, _, dye = requested.get("hair", "").partition(" ")
    found = {"hair_style": style, "hair_colour": dye} if dye else {}
    words = requested.get("worn", "").split()
    if words and words[0] in COLOURS:
        found |= {"colour": words[0], "pattern": words[1] if words[1] in PATTERNS else "plain"}
    return found
