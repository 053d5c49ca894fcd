"""The grammar of prompts for people who wear a product."""

from __future__ import annotations

import pytest

from synthgen import recipes, vocabulary
from synthgen.domains import apparel
from synthgen.types import Recipe, Taught

REQUESTED = {
    "pose": "arms-raised",
    "body_type": "plus",
    "skin_tone": "monk-06",
    "age": "20-39",
    "hair": "short black",
    "place": "beach",
    "view": "full",
}


def test_a_prompt_is_said_as_the_base_learned_it():
    said = apparel.prompt(recipes.load("apparel"), REQUESTED, apparel.subject("sks", "shirt"))
    assert said == (
        "a photo of a young adult plus-size person with tan skin and short black hair wearing a sks shirt, "
        "arms raised, full body, on a beach"
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
    assert apparel.suited(recipe, Taught(category="shirt")) == recipe
