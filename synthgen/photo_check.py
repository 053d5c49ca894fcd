"""Is this set of photos fit to train on: findings, each a warning or a block, each with what to do.

One bad photo among good ones is a warning; what spoils half of the set blocks it. All is measured on the crop that is
trained. `masks` finds the product first, so that a white ground is not taken for an over-exposed shirt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synthgen import caption_lint, images, masks, photo_quality
from synthgen.caption_lint import Words
from synthgen.errors import RequestError
from synthgen.types import ImageSet, Photo

if TYPE_CHECKING:
    import numpy as np

WHOLE_PX = 512  # longest side at which borders and letters are looked for
SPOILED = 0.5  # share of the set from which on a grave finding blocks
ADVISED = 20  # photos
FEW = 5  # photos below which nothing can be held out
BLURRED_PX, RUINED_PX = 0.85, 2.0  # spread of the sharpest edges; sharp photos of garments have 0.40 to 0.59
CLIPPED = 0.5  # share of the product
DARK, BRIGHT = 22, 240  # mean grey level of the product
EMPTY = 3.0  # standard deviation of grey over the crop
SMALL, FULL = 0.12, 0.85  # share of the picture that is product
SAME_GROUND = 10.0  # Lab units
SAME_POSE = 0.9  # overlap of outlines, moved and scaled onto one another
NAMED = 4  # photos in one line


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with the photos that have it (none: the set as a whole)."""

    check: str
    level: str  # "warning" | "block"
    found: str
    advice: str
    photos: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The finding as one line for people."""
        more = f" and {len(self.photos) - NAMED} more" if len(self.photos) > NAMED else ""
        named = f" ({', '.join(self.photos[:NAMED])}{more})" if self.photos else ""
        return f"{self.check}: {self.found}{named}. {self.advice}"


@dataclass(frozen=True, eq=False)
class Look:
    """One photo as it was looked at."""

    photo: Photo
    crop: np.ndarray  # (s, s, 3) uint8
    product: np.ndarray  # (s, s) bool
    mask: masks.Mask
    quality: photo_quality.Quality
    ground: np.ndarray  # (3,) float32: median Lab colour beside the product


@dataclass(frozen=True, eq=False)
class Report:
    """All findings of a set, and what they were found in."""

    looks: tuple[Look, ...]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def blocks(self) -> list[Finding]:
        """Findings that must be dealt with before training."""
        return [finding for finding in self.findings if finding.level == "block"]

    def require(self) -> None:
        """Raises RequestError with every block."""
        if self.blocks:
            told = " ".join(f"{finding.line}" for finding in self.blocks)
            raise RequestError(
                f"these photos are not fit to train on. {told} Or say --ignore-blocks. Nothing was trained."
            )


def look(
    photos: ImageSet, size: int, words: Words, known: masks.Masks, tell: Callable[[], Any] | None = None
) -> Report:
    """Look at every photo that is trained on, and at the set as a whole.

    photos  with captions
    size    px of the crop that is trained
    known   where the product is in each
    tell    called after each photo
    """
    looks = []
    for photo in photos.photos:
        if not photo.duplicate_of:
            looks.append(_look(photo, size, known.of(photo)))
        if tell:
            tell()
    found = [
        *_of_photos(looks, size),
        *_of_masks(looks, known.finds),
        *_of_set(photos, looks),
        *_of_words(photos, words),
    ]
    return Report(tuple(looks), tuple(found))


def _look(photo: Photo, size: int, mask: masks.Mask) -> Look:
    import cv2
    import numpy as np
    from PIL import Image

    image = images.pixels(photo)
    crop = np.asarray(images.square(image, size))
    inside = np.asarray(images.square(Image.merge("RGB", [mask.at(image.size)] * 3), size))[..., 0] > 127
    whole = image.copy()
    whole.thumbnail((WHOLE_PX, WHOLE_PX))
    known = np.asarray(mask.at(whole.size)) > 127 if mask.source else np.zeros((whole.height, whole.width), bool)
    quality = photo_quality.measure(crop, inside if mask.source else np.ones_like(inside), np.asarray(whole), known)
    lab = cv2.cvtColor(np.asarray(whole), cv2.COLOR_RGB2LAB).astype(np.float32)
    beside = lab[~known] if mask.source else np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    return Look(photo, crop, inside, mask, quality, np.median(beside, axis=0))


def _of_photos(looks: list[Look], size: int) -> Iterator[Finding]:
    """Findings about single photos: grave ones block where half of the set has them."""
    longest = {one: max(one.photo.width, one.photo.height) for one in looks}
    rows: list[tuple[str, Callable[[Look], bool], bool, str, str]] = [
        ("resolution", lambda one: longest[one] * 4 < size, True, f"less than a quarter of the {size} px trained",
         "Use the original files."),
        ("resolution", lambda one: size > longest[one] >= size / 4, False,
         f"smaller than the {size} px that are trained", "Use larger files: what is not there cannot be learned."),
        ("empty", lambda one: one.quality.contrast < EMPTY, True, "hardly anything is to be seen", "Take them out."),
        ("blur", lambda one: one.quality.edge_px > RUINED_PX, True, f"blurred beyond use at {size} px",
         "Take them out."),
        ("blur", lambda one: BLURRED_PX < one.quality.edge_px <= RUINED_PX, False, f"blurred at the {size} px that are "
         "trained", "Take sharper ones, or crop less."),
        ("exposure", lambda one: one.quality.white > CLIPPED or one.quality.light > BRIGHT, False,
         "the product is over-exposed", "Take them with less light, or less white around the product."),
        ("exposure", lambda one: one.quality.black > CLIPPED or one.quality.light < DARK, False,
         "the product is nearly black", "Take them with more light, unless the product is black."),
        ("border", lambda one: bool(one.quality.frame), False, "a border is part of the picture",
         "Crop it away, or every picture gets one."),
        ("text", lambda one: bool(one.quality.text), False, "letters seem to be burned in beside the product",
         "Crop or retouch them, or they are learned."),
    ]  # fmt: skip
    for check, test, grave, found, advice in rows:
        names = tuple(one.photo.path.name for one in looks if test(one))
        if names:
            level = "block" if grave and len(names) >= SPOILED * len(looks) else "warning"
            yield Finding(check, level, f"{_count(names)} {found}", advice, names)


def _of_masks(looks: list[Look], find: bool) -> Iterator[Finding]:
    known = [one for one in looks if one.mask.source]
    without = tuple(one.photo.path.name for one in looks if not one.mask.source)
    if without and (find or known):
        yield Finding(
            "mask", "warning", f"the product was not found in {_count(without)}; their ground is learned with it",
            f"Give {masks.FOLDER}/NAME.png, white on the product, or photograph on a plain ground of another colour.",
            without,
        )  # fmt: skip
    share = {one.photo.path.name: one.mask.coverage for one in known}
    small = tuple(name for name, covered in share.items() if covered < SMALL)
    if small:
        yield Finding("coverage", "warning", f"the product is small in {_count(small)}: less than {SMALL:.0%} of the "
                      "picture", "Crop closer.", small)  # fmt: skip
    full = tuple(name for name, covered in share.items() if covered > FULL)
    if full:
        yield Finding("coverage", "warning", f"the product fills {_count(full)}; its outline cannot be learned",
                      "Leave some ground around it in a few photos.", full)  # fmt: skip
    cut = tuple(one.photo.path.name for one in known if _touches(one.mask) > 0.1)
    if cut:
        yield Finding("coverage", "warning", f"the product is cut by the edge of {_count(cut)}",
                      "Photograph it whole, in some photos at least.", cut)  # fmt: skip


def _of_set(photos: ImageSet, looks: list[Look]) -> Iterator[Finding]:
    """Findings about the set: how many, how different."""
    twins = tuple(photo.path.name for photo in photos.photos if photo.duplicate_of)
    if twins:
        yield Finding("duplicates", "warning", f"{_count(twins)} repeat another one and are used once",
                      "Replace them by other views.", twins)  # fmt: skip
    count = len(looks)
    if count < ADVISED:
        held = "" if count >= FEW else f"; below {FEW} none can be held out to check with"
        yield Finding("number", "warning", f"{count} {'photo' if count == 1 else 'different photos'}{held}",
                      f"{ADVISED} to 100 varied ones teach the product better.")  # fmt: skip
    if count >= FEW:
        yield from _diversity(looks)


def _diversity(looks: list[Look]) -> Iterator[Finding]:
    import numpy as np

    grounds = np.stack([one.ground for one in looks])
    spread = np.linalg.norm(grounds - np.median(grounds, axis=0), axis=1)
    if np.quantile(spread, 0.9) < SAME_GROUND and not all(one.mask.source for one in looks):
        yield Finding("diversity", "warning", f"all {len(looks)} photos have the same ground, which is then learned "
                      "with the product", "Photograph on other grounds too, or give masks.")  # fmt: skip
    known = [one for one in looks if one.mask.source]
    if len(known) >= FEW and (same := _sameness(known)) > SAME_POSE:
        yield Finding("diversity", "warning", f"the outlines of {len(known)} photos overlap by {same:.0%}: one pose, "
                      "one angle", "Fold, turn and hang it otherwise: the pose is learned too.")  # fmt: skip


def _of_words(photos: ImageSet, words: Words) -> Iterator[Finding]:
    if missing := caption_lint.missing_trigger(photos, words):
        yield Finding("captions", "warning", f"{len(missing)} captions lack the trigger word '{words.trigger}'; it was "
                      "put in front of them", "Write it where the product is named.", tuple(missing))  # fmt: skip
    if leaked := caption_lint.leaked(photos, words):
        named = ", ".join(f"'{word}' in {share:.0%}" for word, share in list(leaked.items())[:6])
        yield Finding("captions", "warning", f"words about the product stand in nearly every caption: {named}",
                      f"Leave them out: what is always so belongs to '{words.trigger}'.")  # fmt: skip
    long = caption_lint.too_long(photos, words)
    if cut := tuple(name for name, lost in long.items() if not lost):
        yield Finding("captions", "warning", f"{len(cut)} captions are longer than the {words.limit} tokens that the "
                      "base reads; the rest is ignored", "Say the important first.", cut)  # fmt: skip
    if lost := tuple(name for name, behind in long.items() if behind):
        yield Finding("captions", "block", f"in {len(lost)} captions the trigger word stands behind the {words.limit} "
                      "tokens that the base reads", "Shorten them.", lost)  # fmt: skip
    for name, why in caption_lint.contradictions(photos).items():
        yield Finding("captions", "warning", f"a caption {why}", "Correct it.", (name,))


def _touches(mask: masks.Mask) -> float:
    """Share of the longest contact with one edge of the picture."""
    solid = mask.share > 0.5
    return float(max(solid[0].mean(), solid[-1].mean(), solid[:, 0].mean(), solid[:, -1].mean()))


def _sameness(looks: list[Look]) -> float:
    """Median overlap (intersection over union) of each outline with the set's mean outline, each in its own box."""
    import cv2
    import numpy as np

    shapes = []
    for one in looks:
        solid = (one.mask.share > 0.5).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(solid)
        side = max(width, height)
        box = np.zeros((side, side), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        box[top : top + height, left : left + width] = solid[y : y + height, x : x + width]
        shapes.append(cv2.resize(box, (48, 48), interpolation=cv2.INTER_AREA) > 0)
    stack = np.stack(shapes)
    mean = stack.mean(axis=0) > 0.5
    overlaps = (stack & mean).sum((1, 2)) / np.maximum(1, (stack | mean).sum((1, 2)))
    return float(np.median(overlaps))


def _count(names: tuple[str, ...]) -> str:
    return f"{len(names)} {'photo' if len(names) == 1 else 'photos'}"


def as_rows(report: Report) -> list[Mapping[str, Any]]:
    """The findings for programs."""
    return [
        {"check": one.check, "level": one.level, "found": one.found, "advice": one.advice, "photos": list(one.photos)}
        for one in report.findings
    ]
