"""An adapter and a count in, a labelled data set out, on real diffusers classes at toy size."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tomli_w
from PIL import Image
from toy_base import SIZE_PX, interrupted_once

from synthgen import adapters, generate, precision, provenance, recipes, store
from synthgen.errors import RequestError, UnfitAdapter


def asked(trained: Path, toy: Path, out: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": 9, "base": str(toy), "adapters": (str(trained),), "size": SIZE_PX, "steps": 1, "batch": 4,
           "out": out, **more}
    )  # fmt: skip


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def recorded(run: Path) -> int:
    """How many pictures are done in a run."""
    file = run / "records.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def test_a_run_has_exactly_count_labelled_pictures_that_carry_their_lineage(
    trained: Path, toy: Path, tmp_path: Path
) -> None:
    result = generate.run(asked(trained, toy, tmp_path / "run"))
    assert (result.made, result.already) == (9, 0)
    table = rows(tmp_path / "run")
    assert len(table) == 9
    assert next(iter(table[0])) == "file_name"
    for row in table:
        file = tmp_path / "run" / row["file_name"]
        lineage = provenance.read(file)
        assert lineage["seed"] == row["seed"]
        assert lineage["prompt_sha256"] == sha256(row["prompt"].encode()).hexdigest()
        assert f"sks {row['requested_look']} shirt" in row["prompt"] and b"sks " not in file.read_bytes()
        assert lineage["pixel_sha256"] == provenance.pixel_sha256(np.asarray(Image.open(file)))
        assert lineage["adapters"][0]["sha256"] == adapters.load_card(trained).weights_sha256
        assert len(json.loads(row["requested_keypoints"])) == 18
        assert row["license_verdict"] in ("unknown", "review", "allow")
    assert {row["label"] for row in table} == {"shirt"}


def test_an_interrupted_run_resumes_to_the_same_pictures(trained: Path, toy: Path, tmp_path: Path) -> None:
    generate.run(asked(trained, toy, tmp_path / "whole", count=40))
    request = asked(trained, toy, tmp_path / "parts", count=40)
    for count in (1, 6):
        with interrupted_once(lambda: recorded(tmp_path / "parts") >= count):  # noqa: B023
            generate.run(request)
        assert count <= recorded(tmp_path / "parts") < 40
    again = generate.run(request)
    assert again.made + again.already == 40
    assert again.already > 0
    whole, parts = store.read(tmp_path / "whole"), store.read(tmp_path / "parts")
    assert [line["lineage"] for line in whole] == [line["lineage"] for line in parts]
    assert {line["file_sha256"] for line in whole}.isdisjoint(line["file_sha256"] for line in parts)  # signed twice
    for line in parts:
        assert (
            provenance.pixel_sha256(np.asarray(Image.open(tmp_path / "parts" / line["file_name"])))
            == (line["pixel_sha256"])
        )
    assert generate.run(request).made == 0


def test_adapter_strength_changes_the_picture_and_zero_is_the_base(trained: Path, toy: Path, tmp_path: Path) -> None:
    from synthgen.bases import mini
    from synthgen.types import AdapterUse, Job

    job = Job("0" * 16, 0, "a photo of a person wearing a sks shirt", "", 5, {"pose": "standing"})
    settings = {"num_inference_steps": 2, "guidance_scale": 1.0, "size": SIZE_PX, "controlnet_conditioning_scale": 1.0}

    def drawn(*weights: float) -> np.ndarray:
        base = mini.load(mini.identify(toy))
        base.attach([AdapterUse("a", trained, weight) for weight in weights])
        return base.render([job], [None], settings)[0].pixels.astype(float)

    plain = drawn()
    assert np.abs(drawn(0.0) - plain).max() <= 1
    full = np.abs(drawn(1.0) - plain).mean()
    assert full > 1
    assert np.abs(drawn(0.5, 0.5) - drawn(1.0)).mean() < 0.05 * full + 0.5


def test_an_adapter_for_another_base_is_refused_by_card_and_by_tensors(
    trained: Path, other_toy: Path, tmp_path: Path
) -> None:
    from synthgen.bases import mini
    from synthgen.types import AdapterUse

    with pytest.raises(UnfitAdapter, match="was trained for base 'toy'"):
        generate.run(asked(trained, other_toy, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    base = mini.load(mini.identify(other_toy))
    with pytest.raises(UnfitAdapter, match="trained for another base"):
        base.attach([AdapterUse("a", trained)])


def test_commercial_use_of_unknown_photos_is_refused_before_anything_is_written(
    trained: Path, toy: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    outcome = synthgen(
        "generate", "--count", 3, "--base", toy, "--adapter", trained, "--use", "commercial", "--out", tmp_path / "run"
    )
    assert outcome.code == 3
    assert "Licence refused for --use commercial" in outcome.err
    assert not (tmp_path / "run").exists()


def test_pictures_that_stay_blank_end_the_run_with_the_short_cells_named(
    trained: Path, toy: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    from diffusers import AutoencoderKL

    grey = tmp_path / "toy"
    shutil.copytree(toy, grey)
    vae = AutoencoderKL.from_pretrained(grey / "vae", local_files_only=True)
    for parameter in vae.decoder.conv_out.parameters():
        parameter.data.zero_()
    vae.save_pretrained(grey / "vae")
    outcome = synthgen(
        "generate", "--count", 2, "--base", grey, "--no-adapter", "--size", SIZE_PX, "--num-inference-steps", 1,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert outcome.code == 1
    assert "2 pictures were rejected 5 times each" in outcome.err
    assert len(list((tmp_path / "run" / "rejected").glob("*.png"))) == 10


def test_no_adapter_at_all_says_what_to_do(empty_folder: Path) -> None:
    with pytest.raises(RequestError, match="--no-adapter"):
        generate.run(generate.GenerateRequest(count=3))


def test_a_dry_run_writes_nothing_and_names_every_cell(trained: Path, toy: Path, empty_folder: Path) -> None:
    result = generate.run(asked(trained, toy, empty_folder / "run", count=60, dry_run=True))
    assert list(empty_folder.iterdir()) == []
    assert sum(result.cells["place"].values()) == 60
    assert set(result.cells["skin_tone"].values()) == {6}


def test_own_keypoints_decide_the_pose(trained: Path, toy: Path, tmp_path: Path) -> None:
    from synthgen import poses

    points = np.array(poses.library()[next(iter(poses.library()))].points) * [400, 400, 1] + [200, 50, 0]
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"people": [{"pose_keypoints_2d": points.ravel().tolist()}]}))
    (tmp_path / "rights.toml").write_text('owner = "me"\nlicense = "CC-BY-4.0"\n')
    generate.run(asked(trained, toy, tmp_path / "run", count=3, poses=(file,)))
    assert {row["requested_pose"] for row in rows(tmp_path / "run")} == {"mine"}
    told = {line["lineage"]["pose_license"] for line in store.read(tmp_path / "run")}
    assert told == {"CC-BY-4.0"}  # as the file beside them states


def test_a_tag_in_the_prompt_means_the_same_as_the_option(trained: Path, toy: Path, empty_folder: Path) -> None:
    from synthgen import recipes

    shutil.copytree(trained, empty_folder / "adapters" / "shirts")
    (empty_folder / "pipelines").mkdir()
    text = recipes.dump(recipes.load("apparel")).replace("wearing {subject}", "wearing {subject} <lora:shirts:0.7>")
    (empty_folder / "pipelines" / "tagged.toml").write_text(text)
    asked_for = generate.GenerateRequest(count=1, pipeline="tagged", base=str(toy), dry_run=True)
    ready = generate._prepare(asked_for)
    assert [(use.name, use.weight) for use in ready.uses] == [("shirts", 0.7)]
    assert "<lora" not in ready.jobs[0].prompt


def test_a_recipe_without_poses_draws_without_a_skeleton(toy: Path, empty_folder: Path) -> None:
    from synthgen import recipes

    told = tomllib.loads(recipes.dump(recipes.load("apparel")).replace(", {pose}", ""))
    del told["axes"]["pose"]
    (empty_folder / "plain.toml").write_text(tomli_w.dumps(told))
    result = generate.run(
        generate.GenerateRequest(
            count=2, pipeline="plain.toml", base=str(toy), no_adapter=True, size=SIZE_PX, steps=1, out=Path("run")
        )
    )
    assert result.made == 2
    assert "requested_keypoints" not in rows(Path("run"))[0]


def test_a_recipe_that_asks_for_a_child_is_refused(synthgen: Callable[..., Any], empty_folder: Path) -> None:
    from synthgen import recipes

    text = recipes.dump(recipes.load("apparel")).replace('"20-39"', '"child"')
    (empty_folder / "mine.toml").write_text(text)
    outcome = synthgen("check", "mine.toml")
    assert outcome.code == 2
    assert "age has no 'child'" in outcome.err


def test_changed_pose_files_are_another_run(trained: Path, toy: Path, tmp_path: Path) -> None:
    from synthgen import poses

    points = np.array(poses.library()[next(iter(poses.library()))].points) * [400, 400, 1] + [200, 50, 0]
    file, folders = tmp_path / "mine.json", []
    for shift in (0, 30):
        points[4, 0] += shift
        file.write_text(json.dumps({"people": [{"pose_keypoints_2d": points.ravel().tolist()}]}))
        folders.append(generate.run(asked(trained, toy, None, poses=(file,), dry_run=True)).folder)  # type: ignore[arg-type]
    assert folders[0] != folders[1]


def test_a_run_freezes_what_went_in_and_gives_notice_of_it(trained: Path, toy: Path, tmp_path: Path) -> None:
    from synthgen import rights_report, store

    generate.run(asked(trained, toy, tmp_path / "run", count=2, reading="lenient"))
    assets = rights_report.assets_of(store.read(tmp_path / "run"), tmp_path / "run")
    photos = next(asset for asset in assets if asset.kind == "adapter").trained_on[0]
    assert (photos.owner, photos.license, photos.source) == ("Acme", "LicenseRef-own", "studio")
    written = rights_report.rights_files(tmp_path / "run")
    assert written.verdict.reading == "lenient" and all(path.is_file() for path in written.files)
    with pytest.raises(RequestError, match="made for --reading lenient"):
        generate.run(asked(trained, toy, tmp_path / "run", count=2))


def test_a_gate_that_knows_the_embedded_base_is_not_asked_about_another(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = replace(recipes.load("apparel"), gates={"blank": "reject", "label": "measure", "pose": "reject"})
    for base, family, asked in (("mini", "mini", ["blank", "label", "pose"]), ("toy", "sd15", ["blank", "safety"])):
        ready = SimpleNamespace(recipe=recipe, identity=SimpleNamespace(id=base), module=SimpleNamespace(name=family))
        facts = SimpleNamespace(use="internal", label_judge=None)
        assert [name for name, _, _ in generate._judges(ready, facts)] == asked
    assert "gate 'pose' is not asked: it knows mini and not base 'toy'." in capsys.readouterr().err


def test_a_picture_is_made_again_with_the_adapters_of_its_record_and_no_others(
    trained: Path, toy: Path, tmp_path: Path
) -> None:
    from synthgen import replay

    generate.run(asked(f"{trained}:0.6", toy, tmp_path / "run", count=2))  # type: ignore[arg-type]
    file = tmp_path / "run" / rows(tmp_path / "run")[1]["file_name"]
    assert replay.picture(file, replay.Places(base=str(toy), adapter=[str(trained)])).status == replay.SAME
    with pytest.raises(RequestError, match="--adapter FOLDER"):
        replay.picture(file, replay.Places(base=str(toy)))


@pytest.mark.skipif(not precision.cpu_has_bfloat16(), reason="this processor does not compute in bfloat16")
def test_a_picture_is_made_again_in_the_precision_of_its_record(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthgen import replay

    place = tmp_path / "run"
    generate.run(asked(toy, toy, place, count=2, memory="half", adapters=(), no_adapter=True))
    file, again = place / rows(place)[1]["file_name"], replay.Places(base=str(toy))
    assert replay.picture(file, again).status == replay.SAME
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)
    found = replay.picture(file, again)
    assert found.status != replay.SAME and "does not compute in bfloat16, and drew in full" in found.remarks[0]


def test_an_invisible_mark_is_recorded_read_and_drawn_again(trained: Path, toy: Path, tmp_path: Path) -> None:
    from synthgen import replay, watermark
    from synthgen.watermarks import blocks

    wanted = asked(trained, toy, tmp_path / "run", count=2, size=128, watermark="blocks")
    generate.run(wanted)
    for line in store.read(tmp_path / "run"):
        told, file = line["lineage"]["watermark"], tmp_path / "run" / line["file_name"]
        assert told == {"name": "blocks", "payload": line["job_id"]}
        assert np.array_equal(blocks.read(np.asarray(Image.open(file))), watermark.bits(told["payload"], blocks.BITS))
    assert replay.picture(file, replay.Places(base=str(toy), adapter=[str(trained)])).status == replay.SAME
    plain = generate.run(replace(wanted, watermark="", out=None, dry_run=True))
    assert plain.folder.name != generate.run(replace(wanted, out=None, dry_run=True)).folder.name


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"use": "dataset-release"}, "are there to be learned from"),
        ({"use": "medical-evaluation"}, "are there to be learned from"),
        ({"size": 64}, "needs pictures of 128 px"),
        ({"watermark": "blcks"}, "did you mean 'blocks'"),
    ],
)
def test_no_invisible_mark_goes_where_it_would_do_harm(
    trained: Path, toy: Path, tmp_path: Path, said: dict[str, Any], words: str
) -> None:
    wanted = asked(trained, toy, tmp_path / "run", count=2, **{"size": 128, "watermark": "blocks", **said})
    with pytest.raises(RequestError, match=words):
        generate.run(wanted)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_says_what_may_be_done_with_it(trained: Path, toy: Path, tmp_path: Path) -> None:
    wanted = asked(trained, toy, tmp_path / "run", count=2)
    generate.run(wanted)
    place = tmp_path / "run" / "rights"
    assert sorted(path.name for path in place.iterdir()) == ["ATTRIBUTION.md", "NOTICE", "RIGHTS.md", "bom.json"]
    assert "| commercial | unknown | no |" in (place / "RIGHTS.md").read_text()
    shutil.rmtree(place)
    generate.run(wanted)  # finished, and stopped before this was written
    assert (place / "bom.json").is_file()
