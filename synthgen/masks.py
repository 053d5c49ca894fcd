"""Where the product is in a photo: given as a file or as alpha, else found on a plain ground.

A mask is (h, w) float32, 1 on the product and 0 beside it. One that is found is used only where it is trusted: a wrong
mask hides the product from the training, no mask merely lets it see the ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import images
from synthgen.errors import RequestError
from synthgen.types import Photo

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

FOLDER = images.MASKS  # beside the photos: masks/<stem>.png, white on the product
SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
SIDE_PX = 120  # the copy that the product is looked for in
RING = 0.035  # of each side: taken for ground, unless the product is cut there
ROUNDS = 4  # of GrabCut
LEAST_SHARE, MOST_SHARE = 0.06, 0.92  # of the picture: what a found mask may cover
LEAST_GAP = 9.0  # Lab units between the colours of product and ground, at their border
MOST_CUT = 0.3  # of the picture's edge that a found product may lie on
HOW = ("auto", "given", "off")  # given, else found on a plain ground; only given; the ground is learned too
LOOKED_PX = 512  # longest side of the copy that a mask is made from
GROUNDS = 4  # colours that the ground is described by


@dataclass(frozen=True)
class Mask:
    """One photo's mask, of the photo's own proportions."""

    share: np.ndarray  # (h, w) float32, 0 to 1
    source: str  # "file", "alpha", "found", or "" where there is none: then it is 1 everywhere
    reason: str = ""  # why there is none

    @property
    def coverage(self) -> float:
        """Share of the picture that is product."""
        return float(self.share.mean())

    def at(self, size: tuple[int, int]) -> Image.Image:
        """The mask as a grey picture of (width, height) px."""
        import numpy as np
        from PIL import Image

        grey = Image.fromarray((self.share * 255).round().astype(np.uint8), "L")
        return grey.resize(size, Image.Resampling.BILINEAR)


class Masks:
    """The masks of a set's photos, each made once, when it is first asked for."""

    def __init__(self, how: str = "auto") -> None:
        """how  one of HOW"""
        self.how = how
        self._known: dict[Path, Mask] = {}

    @property
    def finds(self) -> bool:
        """Whether the product is looked for where no mask is given."""
        return self.how == "auto"

    def of(self, photo: Photo) -> Mask:
        """The photo's mask. Raises what `of` raises, and UnreadableImage where the photo has gone."""
        if photo.path not in self._known:
            self._known[photo.path] = self._made(photo)
        return self._known[photo.path]

    def _made(self, photo: Photo) -> Mask:
        if self.how == "off":
            return _none("masks are off")
        return of(photo.path, images.pixels(photo, LOOKED_PX), self.finds)


def of(path: Path, image: Image.Image, find: bool = True) -> Mask:
    """The mask of one photo: of its file in masks/, of its alpha channel, else, with `find`, found in the picture.

    path   the photo's file
    image  its pixels as `images.pixels` gives them
    Raises RequestError for a mask file that is no picture, is empty, or has other proportions than the photo.
    """
    if given := beside(path):
        return Mask(_read(given, image), "file")
    if (alpha := _alpha(path)) is not None:
        return Mask(alpha, "alpha")
    return found(image) if find else _none("none was given")


def beside(path: Path) -> Path | None:
    """The mask file of a photo, or None."""
    folder = path.parent / FOLDER
    named = [folder / f"{path.stem}{suffix}" for suffix in SUFFIXES]
    return next((file for file in named if file.is_file()), None)


def found(image: Image.Image) -> Mask:
    """The product on a plain ground: GrabCut from several beginnings; the answer with the clearest border is taken."""
    import cv2
    import numpy as np

    small = _small(image)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    answers = [_solid(_cut(small, seeds)) for seeds in _beginnings(lab)]
    doubts = [_doubt(solid, lab) for solid in answers]
    trusted = [solid for solid, why in zip(answers, doubts, strict=True) if not why]
    if not trusted:
        return _none(doubts[0])
    best = max(trusted, key=lambda solid: _clearness(solid, lab))
    return Mask(cv2.GaussianBlur(best.astype(np.float32), (0, 0), 0.7), "found")


def _cut(small: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    import cv2
    import numpy as np

    marks = seeds.copy()
    cv2.setRNGSeed(0)  # its first colours are drawn; the same photo must give the same mask
    try:
        cv2.grabCut(
            np.ascontiguousarray(small[..., ::-1]), marks, None, np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS,
            cv2.GC_INIT_WITH_MASK,
        )  # fmt: skip
    except cv2.error:  # a picture of one colour has no two models
        return np.zeros_like(seeds)
    return np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _clearness(solid: np.ndarray, lab: np.ndarray) -> float:
    """How far product and ground differ at their border, times the root of the area: a part is no better than all."""
    return _border_gap(solid, lab) * float(solid.mean()) ** 0.5


def _small(image: Image.Image) -> np.ndarray:
    import numpy as np
    from PIL import Image

    scale = SIDE_PX / max(image.size)
    size = (max(16, round(image.width * scale)), max(16, round(image.height * scale)))
    return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX))


def _beginnings(lab: np.ndarray) -> list[np.ndarray]:
    """First marks for GrabCut. The ring along the edges is ground; product may be what is far from every colour of the
    ring, by Otsu's threshold and by a lower one, or simply what lies in the middle."""
    import cv2
    import numpy as np

    height, width = lab.shape[:2]
    edge = max(2, round(RING * max(height, width)))
    ring = np.ones((height, width), bool)
    ring[edge:-edge, edge:-edge] = False
    far = _far(lab, lab[ring])
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    score = far * np.exp(-(x**2 + y**2) / 1.2)
    cut = float(cv2.threshold(np.clip(score * 2, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0]) / 2
    made = []
    for product in (score > cut, score > 0.6 * cut, (x / 0.75) ** 2 + (y / 0.8) ** 2 < 1):
        marks = np.where(product, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        marks[ring & (far < max(cut, 12.0))] = cv2.GC_BGD
        made.append(marks)
    return made


def _far(lab: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """(h, w) distance of each pixel, in Lab units, from the nearest of the ring's common colours."""
    import cv2
    import numpy as np

    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 12, 0.5)
    _, labels, centres = cv2.kmeans(ring, min(GROUNDS, len(ring)), np.array([]), stop, 1, cv2.KMEANS_PP_CENTERS)
    common = np.bincount(labels.ravel(), minlength=len(centres)) >= 0.08 * len(ring)  # a sleeve's end is rare there
    return np.min(np.linalg.norm(lab[:, :, None] - centres[common][None, None], axis=3), axis=2)


def _solid(mask: np.ndarray) -> np.ndarray:
    """The large pieces without holes and crumbs: a product is one piece, or a few (a pair)."""
    import cv2
    import numpy as np

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel, iterations=3)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    if not len(areas):
        return mask
    kept = np.isin(labels, 1 + np.flatnonzero(areas >= 0.2 * areas.max())).astype(np.uint8)
    outlines, _ = cv2.findContours(kept, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    filled = kept.copy()
    for outline in outlines:  # small holes are prints and buttons; a large one is ground between two sleeves
        if cv2.contourArea(outline) < 0.06 * kept.sum():
            cv2.drawContours(filled, [outline], -1, 1, cv2.FILLED)
    return np.maximum(filled, kept)


def _doubt(solid: np.ndarray, lab: np.ndarray) -> str:
    """Why a found mask is not to be trusted; "" where it is."""
    import numpy as np

    share = float(solid.mean())
    if not LEAST_SHARE <= share <= MOST_SHARE:
        return f"what stands out from the ground covers {share:.0%} of the picture"
    edges = np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])
    if edges.mean() > MOST_CUT:
        return f"what stands out lies on {edges.mean():.0%} of the picture's edge"
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    for least, most, size in ((rows[0], rows[-1], solid.shape[0]), (columns[0], columns[-1], solid.shape[1])):
        if least > 0.4 * size or most < 0.6 * size:  # a part of the product that differs from the rest of it
            return "what stands out lies beside the middle of the picture"
    gap = _border_gap(solid, lab)
    return "" if gap >= LEAST_GAP else f"product and ground differ by {gap:.0f} Lab units only"


def _border_gap(solid: np.ndarray, lab: np.ndarray) -> float:
    """Median colour difference over the border, each place inside against the mean of the ground beside it."""
    import cv2
    import numpy as np

    kernel = np.ones((5, 5), np.uint8)
    inside = (solid - cv2.erode(solid, kernel)).astype(bool)
    outside = (cv2.dilate(solid, kernel) - solid).astype(bool)
    weight = outside.astype(np.float32)
    near = cv2.boxFilter(lab * weight[..., None], -1, (11, 11), normalize=False)
    count = cv2.boxFilter(weight, -1, (11, 11), normalize=False)
    seen = inside & (count > 0)
    if not seen.any():
        return 0.0
    return float(np.median(np.linalg.norm(lab[seen] - near[seen] / count[seen][:, None], axis=1)))


def _read(path: Path, image: Image.Image) -> np.ndarray:
    """A mask file as (h, w) of SIDE_PX or so. Raises RequestError."""
    import numpy as np
    from PIL import Image

    from synthgen import image_file
    from synthgen.errors import UnreadableImage

    try:
        grey = image_file.decode(path).image.convert("L")
    except UnreadableImage as error:
        raise RequestError(
            f"{path}: {error}. A mask is a picture, white on the product. Nothing was trained."
        ) from error
    if abs(grey.width / grey.height - image.width / image.height) > 0.03 * image.width / image.height:
        raise RequestError(
            f"{path} is {grey.width} x {grey.height} px and its photo {image.width} x {image.height}; wanted the same "
            "proportions. Make the mask from the photo as it stands upright. Nothing was trained."
        )
    scale = min(1.0, 4 * SIDE_PX / max(grey.size))
    small = grey.resize((max(1, round(grey.width * scale)), max(1, round(grey.height * scale))), Image.Resampling.BOX)
    share = np.asarray(small, np.float32) / 255
    if share.mean() < 0.002:
        raise RequestError(f"{path} is black: nothing of its photo would be learned. Paint the product white.")
    return share


def _alpha(path: Path) -> np.ndarray | None:
    """The alpha channel of a photo file, where it has one that leaves something out and keeps something."""
    import numpy as np
    from PIL import Image, ImageOps

    from synthgen import image_file

    if path.suffix.lower() not in (".png", ".webp", ".tif", ".tiff"):
        return None
    with image_file.quiet(), Image.open(path, formats=list(image_file.FORMATS)) as file:
        if file.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in file.info:
            return None
        layered = ImageOps.exif_transpose(file.convert("RGBA"))
        scale = min(1.0, 4 * SIDE_PX / max(layered.size))
        size = (max(1, round(layered.width * scale)), max(1, round(layered.height * scale)))
        share = np.asarray(layered.getchannel("A").resize(size, Image.Resampling.BOX), np.float32) / 255
    return share if 0.002 < share.mean() < 0.995 else None


def _none(reason: str) -> Mask:
    import numpy as np

    return Mask(np.ones((16, 16), np.float32), "", reason)


def at_latents(masks: np.ndarray, latents: Any) -> Any:
    """(n, h, w) uint8 masks -> float32 shares in the form of the latents: what part of each place is product.

    latents  (n, c, h, w), or (n, h * w, c) of families whose network reads a row of places, as many across and up as
             the masks' own proportions say
    Returns (n, 1, h, w), or (n, h * w, 1).
    """
    import torch

    rows = latents.dim() == 3
    high, wide = masks.shape[1:]
    up = round(math.sqrt(latents.shape[1] * high / wide)) if rows else latents.shape[-2]
    across = latents.shape[1] // up if rows else latents.shape[-1]
    grey = torch.from_numpy(masks)[:, None].float() / 255
    share = torch.nn.functional.adaptive_avg_pool2d(grey, (up, across)).to(latents.device)
    return share.flatten(2).transpose(1, 2) if rows else share
