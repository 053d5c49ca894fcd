"""Several conditions at once, each with its own strength, from the command line to the picture and back."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_bases
from PIL import Image
from toy_base import SIZE_PX

from synthgen import bases, generate, guides, provenance, replay, splits, store, verify
from synthgen.errors import RequestError, UnknownName


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mini's form at toy size, its ControlNet with an effect; beside it `canny`, another ControlNet that fits it."""
    from diffusers import UNet2DConditionModel

    place = tmp_path_factory.mktemp("guided")
    folder = toy_bases.write("mini", place / "toy")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", use_safetensors=True)
    toy_bases.from_unet(unet).save_pretrained(place / "canny")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos of boxes."""
    folder = tmp_path / "edges"
    folder.mkdir()
    for number in range(3):
        picture = np.full((80, 64, 3), 230, np.uint8)
        picture[10 + 9 * number : 60, 16:48] = (200, 30, 60 * number)
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def asked(posed: Path, out: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": 4, "base": str(posed), "no_adapter": True, "size": SIZE_PX, "steps": 2, "batch": 4, "out": out,
           "controlnet": (f"canny={posed.parent / 'canny'}",), **more}
    )  # fmt: skip


def test_a_run_along_pose_and_edges_tells_all_of_it_and_is_made_again(
    posed: Path, photos: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    generate.run(asked(posed, run, condition=(f"canny={photos}:0.6:0:0.7", "pose:0.8:0.1")))
    lines = store.read(run)
    for line in lines:
        lineage = line["lineage"]
        assert lineage["settings"]["conditions"] == {
            "canny": {"scale": 0.6, "start": 0, "end": 0.7}, "pose": {"scale": 0.8, "start": 0.1}
        }  # fmt: skip
        told = lineage["guides"][0]
        assert (told["kind"], told["file"]) == ("canny", f"{lineage['job']['index'] % 3}.png")
        assert len(json.loads(lineage["requested"]["keypoints"])) == 18
        assert any(asset["kind"] == "reference" for asset in lineage["license"]["assets"])
        assert any(asset["kind"] == "control" for asset in lineage["license"]["assets"])
    assert {line["lineage"]["requested"]["canny_from"] for line in lines} == {"0.png", "1.png", "2.png"}
    assert verify.path(run).good
    file = run / lines[1]["file_name"]
    places = replay.Places(base=str(posed), controlnet=[f"canny={posed.parent / 'canny'}"], reference=[photos])
    assert replay.picture(file, places).status == replay.SAME
    for missing in (replay.Places(base=str(posed), reference=[photos]), replay.Places(
        base=str(posed), controlnet=[f"canny={posed.parent / 'canny'}"]
    )):  # fmt: skip
        with pytest.raises(RequestError, match=r"--controlnet canny=FOLDER|--reference FOLDER"):
            replay.picture(file, missing)
    Image.fromarray(np.zeros((80, 64, 3), np.uint8)).save(photos / told["file"])
    with pytest.raises(RequestError, match="--reference FOLDER"):
        replay.picture(run / lines[-1]["file_name"], places)


def test_strength_and_steps_of_a_condition_change_the_picture(posed: Path, photos: Path, tmp_path: Path) -> None:
    def pixels(name: str, *conditions: str, **more: Any) -> np.ndarray:
        generate.run(asked(posed, tmp_path / name, count=1, condition=conditions, **more))
        return np.asarray(Image.open(next((tmp_path / name / "images").iterdir())), int)

    edges = str(photos)
    none = pixels("none", controlnet=())
    whole, half, late = (
        pixels(name, f"canny={edges}:{told}") for name, told in (("a", "1"), ("b", "0.3"), ("c", "1:0.5"))
    )
    assert len({image.tobytes() for image in (none, whole, half, late)}) == 4
    without = pixels("d", "pose:0", controlnet=())
    assert (without != none).any()
    assert "requested_keypoints" not in (tmp_path / "d" / "metadata.csv").read_text()


def test_a_weightless_condition_changes_nothing_but_the_plan(posed: Path, photos: Path, tmp_path: Path) -> None:
    """Scale 0 is the picture without the condition, drawn from the same noise."""
    job = generate._prepare(asked(posed, tmp_path / "x", condition=(f"canny={photos}:0",))).jobs[0]
    identity = bases.find(str(posed), [f"canny={posed.parent / 'canny'}"])[1]
    base = bases.family("mini").load(identity, "cpu")
    settings = {**base.settings, "size": SIZE_PX, "num_inference_steps": 2, "controlnet_conditioning_scale": 1.0,
                "threads": 1, "conditions": {"canny": {"scale": 0.0}}}  # fmt: skip
    conditions = guides.parse([f"canny={photos}"])
    guide = guides.Guides(conditions, SIZE_PX).of(job, True)[1]
    along = base.render([job], [guide], settings)[0].pixels.astype(int)
    plain = base.render([job], [guide.controls["pose"]], settings)[0].pixels
    assert np.abs(along - plain).max() <= 1


def test_ready_control_pictures_are_shown_as_they_are(posed: Path, photos: Path) -> None:
    condition = guides.parse([], [f"normal={photos}"])[0]
    made = guides.Guides([condition], SIZE_PX).control(condition, 0)
    assert made.shape == (SIZE_PX, SIZE_PX, 3) and not made[:, 0].any()
    exact = photos.parent / "exact.png"
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE_PX, SIZE_PX, 3), np.uint8)
    Image.fromarray(pixels).save(exact)
    condition = guides.parse([], [f"segmentation={exact}"])[0]
    assert (guides.Guides([condition], SIZE_PX).control(condition, 0) == pixels).all()
    small = guides.Guides([condition], 32).control(condition, 0).reshape(-1, 3)
    assert {tuple(colour) for colour in small} <= {tuple(colour) for colour in pixels.reshape(-1, 3)}


def test_the_embedded_controlnet_knows_what_it_was_trained_for_and_says_so(
    photos: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    outcome = synthgen(
        "generate", "--count", 1, "--no-adapter", "--condition-map", f"depth={photos}", "--out", tmp_path / "r"
    )
    assert outcome.code == 2
    assert "poses, edges (canny) and masks only" in outcome.err and "--controlnet depth=FOLDER" in outcome.err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("canny", "KIND=PATH"), ("canny=", "KIND=PATH"), ("canny=nowhere", "is not there"), ("canny=.:5", "SCALE is 5"),
        ("canny=.:1:0.7:0.3", "START is 0.7 and END 0.3"), ("canny=.", "holds no picture"),
        ("pose=a.json", "--pose-file"),
        ("canny=.:nan", "SCALE is nan"), ("pose:1:0:2", "END 2"),
    ],
)  # fmt: skip
def test_a_condition_that_is_not_understood_is_refused(text: str, said: str, empty_folder: Path) -> None:
    with pytest.raises(RequestError, match=said):
        guides.parse([text])


def test_an_unknown_kind_gets_the_nearest_and_one_asked_twice_is_refused(photos: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'canny'"):
        guides.parse([f"cany={photos}"])
    with pytest.raises(RequestError, match="asked for twice"):
        guides.parse([f"canny={photos}"], [f"canny={photos}"])


def test_a_controlnet_of_another_base_and_one_that_is_shown_nothing_are_refused(
    posed: Path, other_toy: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="made for another base than 'toy': its cross_attention_dim is 16"):
        bases.find(str(posed), [f"canny={other_toy / 'controlnet'}"])
    with pytest.raises(RequestError, match="--condition canny=PHOTOS"):
        generate.run(asked(posed, tmp_path / "run"))
    with pytest.raises(RequestError, match="names two for 'canny'"):
        bases.find(str(posed), [f"canny={posed.parent / 'canny'}"] * 2)


def test_changed_photos_and_strengths_are_another_run(posed: Path, photos: Path) -> None:
    def folder(text: str) -> Path:
        return generate.run(asked(posed, None, condition=(text,), dry_run=True)).folder  # type: ignore[arg-type]

    found = [folder(f"canny={photos}"), folder(f"canny={photos}:0.5")]
    shutil.copytree(photos, photos.parent / "copy")
    assert folder(f"canny={photos.parent / 'copy'}") == found[0]
    (photos / "2.png").unlink()
    assert len({*found, folder(f"canny={photos}")}) == 3


def test_pictures_drawn_along_one_photo_stay_in_one_split() -> None:
    lineages = [{"seed": str(seed), "guides": [{"sha256": str(seed // 2)}]} for seed in range(8)]
    named = splits.groups([splits.keys(lineage) for lineage in lineages])
    assert named[::2] == named[1::2] and len(set(named)) == 4


def test_the_table_says_which_photo_each_picture_was_drawn_along(posed: Path, photos: Path, tmp_path: Path) -> None:
    generate.run(asked(posed, tmp_path / "run", condition_map=(f"canny={photos}",)))
    with (tmp_path / "run" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["requested_canny_from"] for row in rows] == ["0.png", "1.png", "2.png", "0.png"]
    lineage = provenance.read(tmp_path / "run" / rows[0]["file_name"])
    assert lineage["guides"][0]["ready"] is True
