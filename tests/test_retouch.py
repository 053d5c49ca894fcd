"""Drawing into a photo: what the mask leaves out stays byte for byte, and the record tells what went in."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_bases
from PIL import Image
from toy_base import SIZE_PX

from synthgen import bases, generate, photo_frame, provenance, replay, retouch, store, verify
from synthgen.errors import RequestError
from synthgen.types import Guide, Into, Job

WIDE, HIGH = 150, 200  # px of the photos


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mini's form with sixteen latent channels, which diffusers' own inpainting refuses; ControlNets with an effect."""
    import torch
    from diffusers import ControlNetModel, UNet2DConditionModel

    folder = toy_bases.write("mini", tmp_path_factory.mktemp("sixteen") / "toy")
    torch.manual_seed(1)
    toy_bases.kl_vae(16, scaling_factor=1.0).save_pretrained(folder / "vae")
    config = UNet2DConditionModel.load_config(folder / "unet")
    unet = UNet2DConditionModel.from_config({**config, "in_channels": 16, "out_channels": 16})
    unet.save_pretrained(folder / "unet")
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8, 8))
    toy_bases.stirred(control).save_pretrained(folder / "controlnet")
    toy_bases.from_unet(unet).save_pretrained(folder.parent / "canny")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos of a box on noise, with masks of the box and the rights in them."""
    folder, masks = tmp_path / "photos", tmp_path / "masks"
    folder.mkdir()
    masks.mkdir()
    for number in range(2):
        picture = np.random.default_rng(number).integers(60, 120, (HIGH, WIDE, 3), np.uint8)
        picture[70:130, 50:100] = (200, 30, 60 * number)
        mask = np.zeros((HIGH, WIDE), np.uint8)
        mask[70:130, 50:100] = 255
        Image.fromarray(picture).save(folder / f"model-{number}.png")
        Image.fromarray(mask).save(masks / f"model-{number}.png")
    (folder / "rights.toml").write_text('owner = "Acme"\nlicense = "CC-BY-4.0"\nconsent = "signed"\n')
    return folder


def asked(base: Path, out: Path, photos: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": 4, "base": str(base), "no_adapter": True, "size": SIZE_PX, "steps": 4, "batch": 3, "out": out,
           "into": photos, "mask": str(photos.parent / "masks"), **more}
    )  # fmt: skip


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_only_the_masked_part_of_a_photo_is_drawn_and_the_record_tells_which_photo_it_was(
    wide: Path, photos: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    generate.run(asked(wide, run, photos))
    assert sorted(row["requested_photo"] for row in rows(run)) == ["model-0.png"] * 2 + ["model-1.png"] * 2
    assert not {"requested_pose", "requested_place", "requested_keypoints"} & set(rows(run)[0])
    assert {row["prompt"] for row in rows(run)} == {"a photo of a person wearing a garment"}
    inside = []
    for line in store.read(run):
        told = line["lineage"]["guides"][0]
        photo = np.asarray(Image.open(photos / told["file"]))
        mask = np.asarray(Image.open(photos.parent / "masks" / told["file"])) > 0
        made = np.asarray(Image.open(run / line["file_name"]))
        assert made.shape == (HIGH, WIDE, 3) and (made[~mask] == photo[~mask]).all()
        assert np.abs(made[mask].astype(int) - photo[mask]).mean() > 5
        inside.append(made[mask].tobytes())
        assert (line["lineage"]["width"], line["lineage"]["height"]) == (WIDE, HIGH)
        (asset,) = (one for one in line["lineage"]["license"]["assets"] if one["kind"] == "reference")
        assert (asset["owner"], asset["license"], asset["consent"]) == ("Acme", "CC-BY-4.0", "signed")
        assert line["lineage"]["digital_source_type"] == provenance.COMPOSITE
        marked = (run / line["file_name"]).read_bytes()  # in XMP twice, and in the action of the manifest
        assert marked.count(b"compositeWithTrainedAlgorithmicMedia") >= 3 and b"/trainedAlgo" not in marked
    assert len(set(inside)) == 4
    assert verify.path(run).good


@pytest.mark.parametrize("masked", [True, False])
def test_a_picture_in_a_photo_is_made_again_from_its_record_and_the_photo(
    wide: Path, photos: Path, tmp_path: Path, masked: bool
) -> None:
    run = tmp_path / "run"
    generate.run(asked(wide, run, photos, count=2, **({} if masked else {"mask": ""})))
    file = run / rows(run)[1]["file_name"]
    places = replay.Places(base=str(wide), reference=[photos, photos.parent / "masks"])
    assert replay.picture(file, places).status == replay.SAME
    with pytest.raises(RequestError, match="--reference FOLDER"):
        replay.picture(file, replay.Places(base=str(wide), reference=[tmp_path / "masks"]))


def test_an_interrupted_run_into_photos_is_finished_to_the_same_pictures(
    wide: Path, photos: Path, tmp_path: Path
) -> None:
    from toy_base import interrupted_once

    generate.run(asked(wide, tmp_path / "whole", photos, count=6))
    ledger = tmp_path / "parts" / "records.jsonl"
    with interrupted_once(lambda: ledger.is_file() and ledger.read_bytes().count(b"\n") >= 1):
        generate.run(asked(wide, tmp_path / "parts", photos, count=6))
    assert generate.run(asked(wide, tmp_path / "parts", photos, count=6)).already
    whole, parts = (store.read(tmp_path / name) for name in ("whole", "parts"))
    assert [line["lineage"] for line in whole] == [line["lineage"] for line in parts]


def test_a_whole_photo_is_redrawn_the_more_the_stronger_and_along_skeletons(
    wide: Path, photos: Path, tmp_path: Path
) -> None:
    from synthgen import images

    photo = np.asarray(images.square(Image.open(photos / "model-0.png"), SIZE_PX), float)
    off = []
    for strength in (0.25, 1.0):
        run = tmp_path / f"run-{strength}"
        generate.run(asked(wide, run, photos / "model-0.png", count=2, mask="", strength=strength))
        made = [np.asarray(Image.open(run / row["file_name"]), float) for row in rows(run)]
        assert {picture.shape for picture in made} == {(SIZE_PX, SIZE_PX, 3)}
        off.append(np.mean([np.abs(picture - photo).mean() for picture in made]))
        assert "requested_keypoints" in rows(run)[0] and "requested_place" in rows(run)[0]
    assert off[0] != off[1]


def test_latents_beside_the_mask_are_those_of_the_photo_after_every_step(wide: Path) -> None:
    """Sixteen channels: what diffusers does for four, held against its formula and its end."""
    import torch

    from synthgen.bases._kept import Kept

    base = bases.family("mini").load(bases.find(str(wide))[1], "cpu")
    into = Into(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8))
    into.mask[:, :32] = 255
    seen: list[Any] = []
    before = Kept.__call__

    def watching(self: Kept, pipe: Any, step: int, moment: Any, told: dict[str, Any]) -> dict[str, Any]:
        result = before(self, pipe, step, moment, told)
        seen.append((pipe.scheduler.timesteps[-pipe.num_timesteps :], step, told["latents"], result["latents"], self))
        return result

    settings = {**base.settings, "size": SIZE_PX, "num_inference_steps": 4, "guidance_scale": 3.0, "strength": 0.75,
                "controlnet_conditioning_scale": 1.0, "threads": 1}  # fmt: skip
    job = Job("0" * 16, 0, "a photo of a person wearing a shirt", "", 5, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kept, "__call__", watching)
        base.render([job], [Guide({}, into)], settings)
    assert [step for _, step, *_ in seen] == [0, 1, 2]
    photo = base.encode_pixels(into.shown[None])
    for moments, step, drawn, kept, self in seen:
        wanted = photo
        if step < 2:
            alpha = base.parts.scheduler.alphas_cumprod[moments[step + 1]]
            wanted = alpha.sqrt() * photo + (1 - alpha).sqrt() * self.noise
        assert torch.allclose(kept[..., 4:], wanted[..., 4:], atol=1e-5) and (kept[..., :4] == drawn[..., :4]).all()


def test_edges_of_the_same_photo_steer_what_is_drawn_into_it(wide: Path, photos: Path, tmp_path: Path) -> None:
    named = (f"canny={wide.parent / 'canny'}",)
    plain, along = tmp_path / "plain", tmp_path / "along"
    generate.run(asked(wide, plain, photos, count=2))
    generate.run(asked(wide, along, photos, count=2, controlnet=named, condition=(f"canny={photos}:1",)))
    for line in store.read(along):
        kinds = {told["kind"]: told["file"] for told in line["lineage"]["guides"]}
        assert set(kinds) == {"photo", "canny"} and len(set(kinds.values())) == 1
        mask = np.asarray(Image.open(photos.parent / "masks" / kinds["photo"])) > 0
        made, photo = (np.asarray(Image.open(place)) for place in (along / line["file_name"], photos / kinds["photo"]))
        assert (made[~mask] == photo[~mask]).all()
    file = along / store.read(along)[0]["file_name"]
    places = replay.Places(base=str(wide), controlnet=named, reference=[photos, photos.parent / "masks"])
    assert replay.picture(file, places).status == replay.SAME
    (photos.parent / "other").mkdir()
    Image.new("RGB", (WIDE, HIGH)).save(photos.parent / "other" / "someone.png")
    with pytest.raises(RequestError, match="no picture for model-"):
        generate.run(
            asked(wide, tmp_path / "x", photos, controlnet=named, condition=(f"canny={photos.parent / 'other'}",))
        )


def test_a_mask_is_made_of_the_product_or_of_the_garment_that_the_judge_sees(tmp_path: Path) -> None:
    from synthgen.mini import world

    picture = np.full((90, 60, 3), 235, np.uint8)
    picture[20:70, 10:50] = (180, 20, 30)
    Image.fromarray(picture).save(tmp_path / "flat.png")
    mask = retouch._made(tmp_path / "flat.png", Image.fromarray(picture), retouch.PRODUCT)
    assert mask.shape == (90, 60) and mask[45, 30] == 255 and not mask[5].any() and (mask[22:68, 12:48] == 255).all()
    found, large = [], []
    for seed in range(12):
        render = world.render("person", seed, {})
        seen = retouch._made(tmp_path / "person.png", Image.fromarray(render.pixels), retouch.GARMENT) > 0
        truth = np.asarray(render.mask) >= 128
        assert seen.shape == render.pixels.shape[:2]
        found.append(seen[truth].mean())
        large.append(seen.mean() / truth.mean())
    assert np.mean(found) > 0.85 and np.median(large) < 1.8
    tall = Image.new("RGB", (128, 256), "white")
    tall.paste(Image.fromarray(render.pixels).crop((64, 0, 192, 256)))
    assert retouch._made(tmp_path / "tall.png", tall, retouch.GARMENT).shape == (256, 128)
    with pytest.raises(RequestError, match="sees no garment"):
        retouch._made(tmp_path / "none.png", Image.new("RGB", (64, 64), "white"), retouch.GARMENT)


@pytest.mark.parametrize(("high", "wide_px", "top", "size"), [(200, 150, 70, 64), (64, 64, 10, 64), (90, 400, 0, 128)])
def test_put_back_changes_nothing_beside_the_mask_whatever_the_proportions(
    high: int, wide_px: int, top: int, size: int
) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (high, wide_px, 3), np.uint8)
    mask = np.zeros((high, wide_px), np.uint8)
    mask[top : top + 40, 20:60] = 255
    mask[top + 40, 20:60] = 1  # hardly in it, and yet in it
    into = photo_frame.masked(photo, mask, size)
    left, first, side = into.box
    assert into.shown.shape == (size, size, 3) and into.mask.shape == (size, size) and {0, 255} == {*into.mask.flat}
    assert left <= 20 and left + side >= 60 and first <= top and first + side >= top + 40
    made = photo_frame.put_back(np.full((size, size, 3), 7, np.uint8), into)
    assert (made[mask == 0] == photo[mask == 0]).all()
    assert (made[top + 15 : top + 25, 35:45] == 7).all()
    same = photo_frame.put_back(into.shown, into) if side == size else photo
    assert (same == photo).all()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"into": None}, "go with --into"), ({"mask": "nowhere"}, "garment or product"),
        ({"mask": "", "strength": 0.1}, "less than one step"),
        ({"condition_map": ("depth=photos",)}, "knows poses, edges"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_drawn_is_refused_before_anything_is_written(
    wide: Path, photos: Path, tmp_path: Path, more: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=said):
        generate.run(asked(wide, tmp_path / "run", photos, **more))
    assert not (tmp_path / "run").exists()


def test_masks_that_are_missing_black_or_of_another_form_are_named(wide: Path, photos: Path, tmp_path: Path) -> None:
    mask = tmp_path / "masks" / "model-1.png"
    Image.new("L", (WIDE, HIGH)).save(mask)
    with pytest.raises(RequestError, match=r"model-1\.png is black"):
        generate.run(asked(wide, tmp_path / "a", photos))
    Image.new("L", (WIDE, WIDE), 255).save(mask)
    with pytest.raises(RequestError, match="same proportions"):
        generate.run(asked(wide, tmp_path / "b", photos))
    mask.unlink()
    with pytest.raises(RequestError, match=r"no mask for model-1\.png"):
        generate.run(asked(wide, tmp_path / "c", photos))


def test_photos_of_unknown_rights_are_refused_for_commercial_use(
    wide: Path, photos: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    (photos / "rights.toml").unlink()
    outcome = synthgen(
        "generate", "--count", 2, "--no-adapter", "--into", photos, "--mask", "product", "--use", "commercial",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert outcome.code == 3 and "photos (drawn into)" in outcome.err
    assert not (tmp_path / "run").exists()


def test_another_mask_or_photo_is_another_run(wide: Path, photos: Path, tmp_path: Path) -> None:
    def folder(**more: Any) -> Path:
        return generate.run(asked(wide, None, photos, dry_run=True, **more)).folder  # type: ignore[arg-type]

    found = [folder(), folder(strength=0.5), folder(mask="product"), folder(mask="")]
    Image.new("L", (WIDE, HIGH), 255).save(tmp_path / "masks" / "model-1.png")
    assert len({*found, folder()}) == 5
