"""A character from its pictures to a labelled set: what is said, what is asked for, that it is one and the same."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthgen import adapters, recipes
from synthgen.domains import character
from synthgen.errors import RequestError
from synthgen.mini import persons
from synthgen.mini.world import render
from synthgen.types import Taught
from synthgen.vocabulary import SKIN_TONES, article, garment


@pytest.fixture
def mascot(synthgen: Any, empty_folder: Path) -> Path:
    assert synthgen("samples", "--kind", "character", "--count", 6, "--out", "mascot", "--seed", 3).code == 0
    return Path("mascot")


def test_a_rendered_character_changes_its_pose_and_place_and_nothing_of_itself(mascot: Path) -> None:
    with (mascot / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    own = [{key: row[key] for key in row if key not in ("file_name", "pose", "view", "place")} for row in rows]
    assert all(row == own[0] for row in own) and len(own[0]) == 10
    assert all(len({row[axis] for row in rows}) > 1 for axis in ("pose", "view", "place"))


def test_a_person_of_one_number_wears_the_same_in_every_picture() -> None:
    fixed = {"place": "studio", "view": "full", "pose": "standing-straight", "category": "shirt", "pattern": "striped"}
    one = render("person", 1, fixed).labels
    same = [render("person", seed, one | {"pose": "standing-straight"}, product=5) for seed in (1, 2)]
    other = render("person", 2, one | {"pose": "standing-straight"}, product=6)
    worn = [np.median(made.pixels[made.mask > 0], axis=0) for made in (*same, other)]
    assert np.abs(worn[0] - worn[1]).max() < np.abs(worn[0] - worn[2]).max()


def test_captions_say_what_changes_and_an_own_caption_stays(synthgen: Any, mascot: Path, toy: Path) -> None:
    (mascot / "character-0000.txt").write_text("sks person, waving\n")
    more = ("--base", toy, "--steps", 20, "--rank", 4, "--batch-size", 4, "--learning-rate", 0.02, "--samples", 0)
    code, out, _ = synthgen("train-character", "--images", mascot, *more)
    assert (code, out) == (0, "adapters/mascot\n")
    card = adapters.load_card(Path("adapters/mascot"))
    assert (card.domain, card.category) == ("character", "person")
    with (mascot / "metadata.csv").open() as file:
        row = list(csv.DictReader(file))[1]
    said = ", ".join(character.phrase(axis, row[axis]) for axis in ("pose", "view", "place"))
    worn = garment(row["category"], row["colour"], row["pattern"])
    who = f"a sks person with {SKIN_TONES[row['skin_tone']][1]} and {row['hair_style']} {row['hair_colour']} hair"
    who += f" wearing {article(worn)}{worn}"
    assert {"sks person, waving", f"a photo of {who}, {said}"} <= set(card.trained_on["captions"])

    code, out, _ = synthgen("generate", "--count", 4, "--base", toy, "--size", 64, "--num-inference-steps", 1)
    assert code == 0
    records = [json.loads(line) for line in (Path(out.strip()) / "records.jsonl").read_text().splitlines()]
    asked = [record["lineage"]["requested"] for record in records]
    prompts = [record["lineage"]["prompt"] for record in records]
    assert all(text.startswith(f"a photo of {who}, ") for text in prompts)
    own = ("skin_tone", "hair_style", "hair_colour", "colour", "pattern")
    assert {tuple(one[key] for key in own) for one in asked} == {tuple(row[key] for key in own)}
    assert len({(row["pose"], row["view"], row["place"]) for row in asked}) == 4
    assert Image.open(Path(out.strip()) / records[0]["file_name"]).size == (64, 64)


def test_skin_hair_and_clothes_are_read_from_the_photos_of_one_person_and_of_nothing_else() -> None:
    one = render("person", 4, {"place": "studio", "view": "full"}).labels
    pictures = [
        render("person", 40 + number, {**one, "pose": pose}, product=7).pixels
        for number, pose in enumerate(("standing", "walking", "sitting", "leaning", "arms-raised", "arms-out"))
    ]
    found = persons.of(pictures)
    tones = list(SKIN_TONES)
    assert abs(tones.index(found["skin_tone"]) - tones.index(one["skin_tone"])) <= 1
    assert found["hair"] == f"{one['hair_style']} {one['hair_colour']}"
    assert found["worn"] == garment(one["category"], one["colour"], one["pattern"])
    noise = np.random.default_rng(0).integers(100, 150, (6, 64, 64, 3), dtype=np.uint8)
    assert "hair" not in persons.of(list(noise))


def test_what_is_no_person_is_not_asked_to_pose() -> None:
    shipped = recipes.load("character")
    fox = character.suited(shipped, Taught("sks", "fox"))
    assert set(fox.axes) == {"view", "place"}
    said = character.prompt(fox, {"view": "full", "place": "office"}, character.subject_of(Taught("sks", "fox")))
    assert said == "a photo of a sks fox, full body, " + character.phrase("place", "office")
    assert character.suited(shipped, Taught("sks", "person")) == shipped
    assert character.class_subjects(Taught("", "fox"), 2) == ["a fox", "a fox"]
    people = character.class_subjects(Taught("sks", "person"), 8)
    assert len(set(people)) == 8 and not any("sks" in text for text in people)


def test_a_view_that_is_none_is_named_with_the_nearest() -> None:
    shipped = recipes.load("character")
    with pytest.raises(RequestError, match="Did you mean 'close'"):
        character.check(replace(shipped, axes={"view": ("clse",)}))
