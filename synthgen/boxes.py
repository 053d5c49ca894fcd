"""Boxes around a person and around a garment, told from the skeleton that a picture was drawn along.

Points are 18 x (x, y, v) in px, OpenPose order; a box is (left, top, width, height) in px, inside the picture. They say
what was asked for: nothing here looks at pixels. How well they fit is measured in tests/test_boxes.py, on renders whose
garments are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from synthgen import poses

Box = tuple[float, float, float, float]
Points = Sequence[Sequence[float]]

COCO_17: tuple[int, ...] = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)  # COCO's order in OpenPose-18
COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
COCO_LIMBS = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
GIRTH = 0.045  # flesh and cloth beside a joint, stature units
HAND = 0.42  # of the forearm's length, from wrist to finger tips
LEAST_PX = 4.0
_SHOULDERS = (poses.R_SHOULDER, poses.L_SHOULDER)
_HIPS = (poses.R_HIP, poses.L_HIP)
_ARMS = ((poses.R_SHOULDER, poses.R_ELBOW, poses.R_WRIST), (poses.L_SHOULDER, poses.L_ELBOW, poses.L_WRIST))
_LEGS = ((poses.R_HIP, poses.R_KNEE, poses.R_ANKLE), (poses.L_HIP, poses.L_KNEE, poses.L_ANKLE))
_SLEEVES = {
    "t-shirt": 0.4,
    "shirt": 2.0,
    "longsleeve": 2.0,
    "outwear": 2.0,
    "dress": 0.5,
}  # limb halves: 1 elbow, 2 wrist
_HEMS = {"dress": 1.15, "skirt": 1.15, "shorts": 0.8, "pants": 1.95}  # 1 is the knee, 2 the ankle
_FLARES = {"skirt": 2.0, "shorts": 1.4, "dress": 1.1}  # how far cloth stands off the leg, in girths
_TOPS = {"outwear": 0.1}  # how far a top reaches below the hips, stature units
_WAIST = 0.09  # from the hip joints up to the waistband, stature units


def person(points: Points, size: tuple[int, int]) -> Box | None:
    """The whole figure, crown to soles, as far as it is in the picture; None where too little of it is."""
    unit = _stature(points)
    if not unit:
        return None
    spread = [(x, y, GIRTH * unit) for x, y, v in points if v]
    if points[poses.NOSE][2]:
        spread.append((points[poses.NOSE][0], points[poses.NOSE][1] - poses.CROWN * unit, 0.0))
    for _, elbow, wrist in _ARMS:
        if points[elbow][2] and points[wrist][2]:
            spread.append((*_along(points[elbow], points[wrist], 1 + HAND), 0.0))
    for _, _, ankle in _LEGS:
        if points[ankle][2]:
            spread.append((points[ankle][0], points[ankle][1] + poses.SOLE * unit, 0.0))
    return _clipped(spread, size)


def garment(points: Points, category: str, size: tuple[int, int]) -> Box | None:
    """A garment of this category as it hangs on the figure; None for another category, or where it is not in sight."""
    unit = _stature(points)
    if not unit or category not in {*_SLEEVES, *_HEMS}:
        return None
    girth = GIRTH * unit
    hips = [points[hip] for hip in _HIPS if points[hip][2]]
    spread = [(x, y, girth) for x, y, _ in hips]
    if category in _SLEEVES:
        spread += [(points[at][0], points[at][1], girth * 0.5) for at in (*_SHOULDERS, poses.NECK) if points[at][2]]
        spread += [(*at, girth * 0.6) for arm in _ARMS for at in _reach(points, arm, _SLEEVES[category], size)]
        spread += [(x, y + _TOPS.get(category, 0.06) * unit, 0.0) for x, y, _ in hips]
    else:
        spread += [(x, y - _WAIST * unit, 0.0) for x, y, _ in hips]
    if category in _HEMS:
        stands_off = girth * _FLARES.get(category, 1.0)
        for leg in _LEGS:
            for x, y in _reach(points, leg, _HEMS[category], size):
                spread += [(x - stands_off, y, 0.0), (x + stands_off, y, 0.0)]
    return _clipped(spread, size)


def _reach(points: Points, limb: Sequence[int], halves: float, size: tuple[int, int]) -> list[tuple[float, float]]:
    """Places along a limb that cloth covers, up to `halves` of its two; what leaves the picture ends at its edge."""
    start, middle, end = (points[at] for at in limb)
    if not start[2]:
        return []
    if not middle[2]:  # the rest of the limb is outside: below the knee for a leg, anywhere for an arm
        return [(start[0], float(size[1]))] if limb in _LEGS else []
    found = [_along(start, middle, min(1.0, halves))]
    if halves > 1:
        found.append(_along(middle, end, halves - 1) if end[2] else (middle[0], float(size[1])))
    return found


def _along(start: Sequence[float], end: Sequence[float], part: float) -> tuple[float, float]:
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def _stature(points: Points) -> float:
    """px of one stature unit; 0 where neither torso nor shoulders are seen."""
    if len(points) != 18:
        return 0.0
    hips = [points[hip] for hip in _HIPS if points[hip][2]]
    found = 0.0
    if points[poses.NECK][2] and hips:
        middle = [sum(hip[axis] for hip in hips) / len(hips) for axis in (0, 1)]
        found = math.dist(points[poses.NECK][:2], middle) / poses.TORSO
    right, left = (points[at] for at in _SHOULDERS)
    if right[2] and left[2]:
        found = max(found, math.dist(right[:2], left[:2]) / (poses.SHOULDERS * 1.25))
    return found


def _clipped(spread: Sequence[tuple[float, float, float]], size: tuple[int, int]) -> Box | None:
    """The box around places with a margin each, cut to the picture."""
    if len(spread) < 2:
        return None
    left, right = min(x - by for x, _, by in spread), max(x + by for x, _, by in spread)
    top, bottom = min(y - by for _, y, by in spread), max(y + by for _, y, by in spread)
    left, right = max(0.0, left), min(float(size[0]), right)
    top, bottom = max(0.0, top), min(float(size[1]), bottom)
    if right - left < LEAST_PX or bottom - top < LEAST_PX:
        return None
    return round(left, 1), round(top, 1), round(right - left, 1), round(bottom - top, 1)
