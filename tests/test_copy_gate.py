"""Copies of training images are refused at a stated rate, from the adapter's folder alone, and never released."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_measures import scene

from synthgen import copy_report, edit_ladder, export, generate, images, measures, private_photos, recipes, store
from synthgen.errors import Refused, SynthgenError, UnfitAdapter
from synthgen.gates import copy
from synthgen.types import AdapterUse, Job, Photo, Picture, RunFacts

JOB = Job("0" * 16, 0, "a chest x-ray", "", 0, {})


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2)


def photos(folder: Path, seeds: Sequence[int]) -> list[Photo]:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        Image.fromarray(rgb(scene(seed))).save(folder / f"scan-{seed}.png")
    return [replace(photo, group=f"P{photo.path.stem}") for photo in images.read(folder).photos]


def adapter(folder: Path, held: int = 30) -> Path:
    """The private folder of an adapter that was trained on 30 scenes."""
    train = photos(folder / "train", range(30))
    private_photos.remember(folder, train, photos(folder / "held", range(100, 100 + held)), 64)
    return folder


def facts(folder: Path, adapters: Sequence[Path], **more: Any) -> RunFacts:
    uses = tuple(AdapterUse(path.name, path) for path in adapters)
    return RunFacts(folder, uses, {"num_inference_steps": 1, "batch": 4}, **more)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter(tmp_path_factory.mktemp("adapters") / "scans")


@pytest.fixture(scope="module")
def gate(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return copy.open(facts(tmp_path_factory.mktemp("run"), [scans]))


def test_a_copy_is_refused_and_its_source_named_by_a_digest_that_only_the_adapter_resolves(
    gate: Any, scans: Path
) -> None:
    said = gate.judge(Picture(JOB, rgb(np.roll(scene(7), 3, axis=1))))
    assert not said.accepted
    assert said.measured["copy_verdict"] == "copy"
    assert said.measured["copy_p"] <= 0.05
    rows = {row["id"]: row for row in json.loads((scans / "private" / "photos.json").read_text())}
    source = rows[said.measured["copy_nearest"]]
    assert source["file"] == "scan-7.png"
    assert not source["sha256"].startswith(source["id"])
    fresh = gate.judge(Picture(JOB, rgb(scene(501))))
    assert fresh.accepted
    assert fresh.measured["copy_verdict"] == "no copy found"


def test_the_power_of_the_gate_is_measured_on_every_rung(gate: Any) -> None:
    rungs = {rung.edit: rung for rung in gate.rungs}
    assert len(rungs) == 8
    for edit in ("identity", "jpeg 30", "half size", "flip"):
        assert rungs[edit].rate == 1.0
        assert rungs[edit].low > 0.85
    assert {rung.planted for rung in rungs.values()} == {30}


def test_a_gate_that_misses_its_rung_fails_itself_and_says_so(scans: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Blinded: of a picture at all times the same is seen, so that nothing is nearer than anything else."""
    monkeypatch.setattr(measures, "small", lambda pixels: scene(900))
    blind = copy.open(facts(tmp_path, [scans]))
    assert "0 of 30 training images saved as JPEG of quality 30" in blind.failure
    said = blind.judge(Picture(JOB, rgb(scene(7))))
    assert said.accepted
    assert said.measured["copy_verdict"] == "gate failed"
    with pytest.raises(Refused, match="JPEG of quality 30"):
        copy.open(facts(tmp_path, [scans], use="dataset-release"))


def test_too_few_held_out_are_uncertified_kept_and_not_released(tmp_path: Path) -> None:
    few = adapter(tmp_path / "few", held=10)
    found = copy.open(facts(tmp_path, [few]))
    said = found.judge(Picture(JOB, rgb(scene(7))))
    assert said.accepted
    assert said.measured["copy_verdict"] == "uncertified"
    assert found.rungs[0].rate == 1.0  # its power is told all the same: nearer than every held-out image
    with pytest.raises(Refused, match=r"10 groups are held out; alpha 0.05 needs 19"):
        copy.open(facts(tmp_path, [few], use="dataset-release"))
    assert Refused.exit_code == 3


def test_an_adapter_from_elsewhere_is_uncertified_and_no_adapter_has_nothing_to_copy(tmp_path: Path) -> None:
    found = copy.open(facts(tmp_path, [tmp_path]))
    assert found.judge(Picture(JOB, rgb(scene(7)))).measured == {"copy_verdict": "uncertified"}
    assert copy.open(facts(tmp_path, [])) is None
    assert copy.judge(Picture(JOB, rgb(scene(7)))).measured == {"copy_verdict": "nothing to copy"}


def test_what_one_adapter_holds_out_and_another_learned_is_no_fresh_image(scans: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    private_photos.remember(
        other, photos(other / "train", range(100, 105)), photos(other / "held", range(200, 220)), 64
    )
    both = copy.open(facts(tmp_path, [scans, other]))
    assert both.calibration.units == 30 - 5 + 20
    assert not both.judge(Picture(JOB, rgb(scene(102)))).accepted


def test_a_private_folder_that_was_changed_is_not_taken(scans: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(scans / "private", changed / "private")
    np.savez(changed / "private" / "thumbnails.npz", pixels=np.zeros((3, 64, 64, 3), np.uint8))
    with pytest.raises(UnfitAdapter, match="not as training wrote it"):
        copy.open(facts(tmp_path, [changed]))


def test_image_to_image_of_the_run_itself_is_a_rung(scans: Path, tmp_path: Path) -> None:
    def redraw(pixels: np.ndarray, jobs: Sequence[Job], strength: float, settings: Any) -> np.ndarray:
        noise = np.random.default_rng(0).normal(0, 40 * strength, pixels.shape)
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)

    found = copy.open(facts(tmp_path, [scans], jobs=(JOB,), redraw=redraw))
    drawn = [rung for rung in found.rungs if rung.edit.startswith("image-to-image")]
    assert [rung.edit for rung in drawn] == [f"image-to-image {strength:g}" for strength in edit_ladder.STRENGTHS]
    assert drawn[0].rate == 1.0


@pytest.fixture(scope="module")
def product(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy adapter whose private folder holds 30 scenes, and 30 held out."""
    folder = tmp_path_factory.mktemp("product") / "scans"
    shutil.copytree(trained, folder)
    return adapter(folder)


def asked(product: Path, toy: Path, out: Path, **more: Any) -> generate.GenerateRequest:
    pipeline = out.with_suffix(".toml")
    recipe = recipes.load("apparel")
    pipeline.write_text(recipes.dump(replace(recipe, gates={**recipe.gates, "copy": "reject"}, name="gated")))
    return generate.GenerateRequest(
        count=5, base=str(toy), adapters=(str(product),), size=64, steps=1, batch=4, out=out, pipeline=str(pipeline),
        **more,
    )  # fmt: skip


def test_a_run_tells_in_each_row_and_as_a_whole_what_was_tested_and_found(
    product: Path, toy: Path, tmp_path: Path, capsys: Any
) -> None:
    result = generate.run(asked(product, toy, tmp_path / "run"))
    assert "pictures drawn 0 were taken for copies, at alpha 0.05" in capsys.readouterr().err
    with (result.folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["measured_copy_verdict"] for row in rows} == {"no copy found"}
    assert all(float(row["measured_copy_p"]) > 0.05 and row["measured_copy_nearest"] for row in rows)
    told = store.copy_gate(result.folder)
    assert told["drawn"]["kept"] == 5
    assert told["release"]["refused"] == []
    assert [rung["edit"] for rung in told["power"]][-1] == "image-to-image 0.5"
    assert told["membership"]["attacked"] == 30
    page = (result.folder / "report.html").read_text()
    assert "jpeg 30" in page
    words = json.dumps(told).lower() + page.lower()
    assert "anonymous" not in words
    assert "privat" not in words
    with Image.open(result.folder / "private" / "closest.png") as sheet:
        assert sheet.width > 600
    with (result.folder / "private" / "exposure.csv").open(newline="") as file:
        assert sum(int(row["times_nearest"]) for row in csv.DictReader(file)) == 5


def test_no_export_takes_the_training_images_along(product: Path, toy: Path, tmp_path: Path) -> None:
    run = generate.run(asked(product, toy, tmp_path / "run")).folder
    out = export.run(export.ExportRequest((run,), ("imagefolder", "zip"), tmp_path / "out")).folder
    names = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    assert not [name for name in names if "private" in name or "closest" in name or "exposure" in name]


def test_a_run_of_copies_is_refused_picture_by_picture_and_as_a_set(
    product: Path, toy: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    from synthgen.bases._base import Base

    def repeat(self: Base, jobs: Sequence[Job], controls: Any, settings: Any) -> list[Picture]:
        return [Picture(job, rgb(scene(job.index))) for job in jobs]

    monkeypatch.setattr(Base, "render", repeat)
    with pytest.raises(SynthgenError, match="rejected 5 times each"):
        generate.run(asked(product, toy, tmp_path / "run"))
    assert "this set cannot be released: 25 of 25 pictures drawn were taken for copies" in capsys.readouterr().err
    assert len(store.rejections(tmp_path / "run")) == 25
    told = store.copy_gate(tmp_path / "run")
    assert told["exposure"] == {"approached": 5, "of": 30, "most": 5}
    with pytest.raises(Refused, match="the adapter repeats what it was trained on"):
        copy_report.require(tmp_path / "run", [{"measured": {"copy_verdict": "no copy found"}}], copy_report.RELEASE)


def test_medical_pictures_are_released_with_the_gate_only(tmp_path: Path, synthgen: Callable[..., Any]) -> None:
    medical = [{"measured": {}, "notice": "Not for diagnosis"}]
    with pytest.raises(Refused, match="the copy gate was off"):
        copy_report.require(tmp_path, medical, copy_report.RELEASE)
    copy_report.require(tmp_path, medical, "internal")
    copy_report.require(tmp_path, [{"measured": {}}], copy_report.RELEASE)
    assert recipes.load("medical").gates["copy"] == "reject"
    assert "copy" not in recipes.load("apparel").gates


def test_a_base_redraws_a_picture_the_less_the_lower_the_strength(toy: Path) -> None:
    from synthgen.bases import mini

    family = mini.FAMILY
    base = family.load(family.identify(toy))
    settings = {"num_inference_steps": 10, "guidance_scale": 1.0, "size": 64, "batch": 2}
    pixels = np.stack([rgb(scene(number)) for number in range(3)])
    jobs = [replace(JOB, seed=number) for number in range(3)]
    little, much = (base.redraw(pixels, jobs, strength, settings).astype(float) for strength in (0.1, 0.9))
    assert little.shape == pixels.shape
    assert np.array_equal(little, base.redraw(pixels, jobs, 0.1, settings).astype(float))
    assert np.abs(little - much).mean() > 1
