"""A body's measures: keypoints in px, the scale they stand for, and the frame of the torso."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgen import poses
from synthgen.mini.world.canvas import Array, Region

_GIRTH = {  # body type -> half-widths in stature units (waist, hip) and a factor on the limbs' thickness
    "straight": (0.079, 0.094, 1.0),
    "plus": (0.126, 0.134, 1.3),
    "petite": (0.072, 0.087, 0.95),
    "laid": (0.098, 0.104, 1.12),  # no body: cloth lying flat is wider than worn
    "tall": (0.075, 0.089, 0.95),
}


@dataclass(frozen=True, eq=False)
class Body:
    """Where everything on a figure is. Torso coordinates: x across (picture right positive), y from neck to hips."""

    points: Any  # (18, 2) float32 px
    scale: float  # px per stature unit
    origin: Any  # (2,) px, the neck
    right: Any  # (2,) unit vector, picture right across the torso
    down: Any  # (2,) unit vector, neck to hips
    torso: float  # neck to mid-hip, stature units
    shoulder: float  # half-width at the shoulder joints, stature units
    waist: float
    hip: float
    stout: float  # factor on the limbs' thickness

    def at(self, places: Any) -> Array:
        """(n, 2) px of (n, 2) torso coordinates in stature units."""
        places = np.asarray(places, np.float32) * self.scale
        return self.origin + places[:, :1] * self.right + places[:, 1:] * self.down

    def coordinates(self, region: Region) -> tuple[Array, Array]:
        """(h, w) px across and px down of the region's pixels, in the torso's frame."""
        x, y = region.x - self.origin[0], region.y - self.origin[1]
        return x * self.right[0] + y * self.right[1], x * self.down[0] + y * self.down[1]

    def arm(self, side: str) -> Array:
        """(3, 2) px: shoulder, elbow, wrist of side "r" or "l"."""
        return self.points[poses.R_SHOULDER : poses.R_WRIST + 1] if side == "r" else (
            self.points[poses.L_SHOULDER : poses.L_WRIST + 1]
        )  # fmt: skip

    def arm_start(self, side: str) -> Array:
        """(2,) px: the middle of the arm's round upper end, which stays below the shoulder line."""
        shoulder, elbow, _ = self.arm(side)
        ahead = (elbow - shoulder) / max(float(np.hypot(*(elbow - shoulder))), 1e-3)
        inward = (self.origin - shoulder) / max(float(np.hypot(*(self.origin - shoulder))), 1e-3)
        hanging = max(float(ahead @ self.down), 0.0)
        shift = ahead * 0.020 * hanging + inward * (0.038 - 0.028 * hanging) + self.down * (0.020 - 0.008 * hanging)
        return shoulder + shift * self.scale

    @property
    def seat(self) -> float:
        """Half-width over the tops of both thighs, stature units."""
        apart = self.points[poses.L_HIP] - self.points[poses.R_HIP]
        return max(self.hip, float(np.hypot(*apart)) / 2 / self.scale + 0.053 * self.stout)

    def leg(self, side: str) -> Array:
        """(3, 2) px: hip, knee, ankle of side "r" or "l"."""
        return self.points[poses.R_HIP : poses.R_ANKLE + 1] if side == "r" else (
            self.points[poses.L_HIP : poses.L_ANKLE + 1]
        )  # fmt: skip

    @property
    def sits(self) -> bool:
        """Thighs much shorter in the picture than they are, or lying: the figure is seated."""
        drops = [(self.leg(side)[1] - self.leg(side)[0]) @ self.down / self.scale for side in "rl"]
        return max(drops) < 0.17


def measure(points: Any, body_type: str) -> Body:
    """The body that stands in these (18, 3) or (18, 2) px points; missing points are guessed from the others."""
    points = np.asarray(points, np.float32)
    xy = _completed(points) if points.shape[1] == 3 else points
    middle = (xy[poses.R_HIP] + xy[poses.L_HIP]) / 2
    neck = (xy[poses.R_SHOULDER] + xy[poses.L_SHOULDER]) / 2 * 0.5 + xy[poses.NECK] * 0.5
    down = middle - neck
    length = max(float(np.hypot(*down)), 1e-3)
    down = down / length
    right = np.array([down[1], -down[0]], np.float32)
    span = float(np.hypot(*(xy[poses.L_SHOULDER] - xy[poses.R_SHOULDER]))) / 2
    waist, hip, stout = _GIRTH[body_type]
    widest = 0.115 * (1.13 if body_type == "plus" else 1.0)
    scale = max(length / poses.TORSO, span / widest * 0.92)
    return Body(xy, scale, neck, right, down, length / scale, span / scale, waist, hip, stout)


def _completed(points: Array) -> Array:
    """(18, 2): points that were never known (0, 0, 0) are put where a standing figure has them."""
    unknown = (points[:, 2] <= 0) & (points[:, 0] == 0) & (points[:, 1] == 0)
    if not unknown.any():
        return points[:, :2].copy()
    standing = poses.library()["standing-straight"].points[:, :2]
    known = ~unknown & np.isin(np.arange(18), (1, 2, 5, 8, 11))
    if known.sum() < 2:
        known = ~unknown
    ours, theirs = points[known, :2], standing[known]
    spread = np.sqrt(((theirs - theirs.mean(0)) ** 2).sum())
    scale = np.sqrt(((ours - ours.mean(0)) ** 2).sum()) / max(float(spread), 1e-6)
    placed = (standing - theirs.mean(0)) * scale + ours.mean(0)
    return np.where(unknown[:, None], placed, points[:, :2]).astype(np.float32)
