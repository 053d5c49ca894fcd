"""What came from an adapter, a photo or a licence is found in runs and exports, and taken out on demand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import rights_run
from marked_run import marker, pictures, run  # noqa: F401
from PIL import Image

from synthgen import export, ingest, revoke, rooms, store, verify
from synthgen.errors import RequestError, UnknownName
from synthgen.types import Asset


def as_export(run: Path, folder: Path) -> Path:  # noqa: F811
    """A folder as an exporter leaves it: pictures and a manifest."""
    folder.mkdir()
    rows = []
    for line in store.read(run):
        name = Path(line["file_name"]).name
        shutil.copy(run / line["file_name"], folder / name)
        rows.append({"file": name, "lineage_id": line["lineage_id"], "sha256": line["file_sha256"]})
    (folder / "manifest.json").write_text(json.dumps({"pictures": rows}))
    return folder


def test_nothing_is_changed_without_apply(run, synthgen):  # noqa: F811
    before = sorted(path.name for path in run.rglob("*"))
    code, out, err = synthgen("revoke", "--adapter", "shirts", run.parent)
    assert code == 0 and "8 pictures" in out and "Nothing was changed" in err
    assert sorted(path.name for path in run.rglob("*")) == before


@pytest.mark.parametrize("asked", [{"adapter": "shirts"}, {"adapter": "cd" * 6}, {"license": "Apache-2.0"}])
def test_runs_and_exports_are_emptied_and_verify_says_so(asked, run, tmp_path, synthgen):  # noqa: F811
    export = as_export(run, tmp_path / "export")
    (run / "rights").mkdir()
    (key, value), *_ = asked.items()
    Image.open(pictures(run)[0]).save(tmp_path / "copy.png")
    code, _, _ = synthgen("revoke", f"--{key}", value, "--apply", tmp_path)
    assert code == 0
    (copy,) = verify.path(tmp_path / "copy.png", stores=(run,)).findings
    assert copy.status == "stripped" and "that one was revoked: " in copy.reason
    assert not pictures(run) and not list(export.glob("*.png")) and not (run / "rights").exists()
    assert len(list((export / store.QUARANTINE).glob("*.png"))) == 8
    assert json.loads((export / "manifest.json").read_text())["pictures"] == []
    assert verify.path(run).good
    again = synthgen("revoke", f"--{key}", value, "--apply", tmp_path)
    assert "already" in again.out


def test_an_export_whose_run_is_gone_is_known_by_its_pictures(run, tmp_path):  # noqa: F811
    export = as_export(run, tmp_path / "export")
    shutil.rmtree(run)
    found = revoke.find(revoke.query((tmp_path,), adapter="shirts"), (tmp_path,))
    assert [(place.folder, len(place.rows)) for place in found] == [(export, 8)]


def test_a_photo_is_followed_through_the_adapter_that_learned_it(trained, tmp_path, synthgen, toy):
    run = tmp_path / "run"  # noqa: F811
    made = synthgen("generate", "--count", 2, "--adapter", trained, "--base", toy, "--out", run, "--size", 64)
    assert made.code == 0, made.err
    photo = json.loads((trained / "private" / "photos.json").read_text())[0]["sha256"]
    found = revoke.find(revoke.query((tmp_path, trained.parent), photo=photo), (tmp_path,))
    assert [len(place.rows) for place in found] == [2]


def test_slips_are_told(run):  # noqa: F811
    with pytest.raises(UnknownName, match="did you mean 'shirts'"):
        revoke.check_adapter("shirt", (run.parent,))
    with pytest.raises(RequestError, match="exactly one"):
        revoke.query((run,), adapter="shirts", license="MIT")
    with pytest.raises(RequestError, match="no adapter here was trained on photo"):
        revoke.query((run,), photo="ab" * 32)
    with pytest.raises(RequestError, match="there is no folder"):
        revoke.find(revoke.query((run,), adapter="shirts"), (run / "none",))


@pytest.fixture(scope="module")
def sets(two_runs, tmp_path_factory):
    """Two runs, and one export of both in every format."""
    place = tmp_path_factory.mktemp("sets")
    for run in two_runs:  # noqa: F402
        shutil.copytree(run, place / "runs" / run.name)
    formats = tuple(rooms.members("exporters"))
    asked = export.ExportRequest(tuple(sorted((place / "runs").iterdir())), formats, place / "out", split="60/40")
    export.run(asked)
    return place


@pytest.mark.parametrize("run_is_here", [True, False])
def test_every_format_loses_what_is_revoked_and_stays_sound(sets, run_is_here, tmp_path, synthgen):
    shutil.copytree(sets / "out", tmp_path / "out")
    first, second = sorted((sets / "runs").iterdir())
    gone = {line["job_id"] for line in store.read(first)}
    kept = {line["job_id"] for line in store.read(second)}
    name = store.read(first)[0]["lineage"]["adapters"][0]["name"]
    assert name not in {used["name"] for line in store.read(second) for used in line["lineage"]["adapters"]}
    if run_is_here:
        shutil.copytree(sets / "runs", tmp_path / "runs")
    told = synthgen("revoke", "--adapter", name, "--apply", tmp_path)
    assert told.code == 0, told.err
    for folder in sorted((tmp_path / "out").iterdir()):
        rows = json.loads((folder / "manifest.json").read_text())
        packed = folder.name in ("parquet", "webdataset", "zip")
        assert {row["job_id"] for row in rows["pictures"]} == (set() if packed else kept), folder.name
        assert {row["job_id"] for row in rows["revoked"]} == (gone | kept if packed else gone)
        assert "Taken back" in (folder / "README.md").read_text()
        checked = subprocess.run(["sha256sum", "-c", "--quiet", "checksums.sha256"], cwd=folder, check=False)
        assert checked.returncode == 0
        for path in folder.rglob("*"):
            if path.is_file() and "quarantine" not in path.parts and path.name != "manifest.json":
                data = path.read_bytes()
                assert not any(job.encode() in data or job in path.name for job in gone), path
    for form in ("csv", "imagefolder", "torchvision", "coco", "yolo", "croissant"):
        back = ingest.run(ingest.IngestRequest(tmp_path / "out" / form, tmp_path / "back" / form))
        assert back.pictures == 24, form
    assert "in quarantine already" in synthgen("revoke", "--adapter", name, "--apply", tmp_path).out
    again = synthgen("export", second, "--format", "csv", "--out", tmp_path / "out")
    assert again.code == 2 and "holds another export" in again.err


def test_an_adapter_goes_with_what_it_learned_from(trained, empty_folder, synthgen):
    for name in ("shirts", "others"):
        shutil.copytree(trained, empty_folder / "adapters" / name)
    photo = json.loads((trained / "private" / "photos.json").read_text())[0]["sha256"]
    listed = synthgen("revoke", "--photo", photo[:16])
    assert listed.out.count("  adapter  ") == 2 and "Nothing was changed" in listed.err
    assert synthgen("revoke", "--photo", photo, "--apply").code == 0
    assert sorted(path.name for path in Path("adapters/quarantine").iterdir()) == ["others", "shirts"]
    assert synthgen("list", "adapters").out == ""
    assert "was taken back with `synthgen revoke`" in synthgen("adapters", "inspect", "shirts").err
    assert synthgen("revoke", "--adapter", "adapters/shirts").out.count("in quarantine already") == 2
    assert "LicenseRef-own" in (empty_folder / "adapters" / "quarantine" / "shirts" / "card.toml").read_text()


def test_a_copy_of_an_adapter_is_no_way_round(trained, toy, empty_folder, synthgen):
    shutil.copytree(trained, empty_folder / "adapters" / "shirts")
    photo = json.loads((trained / "private" / "photos.json").read_text())[0]["sha256"]
    for asked in (
        ("adapters", "export", "shirts", "--format", "kohya", "--out", "k.safetensors"),
        ("adapters", "import", "k.safetensors", "--name", "tee", "--base", toy, "--exact-base"),
        ("generate", "--count", 2, "--adapter", "tee", "--base", toy, "--out", "runs/tee", "--size", 64),
    ):
        told = synthgen(*asked)
        assert told.code == 0, told.err
    inspected = synthgen("adapters", "inspect", "tee").out
    assert "same weights   adapter 'shirts', licence LicenseRef-own" in inspected and "adapter 'tee'" not in inspected
    for asked in (("--adapter", "shirts"), ("--adapter", "tee"), ("--photo", photo)):
        listed = synthgen("revoke", *asked).out
        assert "runs/tee  run  2 pictures" in listed and listed.count("  adapter  ") == 2, asked
    shutil.rmtree("adapters/tee")  # what was drawn with it tells whose weights they were
    assert "runs/tee  run  2 pictures" in synthgen("revoke", "--adapter", "shirts", "--apply").out.replace(
        " into quarantine", ""
    )
    assert not pictures(Path("runs/tee")) and not Path("adapters/shirts").exists()


@pytest.mark.parametrize(
    ("stated", "asked", "found"),
    [
        ("MIT OR CC-BY-NC-4.0", "CC-BY-NC-4.0", True),
        ("CC0-1.0 AND (MIT OR cc-by-nc-4.0)", "CC-BY-NC-4.0", True),
        ("LicenseRef-civitai-Image-NoDerivatives", "LicenseRef-civitai", True),
        ("LicenseRef-civitai-Image-NoDerivatives", "LicenseRef-civitai-NoDerivatives-Image", True),
        ("LicenseRef-civitai-Image-NoDerivatives", "LicenseRef-civitai-Rent", False),
        ("", "unknown", True),
        ("Homemade", "unknown", True),
        ("CC-BY-4.0", "CC-BY-NC-4.0", False),
    ],
)
def test_a_licence_is_found_in_expressions_and_under_whatever_learned(stated, asked, found, tmp_path):
    learned = Asset("adapter", "acme", "LicenseRef-own", "ef" * 32, trained_on=(Asset("photos", "p", stated),))
    rights_run.made(tmp_path / "run", Asset("base", "mini", "Apache-2.0"), learned)
    query = revoke.query((tmp_path,), license=asked)
    assert len(revoke.find(query, (tmp_path,))) == int(found)


def test_a_photo_that_pictures_were_drawn_along_is_followed(tmp_path):
    run = rights_run.made(tmp_path / "run", Asset("base", "mini", "Apache-2.0"))  # noqa: F811
    ledger = run / store.RECORDS
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    lines[0]["lineage"]["guides"] = [{"kind": "edges", "sha256": "ab" * 32}]
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = revoke.find(revoke.query((tmp_path,), photo="ab" * 32), (tmp_path,))
    assert [len(place.rows) for place in found] == [1]
