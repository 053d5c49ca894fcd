"""Runs that are killed, starved of memory, torn and taken up again: real kills of real processes."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import doomed
import numpy as np
import pytest
from PIL import Image
from toy_base import SIZE_PX

from synthgen import generate, provenance, replay, store
from synthgen.errors import RequestError

BATCH, COUNT = 4, 10


def asked(toy: Path, out: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": COUNT, "base": str(toy), "no_adapter": True, "size": SIZE_PX, "steps": 1, "batch": BATCH,
           "out": out, **more}
    )  # fmt: skip


def recorded(run: Path) -> list[dict[str, Any]]:
    return store.read(run) if (run / store.ABOUT).is_file() else []


@pytest.fixture(scope="module")
def whole(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHGEN_HOME", str(home))
        return generate.run(asked(toy, tmp_path_factory.mktemp("whole") / "run")).folder


# A picture takes three writes: its temporary file, the rename, its line. Before the first stand two for run.toml.
@pytest.mark.parametrize("write", [1, 3, 4, 5, 18, 33, 36])
def test_kill_9_loses_at_most_the_pictures_in_flight_and_resumed_equals_undisturbed(
    write: int, whole: Path, toy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    process = doomed.start(doomed.kill_at, write, asked(toy, folder))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = recorded(folder)
    result = generate.run(asked(toy, folder))
    assert result.already == len(kept) >= min(COUNT, (write - 3) // 3)
    lines = recorded(folder)
    assert [line["lineage"] for line in lines] == [line["lineage"] for line in recorded(whole)]
    assert {line["job_id"]: line["file_sha256"] for line in kept}.items() <= {
        line["job_id"]: line["file_sha256"] for line in lines
    }.items()
    for line in lines:
        ours, theirs = (np.asarray(Image.open(run / line["file_name"])) for run in (folder, whole))
        assert ours.tobytes() == theirs.tobytes()
    assert (folder / store.TABLE).read_bytes() == (whole / store.TABLE).read_bytes()
    assert not [path for path in folder.rglob(".*") if path.is_file()]


def test_a_record_torn_at_its_tail_costs_that_picture_alone(whole: Path, toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    records = folder / store.RECORDS
    records.write_bytes(records.read_bytes()[:-40])
    result = generate.run(asked(toy, folder))
    assert (result.already, result.made) == (COUNT - 1, 1)
    assert [line["lineage"] for line in recorded(folder)] == [line["lineage"] for line in recorded(whole)]


def test_a_second_run_in_the_same_folder_is_refused(toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = doomed.start(generate.run, asked(toy, folder, count=400))
    try:
        while not recorded(folder):
            assert first.is_alive()
            time.sleep(0.01)
        with pytest.raises(RequestError, match=f"is in use by process {first.pid}"):
            generate.run(asked(toy, folder, count=400))
    finally:
        first.kill()
        first.join()


def test_too_little_memory_halves_the_batch_and_the_run_goes_on(toy: Path, tmp_path: Path) -> None:
    """The limit is real: address space for less than the planned batch; where it suffices for one, it goes on."""
    folder, batch, size = tmp_path / "run", 8, 512

    request = asked(toy, folder, count=batch, batch=batch, size=size)
    process = doomed.start(doomed.starve, 220 * 2**20, tmp_path / "said", request)
    process.join()
    assert process.exitcode == 0, (tmp_path / "said").read_text()
    assert f"out of memory with {batch} pictures at once; from now on 4" in (tmp_path / "said").read_text()
    lines = recorded(folder)
    assert len(lines) == batch
    assert {line["lineage"]["drawn"]["batch"] for line in lines} <= {1, 2, 4}


def test_every_picture_is_the_same_when_made_again_from_its_record(whole: Path, toy: Path) -> None:
    lines = recorded(whole)
    assert {(line["lineage"]["drawn"]["batch"], line["lineage"]["drawn"]["row"]) for line in lines} == {
        (4, 0), (4, 1), (4, 2), (4, 3), (2, 0), (2, 1)
    }  # fmt: skip
    assert {line["lineage"]["drawn"]["batch_tolerance_levels"] for line in lines} <= {0, 1, 2}
    for line in (lines[0], lines[5], lines[9]):
        found = replay.picture(whole / line["file_name"], replay.Places(base=str(toy)))
        assert (found.status, found.levels, found.remarks) == (replay.SAME, 0, ())


def test_a_picture_that_was_changed_or_whose_parts_are_others_is_told(
    whole: Path, toy: Path, other_toy: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    file = whole / recorded(whole)[1]["file_name"]
    with Image.open(file) as image:
        image.convert("RGB").save(tmp_path / "copy.jpg")
        lineage = provenance.read(file)
        pixels = np.asarray(image).copy()
    pixels[:8, :8] ^= 128
    (tmp_path / "changed.png").write_bytes(provenance.encoded(pixels, lineage, "PNG"))
    told = ("--base", toy)
    outcome = synthgen("replay", tmp_path / "changed.png", "--store", whole, *told, "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 0 and found["status"] == "same" and found["levels"] == 128
    assert "was changed after it was made" in found["remarks"][0]
    assert "holds no synthgen lineage" in synthgen("replay", tmp_path / "copy.jpg", *told).err
    assert "does not publish its prompt" in synthgen("replay", tmp_path / "changed.png", *told).err
    assert "Name the one it was with --base" in synthgen("replay", file, "--base", other_toy).err
    assert "is not found as 'toy'" in synthgen("replay", file).err


def test_a_record_that_says_another_seed_gives_a_different_picture(
    whole: Path, toy: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    line = recorded(whole)[2]
    lineage = {**line["lineage"], "seed": "7"}
    lineage["id"] = provenance.lineage_id(lineage)
    with Image.open(whole / line["file_name"]) as image:
        (tmp_path / "other.png").write_bytes(provenance.encoded(np.asarray(image), lineage, "PNG"))
    outcome = synthgen("replay", tmp_path / "other.png", "--base", toy)
    assert outcome.code == 3 and outcome.out.startswith("different: ")
