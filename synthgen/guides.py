"""What pictures are drawn along beside their words: skeletons, edges, depth and others, and the photos they come from.

KIND=PATH:SCALE:START:END asks for one condition; PATH is a photo or a folder of photos, and a job takes one of them by
its place in the plan. `pose` has no path: its skeletons follow the label. A reference is a picture that the base itself
is shown beside the words, with no ControlNet between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from synthgen import detector_file, file_hash, image_file, images, photo_frame, rights_file, rooms
from synthgen.conditioners import pose
from synthgen.errors import RequestError, UnknownName, UnreadableImage
from synthgen.poses import Pose
from synthgen.provenance import pixel_sha256
from synthgen.types import Asset, Guide, Into, Job, Rights

POSE = "pose"
PHOTO = "photo"  # the kind of what is drawn into
REFERENCE = "reference"  # the kind of what the base is shown itself; of a second one "reference_2"
FORM = "KIND=PATH:SCALE:START:END, such as canny=photos/:0.6:0:0.7"
MOST_SCALE = 4.0  # as recipes have it for controlnet_conditioning_scale
LEAST_PX, MOST_SLENDER = 64, 8  # of a reference: its shorter side, and how many times longer the other may be
REMEMBERED_BYTES = 256 * 2**20  # control pictures that are kept, so that a photo is looked at once


@dataclass(frozen=True)
class Condition:
    """One condition as it was asked for."""

    kind: str
    files: tuple[Path, ...] = ()  # photos, or control pictures; none for poses
    ready: bool = False  # the files are control pictures already
    strength: Mapping[str, float] = field(default_factory=dict)  # scale, start, end; what is not said is the recipe's
    weights: Path | None = None  # of a detector
    digests: tuple[str, ...] = ()  # sha256 of each file

    @property
    def shown(self) -> bool:
        """Whether the base is shown it as it is, as a reference."""
        return not by_controlnet(self.kind)

    @property
    def digest(self) -> str:
        """One hash over all that decides its control pictures."""
        detector = file_hash.remembered(self.weights) if self.weights else ""
        return sha256("\n".join([str(self.ready), detector, *self.digests]).encode()).hexdigest()


def parse(asked: Sequence[str], ready: Sequence[str] = (), references: Sequence[Path] = ()) -> tuple[Condition, ...]:
    """The conditions of a run: from photos, from control pictures that are there already, and references.

    references  photos or folders of photos; a job takes one of each folder by its place in the plan
    Raises RequestError or UnknownName for a text of another form, a kind that none here draws, files that are not
    there, and detector weights that are not here or not pinned. No network is loaded.
    """
    found = [_one(text, False) for text in asked] + [_one(text, True) for text in ready]
    named = [one.kind for one in found]
    if twice := sorted({kind for kind in named if named.count(kind) > 1}):
        raise RequestError(f"the condition '{twice[0]}' is asked for twice. Leave one out. Nothing was drawn.")
    return (*found, *(_reference(place, number) for number, place in enumerate(references, 1)))


def _reference(place: Path, number: int) -> Condition:
    files = pictures_at(place.expanduser(), "--reference")
    for file in files:
        wide, high = picture(file).size
        if min(wide, high) < LEAST_PX or max(wide, high) > MOST_SLENDER * min(wide, high):
            raise RequestError(
                f"--reference: {file} is {wide} x {high} px; wanted sides of {LEAST_PX} px or more, of which one is at "
                f"most {MOST_SLENDER} times as long as the other. Nothing was drawn."
            )
    kind = REFERENCE if number == 1 else f"{REFERENCE}_{number}"
    return Condition(kind, files, True, digests=tuple(file_hash.sha256(file) for file in files))


def by_controlnet(kind: str) -> bool:
    """Whether what a record calls so was shown to a ControlNet."""
    return kind.partition("_")[0] not in (PHOTO, REFERENCE)


def steering(conditions: Sequence[Condition]) -> list[Condition]:
    """Those that a ControlNet is shown."""
    return [one for one in conditions if not one.shown]


def _one(text: str, ready: bool) -> Condition:
    option = "--condition-map" if ready else "--condition"
    parts = text.split(":")
    numbers: list[float] = []
    while len(parts) > 1 and len(numbers) < 3 and (number := _number(parts[-1])) is not None:
        numbers.insert(0, number)
        parts.pop()
    kind, mark, path = ":".join(parts).partition("=")
    strength = dict(zip(("scale", "start", "end"), numbers, strict=False))
    if problem := _problem(strength):
        raise RequestError(f"{option} '{text}': {problem}. Wanted {FORM}. Nothing was drawn.")
    if kind == POSE:
        if mark or ready:
            raise RequestError(
                f"{option} '{text}': skeletons come from the pose library, or from --pose-file. Say how much they "
                "count: --condition pose:SCALE:START:END. Nothing was drawn."
            )
        return Condition(POSE, strength=strength)
    if not mark or not path or kind.partition("_")[0] in ("", PHOTO, REFERENCE):
        raise RequestError(f"{option} '{text}' was not understood. Wanted {FORM}. Nothing was drawn.")
    if not ready and kind not in kinds():
        raise UnknownName("--condition", kind, [*kinds(), POSE])
    files = pictures_at(Path(path).expanduser(), f"{option} {kind}")
    digests = tuple(file_hash.sha256(file) for file in files)
    return Condition(kind, files, ready, strength, None if ready else _weights(kind), digests)


def kinds() -> tuple[str, ...]:
    """Conditions that can be drawn from photos."""
    return tuple(name for name in rooms.members("conditioners") if name != POSE)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _problem(strength: Mapping[str, float]) -> str:
    """What is wrong with the numbers, or ""."""
    scale, start, end = (strength.get(name, usual) for name, usual in (("scale", 1.0), ("start", 0.0), ("end", 1.0)))
    if not 0 <= scale <= MOST_SCALE:
        return f"SCALE is {scale:g}; wanted 0 to {MOST_SCALE:g}"
    if not 0 <= start < end <= 1:
        return f"START is {start:g} and END {end:g}; wanted shares of the steps, 0 <= START < END <= 1"
    return ""


def pictures_at(place: Path, option: str) -> tuple[Path, ...]:
    """The picture files of a folder by name, or the one file. Raises RequestError where there is none."""
    if place.is_file():
        return (place,)
    found = sorted(file for file in place.glob("*") if file.is_file() and file.suffix.lower() in image_file.SUFFIXES)
    if not found:
        what = "holds no picture" if place.is_dir() else "is not there"
        raise RequestError(f"{option}: {place} {what}. Name a photo or a folder of photos. Nothing was drawn.")
    return tuple(found)


def _weights(kind: str) -> Path | None:
    member = rooms.member("conditioners", kind)
    if not getattr(member, "WEIGHTS", ()):
        return None
    return detector_file.trusted(member.WEIGHTS, f"--condition {kind}: {member.DETECTOR}", _instead(kind))


def _instead(kind: str) -> str:
    return f"or give pictures that are ready: --condition-map {kind}=FOLDER"


def settings(conditions: Sequence[Condition]) -> dict[str, Any]:
    """What the plan, the base and the record are told of strengths: `conditions`, or nothing."""
    told = {one.kind: dict(one.strength) for one in steering(conditions) if one.kind != POSE or one.strength}
    return {"conditions": told} if told else {}


def hashes(conditions: Sequence[Condition]) -> dict[str, str]:
    """What decides a run beside the words, for its plan."""
    return {f"condition {one.kind}": one.digest for one in conditions if one.files}


def timed(conditions: Sequence[Condition]) -> list[str]:
    """The kinds that act for a part of the steps only."""
    return [one.kind for one in conditions if one.strength.get("start", 0.0) > 0 or one.strength.get("end", 1.0) < 1]


def assets(conditions: Sequence[Condition]) -> list[Asset]:
    """What brings rights with it: the photos, by the rights.toml beside them, and the detectors."""
    found = []
    for one in (one for one in conditions if one.files):
        found.append(reference(one.files, one.digest, one.kind.replace("_", " ")))
        if one.weights:
            name = one.weights.name
            found.append(Asset("control", name, detector_file.license_of(name), file_hash.remembered(one.weights)))
    return found


def reference(files: Sequence[Path], digest: str, what: str) -> Asset:
    """Photos that pictures are drawn along, with the rights that are stated beside them."""
    folder = files[0].parent
    rights = rights_file.rights_beside(folder) or Rights()
    name = files[0].name if len(files) == 1 else folder.name
    told = rights_file.photos(f"{name} ({what})", rights, digest)
    return replace(told, kind="reference")


class Guides:
    """What every job is drawn along. Detectors are opened when the first photo is looked at."""

    def __init__(self, conditions: Sequence[Condition], size: int, own: Sequence[Pose] = ()) -> None:
        """size  px of a control picture's side; own  the user's poses, else the library's"""
        self._size, self._own = size, own
        self._conditions = [one for one in conditions if one.files]
        off = any(one.kind == POSE and one.strength.get("scale") == 0 for one in conditions)
        self.posed = not off
        self._draw: dict[str, Callable[[Path, Any, int], Any]] = {}
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._kept_bytes = 0

    def of(
        self, job: Job, skeleton: bool, photo: tuple[Into, Mapping[str, Any]] | None = None
    ) -> tuple[dict[str, str], Guide]:
        """Labels that a job gets by what it is drawn along, and that.

        job       the job as it was planned: every try and every strength of a sweep is drawn along the same
        skeleton  whether the base can be shown one
        photo     what the job is drawn into, and what the record tells of it; conditions are then those of this photo
        Raises RequestError where a condition has no picture for the photo.
        """
        labels: dict[str, str] = {}
        controls: dict[str, Any] = {}
        shown: list[Any] = []
        into, told = (photo[0], [photo[1]]) if photo else (None, [])
        if skeleton and self.posed and "pose" in job.requested:
            steering = pose.prepare(job, self._size, self._own)
            labels, controls = dict(steering.labels), {POSE: steering.control}
        for one in self._conditions:
            by_name = photo and not one.shown  # which is of this photo; a reference is of another thing
            place = _place(one, str(photo[1]["file"])) if photo and by_name else job.index % len(one.files)
            made = self.control(one, place, into)
            labels[f"{one.kind}_from"] = one.files[place].name
            told.append(self._told(one, place, made))
            if one.shown:
                shown.append(made)
            else:
                controls[one.kind] = made
        return labels, Guide(controls, into, tuple(shown), tuple(told))

    def _told(self, one: Condition, place: int, control: Any) -> dict[str, Any]:
        detector = (
            {"detector": one.weights.name, "detector_sha256": file_hash.remembered(one.weights)} if one.weights else {}
        )
        return {
            "kind": one.kind, "file": one.files[place].name, "sha256": one.digests[place], "ready": one.ready,
            "control_sha256": pixel_sha256(control), **detector,
        }  # fmt: skip

    def control(self, one: Condition, place: int, into: Into | None = None) -> Any:
        """The control picture of one file, (s, s, 3) uint8; of the part that is shown, where a photo is drawn into.

        A reference in its own shape.
        """
        key = (one.kind, one.digests[place], into.box if into else ())
        if key in self._kept:
            return self._kept[key]
        made = self._drawn(one, one.files[place], into)
        if self._kept_bytes + made.nbytes <= REMEMBERED_BYTES:
            self._kept[key], self._kept_bytes = made, self._kept_bytes + made.nbytes
        return made

    def _drawn(self, one: Condition, file: Path, into: Into | None) -> Any:
        photo = picture(file)
        if one.shown:
            import numpy as np

            return np.asarray(photo)
        if into is not None and into.whole is not None:
            photo = photo_frame.part(photo, into)
        if one.ready:
            return squared(photo, self._size, one.kind)
        if one.kind not in self._draw:
            self._draw[one.kind] = rooms.member("conditioners", one.kind).open(one.weights)
        return self._draw[one.kind](file, photo, self._size)


def _place(one: Condition, photo: str) -> int:
    """Which file of a condition belongs to a photo: that of its name."""
    stems = [file.stem for file in one.files]
    if Path(photo).stem not in stems:
        raise RequestError(
            f"--condition {one.kind} has no picture for {photo}, which is drawn into; wanted one of the same name. "
            "Nothing more was drawn."
        )
    return stems.index(Path(photo).stem)


def again(lineage: Mapping[str, Any], references: Sequence[Path], into: Into | None = None) -> Guide:
    """What a picture was drawn along, from its record and the files that the record names.

    into        the photo that it was drawn into
    references  files and folders in which they are looked for, by their sha256
    Raises RequestError where one is not there, or gives another control picture than it did.
    """
    size, controls, shown = int(lineage["settings"]["size"]), {}, []
    if (skeleton := pose.again(lineage["requested"], size)) is not None:
        controls[POSE] = skeleton
    for told in (one for one in lineage.get("guides", ()) if one["kind"] != PHOTO):
        kind, file = str(told["kind"]), found(told, references)
        weights = None if told["ready"] or "detector" not in told else _weights(kind)
        if weights and file_hash.remembered(weights) != told["detector_sha256"]:
            raise RequestError(f"{weights} is another file than the picture was drawn with. Nothing was drawn.")
        one = Condition(kind, (file,), bool(told["ready"]), weights=weights, digests=(str(told["sha256"]),))
        made = Guides([one], size).control(one, 0, into)
        if one.shown:
            shown.append(made)
        else:
            controls[kind] = made
        if pixel_sha256(made) != told["control_sha256"]:
            raise RequestError(
                f"{file} gives another {kind} picture here than it gave when it was drawn along. Nothing was drawn."
            )
    return Guide(controls, into, tuple(shown))


def found(told: Mapping[str, Any], references: Sequence[Path]) -> Path:
    """The file that a record names, by its sha256. Raises RequestError where it is in none of the places."""
    for place in references:
        for file in pictures_at(place.expanduser(), "--reference"):
            if file_hash.sha256(file) == told["sha256"]:
                return file
    raise RequestError(
        f"the picture was drawn along {told['file']} ({told['kind']}, sha256 {str(told['sha256'])[:12]}), which was "
        "not named. Say where it is: --reference FOLDER. Nothing was drawn."
    )


def picture(file: Path) -> Any:
    """A photo upright, RGB. Raises RequestError."""
    try:
        return image_file.decode(file).image
    except UnreadableImage as error:
        raise UnreadableImage(f"{file}: {error}. Nothing more was drawn.") from error


def squared(photo: Any, size: int, kind: str) -> Any:
    """A control picture that is ready, at this size, (s, s, 3) uint8; black where it is no square."""
    import numpy as np
    from PIL import Image

    if photo.size == (size, size):
        return np.asarray(photo)
    if kind == "segmentation":  # colours are names there, and none may be mixed
        scale = size / max(photo.size)
        fitted = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
        padded = Image.new("RGB", (size, size))
        padded.paste(photo.resize(fitted, Image.Resampling.NEAREST), tuple((size - side) // 2 for side in fitted))
        return np.asarray(padded)
    return np.stack([np.asarray(images.square_mask(channel, size)) for channel in photo.split()], axis=2)
