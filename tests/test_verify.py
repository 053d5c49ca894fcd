"""Whatever is done to a picture is found, and called by its name."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from marked_run import benchmark, marker, pictures, run  # noqa: F401
from PIL import Image

from synthgen import marks, signing, store, verify
from synthgen.errors import RequestError


def statuses(where: Path, **more) -> Counter:
    return Counter(item.status for item in verify.path(where, **more).findings if item.file != store.RECORDS)


def test_an_untouched_run_is_ok(run):  # noqa: F811
    report = verify.path(run)
    assert report.good
    assert report.counts == {"ok": 9}  # eight pictures and the ledger


@pytest.mark.parametrize("name", benchmark.attacks())
def test_every_attack_is_found_and_rightly_named(name, run, tmp_path):  # noqa: F811
    attack, wanted = benchmark.attacks()[name]
    assert benchmark.attacked(run, tmp_path / "copy", attack) == {wanted: 8}


def test_a_picture_alone_says_that_its_store_is_missing(run, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = shutil.copy(pictures(run)[0], "found.png")
    assert verify.path(Path(found)).findings[0].status == "store missing"
    assert verify.path(Path(found), stores=(run,)).findings[0].status == "ok"
    elsewhere = verify.path(Path(found), trust=(signing._folder() / "ca.pem",))
    assert elsewhere.good
    benchmark.make_run(Path("runs/another"), 2, 64, marks.Marker(signing.identity()))  # of no account where one trusts
    assert verify.path(Path(found), trust=(signing._folder() / "ca.pem",)).good
    assert verify.path(Path(found)).findings[0].status == "unknown"


def test_missing_swapped_and_foreign_pictures_are_told_apart(run):  # noqa: F811
    first, second, third, *_ = pictures(run)
    first.unlink()
    shutil.copy(third, second)
    (run / "images" / "mine.png").write_bytes(b"no picture")
    assert statuses(run) == {"ok": 6, "missing": 1, "altered": 1, "unknown": 1}


def test_a_line_that_was_rewritten_breaks_the_chain(run):  # noqa: F811
    ledger = run / store.RECORDS
    lines = ledger.read_text().splitlines()
    told = json.loads(lines[3])
    told["file_sha256"] = "0" * 64
    lines[3] = json.dumps(told)
    ledger.write_text("\n".join(lines) + "\n")
    said = {item.file: item.status for item in verify.path(run).findings}
    assert said[store.RECORDS] == "altered"


def test_what_is_not_there_is_told(empty_folder):
    with pytest.raises(RequestError, match=r"none\.png"):
        verify.path(Path("none.png"))


def test_the_command_exits_with_3_and_names_what_is_wrong(run, synthgen):  # noqa: F811
    assert synthgen("verify", run).code == 0
    victim = pictures(run)[0]
    victim.write_bytes(benchmark.flipped(victim.read_bytes(), 1))
    code, out, _ = synthgen("verify", run, "--json")
    assert code == 3
    told = json.loads(out)
    assert "altered" in json.dumps(told)
    assert victim.stem in json.dumps(told)


def test_an_invisible_mark_names_a_picture_whose_looks_are_gone(marker, tmp_path):  # noqa: F811
    place = tmp_path / "runs" / "marked"
    benchmark.make_run(place, 6, 256, marker, "blocks")
    assert verify.path(place).good
    victim = pictures(place)[2]
    pixels = np.asarray(Image.open(victim)).copy()
    pixels[:130] = np.random.default_rng(0).integers(0, 256, pixels[:130].shape, dtype=np.uint8)  # half is painted over
    Image.fromarray(pixels).save(tmp_path / "found.jpg", quality=90)
    found = verify.path(tmp_path / "found.jpg", stores=(place,)).findings[0]
    assert found.status == "stripped" and "invisible mark" in found.reason
    line = next(line for line in store.read(place) if Path(line["file_name"]).name == victim.name)
    assert found.lineage_id == line["lineage_id"] and line["lineage"]["watermark"]["payload"] == victim.stem
    plain = tmp_path / "runs" / "plain"
    benchmark.make_run(plain, 6, 256, marker)
    assert verify.path(tmp_path / "found.jpg", stores=(plain,)).findings[0].status == "unknown"


def test_a_folder_inside_a_run_asks_that_run(run, tmp_path, monkeypatch):  # noqa: F811
    run = run.rename(tmp_path / "kept")  # not in ./runs
    for here, images in ((tmp_path, Path("kept/images")), (run, Path("images")), (run / "images", Path("."))):
        monkeypatch.chdir(here)
        assert verify.path(images).counts == {"ok": 8}, images
    assert verify.path(Path(pictures(run)[0].name)).counts == {"ok": 1}  # in the folder that one stands in
    monkeypatch.chdir(tmp_path)
    assert verify.path(Path("kept/images"), trust=(signing._folder() / "ca.pem",)).counts == {"ok": 8}


def test_what_is_wrong_with_many_files_alike_is_told_once(run, synthgen):  # noqa: F811
    for picture in pictures(run):
        picture.unlink()
    code, out, _ = synthgen("verify", run)
    assert code == 3 and out.count("and the file is gone") == 6
    assert "missing  3 more: the ledger has its line, and the file is gone (--json names all)\n" in out
    assert out.endswith(f"{run}, pictures and ledger: 1 ok, 8 missing\n")


def test_a_folder_of_pictures_is_verified_file_by_file(run, tmp_path, monkeypatch, synthgen):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found" / "deep").mkdir(parents=True)
    first, second, third, *_ = pictures(run)
    shutil.copy(first, "found/deep/a.png")
    assert synthgen("verify", "found").code == 0  # ./runs is asked
    Image.open(second).save("found/b.jpg")
    Image.new("RGB", (64, 64), "red").save("found/c.webp")
    (tmp_path / "found" / "quarantine").mkdir()
    shutil.copy(third, "found/quarantine")
    (tmp_path / "found" / "notes.txt").write_text("no picture")
    code, out, _ = synthgen("verify", "found")
    assert code == 3 and out.endswith("found, pictures: 1 ok, 1 stripped, 1 unknown\n")
    assert "stripped  b.jpg: " in out and "unknown  c.webp: " in out
    told = verify.path(Path("found"), trust=(signing._folder() / "ca.pem",))
    assert [(item.file, item.status) for item in told.findings if item.status == "ok"] == [("deep/a.png", "ok")]
    (tmp_path / "empty").mkdir()
    assert "stands in it as a file of its own" in synthgen("verify", "empty").err
