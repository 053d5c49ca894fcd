"""Drawing into photos of the user's own: which photos, which part of them is drawn anew, and how strongly.

Without a mask a photo is redrawn as a whole, and the picture is as large as others. With one it keeps its size and
every byte beside the mask: model and place stay, and only the garment changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from synthgen import file_hash, guides, masks, photo_frame
from synthgen.errors import RequestError
from synthgen.provenance import canonical_json
from synthgen.types import Asset, Into, Job, Recipe

AXIS = guides.PHOTO  # each photo is asked for as often as the others
GARMENT, PRODUCT = "garment", "product"  # masks that are made: by the embedded judge, and as training makes them
MOST_PHOTOS = 1000
REDRAWN, DRAWN = 0.6, 1.0  # strength where none is said: of the whole photo, of the masked part
LEAST_CONTRAST = 6.0  # grey levels, as the gate for blank pictures has it
LEAST_PEAK, LEAST_SHARE = 0.2, 0.005  # of the judge's map, and of the photo: below, no garment is seen
SEEN_PX, ROUNDS = 256, 4  # side of the copy that a garment is looked for in, and rounds of GrabCut
CERTAIN, LIKELY, THINKABLE = 0.85, 0.5, 0.02  # of the judge's peak; on 60 renders, 93% of the garment is found
GROWN = 0.02  # of the longest side: the next garment need not have the outline of this one
MOST_DIFFERENT = 0.03  # of the proportions of a photo and its mask


@dataclass(frozen=True)
class Retouch:
    """What to draw into."""

    files: tuple[Path, ...]
    digests: tuple[str, ...]  # sha256 of each photo
    strength: float
    mask: str = ""  # GARMENT, PRODUCT, or where the mask files are; "" where the whole photo is redrawn
    mask_files: tuple[Path, ...] = ()  # one for each photo, where they are files

    @property
    def masked(self) -> bool:
        """Whether a part of each photo stays."""
        return bool(self.mask)

    @property
    def digest(self) -> str:
        """One hash over all that decides what is drawn into."""
        made = self.mask if not self.mask_files else [file_hash.sha256(file) for file in self.mask_files]
        judge = _judge().sha256 if self.mask == GARMENT else ""
        return sha256(canonical_json([*self.digests, made, judge]).encode()).hexdigest()


def parse(into: Path | None, mask: str, strength: float | None) -> Retouch | None:
    """What --into, --mask and --strength ask for. Raises RequestError; no photo is read but for its hash."""
    if into is None:
        if mask or strength is not None:
            raise RequestError("--mask and --strength go with --into PHOTO. Nothing was drawn.")
        return None
    files = guides.pictures_at(into.expanduser(), "--into")
    if len(files) > MOST_PHOTOS:
        raise RequestError(
            f"--into {into} holds {len(files)} photos; at most {MOST_PHOTOS} go into one run. Nothing was drawn."
        )
    given = () if mask in ("", GARMENT, PRODUCT) else _mask_files(Path(mask).expanduser(), files)
    digests = tuple(file_hash.sha256(file) for file in files)
    usual = DRAWN if mask else REDRAWN
    return Retouch(files, digests, usual if strength is None else strength, mask, given)


def _mask_files(place: Path, photos: Sequence[Path]) -> tuple[Path, ...]:
    """The mask of each photo: the one file, or that of its name in a folder."""
    if place.is_file():
        return (place,) * len(photos)
    if not place.is_dir():
        raise RequestError(
            f"--mask {place} is not there. Wanted a mask, white where it is drawn anew, a folder of masks with the "
            f"names of the photos, or {GARMENT} or {PRODUCT}. Nothing was drawn."
        )
    by_stem = {file.stem: file for file in guides.pictures_at(place, "--mask")}
    if missing := [photo.name for photo in photos if photo.stem not in by_stem]:
        raise RequestError(
            f"--mask {place} has no mask for {', '.join(missing[:3])}; wanted {Path(missing[0]).stem}.png. Nothing was "
            "drawn."
        )
    return tuple(by_stem[photo.stem] for photo in photos)


def planned(recipe: Recipe, domain: Any, asked: Retouch) -> Recipe:
    """The recipe as it is asked for in photos: their axis beside the others, less what the photo itself decides.

    Raises RequestError for a number of steps of which the strength leaves none.
    """
    steps = int(recipe.settings["num_inference_steps"])
    if int(steps * asked.strength) < 1:
        raise RequestError(
            f"--strength {asked.strength:g} of {steps} steps is less than one step. Say more of one of them. Nothing "
            "was drawn."
        )
    if asked.masked:
        if not hasattr(domain, "into_photo"):
            raise RequestError(f"domain '{recipe.domain}' has no words for a part of a photo. Leave --mask out.")
        recipe = domain.into_photo(recipe)
    names = tuple(file.name for file in asked.files)
    settings = {**recipe.settings, "strength": asked.strength}
    return replace(recipe, axes={**recipe.axes, AXIS: names}, settings=settings)


def check(asked: Retouch, module: Any, identity: Any, conditions: Sequence[guides.Condition]) -> None:
    """Raises RequestError where a base cannot draw into photos, or not along these conditions."""
    steered = [one.kind for one in guides.steering(conditions) if one.files]
    if (shown := sum(one.shown for one in conditions)) > bool(module.REFERENCE_INTO):
        most = "at most one" if module.REFERENCE_INTO else "none"
        raise RequestError(f"--into goes with {most} --reference here, and there are {shown}. Nothing was drawn.")
    what = "a part of a photo" if asked.masked else "a photo"
    if not module.into(asked.masked, 0):
        raise RequestError(f"base '{identity.id}': diffusers has no pipeline of it that draws into {what}.")
    if steered and not module.into(asked.masked, len(steered)):
        raise RequestError(
            f"base '{identity.id}': diffusers has no pipeline of it that draws into {what} along "
            f"{'several' if len(steered) > 1 else 'a'} control picture{'s' * (len(steered) > 1)}. "
            f"Leave --condition {steered[0]} out. Nothing was drawn."
        )
    if asked.masked and "mask" in steered:
        raise RequestError("--condition mask does not go with --mask. Leave one of them out. Nothing was drawn.")


def posed(asked: Retouch, module: Any, conditions: Sequence[guides.Condition]) -> bool:
    """Whether a base can be shown a skeleton as well, beside these conditions."""
    return bool(module.into(asked.masked, 1 + sum(bool(one.files) for one in guides.steering(conditions))))


def assets(asked: Retouch) -> list[Asset]:
    """The photos, with the rights that are stated beside them."""
    return [guides.reference(asked.files, asked.digest, "drawn into")]


class Photos:
    """The photos that jobs are drawn into, each read when it is first wanted; the last few are kept."""

    def __init__(self, asked: Retouch, size: int) -> None:
        """size  px of what a base draws"""
        self._asked, self._size = asked, size
        self._places = {file.name: place for place, file in enumerate(asked.files)}
        self._kept: dict[int, tuple[Into, dict[str, Any]]] = {}

    def of(self, job: Job) -> tuple[Into, dict[str, Any]]:
        """The photo that a job asks for, and what the record tells of it."""
        place = self._places[job.requested[AXIS]]
        if place not in self._kept:
            while len(self._kept) >= 8:
                self._kept.pop(next(iter(self._kept)))
            self._kept[place] = self._read(place)
        return self._kept[place]

    def _read(self, place: int) -> tuple[Into, dict[str, Any]]:
        import numpy as np

        asked, file = self._asked, self._asked.files[place]
        photo = guides.picture(file)
        told: dict[str, Any] = {
            "kind": AXIS,
            "file": file.name,
            "sha256": asked.digests[place],
            "mask": asked.mask and "file",
        }
        if not asked.masked:
            return photo_frame.whole(photo, self._size), told
        made = asked.mask in (GARMENT, PRODUCT)
        mask = _made(file, photo, asked.mask) if made else _given(asked.mask_files[place], photo)
        into = photo_frame.masked(np.asarray(photo), mask, self._size)
        told |= {"mask": asked.mask if made else "file", "mask_sha256": _mask_sha256(mask), "box": list(into.box)}
        if not made:
            told["mask_file_sha256"] = file_hash.sha256(asked.mask_files[place])
        return into, told


def again(lineage: Mapping[str, Any], references: Sequence[Path]) -> Into | None:
    """The photo that a picture was drawn into, from its record and the files that it names.

    Raises RequestError where the photo or its mask is not there, or another mask is made of it than was.
    """
    told = next((one for one in lineage.get("guides", ()) if one["kind"] == AXIS), None)
    if told is None:
        return None
    file, how = guides.found(told, references), str(told["mask"])
    given: tuple[Path, ...] = ()
    if "mask_file_sha256" in told:
        name = {"kind": "mask", "file": f"a mask of {told['file']}", "sha256": told["mask_file_sha256"]}
        given = (guides.found(name, references),)
    asked = Retouch((file,), (str(told["sha256"]),), float(lineage["settings"]["strength"]), how, given)
    into, found = Photos(asked, int(lineage["settings"]["size"]))._read(0)
    if found.get("mask_sha256") != told.get("mask_sha256"):
        raise RequestError(
            f"{file}: another {how} mask is made of it here than when it was drawn into. Nothing was drawn."
        )
    return into


def _mask_sha256(mask: Any) -> str:
    return sha256(f"{mask.shape[0]}x{mask.shape[1]}:".encode() + mask.tobytes()).hexdigest()


def _given(file: Path, photo: Any) -> Any:
    """(h, w) uint8 from a mask file, as large as its photo."""
    import numpy as np
    from PIL import Image

    grey = guides.picture(file).convert("L")
    if abs(grey.width / grey.height - photo.width / photo.height) > MOST_DIFFERENT * photo.width / photo.height:
        raise RequestError(
            f"{file} is {grey.width} x {grey.height} px and its photo {photo.width} x {photo.height}; wanted the same "
            "proportions. Nothing more was drawn."
        )
    if grey.size != photo.size:
        grey = grey.resize(photo.size, Image.Resampling.BILINEAR)
    mask = np.asarray(grey).copy()
    if not (mask >= 128).any():
        raise RequestError(f"{file} is black: nothing would be drawn. Paint white what is to be drawn anew.")
    return mask


def _made(file: Path, photo: Any, how: str) -> Any:
    """(h, w) uint8: the product by its mask file, alpha or plain ground; the garment on a person by the judge."""
    import numpy as np

    if how == PRODUCT:
        found = masks.of(file, photo)
        if not found.source:
            raise RequestError(
                f"{file}: where the product is was not found ({found.reason}). Give a mask: --mask FILE or FOLDER."
            )
        return _grown(np.asarray(found.at(photo.size)) >= 128)
    return _grown(_garment(file, photo))


def _garment(file: Path, photo: Any) -> Any:
    """(h, w) bool: GrabCut from where the judge sees a garment; its map is coarse, and shy of sleeves."""
    import cv2
    import numpy as np

    small = photo_frame.whole(photo, SEEN_PX).shown  # the judge learned from squares
    share = _judge().read_one(small).mask
    peak = float(share.max())
    share = cv2.resize(np.asarray(share, np.float32), (SEEN_PX, SEEN_PX)) / max(peak, 1e-6)
    sure = share > LIKELY
    blank = float(small.std()) < LEAST_CONTRAST  # in nothing at all it sees something
    if blank or peak < LEAST_PEAK or sure.mean() < LEAST_SHARE:
        raise RequestError(
            f"{file}: the embedded judge, which learned from rendered people, sees no garment in it. Give a mask: "
            "--mask FILE or FOLDER."
        )
    marks = np.where(_grown(share > THINKABLE, 2 * GROWN) > 0, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    marks[sure] = cv2.GC_PR_FGD
    marks[share > CERTAIN] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # its first colours are drawn; the same photo must give the same mask
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(small[..., ::-1]), marks, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = (np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)) | sure).astype(np.uint8) * 255
    side = max(photo.size)
    whole = cv2.resize(found, (side, side)) >= 128
    left, top = (side - photo.width) // 2, (side - photo.height) // 2
    return whole[top : top + photo.height, left : left + photo.width]


def _grown(seen: Any, share: float = GROWN) -> Any:
    """(h, w) uint8 from (h, w) bool, a little larger."""
    import cv2
    import numpy as np

    reach = max(1, round(share * max(seen.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(seen.astype(np.uint8) * 255, kernel)


def _judge() -> Any:
    from synthgen.mini import judge

    return judge.load()
