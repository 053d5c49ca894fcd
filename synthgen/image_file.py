"""One picture file that nobody vouches for, turned into clean RGB pixels or into one clear refusal.

What leaves here is (h, w, 3) sRGB, upright, and carries nothing of EXIF, GPS, XMP or colour profiles.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthgen.errors import UnreadableImage

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif")
HEIC_SUFFIXES = (".heic", ".heif")
MAX_PIXELS = 120_000_000  # the largest phone sensors give 108 megapixels in one JPEG
MIN_SIDE_PX = 16
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")  # decoders that may see a stranger's bytes; never EPS or PDF
ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Decoded:
    """Pixels of a file, and the size that the whole picture has."""

    image: Image.Image  # RGB, upright; may be smaller than the file's picture where a longest side was asked for
    width: int  # px of the whole picture, upright
    height: int  # px of the whole picture, upright


def decode(path: Path, longest: int | None = None) -> Decoded:
    """The first frame of a picture file as upright sRGB, alpha laid over white.

    longest  px that the longest side may have; larger pictures are shrunk, smaller ones stay as they are
    Raises UnreadableImage, with the reason alone as its text, for whatever is no picture, is broken, or is refused.
    """
    from PIL import Image

    with quiet():
        image = _open(path)
        try:
            stored = image.size
            _refuse_size(*stored)
            if longest and max(stored) > longest:  # a JPEG is then decoded small, which is several times faster
                image.draft(None, _fitted(stored, 2 * longest))
            small = image.size != stored
            turned = _orientation(image) >= 5
            image.load()
            upright = _upright(image)
            # Only a JPEG is drafted, and it never turns itself; a TIFF does while it loads.
            width, height = (stored[::-1] if turned else stored) if small else upright.size
            rgb = _srgb(upright)
            if longest and max(rgb.size) > longest:
                rgb = rgb.resize(_fitted(rgb.size, longest), Image.Resampling.LANCZOS)
            clean = Image.new("RGB", rgb.size)  # a new picture has no `info` for metadata to travel in
            clean.paste(rgb)
        except UnreadableImage:
            raise
        except Exception as error:  # decoders meet hostile bytes with every exception there is
            raise UnreadableImage(_broken(path, error)) from error
        finally:
            image.close()
    return Decoded(clean, width, height)


def _open(path: Path) -> Image.Image:
    """The picture, header read and nothing decoded."""
    from PIL import Image, UnidentifiedImageError

    formats = list(FORMATS)
    if path.suffix.lower() in HEIC_SUFFIXES:
        formats = ["HEIF"]
        try:
            import pillow_heif
        except ImportError as error:
            raise UnreadableImage("HEIC needs the 'pillow-heif' package (pip install pillow-heif)") from error
        pillow_heif.register_heif_opener()
    try:
        if path.stat().st_size == 0:
            raise UnreadableImage("the file is empty (0 bytes)")
        return Image.open(path, formats=formats)
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"not a picture, whatever its name says{_looks_like(path)}") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"refused: it claims far more than {MAX_PIXELS // 10**6} megapixels") from error
    except OSError as error:
        raise UnreadableImage(f"cannot be opened: {error.strerror or error}") from error
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(_broken(path, error)) from error


def _refuse_size(width: int, height: int) -> None:
    """Refuse by the header, before a single pixel is decoded."""
    if width * height > MAX_PIXELS:
        raise UnreadableImage(
            f"refused: its header claims {width} x {height} px, "
            f"{width * height / 1e6:.0f} megapixels; the limit is {MAX_PIXELS // 10**6}"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise UnreadableImage(f"too small: {width} x {height} px; each side needs at least {MIN_SIDE_PX}")


def _fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """This size brought down to a longest side, no side below 1 px."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 where there is none or the EXIF block is broken."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # EXIF is a claim of the file: nonsense in it must not cost the picture
        return 1


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the same: a broken EXIF block leaves the picture as it is stored
        return image


def _srgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: grey of any depth scaled, colour profiles applied, alpha laid over white."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey8(image).convert("RGB")
    profile = image.info.get("icc_profile")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        ground = Image.new("RGB", image.size, "white")
        ground.paste(_managed(layered.convert("RGB"), profile), mask=layered.getchannel("A"))
        return ground
    if image.mode == "P":
        image = image.convert("RGB")
    return _managed(image, profile if image.mode in ("RGB", "CMYK") else None)


def _managed(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB or CMYK through its own colour profile into sRGB: phones write Display P3, print shops write CMYK."""
    if profile:
        try:
            from PIL import ImageCms

            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(source):
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                return converted if converted is not None else image.convert("RGB")
        except Exception:  # a broken or foreign profile: the plain numbers are the best that is left
            return image.convert("RGB")
    return image.convert("RGB")


def _grey8(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit integer or float grey, scaled (never clipped) to 8 bits.

    Whole numbers: the smallest of 8, 12, 16 bits that holds the brightest pixel is taken as full scale (12 is what
    X-ray detectors put into 16). Float: 0 to 1, or 0 to 255 where more is found. Anything beyond: lowest to highest.
    """
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    tops = (1.0, 255.0) if image.mode == "F" else (255.0, 4095.0, 65535.0)
    top = next((top for top in tops if high <= top), None)
    if low < 0 or top is None:
        values, top = values - low, max(high - low, 1e-12)
    return Image.fromarray(np.round(values * (255.0 / top)).astype(np.uint8))


def _looks_like(path: Path) -> str:
    """A hint for the reason: what the first bytes say the file is."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"%PDF"):
        return " (it is a PDF)"
    if head[4:8] == b"ftyp":
        return " (it is an HEIC or AVIF picture or a video; save it as JPEG or PNG)"
    if head.startswith(b"PK"):
        return " (it is a ZIP archive)"
    if head.lstrip()[:1] in (b"<", b"{") or all(byte in b"\t\n\r\f" or byte >= 32 for byte in head):
        return " (it is text)"
    return ""


def _broken(path: Path, error: Exception) -> str:
    said = str(error).strip().replace(str(path), path.name) or type(error).__name__
    return f"broken or cut short: {said[:160]}"


@contextmanager
def quiet() -> Iterator[None]:
    """Decoders' warnings about a stranger's file say nothing that the reason does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
