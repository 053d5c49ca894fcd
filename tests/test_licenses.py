"""Licence records and the verdict over a chain of assets."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen import file_hash, licenses, resources
from synthgen.errors import Refused, RequestError, UnknownName
from synthgen.types import Asset

MINI = Asset("base", "mini", "Apache-2.0")
SDXL = Asset("base", "sdxl", "openrail++")
TODAY = date(2026, 11, 24)
NAMES = [*licenses.known(), "No-Such-License", ""]
leaves = st.builds(
    Asset,
    kind=st.sampled_from(["base", "photos", "poses"]),
    name=st.sampled_from(["a", "b", "c"]),
    license=st.sampled_from(NAMES),
    expires=st.sampled_from(["", "2026-01-01", "2099-01-01", "soon"]),
)
assets = st.one_of(
    leaves,
    st.builds(
        Asset,
        kind=st.just("adapter"),
        name=st.sampled_from(["x", "y"]),
        license=st.sampled_from(NAMES),
        trained_on=st.lists(leaves, max_size=2).map(tuple),
    ),
)
uses = st.sampled_from(licenses.USES)


def rank(answer: str) -> int:
    return licenses.ANSWERS.index(answer)


def adapter(*photos: str, license: str = "LicenseRef-own", consent: str = "ethics-2026-14") -> Asset:
    learned = tuple(Asset("photos", "shirts", name, owner="Acme", consent=consent) for name in photos)
    return Asset("adapter", "acme", license, trained_on=learned)


@settings(max_examples=60, deadline=None)
@given(st.lists(assets, min_size=1, max_size=3), assets, uses)
def test_adding_an_asset_never_widens_what_is_allowed(chain, more, use):
    before, after = licenses.clear(chain, use, TODAY), licenses.clear([*chain, more], use, TODAY)
    assert rank(after.answer) <= rank(before.answer)
    assert set(before.conditions) <= set(after.conditions)
    assert set(before.reasons) <= set(after.reasons)
    assert licenses.permits(before) or not licenses.permits(after)


@settings(max_examples=40, deadline=None)
@given(st.lists(assets, min_size=1, max_size=4), st.randoms(use_true_random=False), uses)
def test_the_order_of_assets_does_not_matter(chain, draw, use):
    shuffled = list(chain)
    draw.shuffle(shuffled)
    assert licenses.clear(chain, use, TODAY) == licenses.clear(shuffled, use, TODAY)


@settings(max_examples=40, deadline=None)
@given(st.lists(assets, max_size=3), uses, st.sampled_from(["unknown", "", "Homemade-1.0"]))
def test_what_is_unknown_allows_no_use_but_internal(chain, use, stated):
    verdict = licenses.clear([*chain, Asset("photos", "found", stated)], use, TODAY)
    assert rank(verdict.answer) <= rank("unknown")
    assert use == "internal" or not licenses.permits(verdict)


@settings(max_examples=40, deadline=None)
@given(assets, uses)
def test_an_asset_counts_the_same_inside_an_adapter_as_beside_it(asset, use):
    inside = licenses.clear([MINI, Asset("adapter", "z", "CC0-1.0", trained_on=(asset,))], use, TODAY)
    beside = licenses.clear([MINI, Asset("adapter", "z", "CC0-1.0"), asset], use, TODAY)
    assert inside.answer == beside.answer
    assert inside.conditions == beside.conditions


def test_no_asset_at_all_is_unknown():
    assert licenses.clear([], "commercial").answer == "unknown"


def test_mini_with_own_photos_serves_every_use():
    chain = [MINI, adapter("LicenseRef-own")]
    assert {licenses.clear(chain, use).answer for use in licenses.USES} == {"allow"}


@pytest.mark.parametrize(
    ("chain", "use", "answer"),
    [
        ([SDXL, adapter("CC0-1.0")], "commercial", "conditional"),
        ([Asset("base", "sd15", "creativeml-openrail-m"), adapter("CC-BY-NC-4.0")], "commercial", "deny"),
        ([Asset("base", "flux", "LicenseRef-synthgen-FLUX.1-dev-NCL"), adapter("CC0-1.0")], "commercial", "deny"),
        ([MINI, adapter("CC-BY-4.0")], "commercial", "conditional"),
        ([MINI, adapter("CC-BY-4.0")], "dataset-release", "conditional"),
        ([SDXL, adapter("LicenseRef-NIH-ChestX-ray")], "medical-evaluation", "review"),
        ([MINI, adapter("LicenseRef-NIH-ChestX-ray")], "medical-evaluation", "conditional"),
        ([MINI, adapter("CC-BY-NC-4.0")], "internal", "conditional"),
        ([MINI, adapter("CC0-1.0", license="unknown")], "commercial", "unknown"),
        ([MINI, adapter("CC0-1.0", license="unknown")], "internal", "unknown"),
    ],
)
def test_worked_examples_come_out_as_worked(chain, use, answer):
    assert licenses.clear(chain, use, TODAY).answer == answer


def test_a_medical_use_under_review_is_refused_and_says_which_bullet():
    with pytest.raises(Refused, match=r"medical_advice -> review .*Attachment A"):
        licenses.require([SDXL, adapter("CC0-1.0")], "medical-evaluation", TODAY)


def test_a_refusal_names_the_path_the_licence_the_right_and_the_clause():
    with pytest.raises(Refused) as refusal:
        licenses.require([MINI, adapter("CC-BY-NC-4.0")], "commercial", TODAY)
    assert str(refusal.value) == (
        "Licence refused for --use commercial (deny): "
        "adapter 'acme' > photos 'shirts' is CC-BY-NC-4.0: output_commercial -> deny "
        "(2(a)(1), NonCommercial purposes only); "
        "adapter 'acme' > photos 'shirts' is CC-BY-NC-4.0: run_commercial -> deny "
        "(2(a)(1), NonCommercial purposes only). "
        "Choose other assets, or say --use internal. Nothing was made."
    )
    assert refusal.value.exit_code == 3
    with pytest.raises(
        Refused, match=r"state the licence of your photos .* and of your own weights .*NAME\.rights\.toml"
    ):
        licenses.require([Asset("base", "mine", "unknown"), adapter("unknown")], "commercial", TODAY)


def test_internal_accepts_unknown_and_says_so_once():
    verdict = licenses.require([MINI, adapter("unknown")], "internal", TODAY)
    assert verdict.answer == "unknown"
    assert licenses.remark(verdict).count("internal only") == 1
    assert licenses.remark(licenses.require([MINI], "internal", TODAY)) == ""


def test_the_worst_reason_comes_first():
    verdict = licenses.clear([MINI, adapter("CC-BY-4.0", "unknown")], "commercial", TODAY)
    assert "-> unknown" in verdict.reasons[0]
    assert "-> allow" in verdict.reasons[-1]


def test_conditions_unite_over_the_chain():
    verdict = licenses.clear([SDXL, adapter("CC-BY-4.0", "CC-BY-SA-4.0")], "dataset-release", TODAY)
    assert {text.split(":")[0] for text in verdict.conditions} == {
        "LicenseRef-synthgen-OpenRAIL++-M",
        "CC-BY-4.0",
        "CC-BY-SA-4.0",
    }


def test_after_its_term_a_grant_publishes_nothing():
    photos = Asset("photos", "shirts", "LicenseRef-own", expires="2027-03-31", owner="Acme")
    chain = [MINI, Asset("adapter", "acme", "LicenseRef-own", trained_on=(photos,))]
    assert licenses.clear(chain, "research", date(2027, 3, 31)).answer == "allow"
    ended = licenses.clear(chain, "research", date(2027, 4, 1))
    assert ended.answer == "deny"
    assert "output_publish -> deny (the grant ended on 2027-03-31)" in ended.reasons[0]
    assert licenses.permits(licenses.clear(chain, "internal", date(2027, 4, 1)))


def test_a_term_that_is_no_date_grants_nothing():
    assert licenses.clear([Asset("photos", "p", "CC0-1.0", expires="next year")], "commercial").answer == "unknown"


def test_an_unknown_use_offers_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'commercial'"):
        licenses.clear([MINI], "comercial")


def test_aliases_and_any_case_find_the_record():
    assert licenses.load("apache-2.0").id == "Apache-2.0"
    assert licenses.load("CreativeML-OpenRAIL-M").id == "LicenseRef-scancode-stable-diffusion-2022-08-22"
    with pytest.raises(UnknownName, match=r"did you mean 'CC-BY-4\.0'"):
        licenses.load("CC-BY-40")


@pytest.mark.parametrize("name", licenses.known())
def test_every_record_names_its_source_and_its_evidence(name):
    path = resources.shipped("licenses") / f"{name}.toml"
    record, written = licenses.load(name), tomllib.loads(path.read_text(encoding="utf-8"))
    assert record.id == path.stem
    assert record.source
    assert record.evidence in licenses.EVIDENCE
    assert set(licenses.RIGHTS) <= set(written["rights"])
    assert bool(record.text_sha256) == bool(record.text_source), "a digest without a source"
    at_hand = Path("/" + record.text_source.partition(" /")[2])
    if record.text_source.startswith("Debian") and at_hand.is_file():
        assert file_hash.sha256(at_hand) == record.text_sha256
    if record.evidence == "primary":
        assert date.fromisoformat(record.verified_on) <= date.today()
    for right, grant in record.rights.items():
        assert grant.answer == "unknown" or written["rights"][right]["clause"], f"{right} has an answer and no clause"


def test_a_users_own_record_comes_before_the_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "licenses").mkdir()
    text = 'id = "Acme-1"\nname = "Acme"\nsource = "our lawyer"\nevidence = "primary"\n'
    (tmp_path / "licenses" / "acme.toml").write_text(text + '[rights]\nrun = { answer = "allow", clause = "1" }\n')
    chain = [MINI, Asset("photos", "p", "acme-1")]
    assert licenses.clear(chain, "internal").answer == "allow"
    assert licenses.clear(chain, "commercial").answer == "unknown"  # what the record does not mention is not granted


def test_a_broken_record_tells_all_that_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "licenses").mkdir()
    (tmp_path / "licenses" / "bad.toml").write_text(
        'id = "Bad"\nname = "Bad"\nsource = "x"\nevidence = "hearsay"\ntext_sha256 = "abc"\nnotcies = []\n'
        '[rights]\nrun = { answer = "yes" }\noutput_publsh = { answer = "allow" }\n'
        'run_commercial = { answer = "conditional", clause = "2" }\n'
    )
    with pytest.raises(RequestError) as failure:
        licenses.clear([MINI], "internal")
    text = str(failure.value)
    assert "Did you mean 'notices'?" in text
    assert "Did you mean 'output_publish'?" in text
    assert "text_sha256 wants 64 hexadecimal digits" in text
    assert "'hearsay'" in text and "'yes'" in text and "'conditional' needs conditions" in text
