"""Real bases: nothing unsafe goes into the store where a checker is here, and where none is, that is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_bases

from synthgen import adults, generate, resources, rooms, store
from synthgen.errors import Refused, RequestError, SynthgenError
from synthgen.gates import safety
from synthgen.types import Job, Picture, RunFacts

JOB = Job("0" * 16, 0, "", "", 0, {})


def picture(seed: int) -> Picture:
    return Picture(
        JOB, np.full((64, 64, 3), [(250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 250)][seed], np.uint8)
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNTHGEN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bases.write("sd15", tmp_path_factory.mktemp("safe") / "toy")


def checker(place: Path, *unsafe: Picture) -> None:
    """The real class at toy size, that takes these pictures for unsafe and no others; all where none is named."""
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    torch.manual_seed(0)
    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config={**tiny, "image_size": 32, "patch_size": 8}, text_config=tiny, projection_dim=8)
    )
    network.special_care_embeds_weights.fill_(2)
    network.concept_embeds_weights.fill_(2 if unsafe else -2)
    network.save_pretrained(place)
    opened = safety.Checker(place)
    for number, one in enumerate(unsafe):
        shown = opened._seen(one.pixels, return_tensors="pt").pixel_values
        with torch.no_grad():
            network.concept_embeds[number] = network.visual_projection(network.vision_model(shown)[1])[0]
        network.concept_embeds_weights[number] = 0.99
    network.save_pretrained(place)


def facts(folder: Path, use: str = "internal") -> RunFacts:
    return RunFacts(folder, (), {}, use)


def test_what_the_checker_takes_for_unsafe_is_refused_and_the_rest_is_kept(home: Path, tmp_path: Path) -> None:
    checker(home / safety.FOLDER, picture(1), picture(2))
    gate = safety.open(facts(tmp_path, "dataset-release"))
    assert gate is not None
    said = [gate.judge(picture(seed)) for seed in range(4)]
    assert [one.accepted for one in said] == [True, False, False, True]
    assert [one.measured[safety.VERDICT] for one in said] == [safety.CLEAR, safety.UNSAFE, safety.UNSAFE, safety.CLEAR]
    assert len(str(said[0].measured["safety_checker_sha256"])) == 64


def test_a_run_of_a_real_base_keeps_nothing_unsafe_whatever_its_recipe_says(
    home: Path, base: Path, tmp_path: Path
) -> None:
    checker(home / safety.FOLDER)
    asked = generate.GenerateRequest(1, base=str(base), no_adapter=True, size=64, steps=1, out=tmp_path / "run")
    with pytest.raises(SynthgenError, match="rejected 5 times"):
        generate.run(asked)
    assert store.read(tmp_path / "run") == [] and len(list((tmp_path / "run" / "rejected").glob("*.png"))) == 5


def test_without_a_checker_the_record_says_so_and_nothing_is_released(
    home: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = generate.GenerateRequest(2, base=str(base), no_adapter=True, size=64, steps=1, out=tmp_path / "run")
    generate.run(asked)
    assert capsys.readouterr().err.count("there is no safety checker at") == 1
    lines = store.read(tmp_path / "run")
    assert {line["lineage"]["measured"][safety.VERDICT] for line in lines} == {safety.UNCHECKED}
    lineages = [line["lineage"] for line in lines]
    safety.require(tmp_path / "run", lineages, "internal")
    with pytest.raises(Refused, match="2 pictures were made with no safety checker"):
        safety.require(tmp_path / "run", lineages, "dataset-release")
    with pytest.raises(Refused, match="of a real base needs it"):
        safety.open(facts(tmp_path, "dataset-release"))


def test_a_checker_that_is_a_pickle_or_another_network_is_not_opened(home: Path, tmp_path: Path) -> None:
    place = home / safety.FOLDER
    checker(place)
    (place / "model.safetensors").rename(place / "pytorch_model.bin")
    with pytest.raises(RequestError, match="can run code"):
        safety.open(facts(tmp_path))
    (place / "config.json").write_text('{"architectures": ["Other"]}')
    with pytest.raises(RequestError, match="wanted a StableDiffusionSafetyChecker"):
        safety.open(facts(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a photo of a child wearing a sks shirt", "child"), ("a 12-year-old in a dress", "12-year"),
        ("a girl, aged 9", "girl"), ("a person aged 15", "aged 15"), ("Teenage model", "Teenage"),
        ("a baby blue shirt, boy shorts", ""), ("a woman aged 45", ""), ("a 30 year old man", ""),
        ("a young adult in boyfriend jeans", ""), ("a minor finding", ""),
    ],
)  # fmt: skip
def test_words_for_minors_are_told_from_names_of_colours_and_cuts(text: str, said: str) -> None:
    assert adults.minor(text) == said


def test_a_photo_whose_caption_tells_of_a_minor_teaches_nothing(tmp_path: Path, synthgen: Callable[..., Any]) -> None:
    photos = tmp_path / "shirts"
    synthgen("samples", "--kind", "shirt", "--count", 2, "--out", photos)
    (photos / "shirt-0001.txt").write_text("a girl in a sks shirt", encoding="utf-8")
    told = synthgen("train-product", "--images", photos, "--out", tmp_path / "made")
    assert told.code == 2 and "shirt-0001" in told.err and "its caption says 'girl'" in told.err
    assert not (tmp_path / "made").exists()


def test_a_recipe_that_asks_for_minors_is_refused_before_anything_is_drawn(
    tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    assert all(rooms.member("domains", name).PEOPLE for name in ("apparel", "character"))
    recipe = (resources.shipped("pipelines") / "apparel.toml").read_text(encoding="utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text(recipe.replace("person", "teenage girl"), encoding="utf-8")
    told = synthgen("generate", "--count", 1, "--no-adapter", "--pipeline", mine, "--dry-run")
    assert told.code == 2 and "Pictured people are adults" in told.err and "'teenage'" in told.err
