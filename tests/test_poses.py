"""Poses: the shipped library, a user's own keypoint files, and the fitting into a picture."""

import json
from pathlib import Path

import numpy as np
import pytest

from synthgen import poses, vocabulary
from synthgen.errors import RequestError, UnknownName


def _write(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def _openpose(points: np.ndarray) -> dict:
    return {"people": [{"pose_keypoints_2d": [float(v) for v in points.reshape(-1)]}]}


@pytest.fixture
def standing() -> np.ndarray:
    """(18, 3) px of a standing figure in a 640-px photo."""
    points = poses.library()["standing-straight"].points.copy()
    points[:, :2] = points[:, :2] * 500 + (320, 60)
    return points


def test_the_library_has_poses_enough_in_named_groups() -> None:
    assert len(poses.library()) >= 60
    assert len(poses.groups()) >= 8
    assert sum(len(names) for names in poses.groups().values()) == len(poses.library())
    assert all(poses.group_of(name) == group for group, names in poses.groups().items() for name in names)
    assert min(len(names) for names in poses.groups().values()) >= 3


def test_library_poses_are_one_stature_high_and_hold_the_named_order() -> None:
    points = poses.library()["standing-straight"].points
    assert points.shape == (18, 3) and points.dtype == np.float32
    assert len(poses.OPENPOSE_18) == 18
    assert points[poses.NOSE, 1] == pytest.approx(poses.CROWN, abs=0.02)
    assert points[poses.R_ANKLE, 1] == pytest.approx(1 - poses.SOLE, abs=0.02)
    for right, left in ((poses.R_SHOULDER, poses.L_SHOULDER), (poses.R_HIP, poses.L_HIP), (poses.R_EAR, poses.L_EAR)):
        assert points[right, 0] < points[left, 0]  # the person's right is at the picture's left


def test_raised_arms_are_raised_and_hands_on_hips_are_on_hips() -> None:
    for name in poses.groups()["arms-raised"]:
        points = poses.library()[name].points
        assert points[[poses.R_WRIST, poses.L_WRIST], 1].max() < points[poses.NECK, 1]
    for name in poses.groups()["hands-on-hips"]:
        points = poses.library()[name].points
        for wrist, hip in ((poses.R_WRIST, poses.R_HIP), (poses.L_WRIST, poses.L_HIP)):
            assert np.hypot(*(points[wrist, :2] - points[hip, :2])) < 0.14


def test_an_unknown_pose_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'standing-wide'"):
        poses.group_of("standing-wid")


@pytest.mark.parametrize("body_type", vocabulary.BODY_TYPES)
@pytest.mark.parametrize("name", poses.library())
def test_a_full_view_holds_the_whole_figure(name: str, body_type: str) -> None:
    for seed in range(3):
        points = poses.fit(poses.library()[name], body_type, "full", 256, seed)
        assert points.shape == (18, 3) and points.dtype == np.float32
        assert points[:, 2].all()
        assert points[:, :2].min() >= 0 and points[:, :2].max() < 256


@pytest.mark.parametrize("name", [n for n in poses.library() if poses.group_of(n) == "standing"])
def test_a_standing_figure_fills_the_frame_of_its_view(name: str) -> None:
    for seed in range(4):
        full, most, close = (poses.fit(poses.library()[name], "straight", v, 256, seed) for v in vocabulary.VIEWS)
        stature = (full[poses.R_ANKLE, 1] - full[poses.NOSE, 1]) / (1 - poses.SOLE - poses.CROWN)
        assert 0.82 < stature / 256 < 0.94
        assert most[[poses.R_KNEE, poses.L_KNEE], 1].mean() == pytest.approx(246, abs=14)
        assert not most[[poses.R_ANKLE, poses.L_ANKLE], 2].any()  # below the frame: marked so
        assert close[poses.R_HIP, 1] > 225 and not close[[poses.R_KNEE, poses.L_KNEE], 2].any()
        assert close[poses.NOSE, 2] == 1


def test_body_types_differ_in_proportion() -> None:
    fitted = {b: poses.fit(poses.library()["standing-straight"], b, "full", 256, 3) for b in vocabulary.BODY_TYPES}

    def share(body_type: str, first: int, second: int) -> float:
        points = fitted[body_type][:, :2]
        return float(np.hypot(*(points[first] - points[second])) / np.hypot(*(points[1] - points[[8, 11]].mean(0))))

    shoulders = (poses.R_SHOULDER, poses.L_SHOULDER)
    assert share("plus", *shoulders) > 1.08 * share("straight", *shoulders)
    assert share("plus", poses.R_HIP, poses.L_HIP) > 1.2 * share("straight", poses.R_HIP, poses.L_HIP)
    assert share("tall", poses.R_HIP, poses.R_ANKLE) > 1.05 * share("straight", poses.R_HIP, poses.R_ANKLE)
    heights = {b: float(np.ptp(points[:, 1])) for b, points in fitted.items()}
    assert heights["petite"] < 0.93 * heights["straight"] < heights["tall"]


def test_a_seed_repeats_and_seeds_differ() -> None:
    pose = poses.library()["right-arm-up"]
    assert np.array_equal(poses.fit(pose, "straight", "full", 256, 7), poses.fit(pose, "straight", "full", 256, 7))
    raised = {
        int(np.argmin(poses.fit(pose, "straight", "full", 256, seed)[[poses.R_WRIST, poses.L_WRIST], 1]))
        for seed in range(16)
    }
    assert raised == {0, 1}  # mirrored in some, and then the left arm is named left


def test_mirroring_keeps_right_on_the_right() -> None:
    for seed in range(16):
        points = poses.fit(poses.library()["standing-straight"], "straight", "full", 256, seed)
        assert points[poses.R_SHOULDER, 0] < points[poses.L_SHOULDER, 0]


def test_fit_refuses_words_that_it_does_not_know() -> None:
    pose = poses.library()["standing-straight"]
    with pytest.raises(UnknownName, match="body type has no 'talll'; did you mean 'tall'"):
        poses.fit(pose, "talll", "full")
    with pytest.raises(UnknownName, match="view has no 'far'"):
        poses.fit(pose, "tall", "far")


# ---------------------------------------------------------------- a user's own file


def test_openpose_18_is_read_back_as_the_pose_that_was_written(tmp_path: Path, standing: np.ndarray) -> None:
    pose = poses.read_keypoints(_write(tmp_path, _openpose(standing)))
    assert pose.name == "mine" and pose.group == ""
    expected = poses.library()["standing-straight"].points
    assert np.abs(pose.points - expected).max() < 0.02


def test_openpose_25_coco_17_and_the_whole_body_mean_the_same_figure(tmp_path: Path, standing: np.ndarray) -> None:
    wide = np.zeros((25, 3), np.float32)
    wide[[0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]] = standing
    coco = np.zeros((17, 3), np.float32)
    pairs = [
        f"{side}_{part}"
        for part in ["eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
        for side in "lr"
    ]
    for index, name in enumerate(["nose", *pairs]):
        coco[index] = standing[poses.OPENPOSE_18.index(name)]
    first = poses.read_keypoints(_write(tmp_path, _openpose(wide))).points
    second = poses.read_keypoints(_write(tmp_path, {"annotations": [{"keypoints": coco.reshape(-1).tolist()}]})).points
    third = poses.read_keypoints(_write(tmp_path, coco.tolist())).points
    whole = np.concatenate([coco, np.full((116, 3), 0.5, np.float32)])  # feet, face and hands after the body
    fourth = poses.read_keypoints(_write(tmp_path, {"keypoints": whole.reshape(-1).tolist()})).points
    assert np.array_equal(fourth, second)
    assert np.abs(first - poses.library()["standing-straight"].points).max() < 0.02
    assert np.abs(second - first).max() < 0.02
    assert np.array_equal(second, third)


def test_our_own_format_keeps_name_and_group(tmp_path: Path, standing: np.ndarray) -> None:
    data = {"name": "bow", "group": "leaning", "points": standing.tolist()}
    pose = poses.read_keypoints(_write(tmp_path, data))
    assert (pose.name, pose.group) == ("bow", "leaning")


def test_a_point_that_was_not_seen_stays_unknown(tmp_path: Path, standing: np.ndarray) -> None:
    standing[[poses.R_ANKLE, poses.L_EAR]] = 0
    pose = poses.read_keypoints(_write(tmp_path, _openpose(standing)))
    assert pose.points[[poses.R_ANKLE, poses.L_EAR], 2].tolist() == [0, 0]
    assert poses.fit(pose, "plus", "full", 256, 1)[poses.R_ANKLE, 2] == 0
    assert poses.draw_skeleton(poses.fit(pose, "plus", "full", 256, 1)).any()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{", "mine.json: line 1: is no JSON"),
        ({}, "mine.json: no keypoints in it; found nothing. Wanted 'people'"),
        ({"pose": [1]}, "no keypoints in it; found pose. Wanted 'people' with 'pose_keypoints_2d' (OpenPose)"),
        ({"people": []}, "'people' holds nobody; one person's keypoints are wanted."),
        ({"people": [{}, {}]}, "'people' holds 2 people; a pose is one. Keep one of them."),
        ({"keypoints": 5}, "keypoints is no list of numbers."),
        ({"people": [{"pose_keypoints_2d": [1.0] * 53}]}, "people[0].pose_keypoints_2d: found 53 numbers; wanted 54"),
        ({"keypoints": [1.0] * 50 + ["x"]}, "keypoints: value 50 is 'x'; a number is wanted."),
        ({"keypoints": [1.0] * 50 + [True]}, "keypoints: value 50 is True; a number is wanted."),
        ("[" + "NaN," * 50 + "1]", "value 0 is nan; a number is wanted."),
        ({"points": [[0, 0, 0]] * 18}, "points: neck, r_shoulder, l_shoulder, r_hip, l_hip missing"),
        ({"points": [[3, 3, 1]] * 18}, "points: neck and hips are the same point; that is no figure."),
        ("7", "mine.json: the file is no list of numbers."),
    ],
)
def test_a_wrong_file_is_refused_with_what_was_found_where(tmp_path: Path, data: object, says: str) -> None:
    with pytest.raises(RequestError) as refusal:
        poses.read_keypoints(_write(tmp_path, data))
    assert says in str(refusal.value)


def test_no_such_file_and_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such pose file"):
        poses.read_keypoints(tmp_path / "none.json")
    (tmp_path / "photo.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(RequestError, match="is no text; a pose file is JSON"):
        poses.read_keypoints(tmp_path / "photo.json")
    with pytest.raises(RequestError, match="cannot be read"):
        poses.read_keypoints(tmp_path)


# ---------------------------------------------------------------- the control picture


@pytest.mark.parametrize("size", [256, 512])
def test_the_skeleton_has_the_openpose_colours_at_its_points(size: int) -> None:
    points = poses.fit(poses.library()["arms-out-straight"], "straight", "full", size, 1)
    picture = poses.draw_skeleton(points, size)
    assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
    x, y = points[poses.R_WRIST, :2].round().astype(int)
    assert picture[y, x].tolist() == [170, 255, 0]
    x, y = points[poses.L_ANKLE, :2].round().astype(int)
    assert picture[y, x].tolist() == [85, 0, 255]
    assert 0.005 < (picture.max(2) > 0).mean() < 0.1
    assert not picture[:2].any()


def test_points_outside_the_frame_are_not_drawn() -> None:
    points = np.zeros((18, 3), np.float32)
    assert not poses.draw_skeleton(points).any()
