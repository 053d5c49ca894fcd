"""A folder of photos, read and checked: one concept. No file in it is trusted.

read -> ImageSet      pixels, square, views -> what training sees
"""

from __future__ import annotations

import difflib
import hashlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import file_hash, image_file, photo_table, vocabulary
from synthgen.errors import RequestError, UnreadableImage
from synthgen.rights_file import rights_beside
from synthgen.types import ImageSet, Photo, Picture, Rights

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["drawn", "edges", "framed", "greyed", "is_grey", "pixels", "read", "rights_beside", "square", "views"]

COMPANIONS = (".txt", ".toml", ".csv", ".json", ".jsonl", ".md")  # captions, tables, rights: never meant as pictures
MASKS = "masks"  # the sub-folder that holds no concept of its own: where the product is in each photo
LITTER = ("thumbs.db", "desktop.ini")
SMALL_PX = 256  # the copy that near-duplicates are looked for in
HASH_BITS = 4  # of 64: at most so many may differ between near-duplicates
COLOUR_LEVELS = 14.0  # of 255: at most so much may the mean colour of any sixteenth of the picture differ
EDGES = (100, 200)  # of the gradient, as controlnet-aux has them and as the published ControlNets were trained
GREY_LEVELS = 1.0  # of 255: mean spread of the channels up to which a picture has no colour
LISTED = 50  # reasons in one message


@dataclass(frozen=True)
class _Look:
    """What near-duplicates share."""

    bits: int  # 64-bit perceptual hash
    colours: Any  # (4, 4, 3) float32, 0 to 255


def read(folder: Path, rights: Rights | None = None) -> ImageSet:
    """Every picture directly in a folder, checked by decoding it, in the order of the names.

    Unreadable files among good ones are named in `skipped`, near-duplicates are marked and stay. Rights: as given,
    else from rights.toml beside the photos, else unknown. Sub-folders are other concepts and are not read.
    Raises RequestError for no folder, for an empty one, and where no picture is good.
    """
    folder = _existing(Path(folder).expanduser())
    stated = rights or rights_beside(folder) or Rights()
    table = photo_table.read(folder)
    offered, skipped = _offered(folder)
    if not offered:
        raise RequestError(_nothing(folder, skipped))
    photos: list[Photo] = []
    looks: list[_Look] = []
    named = vocabulary.category_of(folder.resolve().name)
    for path in offered:
        stated_category = table.get(photo_table.key(path.name), {}).get("category", "")
        try:
            photo, look = _checked(path, vocabulary.category_of(stated_category) if stated_category else named)
        except UnreadableImage as error:
            skipped.append((path.name, str(error)))
            continue
        photos.append(replace(photo, duplicate_of=_twin(photo, look, photos, looks)))
        looks.append(look)
    skipped.sort()
    if not photos:
        raise RequestError(f"{folder} has no readable picture. {_listed(skipped)} Nothing was changed.")
    return ImageSet(folder, tuple(photos), _majority(photos), stated, _digest(photos), tuple(skipped))


def pixels(photo: Photo, size: int | None = None) -> Image.Image:
    """A photo as RGB: upright, sRGB, alpha over white, no metadata.

    size  px that the longest side may have; larger photos are shrunk to it, smaller ones are not enlarged
    Raises UnreadableImage where the file has gone or has changed since it was read.
    """
    try:
        return image_file.decode(photo.path, size).image
    except UnreadableImage as error:
        raise UnreadableImage(f"{photo.path}: {error}. It could be read before; was it changed?") from error


def drawn(path: Path) -> np.ndarray:
    """(h, w, 3) uint8 of a picture of a run: synthgen wrote it, so that nothing in it is checked. Raises OSError."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def is_grey(photo: Photo) -> bool:
    """Whether a photo has no colour: red, green and blue differ by no more than JPEG makes them differ."""
    import numpy as np

    values = np.asarray(pixels(photo, SMALL_PX), np.int16)
    spread = values.max(axis=2) - values.min(axis=2)
    return bool(spread.mean() <= GREY_LEVELS and np.percentile(spread, 99) <= 6 * GREY_LEVELS)


def greyed(picture: Picture) -> Picture:
    """A made picture without colour: each pixel the mean of its channels."""
    import numpy as np

    grey = np.asarray(picture.pixels, np.float32).mean(axis=2, keepdims=True).round().astype(np.uint8)
    made = np.ascontiguousarray(np.repeat(grey, 3, axis=2))
    return replace(picture, pixels=made, drawn={**picture.drawn, "grey": True} if picture.drawn else {})


def square(image: Image.Image, size: int) -> Image.Image:
    """size x size: resized without distortion, the rest filled with the median colour of the edges it adjoins.

    RGB; an RGBA picture, whose alpha tells where the product is, stays RGBA and is filled with alpha 0.
    """
    return framed(image, (size, size), math.inf)


def framed(image: Image.Image, shape: tuple[int, int], most: float = 1.0) -> Image.Image:
    """The same for any (width, height) in px.

    most  times that a picture may be enlarged; a smaller one lies in the middle
    """
    import numpy as np
    from PIL import Image

    if image.mode == "RGBA":
        layered = framed(image.convert("RGB"), shape, most)
        layered.putalpha(framed_mask(image.getchannel("A"), shape, most))
        return layered
    image = image.convert("RGB")
    fitted = _fitted(image.size, shape, most)
    small = image.resize(fitted, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if fitted == shape:
        return small
    array = np.asarray(small)
    beside, above = array[:, [0, -1]].reshape(-1, 3), array[[0, -1], :].reshape(-1, 3)
    edges = [edge for edge, left in zip((beside, above), _left(fitted, shape), strict=True) if left]
    ground = np.median(np.concatenate(edges), axis=0).round().astype(int)
    padded = Image.new("RGB", shape, (int(ground[0]), int(ground[1]), int(ground[2])))
    padded.paste(small, _middle(fitted, shape))
    return padded


def square_mask(mask: Image.Image, size: int) -> Image.Image:
    return framed_mask(mask, (size, size), math.inf)


def framed_mask(mask: Image.Image, shape: tuple[int, int], most: float = 1.0) -> Image.Image:
    from PIL import Image

    fitted = _fitted(mask.size, shape, most)
    padded = Image.new("L", shape, 0)
    padded.paste(mask.resize(fitted, Image.Resampling.BILINEAR), _middle(fitted, shape))
    return padded


def _fitted(own: tuple[int, int], shape: tuple[int, int], most: float) -> tuple[int, int]:
    """(width, height) of a picture of this size inside a shape."""
    scale = min(most, shape[0] / own[0], shape[1] / own[1])
    return min(shape[0], max(1, round(own[0] * scale))), min(shape[1], max(1, round(own[1] * scale)))


def _left(fitted: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """px that are left to fill beside, and above and below."""
    return shape[0] - fitted[0], shape[1] - fitted[1]


def _middle(fitted: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    wide, high = _left(fitted, shape)
    return wide // 2, high // 2


def views(
    image: Image.Image, count: int, size: int | tuple[int, int], seed: int, mirror: float = 0.5
) -> list[np.ndarray]:
    """Training views of one picture: `count` arrays (size, size, 3) uint8, the same for the same seed.

    size  px of a square; or the (width, height) of a bucket, to which nothing is enlarged: (height, width, 3) then
    An RGBA picture gives arrays (size, size, 4): the alpha, where the product is, moves with what it lies on.

    The first is the picture as it is, squared. The others are mirrored, turned, scaled and shifted a little, edges
    continued, and lit a little differently; hue and pattern stay, because they are the product.
    mirror  share of views that are mirrored, 0 to 1; 0 keeps lettering readable
    """
    import numpy as np

    plain = np.asarray(square(image, size) if isinstance(size, int) else framed(image, size))
    if count < 2:
        return [plain.copy()] * max(count, 0)
    vary = _variation(seed, mirror)
    colours = np.ascontiguousarray(plain[..., :3])
    if plain.shape[2] == 3:
        return [plain.copy(), *(np.ascontiguousarray(vary(image=colours)["image"]) for _ in range(count - 1))]
    made = [vary(image=colours, mask=np.ascontiguousarray(plain[..., 3])) for _ in range(count - 1)]
    return [plain.copy(), *(np.dstack([one["image"], one["mask"]]) for one in made)]


def _variation(seed: int, mirror: float) -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks a server for its newest version
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import albumentations
    import cv2

    affine = albumentations.Affine(
        scale=(0.88, 1.08),
        translate_percent=(-0.04, 0.04),
        rotate=(-6, 6),
        keep_ratio=True,  # else width and height are scaled apart, and a checked shirt is no longer that shirt
        border_mode=cv2.BORDER_REPLICATE,
        p=1.0,
    )
    # Nearly all of it is gain, which leaves the proportions of red, green and blue alone: the colour is the product.
    light = albumentations.RandomBrightnessContrast(brightness_limit=0.02, contrast_limit=(-0.12, 0.06), p=0.8)
    return albumentations.Compose([albumentations.HorizontalFlip(p=mirror), affine, light], seed=seed)


def _existing(folder: Path) -> Path:
    if folder.is_dir():
        if not os.access(folder, os.R_OK | os.X_OK):
            raise RequestError(f"{folder} may not be read by this user. Change its permissions or name another folder.")
        return folder
    if folder.exists():
        raise RequestError(f"{folder} is a file; photos are read from a folder. Put it into one and name that.")
    beside = folder.parent
    readable = beside.is_dir() and os.access(beside, os.R_OK | os.X_OK)
    known = [entry.name for entry in beside.iterdir() if entry.is_dir()] if readable else []
    near = difflib.get_close_matches(folder.name, known, n=1, cutoff=0.5)
    hint = f" Did you mean '{beside / near[0]}'?" if near else ""
    raise RequestError(f"there is no folder '{folder}'.{hint} Name the folder that holds the photos.")


def _offered(folder: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """Files that by their names are pictures, in order; and what was passed over, with reasons."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise RequestError(f"{folder} cannot be read: {error.strerror}.") from error
    home = folder.resolve()
    offered: list[Path] = []
    skipped: list[tuple[str, str]] = []
    for entry in entries:
        suffix = entry.suffix.lower()
        if entry.name.startswith(".") or suffix in COMPANIONS or entry.name.lower() in LITTER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            if entry.name != MASKS and _has_pictures(entry):
                skipped.append((entry.name + "/", "a sub-folder is not part of this set"))
        elif entry.is_symlink() and not entry.resolve().is_relative_to(home):
            skipped.append((entry.name, "a link that leads out of the folder"))
        elif suffix not in image_file.SUFFIXES:
            skipped.append((entry.name, f"ignored: '{suffix or entry.name}' is no kind of picture that is read"))
        elif not entry.is_file():
            skipped.append((entry.name, "a link to nothing" if entry.is_symlink() else "not a regular file"))
        else:
            offered.append(entry)
    return offered, skipped


def _has_pictures(folder: Path) -> bool:
    try:
        return any(entry.suffix.lower() in image_file.SUFFIXES for entry in folder.iterdir())
    except OSError:
        return False


def _nothing(folder: Path, skipped: Sequence[tuple[str, str]]) -> str:
    """Why a folder offers no picture, and what to do."""
    below = [name for name, _ in skipped if name.endswith("/")]
    if below:
        return (
            f"{folder} has no picture itself, but {len(below)} of its sub-folders have: {', '.join(below[:6])}"
            f"{', ...' if len(below) > 6 else ''}. One folder is one product: use --per-folder for an adapter each, "
            f"or name one: --images {folder / below[0]}"
        )
    kinds = "JPEG, PNG, WebP, TIFF, BMP, GIF or HEIC"
    if skipped:
        return f"{folder} has no picture. {_listed(skipped)} Put {kinds} files into it."
    empty = "is empty" if not any(folder.iterdir()) else "has no picture"
    return f"{folder} {empty}. Put {kinds} files into it; one is enough."


def _listed(skipped: Sequence[tuple[str, str]]) -> str:
    lines = [f"{name}: {reason}" for name, reason in skipped[:LISTED]]
    if len(skipped) > LISTED:
        lines.append(f"and {len(skipped) - LISTED} more")
    return "; ".join(lines) + "."


def _checked(path: Path, category: str) -> tuple[Photo, _Look]:
    """One file read whole: hashed, decoded, looked at. Raises UnreadableImage with the reason."""
    decoded = image_file.decode(path, SMALL_PX)
    try:
        sha256 = file_hash.sha256(path)
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror}") from error
    return Photo(path, sha256, decoded.width, decoded.height, category), _look(decoded.image)


def _look(image: Image.Image) -> _Look:
    import imagehash
    import numpy as np
    from PIL import Image

    colours = np.asarray(image.resize((4, 4), Image.Resampling.BOX), dtype=np.float32)
    return _Look(int(str(imagehash.phash(image)), 16), colours)


def _twin(photo: Photo, look: _Look, photos: Sequence[Photo], looks: Sequence[_Look]) -> str:
    """The name of the kept photo that this one repeats, or "". A plain shirt in another colour is no repeat."""
    import numpy as np

    for earlier, other in zip(photos, looks, strict=True):
        if earlier.duplicate_of:
            continue
        if earlier.sha256 == photo.sha256:
            return earlier.path.name
        if (look.bits ^ other.bits).bit_count() > HASH_BITS:
            continue
        if float(np.abs(look.colours - other.colours).mean(axis=2).max()) <= COLOUR_LEVELS:
            return earlier.path.name
    return ""


def _majority(photos: Sequence[Photo]) -> str:
    """The category of more than half of the photos, else ""."""
    category, count = Counter(photo.category for photo in photos).most_common(1)[0]
    return category if 2 * count > len(photos) else ""


def _digest(photos: Sequence[Photo]) -> str:
    return hashlib.sha256("\n".join(sorted(photo.sha256 for photo in photos)).encode()).hexdigest()


def edges(pixels: Any) -> Any:
    """White edges, one px wide, on black, of (h, w, 3) uint8 pixels, by Canny's detector; the same shape."""
    import cv2
    import numpy as np

    return np.repeat(cv2.Canny(pixels, *EDGES)[..., None], 3, axis=2)
