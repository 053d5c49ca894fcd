"""Each format is opened by the library that its users have: labels and bytes are those of the run."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthgen import export, labelled_set, provenance, rooms, store
from synthgen.errors import RequestError

FORMATS = tuple(rooms.members("exporters"))
SIDE_FILES = {"README.md", "LICENSE", "NOTICE", "ATTRIBUTION", "bom.json", "manifest.json", "checksums.sha256"}


@pytest.fixture(scope="module")
def out(two_runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both runs in every format, 60/20/20."""
    folder = tmp_path_factory.mktemp("export") / "set"
    export.run(export.ExportRequest(two_runs, FORMATS, folder, split="60/20/20"))
    return folder


@pytest.fixture(scope="module")
def truth(two_runs: tuple[Path, Path]) -> dict[str, dict[str, Any]]:
    """File name -> the record with its bytes."""
    found = {}
    for run in two_runs:
        for line in store.read(run):
            found[f"{line['job_id']}.png"] = {**line, "bytes": (run / line["file_name"]).read_bytes()}
    assert len(found) == 48
    return found


@pytest.fixture(scope="module")
def split_of(out: Path) -> dict[str, str]:
    """File name -> split, as the CSV has it."""
    with (out / "csv" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        return {Path(row["file_name"]).name: row["split"] for row in csv.DictReader(file)}


def label(line: dict[str, Any]) -> str:
    return str(line["lineage"]["job"]["category"])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_rights_checksums_and_a_manifest_of_every_picture(
    name: str, out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str]
) -> None:
    folder = out / name
    assert {path.name for path in folder.iterdir()} >= SIDE_FILES
    done = subprocess.run(["sha256sum", "-c", "--quiet", "checksums.sha256"], cwd=folder, check=False)
    assert done.returncode == 0
    listed = {line.split("  ", 1)[1] for line in (folder / "checksums.sha256").read_text().splitlines()}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - listed == {"checksums.sha256"}
    told = json.loads((folder / "manifest.json").read_text())
    rows = {f"{row['job_id']}.png": row for row in told["pictures"]}
    assert rows.keys() == truth.keys()
    for file_name, row in rows.items():
        line = truth[file_name]
        assert (folder / row["file"]).is_file()
        assert row["sha256"] == hashlib.sha256(line["bytes"]).hexdigest()
        assert row["lineage_id"] == line["lineage_id"] and row["pixel_sha256"] == line["pixel_sha256"]
        assert row["split"] == split_of[file_name]
    text = (folder / "README.md").read_text()
    assert "LicenseRef-own" in (folder / "LICENSE").read_text() and "**" in text and "requested_pose" in text


@pytest.mark.parametrize("name", FORMATS)
def test_no_path_of_this_machine_and_no_half_thing_leaves(name: str, out: Path, two_runs: tuple[Path, Path]) -> None:
    for path in (out / name).rglob("*"):
        assert not path.name.startswith(".") and ".part" not in path.name
        if path.is_file():
            data = path.read_bytes()
            assert str(two_runs[0].parent).encode() not in data and str(out).encode() not in data


@pytest.mark.parametrize("name", FORMATS)
def test_the_lines_in_the_readme_open_it(
    name: str, out: Path, hugging_face: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (out / name / "README.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(code) == 1
    assert "synthgen" not in code[0]
    monkeypatch.chdir(out / name)
    told: dict[str, Any] = {}
    exec(code[0], told)
    assert any(key.startswith("first") or key == "names" for key in told)


@pytest.fixture
def hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    import datasets

    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def check_hugging_face(loaded: Any, datasets: Any, truth: dict[str, dict[str, Any]], split_of: dict[str, str]) -> None:
    seen = set()
    for split, rows in loaded.items():
        names = rows.features["label"].names if hasattr(rows.features["label"], "names") else None
        for row in rows.cast_column("image", datasets.Image(decode=False)):
            file_name = f"{row['job_id']}.png"
            line = truth[file_name]
            seen.add(file_name)
            data = row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes()
            assert data == line["bytes"]
            assert (names[row["label"]] if names else row["label"]) == label(line)
            assert row["split"] == split == split_of[file_name]
            assert row["seed"] == line["lineage"]["seed"]
            assert row["requested_pose"] == line["lineage"]["requested"]["pose"]
            assert row["measured_contrast"] == line["lineage"]["measured"]["contrast"]
        pixels = np.asarray(rows[0]["image"])
        assert provenance.pixel_sha256(pixels) == truth[f"{rows[0]['job_id']}.png"]["pixel_sha256"]
    assert seen == truth.keys()


def test_datasets_reads_the_imagefolder(
    out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str], hugging_face: Any
) -> None:
    loaded = hugging_face.load_dataset("imagefolder", data_dir=str(out / "imagefolder"))
    check_hugging_face(loaded, hugging_face, truth, split_of)


def test_datasets_reads_the_parquet(
    out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str], hugging_face: Any
) -> None:
    loaded = hugging_face.load_dataset(str(out / "parquet"))
    assert loaded["train"].features["label"].names == ["dress", "shirt"]
    check_hugging_face(loaded, hugging_face, truth, split_of)


def test_torchvision_reads_its_folders(out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str]) -> None:
    from torchvision.datasets import ImageFolder

    seen = {}
    for split in ("train", "validation", "test"):
        data = ImageFolder(str(out / "torchvision" / split))
        assert data.classes == ["dress", "shirt"]
        for path, number in data.samples:
            line = truth[Path(path).name]
            assert Path(path).read_bytes() == line["bytes"]
            assert data.classes[number] == label(line)
            seen[Path(path).name] = split
    assert seen == split_of


def test_pycocotools_reads_labels_licences_boxes_and_keypoints(
    out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str]
) -> None:
    from pycocotools.coco import COCO

    from synthgen.boxes import COCO_NAMES
    from synthgen.poses import OPENPOSE_18

    seen = {}
    for split in ("train", "validation", "test"):
        coco = COCO(str(out / "coco" / "annotations" / f"{split}.json"))
        licenses = {item["id"]: item["name"] for item in coco.dataset["licenses"]}
        names = {item["id"]: item["name"] for item in coco.loadCats(coco.getCatIds())}
        person = coco.loadCats(coco.getCatIds(catNms=["person"]))[0]
        assert person["keypoints"] == list(COCO_NAMES)
        for image in coco.loadImgs(coco.getImgIds()):
            line = truth[Path(image["file_name"]).name]
            seen[Path(image["file_name"]).name] = split
            assert (out / "coco" / image["file_name"]).read_bytes() == line["bytes"]
            assert image["label"] == label(line)
            assert (image["width"], image["height"]) == (line["lineage"]["width"], line["lineage"]["height"])
            assert "LicenseRef-own" in licenses[image["license"]]
            found = {names[item["category_id"]]: item for item in coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))}
            assert found.keys() == {"person", label(line)}
            for item in found.values():
                left, top, width, height = item["bbox"]
                assert 0 <= left < left + width <= image["width"] + 0.1
                assert 0 <= top < top + height <= image["height"] + 0.1
                assert coco.annToMask(item).sum() > 0
            drawn = json.loads(line["lineage"]["requested"]["keypoints"])
            wrist = drawn[OPENPOSE_18.index("l_wrist")]
            at = 3 * COCO_NAMES.index("left_wrist")
            assert found["person"]["keypoints"][at : at + 3] == ([wrist[0], wrist[1], 2] if wrist[2] else [0, 0, 0])
    assert seen == split_of


def test_yolo_lines_are_as_its_format_says(
    out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str]
) -> None:
    """https://docs.ultralytics.com/datasets/detect/: class and four parts of 1, a text beside each picture."""
    import yaml

    folder = out / "yolo"
    about = yaml.safe_load((folder / "data.yaml").read_text())
    assert about["names"] == {0: "dress", 1: "shirt"}
    assert (about["train"], about["val"], about["test"]) == ("images/train", "images/validation", "images/test")
    seen = {}
    for key, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        for picture in sorted((folder / about[key]).iterdir()):
            text = Path(str(picture).replace("/images/", "/labels/")).with_suffix(".txt").read_text()
            number, *parts = text.split()
            line = truth[picture.name]
            seen[picture.name] = split
            assert picture.read_bytes() == line["bytes"]
            assert about["names"][int(number)] == label(line)
            x, y, width, height = map(float, parts)
            assert x - width / 2 + 1e-5 >= 0 and x + width / 2 <= 1 + 1e-5 and width > 0
            assert y - height / 2 + 1e-5 >= 0 and y + height / 2 <= 1 + 1e-5 and height > 0
    assert seen == split_of


def test_webdataset_reads_its_shards(out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str]) -> None:
    import webdataset

    classes = [json.loads(line) for line in (out / "webdataset" / "classes.txt").read_text().splitlines()]
    seen = {}
    for split in ("train", "validation", "test"):
        shards = sorted(str(path) for path in (out / "webdataset").glob(f"{split}-*.tar"))
        for sample in webdataset.WebDataset(shards, shardshuffle=False):
            line = truth[f"{sample['__key__']}.png"]
            seen[f"{sample['__key__']}.png"] = split
            assert sample["png"] == line["bytes"]
            row = json.loads(sample["json"])
            assert row["label"] == classes[int(sample["cls"])] == label(line)
            assert row["lineage_id"] == line["lineage_id"]
    assert seen == split_of
    with tarfile.open(out / "webdataset" / "train-000000.tar") as shard:
        assert {(member.mtime, member.uid, member.uname) for member in shard} == {(0, 0, "")}


def test_mlcroissant_validates_it_and_reads_its_records(
    out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant

    data = mlcroissant.Dataset(str(out / "croissant" / "croissant.json"))
    issues = data.metadata.ctx.issues
    assert not issues.errors and not issues.warnings, (issues.errors, issues.warnings)
    assert "not standard" not in caplog.text
    told = data.metadata.to_json()
    assert told["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    assert told["rai:dataCollectionType"] == "Others"  # a list of one comes back bare
    seen = {}
    for record in data.records("pictures"):
        values = {key.removeprefix("pictures/"): value for key, value in record.items()}
        name = Path(values["file_name"].decode()).name
        line = truth[name]
        seen[name] = values["split"].decode()
        assert values["label"].decode() == label(line)
        assert values["seed"].decode() == line["lineage"]["seed"]
        assert provenance.pixel_sha256(np.asarray(values["image"])) == line["pixel_sha256"]
    assert seen == split_of
    assert "Could not match" not in caplog.text  # it would say so of every picture


def test_a_zip_of_each_other_format_holds_the_same_bytes(out: Path) -> None:
    packed = {path.name.removesuffix(".zip").rpartition("-")[2]: path for path in (out / "zip").glob("*.zip")}
    assert packed.keys() == set(FORMATS) - {"zip"}
    for name, path in packed.items():
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            for member in archive.namelist():
                assert archive.read(member) == (out / name / member).read_bytes()
            assert len(archive.namelist()) == sum(1 for item in (out / name).rglob("*") if item.is_file())


@pytest.mark.parametrize("name", ["csv", "imagefolder", "torchvision", "yolo", "croissant"])
def test_the_evaluators_reader_reads_exports_that_have_a_table(
    name: str, out: Path, truth: dict[str, dict[str, Any]], split_of: dict[str, str]
) -> None:
    read = labelled_set.read(out / name)
    assert read.label == "category"
    groups: dict[str, set[str]] = {}
    for picture in read.pictures:
        line = truth[picture.path.name]
        assert picture.label == label(line)
        assert picture.split == split_of[picture.path.name]
        assert picture.labels["pose"] == line["lineage"]["requested"]["pose"]
        groups.setdefault(picture.group, set()).add(picture.split)
    assert len(read.pictures) == len(truth)
    assert len(groups) > 3 and all(len(splits) == 1 for splits in groups.values())


def test_the_evaluators_reader_groups_a_run_as_its_export_does(out: Path, two_runs: tuple[Path, Path]) -> None:
    read = labelled_set.read(two_runs[0])
    assert {picture.label for picture in read.pictures} == {"shirt"}
    poses: dict[str, set[str]] = {}
    for picture in read.pictures:
        poses.setdefault(picture.labels["pose_name"], set()).add(picture.group)
    assert all(len(groups) == 1 for groups in poses.values())


def test_yolo_and_torchvision_say_no_where_they_would_mislead(
    two_runs: tuple[Path, Path], tmp_path: Path, synthgen: Any
) -> None:
    (tmp_path / "set").mkdir()
    run = tmp_path / "run"
    export_run_without_skeletons(two_runs[0], run)
    told = synthgen("export", run, "--format", "yolo", "--out", tmp_path / "set")
    assert told.code == 2 and "no box is known for 24 of 24" in told.err and "Nothing was written" in told.err
    with pytest.raises(RequestError, match="class numbers would not be"):
        export.run(
            export.ExportRequest(
                (two_runs[0],), ("csv", "torchvision"), tmp_path / "set", split="80/20", label="pose_name"
            )
        )
    assert list((tmp_path / "set").iterdir()) == []
    export.run(export.ExportRequest((run,), ("coco",), tmp_path / "set"))
    whole = json.loads((tmp_path / "set" / "coco" / "annotations" / "train.json").read_text())
    assert whole["annotations"] == [] and Counter(image["label"] for image in whole["images"]) == {"shirt": 24}


def export_run_without_skeletons(source: Path, target: Path) -> None:
    """A run as a recipe without poses leaves it: written by the store, from the pictures of another."""
    from synthgen.types import Job, Picture

    lines = store.read(source)
    with store.Run.open(target, {"digest": "0" * 8, "count": len(lines)}) as run:
        for line in lines:
            lineage = json.loads(json.dumps(line["lineage"]))
            lineage["requested"] = {"place": lineage["requested"]["place"]}
            lineage["id"] = provenance.lineage_id(lineage)
            job = Job(line["job_id"], line["index"], "", "", 0, {})
            file = source / line["file_name"]
            run.add(Picture(job, np.asarray(Image.open(file))), lineage, file.read_bytes())
        run.finish()
    assert Image.open(target / store.read(target)[0]["file_name"]).size
