"""The grammar of prompts for people who wear a product."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthgen import recipes, vocabulary
from synthgen.domains import apparel
from synthgen.types import ImageSet, Photo, Recipe, Rights, Taught

REQUESTED = {
    "pose": "arms-raised",
    "body_type": "plus",
    "skin_tone": "monk-06",
    "age": "20-39",
    "hair": "short black",
    "worn_with": "black skirt",
    "place": "beach",
    "view": "full",
}


def test_a_prompt_is_said_as_the_base_learned_it():
    said = apparel.prompt(recipes.load("apparel"), REQUESTED, apparel.subject("sks", "shirt"))
    assert said == (
        "a photo of a young adult plus-size person with tan skin and short black hair wearing a sks shirt "
        "and a black skirt, arms raised, full body, on a beach"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sks", "shirt"), "a sks shirt"),
        (("sks", "pants"), "sks trousers"),
        (("ohwx", "outwear"), "an ohwx jacket"),
        (("", "t-shirt", "red", "striped"), "a red striped t-shirt"),
        (("", "t-shirt", "orange", "plain"), "an orange t-shirt"),
        (("sks", ""), "a sks garment"),
        (("sks", "rain_cape"), "a sks rain cape"),
        (("", "shorts"), "shorts"),
    ],
)
def test_a_garment_is_said_with_the_article_that_english_wants(words, said):
    assert apparel.subject(*words) == said


def test_every_value_of_the_shipped_pipeline_is_a_label_of_the_vocabulary():
    recipe = recipes.load("apparel")
    for axis in ("body_type", "skin_tone", "age", "place", "view"):
        assert tuple(recipe.axes[axis]) == tuple(apparel.AXES[axis])
    for hair in recipe.axes["hair"]:
        style, colour = hair.split()
        assert style in vocabulary.HAIR_STYLES
        assert colour in vocabulary.HAIR_COLOURS
        assert apparel.labels({"hair": hair}) == {"hair_style": style, "hair_colour": colour}


def test_a_value_of_the_users_own_stands_as_it_is():
    recipe = Recipe("mine", "apparel", "a photo of a {age} person, {place}", "", {}, {}, {})
    said = apparel.prompt(recipe, {"age": "elderly", "place": "in a {red} barn"}, "")
    assert said == "a photo of an elderly person, in a {red} barn"


def test_hair_of_the_users_own_words_adds_no_label_that_it_does_not_say():
    assert apparel.labels({"hair": "green mohawk"}) == {}
    assert apparel.labels({"place": "beach"}) == {}


def test_views_that_would_not_show_the_product_are_left_out() -> None:
    recipe = recipes.load("apparel")
    assert "close" not in apparel.suited(recipe, Taught(category="pants")).axes["view"]
    assert apparel.suited(recipe, Taught(category="shirt")).axes["view"] == recipe.axes["view"]


# ---------------------------------------------------------------- how the product looks


def test_photos_of_one_thing_have_one_look_and_others_several() -> None:
    assert apparel.common_looks(["blue"] * 7 + ["navy"] * 3) == ("blue",)
    assert apparel.common_looks(["blue"] * 5 + ["red striped"] * 4 + ["white"]) == ("blue", "red striped", "white")
    rare = [f"{colour}" for colour in ("white", "grey") for _ in range(30)] + ["teal"]
    assert apparel.common_looks(rare) == ("white", "grey")


def test_what_was_learned_of_looks_is_asked_for_and_labelled() -> None:
    taught = Taught("sks", "shirt", labels={"look": ("white", "blue striped")})
    recipe = apparel.suited(recipes.load("apparel"), taught)
    assert recipe.axes["look"] == ("white", "blue striped")
    subject = apparel.subject_of(taught)
    asked = {axis: values[0] for axis, values in recipe.axes.items()} | {"look": "blue striped"}
    assert "wearing a sks blue striped shirt and blue trousers," in apparel.prompt(recipe, asked, subject)
    found = apparel.labels(asked)
    assert (found["colour"], found["pattern"]) == ("blue", "striped")
    assert apparel.labels({"look": "white"}) == {"pattern": "plain", "colour": "white"}


def test_a_product_is_worn_with_what_leaves_room_for_it() -> None:
    shipped = recipes.load("apparel")

    def left(category: str) -> set[str]:
        return {
            vocabulary.worn_where(text) for text in apparel.suited(shipped, Taught("sks", category)).axes["worn_with"]
        }

    assert left("shirt") == left("outwear") == {"lower"}
    assert left("skirt") == {"upper"}
    for category in ("dress", "", "rain_cape"):  # alone, or not known where
        recipe = apparel.suited(shipped, Taught("sks", category))
        assert "worn_with" not in recipe.axes
        first = {axis: values[0] for axis, values in recipe.axes.items()}
        assert f"wearing {apparel.subject('sks', category)}, " in apparel.prompt(
            recipe, first, apparel.subject("sks", category)
        )
    own = replace(shipped, axes={**shipped.axes, "worn_with": ("red shorts", "sandals")})
    assert apparel.suited(own, Taught("sks", "skirt")).axes["worn_with"] == ("sandals",)


def test_garments_are_told_from_those_that_are_worn_at_the_same_place() -> None:
    assert [vocabulary.worn_where(text) for text in ("navy long-sleeve top", "a red shirt", "black t-shirt")] == [
        "upper"
    ] * 3
    assert [vocabulary.worn_where(text) for text in ("pants", "blue trousers", "dress", "nightshirt")] == [
        "lower",
        "lower",
        "",
        "",
    ]
    assert set(vocabulary.rivals("shirt")) == {"t-shirt", "shirt", "longsleeve", "outwear", "dress"}
    assert set(vocabulary.rivals("pants")) == {"pants", "skirt", "shorts", "dress"}
    assert set(vocabulary.rivals("dress")) == set(vocabulary.CATEGORIES)


def test_a_look_that_no_prompt_would_say_is_not_asked_for() -> None:
    shipped = recipes.load("apparel")
    own = replace(shipped, axes={**shipped.axes, "look": ("red", "blue")})
    assert "look" not in apparel.suited(own, Taught("sks", "shirt")).axes
    assert apparel.suited(own, Taught("sks", "shirt", labels={"look": ("red",)})).axes["look"] == ("red", "blue")
    said = replace(own, prompt=own.prompt.replace("{subject}", "{subject} in {look}"))
    asked = apparel.suited(said, Taught("sks", "shirt"))
    assert asked.axes["look"] == ("red", "blue")
    first = {axis: values[0] for axis, values in asked.axes.items()}
    assert "sks shirt in red" in apparel.prompt(asked, first, apparel.subject("sks", "shirt"))


def _photo(path: Path) -> Photo:
    return Photo(path, path.stem, 64, 64, "shirt")


def test_captions_tell_the_look_of_each_photo(tmp_path: Path) -> None:
    photos = ImageSet(tmp_path, tuple(_photo(tmp_path / f"{n}.png") for n in range(3)), "shirt", Rights(), "d")
    said, taught = apparel.describe(photos, "sks", {"looks": lambda found: ["white", "blue striped", "red"]})
    assert [photo.caption for photo in said.photos] == [
        f"a photo of a sks {look} shirt, flat lay" for look in ("white", "blue striped", "red")
    ]
    assert taught.labels["look"] == ("white", "blue striped", "red")
    same, taught = apparel.describe(photos, "sks", {"looks": lambda found: ["red", "red", "pink"]})
    assert {photo.caption for photo in same.photos} == {"a photo of a sks red shirt, flat lay"}
    plain, taught = apparel.describe(photos, "sks", {"looks": None})
    assert {photo.caption for photo in plain.photos} == {"a photo of a sks shirt, flat lay"} and not taught.labels
