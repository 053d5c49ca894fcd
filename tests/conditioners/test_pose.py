"""A job's skeleton is that of its label, every time the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthgen import poses
from synthgen.conditioners import pose
from synthgen.errors import RequestError
from synthgen.types import Job


def job(index: int, group: str, body: str = "plus", view: str = "full") -> Job:
    return Job(f"{index:016x}", index, "", "", 0, {"pose": group, "body_type": body, "view": view})


@pytest.mark.parametrize("group", poses.groups())
def test_the_skeleton_belongs_to_the_group_that_the_label_names(group: str) -> None:
    for index in range(4):
        steering = pose.prepare(job(index, group), 128)
        assert poses.group_of(steering.pose_name) == group
        assert steering.control.shape == (128, 128, 3)
        assert steering.control.max() > 200


def test_the_same_job_has_the_same_skeleton_and_all_members_of_a_group_are_used() -> None:
    first, again = pose.prepare(job(1, "walking"), 64), pose.prepare(job(1, "walking"), 64)
    assert (first.control == again.control).all()
    used = {pose.prepare(job(index, "walking"), 64).pose_name for index in range(12)}
    assert used == set(poses.groups()["walking"])


def test_a_pose_photo_without_detector_weights_says_what_is_missing(tmp_path: Path) -> None:
    photo = tmp_path / "model.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(photo)
    with pytest.raises(RequestError, match=r"lllyasviel/Annotators.*keypoint JSON"):
        pose.read([photo])


def test_a_pose_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("none.png", "none.json"):
        with pytest.raises(RequestError, match=name):
            pose.read([tmp_path / name])


def test_keypoints_of_a_detector_are_shares_of_width_and_height() -> None:
    from controlnet_aux.open_pose.body import Keypoint

    points = pose.in_pixels([Keypoint(0.5, 0.25), None, Keypoint(1.0, 1.0)], 300, 400)
    assert points[:3].tolist() == [[150, 100, 1], [0, 0, 0], [300, 400, 1]]
