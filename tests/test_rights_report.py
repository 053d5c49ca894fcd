"""What goes along with a run: RIGHTS.md, NOTICE, ATTRIBUTION.md and bom.json, from the run's own records."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from rights_run import ADAPTER, SDXL, TODAY, made

from synthgen import adapters, licenses, notices, provenance, resources, rights_report, store
from synthgen.card import Card
from synthgen.errors import RequestError, SynthgenError
from synthgen.types import Asset


def texts(run: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in rights_report.rights_files(run, today=TODAY).files}


def test_the_files_tell_what_went_in_and_what_must_go_along(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL, ADAPTER)
    told = texts(run)
    assert sorted(path.name for path in (run / "rights").iterdir()) == sorted(told)
    record = tomllib.loads((resources.shipped("licenses") / "LicenseRef-synthgen-OpenRAIL++-M.toml").read_text())
    assert record["notice_text"].strip() in told["NOTICE"]  # Attachment A, word for word
    assert "adapter 'acme' > photos 'shirts'" in told["NOTICE"]
    assert r"Creator: Jane \| &lt;b>Roe&lt;/b>" in told["ATTRIBUTION.md"]
    assert "<https://creativecommons.org/licenses/by/4.0/>" in told["ATTRIBUTION.md"]
    assert "the use `internal`" in told["RIGHTS.md"] and "not legal advice" in told["RIGHTS.md"]
    assert "| medical-evaluation | review | no |" in told["RIGHTS.md"]
    assert "<b>" not in told["RIGHTS.md"] + told["ATTRIBUTION.md"]


def test_the_bill_of_materials_is_valid_and_names_every_part(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL, ADAPTER, Asset("poses", "mine.json", "(MIT OR no such licence)"))
    text = texts(run)["bom.json"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    parts = {part["name"]: part for part in bom["components"]}
    assert set(parts) == {"sdxl", "acme", "shirts", "mine.json", "torch"}
    assert parts["acme"]["hashes"] == [{"alg": "SHA-256", "content": "ef" * 32}]
    assert parts["acme"]["modelCard"]["modelParameters"]["datasets"] == [{"ref": parts["shirts"]["bom-ref"]}]
    assert parts["shirts"]["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert parts["sdxl"]["type"] == "machine-learning-model" and parts["shirts"]["type"] == "data"
    assert bom["metadata"]["component"]["version"] == "1a2b3c4d"
    needs = {row["ref"]: row.get("dependsOn", []) for row in bom["dependencies"]}
    assert parts["shirts"]["bom-ref"] in needs[parts["acme"]["bom-ref"]]


def test_a_spoilt_bill_is_noticed() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str('{"bomFormat": "CycloneDX", "x": 1}')


def test_the_same_run_gives_the_same_bytes_and_stays_as_it_was(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL, ADAPTER)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert texts(run) == texts(run)
    assert {path: path.read_bytes() for path in before} == before
    with store.Run.open(run, {"digest": "1a2b3c4d", "count": 2}) as again:
        assert again.finished


def test_a_changed_record_and_a_run_without_pictures_are_refused(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL, Asset("photos", "p", "CC-BY-NC-4.0"))
    file = run / "records.jsonl"
    file.write_text(file.read_text().replace('"license":"CC-BY-NC-4.0"', '"license":"CC0-1.0"'))
    with pytest.raises(RequestError, match="record 1 was changed"):
        rights_report.rights_files(run)
    assert not (run / "rights").exists()
    with pytest.raises(RequestError, match="no pictures yet"):
        rights_report.rights_files(made(tmp_path / "none", SDXL, count=0))
    with pytest.raises(RequestError, match="no run of synthgen"):
        rights_report.rights_files(tmp_path)


def test_records_that_tell_no_assets_are_no_ground_for_a_notice(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL)
    line = json.loads((run / "records.jsonl").read_text().splitlines()[0])
    for assets, words in ((None, "does not tell"), ([{"kind": 1}], "is none"), (["x"], "is none")):
        line["lineage"]["license"]["assets"] = assets
        line["lineage_id"] = provenance.lineage_id(line["lineage"])
        with pytest.raises(RequestError, match=words):
            rights_report.assets_of([line], run)


def test_the_assets_of_a_run_answer_for_another_use(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL, Asset("photos", "p", "CC-BY-NC-4.0"))
    assets = rights_report.assets_of(store.read(run), run)
    assert set(assets) == {SDXL, Asset("photos", "p", "CC-BY-NC-4.0")}
    assert licenses.clear(assets, "commercial", TODAY).answer == "deny"


def test_who_must_be_credited_and_is_not_named_is_told(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL, Asset("photos", "found", "CC-BY-4.0"))
    assert rights_report.rights_files(run).uncredited == ("photos 'found'",)
    assert "**not stated**" in (run / "rights" / "ATTRIBUTION.md").read_text()


def test_an_adapter_is_credited_to_who_made_its_photos_or_to_its_maker() -> None:
    stated = {"owner": "Jane Roe", "license": "CC-BY-4.0", "credit": "Jane Roe, example.org"}
    card = Card("acme", "sks", "shirt", "apparel", "mini", "", 4, 4.0, "CC-BY-4.0", trained_on=stated)
    assert _creators(card) == ["Jane Roe, example.org", "Jane Roe, example.org"]
    found = replace(card, imported={"layout": "kohya"})  # --owner named the maker of the file, not of its photos
    assert _creators(found) == ["Jane Roe, example.org", "**not stated**"]


def _creators(card: Card) -> list[str]:
    parts = [(path, one, licenses.licenses_of(one)) for path, one in licenses.walk([adapters.asset(card)])]
    told = notices.attribution("run", parts)
    return [line.partition(": ")[2].partition(". ")[0] for line in told.splitlines() if line.startswith("- Creator")]


def test_the_reading_that_was_stamped_is_the_reading_of_the_report(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL, Asset("photos", "p", "CC-BY-NC-4.0"), reading="lenient")
    files = rights_report.rights_files(run, today=TODAY)
    assert files.verdict.reading == "lenient"
    assert "| commercial | review | no |" in (run / "rights" / "RIGHTS.md").read_text()


def test_names_that_want_to_be_more_than_names_stay_names(tmp_path: Path) -> None:
    evil = Asset("photos", "x](http://e)\n# Free\x1b[31m<script>", "CC0-1.0\n| allow |", owner="a\x00b", credit="`c`")
    told = texts(made(tmp_path / "run", SDXL, evil))
    for name, text in told.items():
        assert "\x1b" not in text and "\x00" not in text, name
        assert name == "bom.json" or "\n# Free" not in text
    assert "<script>" not in told["RIGHTS.md"] + told["ATTRIBUTION.md"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(told["bom.json"]) is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SDXL)
    (tmp_path / "file").write_text("")
    with pytest.raises(SynthgenError, match=r"Choose another place with --out"):
        rights_report.rights_files(run, tmp_path / "file" / "rights")
