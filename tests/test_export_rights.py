"""What leaves takes its rights along: asked again of everything that went in, with the texts that licences demand."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from rights_run import ADAPTER, SDXL, made
from safetensors.numpy import save_file

from synthgen import adapters, export, resources
from synthgen.card import Card
from synthgen.errors import Refused
from synthgen.export import ExportRequest
from synthgen.types import Asset

MINI = Asset("base", "mini", "Apache-2.0", "aa" * 32)


def exported(run: Path, out: Path, **more: str) -> Path:
    return export.run(ExportRequest((run,), ("csv",), out, **more)).exports[0].folder


@pytest.mark.parametrize(
    "hidden",
    [
        Asset("adapter", "acme", "LicenseRef-own", "ef" * 32, trained_on=(Asset("photos", "p", "CC-BY-NC-4.0"),)),
        Asset("control", "openpose", "CC-BY-NC-4.0", "cd" * 32),
        Asset("reference", "anna", "LicenseRef-own", consent="release 7", expires="2020-01-01"),
    ],
)
def test_photos_controlnets_and_terms_behind_a_picture_count_though_no_card_is_here(
    hidden: Asset, tmp_path: Path
) -> None:
    run = made(tmp_path / "run", MINI, hidden)
    with pytest.raises(Refused, match=hidden.name):
        exported(run, tmp_path / "set", use="commercial")
    assert not (tmp_path / "set").exists()


def test_an_adapter_whose_card_is_here_is_asked_anew_and_still_stands_on_the_base_it_was_trained_on(
    tmp_path: Path, empty_folder: Path
) -> None:
    acme = empty_folder / "adapters" / "acme"
    acme.mkdir(parents=True)
    pair = {f"unet.mid.lora_{side}.weight": np.ones((4, 4), np.float32) for side in "AB"}
    save_file(pair, acme / adapters.WEIGHTS)
    photos = {"owner": "Acme", "license": "CC-BY-4.0", "credit": "Acme"}
    adapters.save(acme, Card("acme", "sks", "", "apparel", "house", "", 4, 4.0, "CC-BY-4.0", trained_on=photos))
    house = Asset("base", "house", "LicenseRef-own", "bb" * 32, owner="Acme", expires="2020-01-01")
    sha256 = adapters.load_card(acme).weights_sha256
    run = made(tmp_path / "run", MINI, Asset("adapter", "acme", "CC-BY-4.0", sha256, trained_on=(house,)))
    with pytest.raises(Refused, match="house"):
        exported(run, tmp_path / "set", use="commercial")


def test_a_licensee_and_a_reading_are_asked_for_as_everywhere(tmp_path: Path, empty_folder: Path) -> None:
    stability = "LicenseRef-scancode-stability-ai-community-2024"
    run = made(tmp_path / "run", Asset("base", "sd35", stability, "aa" * 32))
    Path("licensee.toml").write_text("revenue_usd = 3_000_000\n")
    with pytest.raises(Refused, match="revenue is above"):
        exported(run, tmp_path / "set", use="commercial")
    Path("licensee.toml").write_text(f'revenue_usd = 400_000\n[registrations]\n{stability} = "R-1"\n')
    told = (exported(run, tmp_path / "set", use="commercial") / "LICENSE").read_text()
    assert "Powered by" in told and "must be registered" not in told
    share_alike = made(tmp_path / "lenient", MINI, Asset("photos", "p", "CC-BY-SA-4.0"), reading="lenient")
    lenient = exported(share_alike, tmp_path / "other", use="research", reading="lenient")
    assert json.loads((lenient / "manifest.json").read_text())["license"]["reading"] == "lenient"


def test_notice_and_attribution_hold_the_texts_and_the_bill_is_valid(tmp_path: Path) -> None:
    folder = exported(made(tmp_path / "run", SDXL, ADAPTER), tmp_path / "set")
    record = tomllib.loads((resources.shipped("licenses") / "LicenseRef-synthgen-OpenRAIL++-M.toml").read_text())
    assert record["notice_text"].strip() in (folder / "NOTICE").read_text()  # Attachment A, word for word
    assert "Creator: Jane" in (folder / "ATTRIBUTION").read_text()
    assert "medical_advice" in (folder / "LICENSE").read_text()
    bill = (folder / "bom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    assert {part["name"] for part in json.loads(bill)["components"]} >= {"sdxl", "acme", "shirts", "torch"}
    with (folder / "metadata.csv").open(newline="") as file:
        told = {row["license"] for row in csv.DictReader(file)}
    assert told == {"Apache-2.0 AND CC-BY-4.0 AND LicenseRef-own AND openrail++"}
