"""The ten worked cases of the research, licence expressions, Civitai's flags, circumstances: each with its answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen import licensee, licenses
from synthgen.errors import RequestError, UnknownName
from synthgen.licenses import Circumstances
from synthgen.types import Asset

TODAY = date(2026, 11, 24)
LENIENT = Circumstances("lenient")
STABILITY = "LicenseRef-scancode-stability-ai-community-2024"
SDXL, SD15 = Asset("base", "sdxl", "openrail++"), Asset("base", "sd15", "creativeml-openrail-m")
QWEN, KLEIN = Asset("base", "qwen-image", "Apache-2.0"), Asset("base", "klein-4b", "Apache-2.0")
SD35 = Asset("base", "sd35", STABILITY)
OWN_POSE = Asset("poses", "mine.json", "LicenseRef-own", owner="Acme")
ONLY_IMAGES = "LicenseRef-civitai-Image-NoDerivatives-AnyLicense-NoCredit"


def lora(photos: str, license: str = "LicenseRef-own", **more: str) -> Asset:
    return Asset("adapter", "acme", license, trained_on=(Asset("photos", "set", photos, **more),))


def answer(*assets: Asset, use: str, about: Circumstances | None = None) -> str:
    return licenses.clear(assets, use, TODAY, about).answer


def right(name: str, *assets: Asset, about: Circumstances | None = None) -> licenses.Verdict:
    return licenses.rights(assets, TODAY, about)[name]


def test_case_1_sdxl_with_cc0_clothing_and_an_own_pose_is_commercial_under_attachment_a() -> None:
    chain = (SDXL, lora("CC0-1.0"), OWN_POSE)
    assert answer(*chain, use="commercial") == "conditional"
    assert right("output_publish", *chain).answer == "allow"
    assert any(
        "Attachment A as an enforceable provision" in text for text in right("redistribute_adapter", *chain).conditions
    )


def test_case_2_photos_for_noncommercial_use_deny_strictly_and_are_for_review_leniently() -> None:
    assert answer(SD15, lora("CC-BY-NC-4.0"), use="commercial") == "deny"
    assert answer(SD15, lora("CC-BY-NC-4.0"), use="commercial", about=LENIENT) == "review"


def test_case_3_flux_dev_is_not_run_commercially_whatever_its_outputs() -> None:
    chain = (Asset("base", "flux", "flux-1-dev-non-commercial-license"), lora("CC0-1.0"))
    verdict = licenses.clear(chain, "commercial", TODAY)
    assert verdict.answer == "deny"
    assert "run_commercial -> deny (2.b, 4.a.i" in verdict.reasons[0]
    assert right("output_commercial", *chain).answer == "review"


@pytest.mark.parametrize("use", ["commercial", "dataset-release"])
def test_case_4_cc_by_on_an_apache_base_wants_credit(use: str) -> None:
    verdict = licenses.clear((KLEIN, lora("CC-BY-4.0")), use, TODAY)
    assert verdict.answer == "conditional"
    assert [text.partition(":")[0] for text in verdict.conditions] == ["CC-BY-4.0"]


def test_case_5_medical_evaluation_is_for_review_on_rail_and_wants_a_citation_elsewhere() -> None:
    chest = lora("LicenseRef-NIH-ChestXray", consent="ethics-2026-14")
    verdict = licenses.clear((SDXL, chest), "medical-evaluation", TODAY)
    assert verdict.answer == "review" and "Attachment A, 10th bullet" in verdict.reasons[0]
    free = licenses.clear((QWEN, chest), "medical-evaluation", TODAY)
    assert free.answer == "conditional" and "Wang" in "".join(free.conditions)
    waived = Circumstances(waivers=(("openrail++", "W-7"),))
    assert answer(SDXL, chest, use="medical-evaluation", about=waived) == "conditional"
    silent = lora("LicenseRef-NIH-ChestXray")
    assert answer(QWEN, silent, use="medical-evaluation") == "review"  # nobody's consent is stated


def test_case_6_two_share_alike_references_cannot_be_published_and_may_be_looked_at() -> None:
    chain = [Asset("reference", name, license, consent="c") for name, license in
             (("a", "CC-BY-SA-4.0"), ("b", "CC-BY-NC-SA-4.0"))]  # fmt: skip
    verdict = licenses.clear(chain, "research", TODAY)
    assert verdict.answer == "deny"
    assert any("share-alike: each wants its own licence" in reason for reason in verdict.reasons)
    assert verdict.share_alike == ("CC-BY-NC-SA-4.0", "CC-BY-SA-4.0")
    assert licenses.permits(licenses.clear(chain, "internal", TODAY))


def test_case_7_stability_community_by_revenue_and_by_what_is_trained() -> None:
    assert answer(SD35, use="commercial", about=Circumstances(revenue_usd=3_000_000)) == "deny"
    small = licenses.clear([SD35], "commercial", TODAY, Circumstances(revenue_usd=400_000))
    assert small.answer == "conditional" and small.revenue_limit_usd == 1_000_000
    assert all(words in " ".join(small.conditions) for words in ("registered", "Powered by", "NOTICE"))
    known = Circumstances(revenue_usd=400_000, registrations=((STABILITY, "R-1"),))
    assert "registered" not in " ".join(licenses.clear([SD35], "commercial", TODAY, known).conditions)
    assert right("output_train_ml", SD35, about=Circumstances(trains="classifier")).answer == "allow"
    assert right("output_train_ml", SD35, about=Circumstances(trains="generator")).answer == "deny"


def test_case_8_a_civitai_lora_for_images_sells_images_and_nothing_else() -> None:
    chain = (SDXL, Asset("adapter", "found", ONLY_IMAGES))
    assert answer(*chain, use="commercial") == "conditional"
    assert answer(*chain, use="service") == "deny"
    assert right("derive_adapter", *chain).answer == "deny"


def test_case_9_a_lora_without_a_licence_is_unknown_and_serves_internal_use_only() -> None:
    chain = (QWEN, Asset("adapter", "found", ""))
    commercial = licenses.clear(chain, "commercial", TODAY)
    assert commercial.answer == "unknown" and not licenses.permits(commercial)
    internal = licenses.require(chain, "internal", TODAY)
    assert internal.answer == "unknown" and licenses.remark(internal)


def test_case_10_a_customers_photo_is_published_until_its_release_ends() -> None:
    photo = Asset("reference", "anna", "LicenseRef-own", expires="2027-03-31", owner="B", consent="release 7, EU web")
    assert licenses.clear([QWEN, photo], "research", date(2027, 3, 31)).answer == "allow"
    nobodys = licenses.clear([QWEN, replace(photo, owner="")], "research", date(2027, 3, 31))
    assert nobodys.answer == "review" and "nobody is named whose own it is" in nobodys.reasons[0]
    ended = licenses.clear([QWEN, photo], "research", date(2027, 4, 1))
    assert ended.answer == "deny" and ended.expires == "2027-03-31"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC0-1.0 OR CC-BY-NC-4.0", "allow"),
        ("CC-BY-NC-4.0 or CC0-1.0", "allow"),
        ("CC0-1.0 AND CC-BY-NC-4.0", "deny"),
        ("CC0-1.0 AND Homemade", "unknown"),
        ("CC0-1.0 OR Homemade", "allow"),
        ("MIT WITH Some-exception", "unknown"),
        ("MIT AND (CC-BY-4.0 OR CC-BY-NC-4.0)", "conditional"),
        ("(MIT", "unknown"),
        ("MIT OR", "unknown"),
        ("MIT OR " * 200 + "MIT", "unknown"),
        ("(" * 240 + "MIT" + ")" * 240, "allow"),
        ("cc by 4.0", "conditional"),
    ],
)
def test_expressions_and_is_all_or_is_the_best_with_is_another_licence(text: str, expected: str) -> None:
    assert answer(Asset("photos", "p", text), use="commercial") == expected


def test_a_choice_is_said_in_the_reason() -> None:
    verdict = licenses.clear([Asset("photos", "p", "CC-BY-NC-4.0 OR CC0-1.0")], "commercial", TODAY)
    assert "is CC0-1.0, chosen from 'CC-BY-NC-4.0 OR CC0-1.0': " in verdict.reasons[0]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_no_text_that_claims_to_be_a_licence_breaks_the_question(text: str) -> None:
    verdict = licenses.clear([Asset("photos", text, text)], "commercial", TODAY)
    assert all(reason.isprintable() for reason in verdict.reasons)


LINK = "https://example.org/x?allowNoCredit={}&allowCommercialUse={}&allowDerivatives=False&allowDifferentLicense=True"


def test_flags_in_a_link_mean_the_same_as_in_an_id() -> None:
    for text in (LINK.format("True", "Image"), ONLY_IMAGES.lower()):
        step = licenses.findings([Asset("adapter", "a", text)], "service", TODAY)[0]
        assert (step.license, step.answer) == (ONLY_IMAGES, "deny")


def test_flags_that_are_not_stated_or_contradict_themselves_allow_nothing() -> None:
    for text in ("LicenseRef-civitai", "LicenseRef-civitai-Image-NoCommercial", "LicenseRef-civitai-Everything"):
        assert answer(Asset("adapter", "a", text), use="commercial") == "unknown", text
    assert answer(Asset("adapter", "a", "LicenseRef-civitai-Sell"), use="service") == "deny"  # a set, no ladder
    credit = licenses.clear([Asset("adapter", "a", LINK.format("False", "Image"))], "commercial", TODAY)
    assert any("name the maker" in text for text in credit.conditions)


def test_share_alike_beside_use_restrictions_is_for_review_and_stays_with_weights() -> None:
    assert answer(SDXL, lora("CC-BY-SA-4.0"), use="research") == "review"
    weights = Asset("base", "catvton", "CC-BY-SA-4.0")
    assert answer(weights, lora("CC-BY-NC-SA-4.0"), use="research") == "conditional"  # weights bind adapters only
    assert right("redistribute_adapter", weights, lora("CC-BY-NC-SA-4.0")).answer == "deny"


def test_unknown_questions_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'lenient'"):
        licenses.clear([SDXL], "internal", about=Circumstances("leniant"))
    with pytest.raises(UnknownName, match="did you mean 'generator'"):
        licenses.clear([SDXL], "internal", about=Circumstances(trains="generators"))


def test_licensee_toml_speaks_for_who_asks_and_what_is_said_comes_first(empty_folder: Path) -> None:
    file = empty_folder / "licensee.toml"
    file.write_text(f'revenue_usd = 3_000_000\n[registrations]\n{STABILITY} = "R-1"\n')
    stated = licensee.circumstances(Circumstances())
    assert (stated.revenue_usd, stated.registrations) == (3_000_000, ((STABILITY, "R-1"),))
    assert licensee.circumstances(Circumstances(revenue_usd=5)).revenue_usd == 5
    file.write_text('revenue_usd = "much"\nwaver = 1\n[waivers]\na = 3\n')
    with pytest.raises(RequestError) as failure:
        licensee.circumstances(Circumstances())
    assert all(words in str(failure.value) for words in ("'much'", "Did you mean 'waivers'?", "[waivers] wants"))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*licenses.known()]),
    st.sampled_from(["photos", "poses", "reference", "base"]),
    st.sampled_from(licenses.USES),
)
def test_the_lenient_reading_never_answers_worse_than_the_strict(name: str, kind: str, use: str) -> None:
    asset = Asset(kind, "a", name)
    strict, lenient = answer(asset, use=use), answer(asset, use=use, about=LENIENT)
    assert licenses.ANSWERS.index(lenient) >= licenses.ANSWERS.index(strict)
    assert strict != "unknown" or lenient == "unknown"
