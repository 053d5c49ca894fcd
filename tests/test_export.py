"""Exports are whole or not there, ask the licences again, and keep what they are given."""

from __future__ import annotations

import gc
import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen import export, file_hash, ingest, labelled_set, store
from synthgen.errors import RequestError, SynthgenError

Synthgen = Callable[..., Any]


@pytest.fixture
def run(two_runs: tuple[Path, Path], empty_folder: Path) -> Path:
    """A copy of a run that a test may spoil."""
    return Path(shutil.copytree(two_runs[0], empty_folder / "run"))


def test_a_second_run_says_done_and_another_export_is_refused(run: Path, synthgen: Synthgen) -> None:
    first = synthgen("export", "run", "--format", "csv")
    assert (first.code, first.out) == (0, "run-export/csv\n")
    before = {path: path.stat().st_mtime_ns for path in Path("run-export").rglob("*")}
    again = synthgen("export", "run", "--format", "csv", "--json")
    assert again.code == 0 and "is done: 24 pictures" in again.err
    assert json.loads(again.out)["exports"][0]["already"] is True
    other = synthgen("export", "run", "--format", "csv", "--split", "80/20")
    assert other.code == 2 and "holds another export" in other.err
    assert {path: path.stat().st_mtime_ns for path in Path("run-export").rglob("*")} == before
    next(Path("run-export/csv/images").iterdir()).write_bytes(b"")
    assert "was changed since it was exported" in synthgen("export", "run", "--format", "csv").err


def test_licences_are_asked_again_and_a_no_writes_nothing(run: Path, synthgen: Synthgen) -> None:
    told = synthgen("export", run, "--format", "csv", "--use", "commercial", "--out", "set")
    assert told.code == 3 and "Licence refused for --use commercial" in told.err
    assert not Path("set").exists()


@pytest.mark.parametrize("name", ["csv", "parquet", "webdataset", "zip"])
def test_a_changed_picture_stops_the_export_and_leaves_nothing(run: Path, name: str) -> None:
    picture = run / store.read(run)[-1]["file_name"]
    picture.write_bytes(picture.read_bytes() + b"x")
    with pytest.raises(SynthgenError, match="is not the file that its record was written for"):
        export.run(export.ExportRequest((run,), (name,), Path("set")))
    assert not Path("set").exists()


def test_a_record_that_was_changed_is_refused_before_its_names_become_files(run: Path) -> None:
    text = (run / "records.jsonl").read_text()
    for spoilt in (text.replace('"shirt"', '"dress"', 1), text.replace('"images/', '"../', 1)):
        (run / "records.jsonl").write_text(spoilt)
        with pytest.raises(RequestError, match="is not as `generate` wrote it"):
            export.run(export.ExportRequest((run,), ("csv",), Path("set")))
    assert not Path("set").exists()


def test_a_killed_export_leaves_no_folder_that_looks_whole(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = export.os.rename

    def killed(*names: Any) -> None:
        shutil.copytree(names[0], "left-behind")  # what a kill leaves, for the cleaning up below does not run then
        raise KeyboardInterrupt

    monkeypatch.setattr(export.os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        export.run(export.ExportRequest((run,), ("csv",), Path("set")))
    monkeypatch.setattr(export.os, "rename", rename)
    assert not Path("set").exists()
    Path("set").mkdir()
    shutil.move("left-behind", "set/.csv.part")
    export.run(export.ExportRequest((run,), ("csv",), Path("set")))
    assert [path.name for path in Path("set").iterdir()] == ["csv"]


def test_the_same_runs_give_the_same_bytes(run: Path) -> None:
    for out in ("a", "b"):
        export.run(export.ExportRequest((run,), ("csv", "parquet", "webdataset", "zip"), Path(out), split="60/40"))
    for path in sorted(Path("a").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (Path("b") / path.relative_to("a")).read_bytes(), path


def test_a_place_of_somebody_else_is_left_as_it_is(run: Path, synthgen: Synthgen) -> None:
    Path("set/csv").mkdir(parents=True)
    Path("set/csv/mine.txt").write_text("mine")
    assert synthgen("export", run, "--format", "csv", "--out", "set").code == 2
    assert synthgen("export", run, "--format", "csv", "--out", run).code == 2
    assert [path.name for path in Path("set").rglob("*")] == ["csv", "mine.txt"]
    assert "did you mean 'parquet'" in synthgen("export", run, "--format", "parquett").err
    assert "is no run of synthgen" in synthgen("export", "set", "--format", "csv").err


@pytest.mark.parametrize(
    "name", ["csv", "imagefolder", "torchvision", "parquet", "webdataset", "coco", "yolo", "croissant"]
)
def test_what_went_out_comes_in_with_the_same_labels_and_bytes(
    name: str, two_runs: tuple[Path, Path], empty_folder: Path
) -> None:
    export.run(export.ExportRequest(two_runs, (name, "zip"), Path("set"), split="60/40"))
    wanted = sorted(
        (line["lineage"]["job"]["category"], line["file_sha256"]) for run in two_runs for line in store.read(run)
    )
    for source, out in ((Path("set") / name, "back"), (next(Path("set/zip").glob("*.zip")), "unpacked")):
        result = ingest.run(ingest.IngestRequest(source, Path(out)))
        guessed = {"csv": "imagefolder", "torchvision": "imagefolder"}.get(name, name)  # one table, one reader
        assert (result.format, result.pictures, result.skipped) == (guessed, 48, ())
        read = labelled_set.read(Path(out), "label")
        assert sorted((item.label, file_hash.sha256(item.path)) for item in read.pictures) == wanted
        assert {item.split for item in read.pictures} == {"train", "test"}


def test_ingest_names_what_it_leaves_out_and_refuses_what_is_hostile(
    run: Path, empty_folder: Path, synthgen: Synthgen
) -> None:
    for name in ("cat", "dog"):
        Path("real", name).mkdir(parents=True)
        shutil.copy(run / store.read(run)[0]["file_name"], Path("real", name, "a.png"))
    Path("real/dog/broken.png").write_bytes(b"no picture")
    told = synthgen("ingest", "real", "--out", "in")
    assert (told.code, told.out) == (0, "in\n") and "broken.png: not a picture" in told.err
    assert {item.label for item in labelled_set.read(Path("in")).pictures} == {"cat", "dog"}
    assert synthgen("ingest", "real", "--out", "in").code == 2
    with zipfile.ZipFile("bad.zip", "w") as bad:
        bad.writestr("../out.png", b"x")
    told = synthgen("ingest", "bad.zip", "--out", "bad")
    assert told.code == 2 and "leads out of the archive" in told.err
    with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("cat/a.png", bytes(30_000_000))
    assert "it was refused" in synthgen("ingest", "bomb.zip", "--out", "bomb").err
    assert not any(Path(name).exists() for name in ("bad", "bomb", ".bad.part", ".bomb.part", "out.png"))


@pytest.fixture(scope="module")
def large_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 160 small pictures, drawn without a model as benchmarks/export_speed.py draws them."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHGEN_HOME", str(home))
        patch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
        import export_speed

        export_speed.make_run(home / "run", 160)
    return home / "run"


@pytest.mark.parametrize("name", ["coco", "csv"])
def test_an_export_holds_no_more_of_a_large_run_than_two_thousand_bytes_a_picture(
    name: str, large_run: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    shutil.copytree(large_run, few)
    lines = (few / store.RECORDS).read_text().splitlines(keepends=True)
    (few / store.RECORDS).write_text("".join(lines[:40]))
    export.run(export.ExportRequest((large_run,), (name,), tmp_path / "warm"))
    peaks = []
    for run in (few, large_run):
        gc.collect()
        tracemalloc.start()
        made = export.run(export.ExportRequest((run,), (name,), tmp_path / "out" / run.name))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert made.pictures == 160
    assert (peaks[1] - peaks[0]) / 120 < 2000
