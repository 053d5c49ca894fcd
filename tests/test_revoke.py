"""What came from an adapter, a photo or a licence is found in runs and exports, and taken out on demand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from marked_run import marker, pictures, run  # noqa: F401

from synthgen import revoke, store, verify
from synthgen.errors import RequestError, UnknownName


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
    (key, value), *_ = asked.items()
    code, _, _ = synthgen("revoke", f"--{key}", value, "--apply", tmp_path)
    assert code == 0
    assert not pictures(run) and not list(export.glob("*.png"))
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
