"""Pictures in another encoding: every format is opened as before, every copy verifies, prompts stay where they were."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from marked_run import benchmark, marker  # noqa: F401

from synthgen import export, ingest, marks, rooms, signing, store, verify
from synthgen.errors import RequestError, UnknownName

FORMATS = tuple(name for name in rooms.members("exporters") if name != "dicom")


@pytest.fixture
def run(two_runs: tuple[Path, Path], empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = Path("runs") / "shirts"
    shutil.copytree(two_runs[0], place)
    return place


@pytest.mark.parametrize(("encoding", "ending"), [("jpeg", ".jpg"), ("webp", ".webp")])
def test_copies_go_out_in_every_format_and_verify_against_the_run(run: Path, encoding: str, ending: str) -> None:
    lines = {line["lineage_id"]: line for line in store.read(run)}
    done = export.run(export.ExportRequest((run,), FORMATS, Path("set"), encoding=encoding))
    assert [item.format for item in done.exports] == list(FORMATS)
    assert not [path for path in Path("set").iterdir() if path.name.startswith(".")]
    for name in FORMATS:
        folder = Path("set") / name
        assert (
            subprocess.run(["sha256sum", "-c", "--quiet", "checksums.sha256"], cwd=folder, check=False).returncode == 0
        )
        for row in json.loads((folder / "manifest.json").read_text())["pictures"]:
            assert row["lineage_id"] in lines and Path(row.get("member", row["file"])).suffix in (
                ending,
                ".tar",
                ".parquet",
            )
    copies = sorted(Path("set/csv/images").iterdir())
    assert len(copies) == len(lines) and {path.suffix for path in copies} == {ending}
    for path in copies[:5]:
        said = verify.path(path, stores=(run,)).findings[0]
        assert (said.status, said.lineage_id in lines) == ("ok", True), said
        assert b"a photo of" not in path.read_bytes()  # the PNG does not publish its prompt, and neither does its copy
    for name in ("csv", "imagefolder", "torchvision", "webdataset", "parquet", "coco", "yolo", "croissant"):
        back = ingest.run(ingest.IngestRequest(Path("set") / name, Path("back") / name))
        assert (back.pictures, back.skipped) == (len(lines), ()), name
    there_and_back = verify.path(Path("back/parquet"), stores=(run,))
    assert there_and_back.counts == {"ok": len(lines)}
    assert all(item.already for item in export.run(export.ExportRequest((run,), FORMATS, Path("set"),
                                                                        encoding=encoding)).exports)  # fmt: skip


def test_an_attacked_copy_is_found_too(run: Path) -> None:
    export.run(export.ExportRequest((run,), ("csv",), Path("set"), encoding="webp"))
    first, second, third, *_ = sorted(Path("set/csv/images").iterdir())
    data = bytearray(first.read_bytes())
    data[len(data) // 3] ^= 1
    first.write_bytes(data)
    second.write_bytes(benchmark.saved_as("WEBP", lossless=True)(second.read_bytes(), 0))
    third.write_bytes(benchmark.saved_as("JPEG", quality=70)(third.read_bytes(), 0))
    assert [verify.path(path, stores=(run,)).findings[0].status for path in (first, second, third)] == [
        "altered", "stripped", "stripped"
    ]  # fmt: skip


def test_the_mlcroissant_reader_finds_copies(run: Path) -> None:
    import mlcroissant

    export.run(export.ExportRequest((run,), ("croissant",), Path("set"), encoding="jpeg"))
    data = mlcroissant.Dataset("set/croissant/croissant.json")
    assert not data.metadata.ctx.issues.errors and not data.metadata.ctx.issues.warnings
    found = {
        record["pictures/file_name"].decode(): record["pictures/image"].size for record in data.records("pictures")
    }
    assert len(found) == 24 and all(name.endswith(".jpg") for name in found) and set(found.values()) == {(64, 64)}


def test_prompts_go_along_where_the_picture_publishes_them(run: Path, synthgen: Callable[..., Any]) -> None:
    victim = run / store.read(run)[0]["file_name"]
    line = store.read(run)[0]
    who = marks.Marker(signing.identity(), prompts=True)
    import numpy as np
    from PIL import Image

    open_prompt = who.mark(np.asarray(Image.open(victim)), line["lineage"])
    ledger = (run / store.RECORDS).read_text()
    import hashlib

    (run / store.RECORDS).write_text(ledger.replace(line["file_sha256"], hashlib.sha256(open_prompt).hexdigest()))
    victim.write_bytes(open_prompt)
    export.run(export.ExportRequest((run,), ("csv",), Path("set"), encoding="jpeg"))
    copy = Path("set/csv/images") / f"{victim.stem}.jpg"
    told = marks.examine(copy.read_bytes(), signing.anchors()).lineage
    assert told is not None and told["prompt"] == line["lineage"]["prompt"]


def test_what_does_not_go_together_is_told_before_anything_is_written(run: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'jpeg'"):
        export.run(export.ExportRequest((run,), ("csv",), Path("set"), encoding="jpg"))
    with pytest.raises(RequestError, match="does not go with --format dicom"):
        export.run(export.ExportRequest((run,), ("csv", "dicom"), Path("set"), encoding="webp"))
    assert not Path("set").exists()
