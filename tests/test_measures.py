"""How near is near: distances, calibrated p-values and membership, on pictures with a known answer."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthgen import measures, private_photos, training_material
from synthgen.errors import Refused, RequestError
from synthgen.types import Photo


def scene(seed: int) -> np.ndarray:
    """A (64, 64) picture of its own: soft blobs, as unlike another as two images of one kind are."""
    rng = np.random.default_rng(seed)
    field = np.asarray(
        Image.fromarray(rng.normal(0, 1, (9, 9)).astype(np.float32), "F").resize((64, 64), Image.Resampling.BICUBIC)
    )
    return np.clip(128 + 50 * field + rng.normal(0, 3, (64, 64)), 0, 255).astype(np.float32)


def images(seeds: range, groups: list[str] | None = None) -> measures.Images:
    names = tuple(f"image-{seed}" for seed in seeds)
    return measures.Images(np.stack([scene(seed) for seed in seeds]), names, tuple(groups or names))


@pytest.fixture(scope="module")
def calibration() -> measures.Calibration:
    return measures.calibrate(images(range(40)), images(range(100, 160)))


def jpeg(picture: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(buffer, "JPEG", quality=30)
    return np.asarray(Image.open(buffer), np.float32)


EDITS = {
    "identity": lambda picture: picture,
    "jpeg": jpeg,
    "mirrored": lambda picture: picture[:, ::-1],
    "turned": lambda picture: np.rot90(picture),
    "brighter": lambda picture: np.clip(1.2 * picture, 0, 255),
    "cropped": lambda picture: np.asarray(
        Image.fromarray(picture, "F").resize((64, 64), Image.Resampling.BICUBIC, box=(3, 9, 54, 60))
    ),
    "shifted": lambda picture: np.roll(picture, (4, -4), (0, 1)),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_is_found_and_its_source_named(edit: str, calibration: measures.Calibration) -> None:
    copies = np.stack([EDITS[edit](picture) for picture in calibration.reference.images.greys]).astype(np.float32)
    found = calibration.reference.nearness(copies)
    assert (found.index == np.arange(40)).mean() >= 0.95
    assert (calibration.p(found.score) <= 0.05).mean() >= 0.95


def test_fresh_images_are_taken_for_copies_at_the_stated_rate(calibration: measures.Calibration) -> None:
    """Over many draws of who is held out: one draw of 60 may be off by half of alpha and more."""
    scores = calibration.reference.nearness(images(range(1000, 1150)).greys).score
    scores = np.concatenate([scores, calibration.null])
    rates = []
    for seed in range(200):
        drawn = np.random.default_rng(seed).permutation(scores)
        one = measures.Calibration(calibration.reference, drawn[:60], np.ones(60), 0.05)
        rates.append((one.p(drawn[60:]) <= 0.05).mean())
    assert 0.04 < np.mean(rates) < 0.055


def test_a_patient_with_many_images_counts_once() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([0.01] * 100 + [1.0] * 19)
    scores = np.concatenate([np.full(100, -5.0), rng.normal(0, 1, 19)])
    calibration = measures.Calibration(measures.Reference(images(range(4))), scores, weights, 0.05)
    assert calibration.units == 20
    assert calibration.p(np.array([-5.0]))[0] == pytest.approx(2 / 21)
    assert calibration.p(np.array([-9.0]))[0] == pytest.approx(1 / 21)


def test_a_burst_of_one_patient_does_not_hide_its_copy() -> None:
    """By the plain ratio of nearest to next nearest a copy of a burst looks like nothing: both are near."""
    burst = [scene(7) + np.random.default_rng(number).normal(0, 4, (64, 64)).astype(np.float32) for number in range(5)]
    rest = images(range(20, 40))
    train = measures.Images(
        np.concatenate([np.stack(burst), rest.greys]), tuple(f"{number}" for number in range(25)),
        ("burst",) * 5 + rest.groups,
    )  # fmt: skip
    found = measures.Reference(train).nearness(scene(7)[None])
    assert found.index[0] < 5
    assert found.ratio[0] < 0.6


def test_too_few_held_out_cannot_certify_and_one_group_cannot_either() -> None:
    train = images(range(10))
    assert measures.calibrate(train, images(range(50, 69))).doubt == ""
    assert "needs 19" in measures.calibrate(train, images(range(50, 68))).doubt
    assert "needs 99" in measures.calibrate(train, images(range(50, 69)), 0.01).doubt
    assert "needs 19" in measures.calibrate(train, images(range(50, 51))).doubt
    one = measures.calibrate(images(range(10), ["patient"] * 10), images(range(50, 69)))
    assert "one group" in one.doubt


def test_held_out_images_that_are_no_fresh_ones_are_refused() -> None:
    train = images(range(20))
    with pytest.raises(Refused, match="both in training and held out, 'image-3'"):
        measures.calibrate(train, images(range(100, 120), ["image-3", *(f"p{number}" for number in range(19))]))
    held = images(range(100, 120))
    held.greys[4] = jpeg(train.greys[2])[:, ::-1]
    with pytest.raises(Refused, match="near-duplicates of training images \\(image-104 of image-2"):
        measures.calibrate(train, held)


def test_near_duplicates_are_joined_into_one_group() -> None:
    found = images(range(20))
    found.greys[5] = jpeg(found.greys[3])
    groups = measures.joined(found)
    assert groups[5] == groups[3]
    assert len(set(groups)) == 19


@pytest.mark.parametrize(("whole", "corner"), [(3, 5), (5, 3)])
def test_a_corner_and_the_whole_are_joined_whichever_comes_first(whole: int, corner: int) -> None:
    found = images(range(20))
    picture = Image.fromarray(found.greys[whole], "F")
    found.greys[corner] = picture.resize((64, 64), Image.Resampling.BICUBIC, box=(0, 0, 50, 50))
    groups = measures.joined(found)
    assert groups[corner] == groups[whole]


def test_what_the_gate_takes_for_a_copy_after_the_split_is_set_aside(tmp_path: Path) -> None:
    def photo(name: str, grey: np.ndarray, patient: str) -> Photo:
        path = tmp_path / f"{name}.png"
        Image.fromarray(grey.round().astype(np.uint8)).convert("RGB").save(path)
        return Photo(path, name, 64, 64, "", group=patient)

    train = [photo(f"train-{number}", scene(number), f"a{number}") for number in range(20)]
    held = [photo(f"held-{number}", scene(100 + number), f"b{number // 2}") for number in range(40)]
    held[4] = photo("held-4", jpeg(scene(2))[:, ::-1], "b2")
    left = private_photos.fresh(train, held)
    assert [one.sha256 for one in left] == [one.sha256 for one in held if one.group != "b2"]  # the whole patient goes
    assert private_photos.fresh([replace(one, group="") for one in train], held) == held  # no groups are stated
    assert training_material.without_twins(train, held) == (train, left)
    with pytest.raises(RequestError, match="All 1 photos held out nearly repeat"):
        training_material.without_twins(train, held[4:5])


def test_an_attack_that_sees_nothing_and_one_that_sees_all() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 1, 150), rng.normal(0, 1, 150)
    groups = [str(number) for number in range(300)]
    blind = measures.attack(one, other, groups)
    assert blind["auc"].low < 0.5 < blind["auc"].high
    assert blind["tpr"].low <= 0.02
    sees = measures.attack(one + 10, other, groups)
    assert sees["auc"].value == 1.0
    assert (sees["tpr"].value, sees["tpr"].high) == (1.0, 1.0)
    assert "none may be let through" in measures.attack(one, other[:50], groups[:200])["tpr"].reason


def test_the_auc_is_that_of_mann_and_whitney() -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 9, 40).astype(float), rng.integers(0, 7, 30).astype(float)
    found = measures.attack(one, other, [str(number) for number in range(70)])
    assert found["auc"].value == pytest.approx(mannwhitneyu(one, other).statistic / 1200)
