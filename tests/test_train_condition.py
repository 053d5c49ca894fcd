"""Pictures of patients in, an adapter of their condition out: who is held out, what is said, grey stays grey."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthgen import (
    adapters,
    bases,
    case_table,
    condition,
    deidentify,
    generate,
    images,
    photo_split,
    training_request,
)
from synthgen.domains import medical
from synthgen.errors import RequestError
from synthgen.mini.world import render
from synthgen.train import TrainRequest
from synthgen.types import Photo, Rights

HOSPITAL = Rights("St. X", "LicenseRef-own", "made for a test", "ethics-2026-14")


def xrays(folder: Path, count: int, finding: str = "effusion", deep: bool = False) -> Path:
    """Phantoms, two of each patient, with a table of cases in the folder above; 16-bit where `deep`."""
    folder.mkdir(parents=True)
    rows = ["file_name,patient_id,finding,view,sex,age_band,site"]
    for number in range(count):
        made = render("xray", number, {"finding": finding})
        name = f"case-{number}.png"
        grey = np.asarray(Image.fromarray(made.pixels[..., 0]).resize((64, 64)))
        Image.fromarray(grey.astype(np.uint16) * 16 if deep else grey).save(folder / name)
        sex, age = "FM"[number // 2 % 2], 30 + number
        rows.append(f"{folder.name}/{name},P{number // 2:03},{finding},{made.labels['view']},{sex},{age},north")
    (folder.parent / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder


def learned(folder: Path, toy: Path, out: Path) -> Path:
    request = TrainRequest(
        folder, base=str(toy), steps=30, batch=4, rank=4, learning_rate=1e-2, rights=HOSPITAL, out=out
    )  # fmt: skip
    return condition.fit(request, condition.Case("effusion", "chest-xray", folder.parent / "cases.csv"))


@pytest.fixture(scope="module")
def adapter(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("condition")
    return learned(xrays(place / "Mueller 1956-03-12", 14, deep=True), toy, place / "effusion")


def test_the_adapter_is_attacked_with_those_who_were_held_out(adapter: Path) -> None:
    told = json.loads((adapter / "report" / "membership.json").read_text())
    card = adapters.load_card(adapter)
    assert card.training["membership_auc"] == round(told["auc"]["value"], 3)
    assert 0 <= told["auc"]["low"] <= told["auc"]["value"] <= told["auc"]["high"] <= 1
    rows = json.loads((adapter / "private" / "photos.json").read_text())
    assert told["controls"] == sum(row["split"] == "held-out" for row in rows)
    assert told["attacked"] + told["controls"] == len(rows)
    blind = told["baseline_auc"]  # one of the two held-out patients against the other
    assert (blind["n"], blind["units"]) == (told["controls"], 2) and 0 <= blind["value"] <= 1


def test_a_condition_is_learned_in_the_words_of_the_modality(adapter: Path) -> None:
    card = adapters.load_card(adapter)
    assert (card.domain, card.category, card.trained_on["modality"], card.trained_on["grey"]) == (
        "medical", "effusion", "chest-xray", True,
    )  # fmt: skip
    assert "sks chest x-ray, pleural effusion, PA view, female, aged 18-39" in card.trained_on["captions"]
    assert card.trained_on["labels"]["sex"] == ["female", "male"]
    assert card.trained_on["consent"] == "ethics-2026-14"


def test_no_patient_is_both_learned_from_and_held_out(adapter: Path) -> None:
    rows = json.loads((adapter / "private" / "photos.json").read_text())
    sides = {split: {row["group"] for row in rows if row["split"] == split} for split in ("train", "held-out")}
    assert sides["train"] and sides["held-out"] and not sides["train"] & sides["held-out"]
    assert len(rows) >= 10 and not any("P00" in row["group"] for row in rows)


def test_what_is_made_from_grey_pictures_is_grey_and_says_not_for_diagnosis(
    adapter: Path, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = generate.run(
        generate.GenerateRequest(
            count=6, base=str(toy), adapters=(str(adapter),), size=64, steps=1, out=tmp_path / "run",
            use="internal",
        )
    )  # fmt: skip
    assert "what was learned: severity, side" in capsys.readouterr().err
    lines = [json.loads(line) for line in (result.folder / "records.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    for line in lines:
        pixels = np.asarray(Image.open(result.folder / line["file_name"]))
        assert pixels.std() > 1 and (pixels == pixels[..., :1]).all()
        told = line["lineage"]
        assert told["notice"] == "Not for diagnosis"
        assert told["settings"]["guidance_scale"] == 1.0 < bases.find(str(toy))[0].SETTINGS["guidance_scale"]
        assert told["requested"]["condition_code"] == "60046008"  # pleural effusion in SNOMED CT
        assert set(told["requested"]) >= {"condition", "view", "sex", "age"} and "side" not in told["requested"]


def test_a_patient_is_on_one_side_whatever_folder_the_picture_is_in() -> None:
    def photos(of: range) -> list[Photo]:
        return [Photo(Path(f"{one}.png"), f"sha{one}", 64, 64, "", group=case_table.group(str(one))) for one in of]

    first, second = photo_split.by_group(photos(range(300)), 0), photo_split.by_group(photos(range(150, 450)), 0)
    sides = [{photo.group for photo in side} for side in (*first, *second)]
    assert not (sides[0] & sides[3]) and not (sides[1] & sides[2])
    assert 40 <= len(sides[1]) <= 80
    small, enough = photos(range(9)), photos(range(75))
    few, held = ({photo.group for photo in photo_split.by_group(of, 0)[1]} for of in (small, enough))
    assert (len(few), len(held)) == (3, photo_split.ENOUGH)
    assert few | (sides[1] & {photo.group for photo in enough}) < held  # a few beyond the fifth, and none less


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ["a.png,P1,train", "b.png,P1,held-out"],
            "patients straddle its splits, such as 'P1...' in train and validation",
        ),
        (["a.png,P1,", "b.png,P1,"], "all 2 pictures are of one patient"),
        (["a.png,P1,", "b.png,,"], "1 of 2 pictures have no patient_id (b.png)"),
        (["a.png,P1,train", "b.png,P2,sometimes"], "split is 'sometimes'"),
        (["c.png,P1,", "d.png,P2,"], "says nothing of the pictures"),
    ],
)
def test_a_table_that_lets_no_split_keep_patients_apart_is_refused(
    rows: list[str], said: str, toy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number, name in enumerate("ab"):
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    table = tmp_path / "cases.csv"
    table.write_text("\n".join(["file_name,patient_id,split", *(f"set/{row}" for row in rows)]) + "\n")
    with pytest.raises(RequestError) as error:
        learned(folder, toy, tmp_path / "out")
    assert said in str(error.value) or said in str(error.value).replace(str(folder), "")
    assert not (tmp_path / "out").exists()


def test_pictures_without_a_finding_are_learned_beside_the_condition(tmp_path: Path) -> None:
    sources = [
        deidentify.Source(xrays(tmp_path / "a" / "effusions", 6), "effusion"),
        deidentify.Source(xrays(tmp_path / "b" / "normal", 6, "none"), "none"),
    ]
    with pytest.raises(RequestError, match="there is no table"):
        deidentify.take_in(sources, tmp_path / "none.csv", tmp_path / "first")
    taken = deidentify.take_in(sources, None, tmp_path / "effusion")
    told = {"condition": "Pleural Effusion", "modality": "CXR", "taken_in": True}
    said, taught = medical.describe(images.read(taken.folder), "sks", told)
    assert {photo.caption for photo in said.photos} == {
        "sks chest x-ray, pleural effusion", "sks chest x-ray, no finding",
    }  # fmt: skip
    assert taught.labels == {"condition": ("effusion", "none")} and taught.grey


def test_names_of_folders_and_files_are_in_nothing_that_is_kept_or_made(adapter: Path) -> None:
    listed = (adapter / "private" / "identifiers" / "identifiers.csv").read_text()
    assert ".,folder name,date,19... (10 signs),cut off" in listed and ".,folder name,name,Mu..." in listed
    for path in adapter.rglob("*"):
        if path.is_file() and path.suffix in (".toml", ".json", ".csv"):
            assert "Mueller" not in path.read_text() and "1956" not in path.read_text()
    kept = [row["file"] for row in json.loads((adapter / "private" / "photos.json").read_text())]
    assert all(len(name) == 20 and name.endswith(".png") for name in kept)


def test_another_modality_goes_the_same_way_with_no_code_touched(
    toy: Path, tmp_path: Path, synthgen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert synthgen("samples", "--kind", "smear", "--count", 24, "--out", "smears").code == 0
    code, out, err = synthgen(
        "train-condition", "--images", "smears", "--condition", "neutrophil", "--modality", "blood-smear",
        "--base", toy, "--steps", 12, "--batch-size", 4, "--rank", 4, "--learning-rate", 0.02,
    )  # fmt: skip
    assert (code, out.strip()) == (0, "adapters/neutrophil"), err
    told = adapters.load_card(tmp_path / "adapters" / "neutrophil").trained_on
    assert told["modality"] == "blood-smear" and not told["grey"]
    assert set(told["labels"]["condition"]) == {"neutrophil", "none"} and "standard" in told["labels"]["stain"]
    assert any(text.startswith("sks blood smear, no white cell, ") for text in told["captions"])
    code, out, err = synthgen(
        "generate", "--count", 4, "--pipeline", "medical", "--base", toy, "--size", 64, "--num-inference-steps", 1,
        "--use", "medical-evaluation",
    )  # fmt: skip
    assert (code, out) == (3, "") and "Licence refused for --use medical-evaluation" in err
    code, out, err = synthgen(
        "generate", "--count", 4, "--pipeline", "medical", "--base", toy, "--size", 64, "--num-inference-steps", 1,
    )  # fmt: skip
    assert code == 0, err
    rows = (tmp_path / out.strip() / "metadata.csv").read_text()
    assert "requested_stain" in rows and "requested_sex" not in rows


def test_a_folder_of_something_else_is_never_written_into(toy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("x")
    with pytest.raises(RequestError, match="holds no adapter"):
        learned(xrays(tmp_path / "set", 4), toy, other)
    assert [path.name for path in other.iterdir()] == ["letter.txt"]


def test_a_modality_is_learned_longer_than_a_product_unless_steps_are_stated(tmp_path: Path) -> None:
    family, _ = bases.choose("mini")
    product, case = (TrainRequest(tmp_path, domain=domain, rank=4) for domain in ("apparel", "medical"))
    steps = [training_request.settings(one, family, 30).steps for one in (product, case, replace(case, steps=7))]
    assert steps == [steps[0], medical.LONGER * steps[0], 7]
