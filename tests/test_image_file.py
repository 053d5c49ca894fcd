"""A single file that nobody vouches for."""

from __future__ import annotations

import io
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from synthgen import image_file
from synthgen.errors import UnreadableImage

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (30, 40, 210), (255, 255, 255)


def quartered(size: int = 64) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right: every turn and mirror shows."""
    image = Image.new("RGB", (size, size), WHITE)
    half = size // 2
    for colour, corner in ((RED, (0, 0)), (GREEN, (half, 0)), (BLUE, (0, half))):
        image.paste(colour, (*corner, corner[0] + half, corner[1] + half))
    return image


def corners(image: Image.Image) -> list[str]:
    """Names of the colours in the four corners: top left, top right, bottom left, bottom right."""
    width, height = image.size
    named = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    places = [(4, 4), (width - 5, 4), (4, height - 5), (width - 5, height - 5)]
    seen = [np.array(image.getpixel(place)) for place in places]
    return [min(named, key=lambda name: int(np.abs(np.array(named[name]) - pixel).sum())) for pixel in seen]


UPRIGHT = ["red", "green", "blue", "white"]


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".tif", ".TIFF", ".bmp", ".gif"])
def test_each_format_gives_rgb_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    quartered().save(path)
    decoded = image_file.decode(path)
    assert (decoded.image.mode, decoded.image.size, decoded.width, decoded.height) == ("RGB", (64, 64), 64, 64)
    assert corners(decoded.image) == UPRIGHT


def test_a_gif_gives_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    quartered().save(path, save_all=True, append_images=[Image.new("RGB", (64, 64), BLUE)])
    assert corners(image_file.decode(path).image) == UPRIGHT


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = quartered(96).resize((96, 48))
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[image_file.ORIENTATION_TAG] = orientation
    path = tmp_path / f"photo{suffix}"
    stored.save(path, exif=exif, quality=95)
    for longest in (None, 24):
        decoded = image_file.decode(path, longest)
        assert (decoded.width, decoded.height) == (96, 48)
        assert decoded.image.size == ((24, 12) if longest else (96, 48))
        assert corners(decoded.image) == UPRIGHT


def test_a_jpeg_decoded_small_still_tells_its_whole_size(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[image_file.ORIENTATION_TAG] = 6
    quartered(1200).resize((1600, 1200)).save(path, exif=exif)
    decoded = image_file.decode(path, 100)
    assert (decoded.width, decoded.height) == (1200, 1600)
    assert decoded.image.size == (75, 100)


def test_nothing_of_the_metadata_is_carried_on(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 0.0)
    quartered().save(path, exif=exif, comment=b"taken at home", xmp=b"<x:xmpmeta>Jane</x:xmpmeta>")
    with Image.open(path) as stored:
        assert stored.getexif().get_ifd(0x8825) and b"Jane" in stored.info["xmp"]  # it was there
    image = image_file.decode(path).image
    again = io.BytesIO()
    image.save(again, "PNG")
    assert image.info == {} and dict(image.getexif()) == {}
    assert not any(word in again.getvalue() for word in (b"Maker", b"Jane", b"home", b"eXIf"))


def test_a_broken_exif_block_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    quartered().save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x99" * 40)
    assert corners(image_file.decode(path).image) == UPRIGHT


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    for name in ("ramp.png", "ramp.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        pixels = np.asarray(image_file.decode(tmp_path / name).image)
        assert np.array_equal(pixels[..., 0].reshape(-1), np.arange(256))
        assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_twelve_bits_in_sixteen_are_not_near_black(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 4095, 400).astype(np.uint16).reshape(20, 20)).save(tmp_path / "x.png")
    pixels = np.asarray(image_file.decode(tmp_path / "x.png").image)
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.linspace(0, 1, 400, dtype=np.float32), 255),
        (np.linspace(0, 200, 400, dtype=np.float32), 200),
        (np.linspace(-1000, 3000, 400, dtype=np.float32), 255),
        (np.linspace(0, 65535, 400).astype(np.int32), 255),
        (np.linspace(0, 2**30, 400).astype(np.int32), 255),
        (np.full(400, 7.5e9, dtype=np.float32), 0),
    ],
)
def test_float_and_wide_integers_are_scaled(tmp_path: Path, values: np.ndarray, expected: int) -> None:
    Image.fromarray(values.reshape(20, 20)).save(tmp_path / "x.tif")
    pixels = np.asarray(image_file.decode(tmp_path / "x.tif").image)
    assert (int(pixels.min()), int(pixels.max())) == (0, expected)


def test_a_pixel_that_is_no_number_is_black(tmp_path: Path) -> None:
    values = np.full((20, 20), 0.5, dtype=np.float32)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "x.tif")
    pixels = np.asarray(image_file.decode(tmp_path / "x.tif").image)
    assert pixels[0, 0].tolist() == [0, 0, 0] and pixels[9, 9].tolist() == [128, 128, 128]


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    quartered().convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert corners(image_file.decode(tmp_path / "print.jpg").image) == UPRIGHT


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_white(tmp_path: Path, mode: str) -> None:
    layered = Image.new(mode, (32, 32), 0)  # black under full transparency
    layered.paste(Image.new(mode, (16, 32), (10, 10, 10, 255) if mode == "RGBA" else (10, 255)), (0, 0))
    layered.save(tmp_path / "x.png")
    image = image_file.decode(tmp_path / "x.png").image
    assert (image.getpixel((4, 4)), image.getpixel((28, 4))) == ((10, 10, 10), WHITE)


def test_a_palette_with_a_transparent_colour_becomes_white_there(tmp_path: Path) -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, *RED])
    image.paste(0, (16, 0, 32, 32))
    image.save(tmp_path / "x.png", transparency=0)
    decoded = image_file.decode(tmp_path / "x.png").image
    assert (decoded.getpixel((4, 4)), decoded.getpixel((28, 4))) == (RED, WHITE)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_bilevel_and_palette_become_rgb(tmp_path: Path, mode: str) -> None:
    quartered().convert(mode).save(tmp_path / "x.png")
    image = image_file.decode(tmp_path / "x.png").image
    assert image.mode == "RGB" and image.getpixel((60, 60)) == WHITE


def swapped_profile() -> bytes:
    """A colour profile in which red and blue have changed places."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"_XYZ").replace(b"bXYZ", b"rXYZ").replace(b"_XYZ", b"bXYZ")
    return profile.replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))


def test_a_colour_profile_is_applied_before_it_is_dropped(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), RED).save(tmp_path / "x.png", icc_profile=swapped_profile())
    red, _, blue = np.asarray(image_file.decode(tmp_path / "x.png").image)[9, 9]
    assert blue > 200 and red < 60


def test_a_broken_colour_profile_leaves_the_plain_colours(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), RED).save(tmp_path / "x.png", icc_profile=b"no profile" * 30)
    assert image_file.decode(tmp_path / "x.png").image.getpixel((9, 9)) == RED


def test_text_under_a_picture_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_text("this is not a picture\n")
    with pytest.raises(UnreadableImage, match=r"not a picture, whatever its name says \(it is text\)"):
        image_file.decode(path)


def test_a_picture_under_another_pictures_name_is_read(tmp_path: Path) -> None:
    quartered().save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert corners(image_file.decode(tmp_path / "x.jpg").image) == UPRIGHT


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    noise = np.random.default_rng(1).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for longest in (None, 20):
        with pytest.raises(UnreadableImage, match=r"broken or cut short|not a picture|cannot be opened"):
            image_file.decode(path, longest)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").touch()
    with pytest.raises(UnreadableImage, match="empty"):
        image_file.decode(tmp_path / "x.jpg")


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(side, side))  # it has no pixels: decoding it would say "broken"
    with pytest.raises(UnreadableImage, match=r"refused: it.* megapixels"), warnings.catch_warnings():
        warnings.simplefilter("error")
        image_file.decode(path)


def test_a_large_camera_picture_below_the_limit_is_not_called_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "camera.png"
    path.write_bytes(png_claiming(11_000, 10_000))  # more than Pillow's own limit; it has no pixels, and that is said
    with pytest.raises(UnreadableImage, match="broken or cut short"), warnings.catch_warnings():
        warnings.simplefilter("error")
        image_file.decode(path)


def test_a_picture_of_a_few_pixels_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (200, 3)).save(tmp_path / "x.png")
    with pytest.raises(UnreadableImage, match="too small: 200 x 3 px"):
        image_file.decode(tmp_path / "x.png")


def test_heic_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "x.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 100)
    with pytest.raises(UnreadableImage, match="pip install pillow-heif"):
        image_file.decode(tmp_path / "x.HEIC")


def test_heic_is_read_where_its_library_is(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.from_pillow(quartered()).save(tmp_path / "x.heic")
    assert corners(image_file.decode(tmp_path / "x.heic").image) == UPRIGHT


def test_decoding_warns_nobody(tmp_path: Path) -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, *RED])
    image.save(tmp_path / "x.png", transparency=bytes([0, 255]))  # Pillow warns when this becomes RGB
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image_file.decode(tmp_path / "x.png")
