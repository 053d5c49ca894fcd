"""A folder of photos, read and checked."""

from __future__ import annotations

import hashlib
import os
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from synthgen import images
from synthgen.errors import RequestError, UnreadableImage
from synthgen.types import Rights

REPOSITORY = Path(__file__).resolve().parent.parent


def shirt(
    seed: int = 0, colour: tuple[int, int, int] = (200, 40, 40), size: tuple[int, int] = (240, 320)
) -> Image.Image:
    """A garment of its own shape on a light ground."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", size, (238, 236, 230))
    draw = ImageDraw.Draw(image)
    left, top = (int(value) for value in random.integers(20, 60, 2))
    draw.rectangle((left, top, size[0] - left, size[1] - 30), fill=colour)
    for _ in range(6):
        x, y = (int(value) for value in random.integers(30, 200, 2))
        tint = tuple(int(value) for value in random.integers(0, 255, 3))
        draw.ellipse((x, y, x + 50, y + 70), fill=(tint[0], tint[1], tint[2]))
    return image


@pytest.fixture
def shirts(tmp_path: Path) -> Path:
    folder = tmp_path / "shirts"
    folder.mkdir()
    for number in range(3):
        shirt(number).save(folder / f"shirt-{number}.jpg")
    return folder


def names(image_set: images.ImageSet) -> list[str]:
    return [photo.path.name for photo in image_set.photos]


def test_photos_come_in_the_order_of_their_names_with_size_and_hash(shirts: Path) -> None:
    read = images.read(shirts)
    assert names(read) == ["shirt-0.jpg", "shirt-1.jpg", "shirt-2.jpg"]
    for photo in read.photos:
        assert photo.sha256 == hashlib.sha256(photo.path.read_bytes()).hexdigest()
        assert (photo.width, photo.height, photo.category, photo.duplicate_of) == (240, 320, "shirt", "")
    assert (read.category, read.rights, read.skipped) == ("shirt", Rights(), ())


def test_the_digest_is_of_the_contents_and_not_of_the_names(shirts: Path) -> None:
    before = images.read(shirts)
    hashes = sorted(photo.sha256 for photo in before.photos)
    assert before.digest == hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    (shirts / "shirt-0.jpg").rename(shirts / "z.jpg")
    assert images.read(shirts).digest == before.digest
    shirt(9).save(shirts / "z.jpg")
    assert images.read(shirts).digest != before.digest


def test_one_photo_is_enough(tmp_path: Path) -> None:
    shirt().save(tmp_path / "only.png")
    assert names(images.read(tmp_path)) == ["only.png"]


def test_names_in_any_script_and_case_are_read(tmp_path: Path) -> None:
    for name in ("Hemd blau.JPG", "シャツ.png", "café.TIFF"):
        shirt().save(tmp_path / name)
    assert names(images.read(tmp_path)) == ["Hemd blau.JPG", "café.TIFF", "シャツ.png"]


def test_no_such_folder_offers_the_nearest(shirts: Path) -> None:
    with pytest.raises(RequestError, match=r"there is no folder '.*/shrits'\. Did you mean '.*/shirts'\?"):
        images.read(shirts.parent / "shrits")


def test_a_file_in_place_of_a_folder_is_told_apart(shirts: Path) -> None:
    with pytest.raises(RequestError, match="is a file"):
        images.read(shirts / "shirt-0.jpg")


def test_an_empty_folder_says_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"is empty\. Put JPEG, PNG, .*one is enough"):
        images.read(tmp_path)


def test_a_folder_of_other_files_names_them(tmp_path: Path) -> None:
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(RequestError, match=r"has no picture\. invoice\.pdf: ignored: '\.pdf'"):
        images.read(tmp_path)


def test_photos_in_sub_folders_only_ask_for_per_folder(tmp_path: Path) -> None:
    for sku in ("blue", "red"):
        (tmp_path / sku).mkdir()
        shirt().save(tmp_path / sku / "front.jpg")
    with pytest.raises(RequestError, match=r"2 of its sub-folders have: blue/, red/.*--per-folder.*--images .*/blue"):
        images.read(tmp_path)


def test_a_sub_folder_beside_photos_is_not_read_and_named(shirts: Path) -> None:
    (shirts / "other").mkdir()
    shirt(7).save(shirts / "other" / "x.jpg")
    (shirts / "empty").mkdir()
    read = images.read(shirts)
    assert len(read.photos) == 3
    assert read.skipped == (("other/", "a sub-folder is not part of this set"),)


def spoil(folder: Path) -> None:
    """A file of each bad kind."""
    (folder / "text.jpg").write_text("not a picture")
    (folder / "zero.png").touch()
    whole = (folder / "whole.jpg").resolve()
    shirt(5).save(whole)
    (folder / "cut.jpg").write_bytes(whole.read_bytes()[:2000])
    whole.unlink()
    # A whole PNG whose header is then made to claim 50,000 x 50,000.
    shirt(6).save(folder / "bomb.png")
    bomb = bytearray((folder / "bomb.png").read_bytes())
    bomb[16:24] = struct.pack(">II", 50_000, 50_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    (folder / "bomb.png").write_bytes(bomb)


def test_bad_files_among_good_ones_are_named_with_reasons(shirts: Path) -> None:
    spoil(shirts)
    read = images.read(shirts)
    assert names(read) == ["shirt-0.jpg", "shirt-1.jpg", "shirt-2.jpg"]
    reasons = dict(read.skipped)
    assert list(reasons) == ["bomb.png", "cut.jpg", "text.jpg", "zero.png"]
    assert "megapixels" in reasons["bomb.png"] and "cut short" in reasons["cut.jpg"]
    assert "not a picture" in reasons["text.jpg"] and "empty" in reasons["zero.png"]


def test_bad_files_alone_are_an_error_that_lists_all_reasons(tmp_path: Path) -> None:
    spoil(tmp_path)
    with pytest.raises(RequestError) as raised:
        images.read(tmp_path)
    for name in ("bomb.png: refused", "cut.jpg: broken", "text.jpg: not a picture", "zero.png: the file is empty"):
        assert name in str(raised.value)
    assert "no readable picture" in str(raised.value)


def test_companions_are_silent_and_strangers_are_named(shirts: Path) -> None:
    for name in (".DS_Store", ".hidden.jpg", "notes.txt", "Thumbs.db", "rights.toml"):
        (shirts / name).touch()
    (shirts / "movie.mp4").touch()
    assert images.read(shirts).skipped == (("movie.mp4", "ignored: '.mp4' is no kind of picture that is read"),)


def test_links_that_leave_the_folder_are_not_followed(shirts: Path) -> None:
    shirt(8).save(shirts.parent / "private.jpg")
    (shirts / "a.jpg").symlink_to(shirts.parent / "private.jpg")
    (shirts / "b.jpg").symlink_to(shirts / "shirt-1.jpg")
    (shirts / "c.jpg").symlink_to(shirts / "gone.jpg")
    read = images.read(shirts)
    assert read.skipped == (("a.jpg", "a link that leads out of the folder"), ("c.jpg", "a link to nothing"))
    assert "b.jpg" in names(read)


def test_a_pipe_named_like_a_picture_does_not_hang(shirts: Path) -> None:
    os.mkfifo(shirts / "pipe.jpg")
    assert images.read(shirts).skipped == (("pipe.jpg", "not a regular file"),)


def test_exact_and_near_duplicates_are_marked_and_stay(shirts: Path) -> None:
    (shirts / "shirt-1-copy.jpg").write_bytes((shirts / "shirt-1.jpg").read_bytes())
    with Image.open(shirts / "shirt-2.jpg") as image:
        image.resize((180, 240)).save(shirts / "shirt-2-small.jpg", quality=60)
    repeated = {photo.path.name: photo.duplicate_of for photo in images.read(shirts).photos}
    assert repeated == {
        "shirt-0.jpg": "",
        "shirt-1-copy.jpg": "",
        "shirt-1.jpg": "shirt-1-copy.jpg",
        "shirt-2-small.jpg": "",
        "shirt-2.jpg": "shirt-2-small.jpg",
    }


def test_the_same_shirt_in_another_colour_is_no_duplicate(tmp_path: Path) -> None:
    for name, colour in {"red": (200, 40, 40), "blue": (40, 60, 200), "green": (40, 160, 60)}.items():
        image = Image.new("RGB", (240, 320), (240, 240, 240))
        ImageDraw.Draw(image).rectangle((50, 40, 190, 290), fill=colour)
        image.save(tmp_path / f"{name}.png")
    assert [photo.duplicate_of for photo in images.read(tmp_path).photos] == ["", "", ""]


def test_the_category_comes_from_the_folder_unless_the_table_says_it(shirts: Path) -> None:
    (shirts / "metadata.csv").write_text("file_name,category\nshirt-0.jpg,dresses\nshirt-1.jpg,dress\n")
    read = images.read(shirts)
    assert [photo.category for photo in read.photos] == ["dress", "dress", "shirt"]
    assert read.category == "dress"


def test_an_unknown_or_undecided_category_stays_empty(shirts: Path) -> None:
    renamed = shirts.rename(shirts.parent / "collection")
    assert images.read(renamed).category == ""
    (renamed / "metadata.csv").write_text("file_name,category\nshirt-0.jpg,dress\nshirt-1.jpg,skirt\n")
    assert images.read(renamed).category == ""


def test_rights_are_as_given_else_as_written_beside_else_unknown(shirts: Path) -> None:
    assert images.read(shirts).rights.license == "unknown"
    (shirts / "rights.toml").write_text('owner = "St. X"\nlicense = "CC0-1.0"\nexpires = 2027-12-31\n')
    assert images.read(shirts).rights == Rights(owner="St. X", license="CC0-1.0", expires="2027-12-31")
    assert images.read(shirts, Rights(owner="me")).rights == Rights(owner="me")
    (shirts / "rights.toml").write_text('owner = "St. X"\nlicense = ""\n')
    assert images.read(shirts).rights.license == "unknown"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('owner = "X"\nlicence = "CC0-1.0"\n', r"unknown key 'licence'\. Did you mean 'license'\?"),
        ("consent = true\n", "consent is True, wanted text in quotes"),
        ('expires = "soon"\n', "expires is 'soon', wanted a date such as 2027-12-31"),
        ("owner = X\n", "is not valid TOML"),
        ('licence = ""\nowner = 3\n', r"'licence'.*owner is 3"),
    ],
)
def test_a_wrong_rights_file_grants_nothing(shirts: Path, text: str, said: str) -> None:
    (shirts / "rights.toml").write_text(text)
    with pytest.raises(RequestError, match=said):
        images.rights_beside(shirts)


def test_pixels_shrinks_and_never_enlarges(shirts: Path) -> None:
    photo = images.read(shirts).photos[0]
    assert images.pixels(photo).size == (240, 320)
    assert images.pixels(photo, 160).size == (120, 160)
    assert images.pixels(photo, 900).size == (240, 320)
    photo.path.write_text("gone")
    with pytest.raises(UnreadableImage, match=r"shirt-0\.jpg: not a picture.*was it changed"):
        images.pixels(photo)


def test_square_pads_with_the_edge_colour_and_does_not_distort() -> None:
    image = Image.new("RGB", (100, 200), (10, 120, 60))
    ImageDraw.Draw(image).ellipse((20, 70, 80, 130), fill=(250, 0, 0))
    squared = np.asarray(images.square(image, 100)).astype(int)
    assert squared.shape == (100, 100, 3)
    assert np.abs(squared[:, :20] - (10, 120, 60)).max() <= 1
    red = np.argwhere(squared[..., 0] > 130)
    height, width = np.ptp(red, axis=0)
    assert abs(height - width) <= 1 and abs(height - 30) <= 2  # the circle is a circle still, at half its size


def test_square_enlarges_a_small_picture() -> None:
    assert images.square(Image.new("RGB", (20, 10), "red"), 64).size == (64, 64)


def test_views_are_the_same_for_the_same_seed_and_differ_for_others() -> None:
    image = shirt()
    first, second, other = (images.views(image, 6, 64, seed) for seed in (3, 3, 4))
    assert [view.shape for view in first] == [(64, 64, 3)] * 6 and first[0].dtype == np.uint8
    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))
    assert not np.array_equal(first[1], other[1])
    assert len({view.tobytes() for view in first}) == 6
    assert np.array_equal(first[0], np.asarray(images.square(image, 64)))


def test_making_views_leaves_the_worlds_random_numbers_alone() -> None:
    import random

    random.seed(5)
    np.random.seed(5)
    expected = random.Random(5).random(), np.random.RandomState(5).rand()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images.views(shirt(), 4, 64, seed=9)
    assert (random.random(), np.random.rand()) == expected


def test_views_keep_the_hue_and_have_no_black_borders() -> None:
    image = Image.new("RGB", (200, 260), (250, 248, 244))
    ImageDraw.Draw(image).rectangle((50, 50, 150, 210), fill=(190, 60, 70))
    for view in images.views(image, 40, 96, seed=1):
        edge = np.concatenate([view[0], view[-1], view[:, 0], view[:, -1]])
        assert edge.min() > 190  # a black border would be 0
        garment = view[view[..., 1] < 130].mean(axis=0)
        hue = (garment - garment.min()) / np.ptp(garment)
        assert np.abs(hue - (1.0, 0.0, 10 / 130)).max() < 0.03


def test_views_keep_the_garment_in_the_frame() -> None:
    image = Image.new("RGB", (256, 256), (250, 250, 250))
    ImageDraw.Draw(image).rectangle((12, 12, 244, 244), fill=(40, 60, 160))
    whole = 232 * 232 / 256**2
    for view in images.views(image, 40, 128, seed=2):
        assert (view[..., 0] < 140).mean() > 0.75 * whole


def test_lettering_is_never_mirrored_when_asked() -> None:
    image = Image.new("RGB", (100, 100), (240, 240, 240))
    ImageDraw.Draw(image).rectangle((0, 0, 40, 100), fill=(20, 20, 120))

    def dark_on_the_left(mirror: float) -> set[bool]:
        views = images.views(image, 24, 64, seed=0, mirror=mirror)
        return {bool(view[:, :32].mean() < view[:, 32:].mean()) for view in views}

    assert dark_on_the_left(0.0) == {True}
    assert dark_on_the_left(0.5) == {True, False}


def test_a_hundred_real_photos_are_read_in_three_seconds() -> None:
    folder = REPOSITORY.parent / "shared" / "data" / "apparel" / "shirt"
    if not folder.is_dir():
        pytest.skip(f"the real photos are not here: {folder}")
    images.read(folder.parent / "shorts")  # the libraries are loaded before the clock runs
    start = time.process_time()
    read = images.read(folder)
    assert time.process_time() - start < 3.0
    assert (len(read.photos), read.category, read.skipped) == (len(list(folder.glob("*.jpg"))), "shirt", ())
    assert [photo.path.name for photo in read.photos if photo.duplicate_of] == []  # each is another garment


def test_real_photos_saved_again_smaller_are_found(tmp_path: Path) -> None:
    folder = REPOSITORY.parent / "shared" / "data" / "apparel" / "shirt"
    if not folder.is_dir():
        pytest.skip(f"the real photos are not here: {folder}")
    originals = sorted(folder.glob("*.jpg"))[:30]
    for path in originals:
        with Image.open(path) as image:
            image.save(tmp_path / f"{path.stem}-a.png")
            image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(
                tmp_path / f"{path.stem}-b.jpg", quality=70
            )
    read = images.read(tmp_path)
    found = [photo for photo in read.photos if photo.duplicate_of]
    assert [photo.duplicate_of for photo in found] == [f"{path.stem}-a.png" for path in originals]
