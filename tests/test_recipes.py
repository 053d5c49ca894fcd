"""Pipelines read from TOML: what is wrong is told whole, and what is right comes back the same."""

from __future__ import annotations

import pytest

from synthgen import poses, recipes
from synthgen.errors import RequestError, UnknownName

GOOD = """
[pipeline]
name = "mine"
domain = "apparel"
caption = "Mine."
[prompt]
template = "a person wearing {subject}, {pose}, {place}"
[axes]
pose = ["walking", "sitting"]
place = ["studio", "a red barn"]
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHGEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines").mkdir()
    return tmp_path


def written(folder, text: str, name: str = "mine"):
    path = folder / "pipelines" / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path) -> str:
    with pytest.raises(RequestError) as failure:
        recipes.load(path)
    return str(failure.value)


def test_the_shipped_pipeline_asks_for_every_group_of_the_pose_library():
    recipe = recipes.load("apparel")
    assert recipe.axes["pose"] == tuple(poses.groups())
    assert set(recipe.axes) == {"pose", "body_type", "skin_tone", "age", "hair", "worn_with", "place", "view"}
    assert recipe.settings == recipes.DEFAULTS
    assert recipe.gates == {
        "blank": "reject",
        "broken": "reject",
        "label": "measure",
        "fidelity": "measure",
        "duplicates": "measure",
        "pose": "measure",
    }


def test_every_pipeline_is_listed_with_its_caption(own_folder):
    written(own_folder, GOOD)
    written(own_folder, "[pipeline", "torn")
    names = recipes.names()
    assert names["apparel"].startswith("People wearing")
    assert names["mine"] == "Mine."
    assert "check" in names["torn"]


def test_a_users_own_pipeline_comes_before_the_shipped_one(own_folder):
    path = written(own_folder, GOOD, "apparel")
    assert recipes.load("apparel").source == path


def test_a_dumped_recipe_loads_as_the_same_recipe(own_folder):
    for recipe in (recipes.load("apparel"), recipes.load(written(own_folder, GOOD))):
        again = recipes.load(written(own_folder, recipes.dump(recipe), "again"))
        assert (again.name, again.prompt, again.axes) == (recipe.name, recipe.prompt, recipe.axes)
        assert (again.settings, again.gates) == (recipe.settings, recipe.gates)


def test_all_problems_of_a_file_are_told_at_once_with_section_and_nearest_name(own_folder):
    path = written(
        own_folder,
        """
        [pipelin]
        [pipeline]
        name = "mine"
        domain = "aparel"
        titel = "x"
        [prompt]
        template = "a person, {pose}, {plase}"
        [axes]
        pose = ["walking", "siting"]
        place = []
        [settings]
        guidance_scal = 3.0
        size = 250
        batch = 0
        [gates]
        blnk = "reject"
        broken = "yes"
        """,
    )
    assert problems(path).replace(str(path), "mine.toml") == "\n".join(
        [
            "mine.toml: unknown key 'pipelin'. Did you mean 'pipeline'?",
            "mine.toml [pipeline]: unknown key 'titel'. Known: caption, domain, name.",
            "mine.toml [axes]: pose 'siting' is in no group of the pose library. Did you mean 'sitting'?",
            "mine.toml [axes]: place is []; wanted a list of texts.",
            "mine.toml [settings]: unknown key 'guidance_scal'. Did you mean 'guidance_scale'?",
            "mine.toml [settings]: size is 250; wanted a whole number from 64 to 4096, divisible by 8.",
            "mine.toml [settings]: batch is 0; wanted a whole number from 1 to 512.",
            "mine.toml [gates]: unknown key 'blnk'. Did you mean 'blank'?",
            'mine.toml [gates]: broken is \'yes\'; wanted "reject", "measure" or "off".',
            "mine.toml [pipeline]: domain is 'aparel'. Did you mean 'apparel'?",
            "mine.toml [prompt]: template has {plase}, which is no axis. Did you mean 'place'?",
            "Nothing was loaded.",
        ]
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('template = "{pose.__class__}"', "no plain field"),
        ('template = "{pose!r}"', "no plain field"),
        ('template = "{}"', "no plain field"),
        ('template = "a { person"', "cannot be read"),
        ('template = ""', "template is missing"),
        ("template = 3", "template is 3; wanted text"),
    ],
)
def test_a_template_holds_plain_fields_only(own_folder, line, found):
    text = GOOD.replace('template = "a person wearing {subject}, {pose}, {place}"', line)
    assert found in problems(written(own_folder, text))


@pytest.mark.parametrize(
    ("axis", "found"),
    [
        ('view = ["full", "full"]', "has 'full' twice"),
        ("view = [1, 2]", "one line of text for each value"),
        ('view = ["a\\nb"]', "one line of text for each value"),
        ('view = "full"', "wanted a list of texts"),
        ('subject = ["a"]', "is no axis name"),
        ('"my view" = ["a"]', "is no axis name"),
    ],
)
def test_an_axis_is_a_list_of_distinct_one_line_texts(own_folder, axis, found):
    assert found in problems(written(own_folder, GOOD + axis + "\n"))


def test_a_file_that_is_no_toml_text_is_one_clear_error(own_folder):
    assert "is not valid TOML" in problems(written(own_folder, "[pipeline\n"))
    path = own_folder / "pipelines" / "bytes.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in problems(path)
    path.write_bytes(b"#" * (1 << 21))
    assert "at most" in problems(path)
    assert "no pipeline file" in problems(own_folder / "nothing.toml")


def test_an_unknown_pipeline_offers_the_nearest():
    with pytest.raises(UnknownName, match="pipelines has no 'aparel'; did you mean 'apparel'"):
        recipes.load("aparel")


def test_the_command_line_beats_the_recipe():
    recipe = recipes.load("apparel")
    changed = recipes.adjusted(recipe, {"num_inference_steps": 4, "guidance_scale": 2})
    assert changed.settings["num_inference_steps"] == 4
    assert changed.settings["guidance_scale"] == 2.0
    assert changed.settings["size"] == recipe.settings["size"]
    with pytest.raises(RequestError, match="controlnet_conditioning_scale is 9"):
        recipes.adjusted(recipe, {"controlnet_conditioning_scale": 9})
