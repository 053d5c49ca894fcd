"""Masks: given beside the photos, as alpha, or found on a plain ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from synthgen import images, masks
from synthgen.errors import RequestError


def product(
    ground: tuple[int, int, int], colour: tuple[int, int, int], seed: int = 0
) -> tuple[Image.Image, np.ndarray]:
    """A grainy picture of an ellipse with two arms, and where it is."""
    shape = Image.new("L", (240, 320), 0)
    draw = ImageDraw.Draw(shape)
    draw.ellipse((70, 70, 170, 260), fill=255)
    draw.polygon([(30, 110), (60, 90), (180, 90), (210, 110), (200, 140), (40, 140)], fill=255)
    inside = np.asarray(shape) > 127
    pixels = np.where(inside[..., None], colour, ground) + np.random.default_rng(seed).normal(0, 9, (320, 240, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), inside


@pytest.mark.parametrize("colour", [(30, 30, 34), (240, 240, 236), (46, 104, 208), (200, 36, 42)])
def test_a_product_on_a_plain_ground_is_found(colour: tuple[int, int, int]) -> None:
    image, inside = product((176, 148, 110), colour)
    mask = masks.found(image)
    told = np.asarray(mask.at(image.size)) > 127
    assert mask.source == "found"
    assert (told & inside).sum() / (told | inside).sum() > 0.9
    assert masks.found(image).share.tobytes() == mask.share.tobytes()


def test_what_cannot_be_told_from_its_ground_is_not_guessed() -> None:
    image, _ = product((128, 128, 128), (134, 132, 130))
    mask = masks.found(image)
    assert mask.source == "" and mask.reason and mask.coverage == 1


def test_a_mask_file_and_an_alpha_channel_win_over_what_is_found(tmp_path: Path) -> None:
    image, inside = product((176, 148, 110), (30, 30, 34))
    layered = image.convert("RGBA")
    layered.putalpha(Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)))
    layered.save(tmp_path / "a.png")
    mask = masks.of(tmp_path / "a.png", image)
    assert mask.source == "alpha" and abs(mask.coverage - inside.mean()) < 0.01
    (tmp_path / "masks").mkdir()
    given = np.zeros((320, 240), np.uint8)
    given[:160] = 255
    Image.fromarray(given).save(tmp_path / "masks" / "a.png")
    mask = masks.of(tmp_path / "a.png", image)
    assert mask.source == "file" and mask.coverage == 0.5


def test_masks_are_no_photos_and_no_stray_folder(tmp_path: Path) -> None:
    image, _ = product((176, 148, 110), (30, 30, 34))
    image.save(tmp_path / "a.png")
    (tmp_path / "masks").mkdir()
    image.save(tmp_path / "masks" / "a.png")
    assert images.read(tmp_path).skipped == ()


@pytest.mark.parametrize(("mask", "said"), [(Image.new("L", (320, 240), 255), "same proportions"),
                                            (Image.new("L", (240, 320), 0), "is black")])  # fmt: skip
def test_a_mask_that_does_not_fit_is_refused(mask: Image.Image, said: str, tmp_path: Path) -> None:
    image, _ = product((176, 148, 110), (30, 30, 34))
    image.save(tmp_path / "a.png")
    (tmp_path / "masks").mkdir()
    mask.save(tmp_path / "masks" / "a.png")
    with pytest.raises(RequestError, match=said):
        masks.of(tmp_path / "a.png", image)
