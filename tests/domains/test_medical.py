"""The grammar of medical prompts, and labels that are true."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synthgen import modalities, plan, recipes
from synthgen.bases import mini
from synthgen.domains import medical
from synthgen.errors import RequestError
from synthgen.mini.world import captions
from synthgen.types import Taught

XRAY = modalities.modality("chest-xray")


def test_a_prompt_is_said_as_the_base_learned_it() -> None:
    recipe = medical.suited(recipes.load("medical"), mini.FAMILY.TAUGHT["medical"])
    labels = {"condition": "effusion", "finding": "effusion", "severity": "severe", "side": "left", "view": "PA"}
    said = medical.prompt(recipe, labels, medical.subject_of(Taught(modality="chest-xray")))
    assert said == captions._radiograph(labels, severity=True) == "chest x-ray, severe pleural effusion, left, PA view"


def test_the_base_alone_is_asked_for_nothing_that_it_never_saw() -> None:
    recipe = medical.suited(recipes.load("medical"), mini.FAMILY.TAUGHT["medical"])
    assert list(recipe.axes) == ["condition", "severity", "side", "view"]
    assert recipe.axes["view"] == ("PA", "AP")


def test_an_adapter_is_asked_for_its_condition_and_for_what_its_table_told() -> None:
    taught = Taught("sks", "pneumonia", "chest-xray", ("portable",), {"sex": ("female",), "view": ("AP", "oblique")})
    recipe = medical.suited(recipes.load("medical"), taught)
    assert recipe.axes == {"condition": ("pneumonia",), "view": ("AP",), "sex": ("female",)}
    said = medical.prompt(recipe, {"condition": "pneumonia", "view": "AP", "sex": "female"}, medical.subject_of(taught))
    assert said == "sks chest x-ray, portable, pneumonia, AP view, female"


def test_a_picture_without_a_finding_has_no_side_and_no_severity() -> None:
    recipe = medical.suited(recipes.load("medical"), mini.FAMILY.TAUGHT["medical"])
    jobs = plan.jobs(
        plan.Request(recipe, 60, subject="chest x-ray"),
        lambda requested: medical.prompt(recipe, requested, "chest x-ray"),
        medical.labels,
    )
    seen = {job.requested["condition"] for job in jobs}
    assert seen == set(recipe.axes["condition"])
    for job in jobs:
        told = job.requested
        assert job.category == told["finding"] == told["condition"]
        assert (told["severity"] == "") == (told["condition"] == "none")
        assert (told["side"] == "") == (told["condition"] in ("none", "cardiomegaly"))
        if told["condition"] == "none":
            assert job.prompt == f"chest x-ray, no finding, {told['view']} view"
            assert "side_code" not in told and "condition_code" not in told


def test_codes_are_those_of_pydicoms_dictionary_and_no_others() -> None:
    from pydicom.sr._concepts_dict import concepts

    known = {next(iter(entry)): text for entry in concepts["SCT"].values() for text in [next(iter(entry.values()))[0]]}
    for label in medical.SNOMED:
        assert medical.snomed(label) in known
    assert known[medical.snomed("effusion")] == "Pleural effusion"
    assert medical.snomed("pneumonia") == ""  # pydicom's dictionary has none


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"condition": ("none",), "severity": ("sever",)}, "Did you mean 'severe'?"),
        ({"view": ("PA",)}, "no 'condition'"),
    ],
)
def test_values_that_are_none_are_told(axes: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(RequestError, match=said.replace("?", r"\?")):
        medical.check(replace(recipes.load("medical"), axes=axes))


def test_words_of_the_users_own_are_a_modality() -> None:
    own = modalities.modality("Knee ultrasound")
    assert medical.say(own, "sks", {"condition": "effusion"}) == "sks Knee ultrasound, effusion"
    assert medical.mirror(Taught(modality=own.name)) == 0 and medical.mirror(Taught(modality="blood-smear")) == 0.5
    assert modalities.modality("CXR") is XRAY and modalities.condition("No_Finding") == "none"
