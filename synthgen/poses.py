"""Skeletons: the shipped pose library, a user's own keypoint files, and their fitting into a picture.

Points are (18, 3) float32 in OpenPose order: x, y, v. A `Pose` is in stature units (1.0 = head top to soles of a
standing figure, y down, head top near 0, neck-hip axis near x = 0); a fitted pose is in pixels. v is 1 for a known
point and 0 for an unknown one or one outside the frame. The person's right is at the picture's left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from synthgen import resources
from synthgen.errors import RequestError, SynthgenError, UnknownName

OPENPOSE_18: tuple[str, ...] = (
    "nose", "neck", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist", "r_hip", "r_knee",
    "r_ankle", "l_hip", "l_knee", "l_ankle", "r_eye", "l_eye", "r_ear", "l_ear",
)  # fmt: skip
NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST = range(8)
R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE, R_EYE, L_EYE, R_EAR, L_EAR = range(8, 18)
TORSO = 0.295  # neck to mid-hip, stature units
SHOULDERS = 0.23  # shoulder to shoulder, stature units
CROWN = 0.088  # nose to head top, stature units
SOLE = 0.042  # ankle to sole, stature units

_MIRROR = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
_LIMBS = ((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
          (1, 0), (0, 14), (14, 16), (0, 15), (15, 17))  # fmt: skip
_LIMB_COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
    (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
# where each OpenPose-18 point stands in a 25-point OpenPose list and in a COCO-17 list (neck is made for COCO)
_FROM_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
_FROM_COCO = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_BODIES = {  # body type -> factors of: shoulder width, hip width, leg length, arm length, height in the full view
    "straight": (1.0, 1.0, 1.0, 1.0, 0.885),
    "plus": (1.13, 1.3, 0.98, 1.0, 0.87),
    "petite": (0.93, 0.95, 0.96, 0.97, 0.78),
    "tall": (0.98, 0.96, 1.09, 1.04, 0.925),
}


@dataclass(frozen=True, eq=False)
class Pose:
    """A skeleton without a size."""

    name: str
    group: str  # a label value, as "arms-raised"; "" for a user's own pose that names none
    points: Any  # (18, 3) float32: x, y in stature units, v in {0, 1}


@cache
def library() -> dict[str, Pose]:
    """The shipped poses by name. Raises SynthgenError where the install is broken."""
    import numpy as np

    path = resources.shipped("pipelines") / "poses.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["poses"]
    except (OSError, ValueError, KeyError) as problem:
        raise SynthgenError(f"{path}: the shipped poses cannot be read ({problem}). Install synthgen again.") from None
    return {
        entry["name"]: Pose(entry["name"], entry["group"], np.asarray(entry["points"], np.float32)) for entry in entries
    }


@cache
def groups() -> dict[str, list[str]]:
    """Group -> names of its poses, both in the library's order."""
    found: dict[str, list[str]] = {}
    for pose in library().values():
        found.setdefault(pose.group, []).append(pose.name)
    return found


def phrase(group: str) -> str:
    """How a group is said: "arms-raised" is "arms raised"; a pose of the user's own is "posing"."""
    return group.replace("-", " ") if group in groups() else "posing"


def group_of(name: str) -> str:
    """The group of a library pose. Raises UnknownName."""
    known = library()
    if name not in known:
        raise UnknownName("the pose library", name, known)
    return known[name].group


# ---------------------------------------------------------------- a user's own file


def read_keypoints(path: Path) -> Pose:
    """A user's keypoint JSON as a Pose: OpenPose (18 or 25 points), COCO (17, or 133 of the whole body), or our own
    {"points": 18 x [x, y, v]}.

    Raises RequestError that says what was found where.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequestError(f"{path}: no such pose file.") from None
    except OSError as problem:
        raise RequestError(f"{path}: the pose file cannot be read ({problem.strerror}).") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path}: is no text; a pose file is JSON with 2-D keypoints.") from None
    except json.JSONDecodeError as problem:
        raise RequestError(f"{path}: line {problem.lineno}: is no JSON ({problem.msg}).") from None
    where, values = _values_in(path, data)
    points = _as_18(path, where, values)
    named = data if isinstance(data, Mapping) else {}
    return Pose(str(named.get("name") or path.stem), str(named.get("group") or ""), _to_stature(path, where, points))


def from_points(points: Any, name: str) -> Pose:
    """A Pose from (18, 3) points of any unit, such as a detector's. Raises RequestError where the torso is not seen."""
    return Pose(name, "", _to_stature(Path(name), "the figure", points))


def _values_in(path: Path, data: Any) -> tuple[str, list[Any]]:
    """Where in the file the numbers stand, and the numbers."""
    where = ""
    if isinstance(data, Mapping):
        for key in ("people", "annotations"):
            if key in data:
                people = data[key]
                if not isinstance(people, list) or not people:
                    raise RequestError(f"{path}: '{key}' holds nobody; one person's keypoints are wanted.")
                if len(people) > 1:
                    raise RequestError(f"{path}: '{key}' holds {len(people)} people; a pose is one. Keep one of them.")
                where, data = f"{key}[0].", people[0]
                break
    if isinstance(data, Mapping):
        kind = next((k for k in ("pose_keypoints_2d", "keypoints", "points") if k in data), None)
        if kind is None:
            keys = ", ".join(sorted(map(str, data))[:6]) or "nothing"
            raise RequestError(
                f"{path}: no keypoints in it; found {keys}. Wanted 'people' with 'pose_keypoints_2d' (OpenPose), "
                "'keypoints' (COCO) or 'points' (synthgen)."
            )
        where, data = where + kind, data[kind]
    if not isinstance(data, list):
        raise RequestError(f"{path}: {where or 'the file'} is no list of numbers.")
    return where or "the list", data


def _as_18(path: Path, where: str, values: Sequence[Any]) -> Any:
    """(18, 3) float32 in the file's own unit, OpenPose order."""
    import numpy as np

    flat = [number for item in values for number in (item if isinstance(item, list) else [item])]
    for index, number in enumerate(flat):
        good = isinstance(number, (int, float)) and not isinstance(number, bool) and abs(number) < 1e7  # NaN fails too
        if not good:
            raise RequestError(f"{path}: {where}: value {index} is {number!r}; a number is wanted.")
    wanted = {54: tuple(range(18)), 75: _FROM_25, 51: _FROM_COCO, 399: _FROM_COCO}  # whole body: COCO-17 comes first
    if len(flat) not in wanted:
        raise RequestError(
            f"{path}: {where}: found {len(flat)} numbers; wanted 54 (18 OpenPose points of x, y, confidence), "
            "75 (25 OpenPose points), 51 (17 COCO points) or 399 (133 points of COCO-WholeBody)."
        )
    given = np.asarray(flat, np.float32).reshape(-1, 3)
    points = given[[max(index, 0) for index in wanted[len(flat)]]]
    points[:, 2] = points[:, 2] > 0
    if len(flat) in (51, 399):
        points[NECK] = (points[R_SHOULDER] + points[L_SHOULDER]) / 2
        points[NECK, 2] = min(points[R_SHOULDER, 2], points[L_SHOULDER, 2])
    points[points[:, 2] == 0, :2] = 0
    return points


def _to_stature(path: Path, where: str, points: Any) -> Any:
    """The same points in stature units, head top near y = 0 and the neck-hip axis at x = 0."""
    import numpy as np

    missing = [OPENPOSE_18[i] for i in (NECK, R_SHOULDER, L_SHOULDER, R_HIP, L_HIP) if points[i, 2] == 0]
    if missing:
        raise RequestError(f"{path}: {where}: {', '.join(missing)} missing; neck, shoulders and hips must be seen.")
    middle = (points[R_HIP, :2] + points[L_HIP, :2]) / 2
    torso = float(np.hypot(*(middle - points[NECK, :2])))
    across = float(np.hypot(*(points[R_SHOULDER, :2] - points[L_SHOULDER, :2])))
    stature = max(torso / TORSO, across / (SHOULDERS * 1.25))
    if stature < 1e-6:
        raise RequestError(f"{path}: {where}: neck and hips are the same point; that is no figure.")
    fitted = points.copy()
    fitted[:, :2] = (points[:, :2] - points[NECK, :2]) / stature
    fitted[:, 0] -= (middle[0] - points[NECK, 0]) / stature / 2
    top = fitted[NOSE, 1] - CROWN if points[NOSE, 2] else -0.175
    fitted[:, 1] -= top
    fitted[fitted[:, 2] == 0, :2] = 0
    return fitted.astype(np.float32)


# ---------------------------------------------------------------- into a picture


def fit(pose: Pose, body_type: str, view: str, size: int = 256, seed: int = 0) -> Any:
    """(18, 3) float32 pixels: body-type proportions, small seeded jitter and mirroring, framed for the view.

    full = whole body; three-quarter = head to knees; close = head to waist. v is 0 outside the frame.
    Raises UnknownName for a body type or view that is none.
    """
    import numpy as np

    if body_type not in _BODIES:
        raise UnknownName("body type", body_type, _BODIES)
    if view not in ("full", "three-quarter", "close"):
        raise UnknownName("view", view, ("full", "three-quarter", "close"))
    rng = np.random.default_rng([int(seed) % 2**63, 18])
    points = np.array(pose.points, np.float64)
    _jitter(points, rng)
    _proportion(points, body_type)
    if rng.random() < 0.5:
        points = points[list(_MIRROR)]
        points[:, 0] *= -1
    scale, shift = _frame(points, body_type, view, size, rng)
    points[:, :2] = points[:, :2] * scale + shift
    inside = ((points[:, :2] >= 0) & (points[:, :2] < size)).all(axis=1)
    points[:, 2] = (points[:, 2] > 0) & inside
    return points.astype(np.float32)


def _jitter(points: Any, rng: Any) -> None:
    """Turns each limb by a few degrees about its joint, in place."""
    import numpy as np

    chains = ((R_SHOULDER, R_ELBOW, R_WRIST), (R_ELBOW, R_WRIST), (L_SHOULDER, L_ELBOW, L_WRIST), (L_ELBOW, L_WRIST),
              (R_HIP, R_KNEE, R_ANKLE), (R_KNEE, R_ANKLE), (L_HIP, L_KNEE, L_ANKLE), (L_KNEE, L_ANKLE),
              (NECK, NOSE, R_EYE, L_EYE, R_EAR, L_EAR))  # fmt: skip
    turns = np.clip(rng.normal(0, 1, len(chains)), -2, 2)
    for chain, turn in zip(chains, turns, strict=True):
        degrees = 4.0 if chain[0] in (R_SHOULDER, R_ELBOW, L_SHOULDER, L_ELBOW) else 1.6
        angle = np.deg2rad(degrees) * turn
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        rest = [index for index in chain[1:] if points[index, 2]]
        points[rest, :2] = (points[rest, :2] - points[chain[0], :2]) @ matrix + points[chain[0], :2]


def _proportion(points: Any, body_type: str) -> None:
    """Widths and limb lengths of the body type, in place."""
    shoulder, hip, leg, arm, _ = _BODIES[body_type]
    middle = (points[R_HIP, :2] + points[L_HIP, :2]) / 2
    for joint, first, last, centre, width, length in (
        (R_SHOULDER, R_ELBOW, R_WRIST, points[NECK, :2].copy(), shoulder, arm),
        (L_SHOULDER, L_ELBOW, L_WRIST, points[NECK, :2].copy(), shoulder, arm),
        (R_HIP, R_KNEE, R_ANKLE, middle, hip, leg),
        (L_HIP, L_KNEE, L_ANKLE, middle, hip, leg),
    ):
        upper = (points[first, :2] - points[joint, :2]) * length
        lower = (points[last, :2] - points[first, :2]) * length
        points[joint, :2] = centre + (points[joint, :2] - centre) * width
        points[first, :2] = points[joint, :2] + upper
        points[last, :2] = points[first, :2] + lower


def _frame(points: Any, body_type: str, view: str, size: int, rng: Any) -> tuple[float, Any]:
    """Scale (px per stature unit) and shift (px) that put the view's part of the figure into the frame."""
    import numpy as np

    seen = points[:, 2] > 0
    xs, ys = list(points[seen, 0]), list(points[seen, 1])
    top = points[NOSE, 1] - CROWN if seen[NOSE] else points[NECK, 1] - 0.17
    for elbow, wrist in ((R_ELBOW, R_WRIST), (L_ELBOW, L_WRIST)):
        if seen[elbow] and seen[wrist]:
            hand = points[wrist, :2] + (points[wrist, :2] - points[elbow, :2]) * 0.42
            xs.append(hand[0])
            ys.append(hand[1])
    high = min([top, *ys])
    hips = (points[R_HIP, 1] + points[L_HIP, 1]) / 2
    girth = 0.05 * _BODIES[body_type][1]
    left, right = min(xs) - girth, max(xs) + girth
    fill = _BODIES[body_type][4] * rng.uniform(0.975, 1.03)
    if view == "full":
        low = max(ys) + SOLE
        scale = min(fill * size / max(low - high, 0.85), 0.96 * size / (right - left))
        shift_y = size * rng.uniform(0.955, 0.975) - low * scale
    else:
        knees = points[[R_KNEE, L_KNEE], 1]
        low = max(float(knees[seen[[R_KNEE, L_KNEE]]].mean()) if seen[[R_KNEE, L_KNEE]].any() else hips + 0.24, hips)
        low = max(low + 0.01, top + 0.62) if view == "three-quarter" else hips - 0.045
        nominal = 0.935 * fill / 0.885 * size / (low - top)
        scale = min(nominal, max(min(0.95 * size / (low - high), 0.97 * size / (right - left)), 0.7 * nominal))
        shift_y = size * rng.uniform(0.05, 0.07) - max(high, low - 0.96 * size / scale) * scale
    shift_x = size * (0.5 + rng.uniform(-0.04, 0.04)) - (points[NECK, 0] + points[[R_HIP, L_HIP], 0].mean()) / 2 * scale
    if (right - left) * scale <= size:
        shift_x = min(max(shift_x, -left * scale), size - right * scale)
    else:
        shift_x = size / 2 - (left + right) / 2 * scale
    return float(scale), np.array([shift_x, shift_y])


def draw_skeleton(points: Any, size: int = 256) -> Any:
    """(size, size, 3) uint8: the standard OpenPose colours on black; points are (18, 3) pixels of that size."""
    import cv2
    import numpy as np

    picture = np.zeros((size, size, 3), np.uint8)
    points = np.asarray(points, np.float32)
    half = max(size / 128, 1.0)  # half the width of a stick
    for (first, last), colour in zip(_LIMBS, _LIMB_COLOURS, strict=False):
        if points[first, 2] <= 0 or points[last, 2] <= 0:
            continue
        middle, along = (points[first, :2] + points[last, :2]) / 2, points[last, :2] - points[first, :2]
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        length = float(np.hypot(*along))
        ahead = along / max(length, 1e-6)
        outline = middle + np.outer(np.cos(angle), ahead) * length / 2
        outline = outline + np.outer(np.sin(angle), np.array([-ahead[1], ahead[0]])) * half
        dimmed = [int(channel * 0.6) for channel in colour]  # as controlnet-aux draws them: joints stand out
        cv2.fillConvexPoly(picture, np.round(outline * 16).astype(np.int32), dimmed, cv2.LINE_AA, 4)
    for point, colour in zip(points, _LIMB_COLOURS, strict=True):
        if point[2] > 0:
            centre = (round(float(point[0]) * 16), round(float(point[1]) * 16))
            cv2.circle(picture, centre, round(half * 16), colour, -1, cv2.LINE_AA, 4)
    return picture
