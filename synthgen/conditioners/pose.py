"""A skeleton for each job: from the pose library, keypoint JSON, or a photo. (18, 3) px in, (s, s, 3) uint8 out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import poses
from synthgen.errors import RequestError
from synthgen.types import Job

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class Steering:
    """The control picture of a job and what it shows."""

    control: Any  # (s, s, 3) uint8, OpenPose colours on black
    keypoints: Any  # (18, 3) float32: x, y in px, v in {0, 1}
    pose_name: str

    @property
    def labels(self) -> dict[str, str]:
        """What it adds to the labels of its job, and all that `again` needs."""
        points = [[round(float(value), 1) for value in point] for point in self.keypoints]
        return {"pose_name": self.pose_name, "keypoints": json.dumps(points)}


def read(files: Sequence[Path]) -> tuple[poses.Pose, ...]:
    """The user's own poses. JSON is read as keypoints, a photo through controlnet-aux's detector.

    Raises RequestError for what is neither, or where the detector's weights are not on this machine.
    """
    return tuple(_from_photo(file) if file.suffix.lower() in PHOTOS else poses.read_keypoints(file) for file in files)


def prepare(job: Job, size: int, own: Sequence[poses.Pose] = ()) -> Steering:
    """The skeleton for a job: one of the requested group, which one decided by the job's place in the plan.

    Every try of a job has the same pose; jitter and mirroring follow from its first seed.
    """
    name = job.requested["pose"]
    choice = (
        [pose for pose in own if name in (pose.group, pose.name)]
        if own
        else [poses.library()[member] for member in poses.groups()[name]]
    )
    pose = choice[job.index % len(choice)]
    body, view = job.requested.get("body_type", "straight"), job.requested.get("view", "full")
    points = np.round(poses.fit(pose, body, view, size, seed=int(job.id[:12], 16)), 1)  # as the record keeps them
    return Steering(poses.draw_skeleton(points, size), points, pose.name)


def again(requested: Mapping[str, str], size: int) -> Any:
    """The control picture of a picture that was made, from its record: (s, s, 3) uint8, or None if it had none."""
    text = requested.get("keypoints", "")
    return poses.draw_skeleton(np.asarray(json.loads(text), np.float32), size) if text else None


def _from_photo(file: Path) -> poses.Pose:
    """Keypoints of the one person in a photo, found by OpenPose through controlnet-aux."""
    from synthgen import detector_file, image_file

    if not file.is_file():
        raise RequestError(f"there is no pose photo '{file}'.")
    weights = detector_file.trusted(detector_file.POSE, f"{file}: poses are taken from photos by the OpenPose detector")
    from controlnet_aux import OpenposeDetector
    from controlnet_aux.open_pose.body import Body

    detector = OpenposeDetector(Body(str(weights)))
    picture = image_file.decode(file).image.convert("RGB")
    found = detector.detect_poses(np.asarray(picture))
    if len(found) != 1:
        raise RequestError(f"{file}: the detector sees {len(found)} people; wanted one.")
    return poses.from_points(in_pixels(found[0].body.keypoints, picture.width, picture.height), file.stem)


def in_pixels(keypoints: Sequence[Any], width: int, height: int) -> Any:
    """(18, 3) float32 from controlnet-aux keypoints, which are shares of the width and of the height, or None."""
    points = np.zeros((18, 3), np.float32)
    for number, point in enumerate(keypoints):
        if point is not None:
            points[number] = (point.x * width, point.y * height, 1)
    return points
