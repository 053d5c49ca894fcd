"""Compares the skeleton that a picture was drawn on with the one that the embedded base's judge finds in it."""

from __future__ import annotations

import json

import numpy as np

from synthgen import poses
from synthgen.mini import judge as judges
from synthgen.types import Judgement, Picture

BASES = ("mini",)  # the judge knows the embedded base's world and no other
NEAR = 0.1  # of the torso's length: a point nearer than this is where it should be (PCK@0.1)
LEAST = 0.6  # share of points that must be where they should be
FEWEST = 6  # points; a skeleton with fewer in the picture says nothing


def judge(picture: Picture) -> Judgement:
    """Accepts a picture in which at least LEAST of the asked points are found within NEAR of their place.

    Measured: `pck`, the share. A picture that was drawn on no skeleton has nothing to compare and is accepted.
    Source of the measure: Yang and Ramanan 2013, percentage of correct keypoints, with the torso as its scale.
    """
    text = picture.job.requested.get("keypoints", "")
    asked = np.array(json.loads(text), np.float32) if text else np.zeros((18, 3), np.float32)
    height, width = picture.pixels.shape[:2]
    inside = (asked[:, 2] > 0) & (asked[:, 0] >= 0) & (asked[:, 0] < width)
    inside &= (asked[:, 1] >= 0) & (asked[:, 1] < height)
    if inside.sum() < FEWEST:
        return Judgement("pose", True)
    found = judges.load().read_one(picture.pixels).keypoints
    off = np.hypot(*(found[inside, :2] - asked[inside, :2]).T)
    pck = float((off <= NEAR * torso(asked)).mean())
    reason = "" if pck >= LEAST else f"pose: {pck:.0%} of the points are in place, wanted {LEAST:.0%}"
    return Judgement("pose", not reason, reason, {"pck": round(pck, 3)})


def torso(points: np.ndarray) -> float:
    """Neck to the middle of the hips, px. The points are known even where they lie outside the picture."""
    hips = (points[poses.R_HIP, :2] + points[poses.L_HIP, :2]) / 2
    return float(np.hypot(*(points[poses.NECK, :2] - hips)))
