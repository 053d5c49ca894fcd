"""Sets of photos that are not fit to train on are told so, each finding with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from synthgen import adapters, captions, images, masks, photo_check, photo_quality, train
from synthgen.caption_lint import Words
from synthgen.errors import RequestError
from synthgen.progress import Progress

WORDS = Words("sks")


def shirt(
    number: int, ground: tuple[int, int, int] = (214, 206, 190), size: tuple[int, int] = (300, 360)
) -> Image.Image:
    """A sharp checked shirt on a plain ground, cut a little otherwise for each number."""
    rng = np.random.default_rng(number)
    picture = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(picture)
    left, top, sleeve = (int(value) for value in rng.integers((70, 60, 20), (90, 80, 60)))
    right, bottom = size[0] - left, size[1] - top
    arm = top + 40 + sleeve
    draw.rectangle((left, top, right, bottom), fill=(40, 60, 140))
    draw.polygon([(left - 55, arm), (left, top), (right, top), (right + 55, arm), (right, arm + 40), (left, arm + 40)],
                 fill=(40, 60, 140))  # fmt: skip
    for line in range(left, right, 22):
        draw.line((line, top, line, bottom), fill=(200, 60, 60), width=4)
    return picture


def folder(place: Path, made: list[Image.Image], words: dict[int, str] | None = None) -> Path:
    place.mkdir(parents=True)
    for number, picture in enumerate(made):
        picture.save(place / f"{number:02d}.png")
        if words and number in words:
            (place / f"{number:02d}.txt").write_text(words[number])
    return place


def report(place: Path, words: Words = WORDS, size: int = 256) -> photo_check.Report:
    return photo_check.look(captions.write(images.read(place), words.trigger), size, words, masks.Masks())


def found(told: photo_check.Report, check: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.level, one.photos) for one in told.findings if one.check == check]


def test_good_photos_get_no_finding_but_their_number(tmp_path: Path) -> None:
    grounds = [(214, 206, 190), (120, 160, 90), (240, 240, 240), (90, 60, 40), (200, 180, 60), (160, 160, 170)]
    told = report(folder(tmp_path / "shirt", [shirt(number, ground) for number, ground in enumerate(grounds)]))
    assert [one.check for one in told.findings if one.check != "diversity"] == ["number"]
    assert {one.mask.source for one in told.looks} == {"found"}
    told.require()


SPOILED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blur": lambda photo: photo.filter(ImageFilter.GaussianBlur(3)),
    "exposure": lambda photo: Image.eval(photo, lambda level: min(255, level * 5 + 120)),
    "border": lambda photo: _pasted(Image.new("RGB", (300, 420), "black"), photo, (0, 30)),
    "text": lambda photo: _written(photo, "2019-04-12 SHOP"),
    "coverage": lambda photo: _pasted(Image.new("RGB", (600, 720), (214, 206, 190)), photo, (150, 180)),
    "resolution": lambda photo: photo.resize((120, 144)),
}


def _pasted(ground: Image.Image, photo: Image.Image, place: tuple[int, int]) -> Image.Image:
    ground.paste(photo, place)
    return ground


def _written(photo: Image.Image, text: str) -> Image.Image:
    ImageDraw.Draw(photo).text((40, 334), text, font=ImageFont.load_default(size=20), fill=(20, 20, 20))
    return photo


@pytest.mark.parametrize("check", SPOILED)
def test_one_spoiled_photo_among_good_ones_is_named_as_a_warning(check: str, tmp_path: Path) -> None:
    made = [shirt(number) for number in range(4)]
    made[2] = SPOILED[check](made[2])
    told = report(folder(tmp_path / "shirt", made))
    assert found(told, check) == [("warning", ("02.png",))]
    told.require()


def test_a_set_that_is_spoiled_by_half_blocks_and_says_how_to_go_on(tmp_path: Path) -> None:
    made = [shirt(0), shirt(1).filter(ImageFilter.GaussianBlur(9)), shirt(2).filter(ImageFilter.GaussianBlur(9))]
    told = report(folder(tmp_path / "shirt", made))
    assert found(told, "blur") == [("block", ("01.png", "02.png"))]
    with pytest.raises(RequestError, match=r"blurred beyond use at 256 px .*--ignore-blocks"):
        told.require()
    grey = report(folder(tmp_path / "grey", [Image.new("RGB", (300, 300), (128, 128, 128))]))
    assert found(grey, "empty") == [("block", ("00.png",))]


def test_blur_is_measured_on_the_crop_that_is_trained() -> None:
    photo = shirt(3, size=(600, 720)).filter(ImageFilter.GaussianBlur(2))
    spreads = [photo_quality.edge_spread(np.asarray(images.square(photo, size).convert("L"))) for size in (720, 128)]
    assert spreads[0] > photo_check.BLURRED_PX > spreads[1] > 0


def test_captions_are_linted(tmp_path: Path) -> None:
    said = {0: "a checked blue shirt on a table", 1: "a sks shirt, checked, seen from behind",
            2: "checked sks shirt, striped", 3: "sks dress, checked"}  # fmt: skip
    told = report(folder(tmp_path / "shirts", [shirt(number) for number in range(4)], said))
    lines = [one.line for one in told.findings if one.check == "captions"]
    assert any("lack the trigger word 'sks'" in line and "(00.png)" in line for line in lines)
    assert any("'checked' in 100%" in line and "'blue'" not in line for line in lines)
    assert any("says checked and striped (02.png)" in line for line in lines)
    assert any("says dress, and the set is shirt (03.png)" in line for line in lines)


def test_a_trigger_word_behind_the_last_token_that_is_read_blocks(tmp_path: Path) -> None:
    words = Words("sks", lambda texts: [len(text.split()) + 2 for text in texts], 8)
    said = {0: "one two three four five six seven sks shirt", 1: "a sks shirt and then six more words here"}
    told = report(folder(tmp_path / "shirts", [shirt(0), shirt(1)], said), words)
    assert found(told, "captions") == [("warning", ("01.png",)), ("block", ("00.png",))]


def test_one_pose_on_one_ground_is_no_variety(tmp_path: Path) -> None:
    made = [_pasted(Image.new("RGB", (300, 360), (214, 206, 190)), shirt(0).crop((60, 40, 240, 320)), (40 + 9 * at, 50))
            for at in range(6)]  # fmt: skip
    told = [one.line for one in report(folder(tmp_path / "shirt", made)).findings]
    assert any("one pose, one angle" in line for line in told)


def test_doctor_checks_photos_and_draws_them(synthgen: Any, toy: Path, empty_folder: Path) -> None:
    folder(empty_folder / "shirts", [shirt(0), shirt(1)])
    code, out, _ = synthgen("doctor", "--images", "shirts", "--base", toy)
    assert code == 0
    assert out.splitlines()[0].startswith("warning  number: 2 different photos") and out.endswith("shirts-photos.png\n")
    sheet = np.asarray(Image.open("shirts-photos.png"))
    outline = (np.abs(sheet.astype(int) - (220, 0, 160)).max(2) == 0).sum()
    assert outline > 400
    folder(empty_folder / "grey", [Image.new("RGB", (300, 300), (128, 128, 128))])
    code, out, err = synthgen("doctor", "--images", "grey", "--base", toy, "--json")
    assert code == 2 and "--ignore-blocks" in err
    assert [row["check"] for row in json.loads(out)["findings"] if row["level"] == "block"] == ["empty"]


def test_training_makes_the_same_checks(synthgen: Any, toy: Path, empty_folder: Path) -> None:
    folder(empty_folder / "grey", [Image.new("RGB", (300, 300), (128, 128, 128))])
    code, out, err = synthgen("train-product", "--images", "grey", "--base", toy)
    assert (code, out) == (2, "") and "block: empty: 1 photo hardly anything is to be seen (00.png)" in err
    assert not Path("adapters/grey/card.toml").exists()


def test_doctor_shows_the_captions_that_training_says_and_finds_each_product_once(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    plain = masks.of

    def counted(path: Path, image: Image.Image, find: bool = True) -> masks.Mask:
        looked.append(path.name)
        return plain(path, image, find)

    monkeypatch.setattr(masks, "of", counted)
    shirts = folder(tmp_path / "shirt", [shirt(0), shirt(1)])
    request = train.TrainRequest(
        shirts, base=str(toy), steps=2, batch=2, rank=4, learning_rate=0.05, out=tmp_path / "out"
    )
    with Progress(0, "look at", "photos") as progress:
        shown = {one.photo.caption for one in train.look(request, progress).looks}
    assert all(caption.startswith("a photo of a sks blue ") for caption in shown)
    assert sorted(looked) == ["00.png", "01.png"]
    assert set(adapters.load_card(train.fit(request)).trained_on["captions"]) == shown
    assert sorted(looked) == ["00.png", "00.png", "01.png", "01.png"]


def test_without_masks_the_ground_is_looked_at_too(toy: Path, tmp_path: Path) -> None:
    from synthgen import bases

    place = tmp_path / "shirt"
    (place / "masks").mkdir(parents=True)
    picture, mask = np.full((96, 96, 3), (200, 30, 30), np.uint8), np.zeros((96, 96), np.uint8)
    picture[24:72, 24:72], mask[24:72, 24:72] = (30, 60, 200), 255
    Image.fromarray(picture).save(place / "00.png")
    Image.fromarray(mask).save(place / "masks" / "00.png")
    photos, module = images.read(place).photos, bases.find(str(toy))[0]
    assert [module.looks(photos, masks.Masks(how))[0].split()[0] for how in ("given", "off")] == ["blue", "red"]
    assert masks.Masks("off").of(photos[0]).source == "" and masks.Masks("given").of(photos[0]).source == "file"


def test_doctor_tells_what_the_machine_has(synthgen: Any, empty_folder: Path) -> None:
    code, out, _ = synthgen("doctor", "--json")
    told = json.loads(out)
    assert code == 0 and told["cores"] >= 1 and told["devices"][-1]["name"] == "cpu"
    assert told["bases"]["mini"].startswith("weights are here")
    assert set(told["libraries"]) >= {"torch", "diffusers", "peft"}
    assert synthgen("doctor").out.splitlines()[0].startswith("system")
