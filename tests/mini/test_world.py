"""The procedural world: labels are what is seen, the same seed gives the same picture, captions say the labels."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from synthgen import poses, vocabulary
from synthgen.errors import RequestError, UnknownName
from synthgen.mini.world import KINDS, Render, caption, full_caption, render

PERSON_LABELS = {
    "category", "colour", "pattern", "skin_tone", "body_type", "age", "hair_style", "hair_colour", "place", "view",
    "pose", "other_colour", "other_category",
}  # fmt: skip


def _mean_colour(picture: Render) -> np.ndarray:
    return np.median(picture.pixels[picture.mask > 0], axis=0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_its_shape_and_type(kind: str) -> None:
    for seed in range(12):
        made = render(kind, seed)
        assert made.kind == kind
        assert made.pixels.shape == (256, 256, 3) and made.pixels.dtype == np.uint8
        assert made.pixels.std() > 15
        if made.mask is not None:
            assert made.mask.shape == (256, 256) and set(np.unique(made.mask)) == {0, 255}


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_render_and_another_seed_another(kind: str) -> None:
    first, again, other = render(kind, 5), render(kind, 5), render(kind, 6)
    assert np.array_equal(first.pixels, again.pixels) and first.labels == again.labels
    assert not np.array_equal(first.pixels, other.pixels)


def test_another_process_gives_the_same_pixels() -> None:
    code = (
        "import hashlib; from synthgen.mini.world import render;"
        "print(hashlib.sha256(render('person', 11).pixels.tobytes()).hexdigest())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert answer == hashlib.sha256(render("person", 11).pixels.tobytes()).hexdigest()


def test_labels_are_complete_and_in_the_vocabulary() -> None:
    for seed in range(60):
        labels = render("person", seed).labels
        assert set(labels) == PERSON_LABELS
        assert labels["category"] in vocabulary.CATEGORIES and labels["colour"] in vocabulary.COLOURS
        assert labels["pattern"] in vocabulary.PATTERNS and labels["skin_tone"] in vocabulary.SKIN_TONES
        assert labels["age"] in vocabulary.AGE_BANDS and labels["place"] in vocabulary.PLACES
        assert labels["view"] in vocabulary.VIEWS and labels["pose"] in poses.groups()
        assert (labels["other_category"] == "") == (labels["other_colour"] == "") == (labels["category"] == "dress")
        lower = labels["other_category"] in vocabulary.LOWER_GARMENTS
        assert labels["category"] == "dress" or lower != (labels["category"] in vocabulary.LOWER_GARMENTS)


def test_every_value_of_every_label_occurs() -> None:
    seen = [render("person", seed).labels for seed in range(160)]
    for key, values in (
        ("category", vocabulary.CATEGORIES), ("colour", vocabulary.COLOURS), ("pattern", vocabulary.PATTERNS),
        ("skin_tone", vocabulary.SKIN_TONES), ("body_type", vocabulary.BODY_TYPES), ("view", vocabulary.VIEWS),
        ("hair_colour", vocabulary.HAIR_COLOURS), ("place", vocabulary.PLACES), ("pose", poses.groups()),
    ):  # fmt: skip
        assert {labels[key] for labels in seen} == set(values), key


def test_fixed_labels_are_kept_and_unknown_ones_refused() -> None:
    fixed = {"category": "dress", "colour": "green", "pattern": "dotted", "view": "full", "pose": "sitting"}
    for seed in range(6):
        assert fixed.items() <= render("person", seed, fixed).labels.items()
    assert render("person", 1, {"pose": "arms-up-wide"}).labels["pose"] == "arms-raised"
    with pytest.raises(UnknownName, match="did you mean 'colour'"):
        render("person", 0, {"color": "red"})
    with pytest.raises(UnknownName, match="label 'colour' has no 'rad'; did you mean 'red'"):
        render("flat", 0, {"colour": "rad"})
    with pytest.raises(RequestError):
        render("xray", 0, {"finding": "fracture"})
    with pytest.raises(UnknownName, match="did you mean 'person'"):
        render("persons", 0)


def test_what_only_the_view_from_afar_shows_is_not_drawn_close_unasked() -> None:
    for seed in range(80):
        labels = render("person", seed).labels
        if labels["view"] == "close":
            assert labels["pose"] not in ("sitting", "walking")
            assert labels["category"] not in (*vocabulary.LOWER_GARMENTS, "dress")
    assert render("person", 0, {"view": "close", "category": "pants"}).labels["category"] == "pants"


@pytest.mark.parametrize("kind", ["person", "flat"])
@pytest.mark.parametrize("colour", vocabulary.COLOURS)
def test_the_labelled_garment_has_the_labelled_colour(kind: str, colour: str) -> None:
    wanted = np.array(vocabulary.COLOURS[colour])
    for category in ("t-shirt", "pants"):
        for seed in range(3):
            made = render(kind, seed, {"colour": colour, "pattern": "plain", "category": category})
            assert np.abs(_mean_colour(made) - wanted).max() < 48, (category, seed)


@pytest.mark.parametrize("category", vocabulary.CATEGORIES)
def test_the_labelled_garment_is_seen(category: str) -> None:
    for seed in range(8):
        worn = render("person", seed, {"category": category})
        assert (worn.mask > 0).mean() > 0.012, seed
        flat = render("flat", seed, {"category": category})
        rows, columns = np.nonzero(flat.mask)
        longest = max(np.ptp(rows), np.ptp(columns)) / 256
        assert 0.65 < longest < 0.99, seed
        assert min(rows.min(), columns.min()) >= 0 and (flat.mask > 0).mean() > 0.1


def test_long_sleeves_cover_the_forearm_and_short_ones_do_not() -> None:
    for seed in range(8):
        fixed = {"pose": "arms-out-straight", "view": "full"}
        long, short = (render("person", seed, {**fixed, "category": c}) for c in ("longsleeve", "t-shirt"))
        for elbow, wrist in ((poses.R_ELBOW, poses.R_WRIST), (poses.L_ELBOW, poses.L_WRIST)):
            x, y = long.keypoints[[elbow, wrist], :2].mean(0).round().astype(int)
            assert long.mask[y, x] == 255 and short.mask[y, x] == 0


@pytest.mark.parametrize("pattern", ["striped", "checked", "dotted"])
def test_patterns_are_coarse_enough_for_the_autoencoder(pattern: str) -> None:
    for seed in range(5):
        fixed = {"category": "t-shirt", "colour": "red", "view": "full", "pose": "standing-straight"}
        plain, made = (render("person", seed, {**fixed, "pattern": p}) for p in ("plain", pattern))
        inside = made.mask > 0
        light = (made.pixels[..., 1] > 130) & inside
        assert 0.08 < light.sum() / inside.sum() < 0.75
        assert ((plain.pixels[..., 1] > 130) & (plain.mask > 0)).sum() < 0.03 * inside.sum()
        crossings = (np.diff(light.astype(np.int8), axis=0) != 0).sum() + (
            np.diff(light.astype(np.int8), axis=1) != 0
        ).sum()
        assert crossings / light.sum() < 0.95  # marks of several pixels, not speckle


def test_given_points_are_used_as_they_are() -> None:
    points = poses.fit(poses.library()["arms-up-wide"], "straight", "full", 256, 4)
    made = render("person", 9, {"body_type": "straight", "pose": "arms-raised"}, points)
    assert np.array_equal(made.keypoints, points)
    assert made.labels["pose"] == "arms-raised" and made.labels["view"] == "full"
    x, y = points[poses.NOSE, :2].round().astype(int)
    empty = render("person", 9, {"body_type": "straight"}, points + np.array([400, 0, 0], np.float32))
    assert np.abs(made.pixels[y, x].astype(int) - empty.pixels[y, x]).max() > 20


def test_points_that_nobody_saw_do_not_break_the_figure() -> None:
    points = poses.fit(poses.library()["standing-straight"], "straight", "full", 256, 4)
    points[[poses.R_KNEE, poses.R_ANKLE, poses.L_ELBOW, poses.L_WRIST]] = 0
    whole = poses.fit(poses.library()["standing-straight"], "straight", "full", 256, 4)
    fixed = {"category": "longsleeve", "pattern": "plain", "colour": "red", "body_type": "straight", "view": "full"}
    there, guessed = render("person", 2, fixed, whole), render("person", 2, fixed, points)
    overlap = ((there.mask > 0) & (guessed.mask > 0)).sum() / ((there.mask > 0) | (guessed.mask > 0)).sum()
    assert overlap > 0.75


def test_keypoints_lie_on_the_body_that_is_drawn() -> None:
    fixed = {"category": "pants", "colour": "red", "pattern": "plain", "view": "full"}
    for pose in ("standing", "walking", "arms-raised"):
        made = render("person", 3, {**fixed, "pose": pose})
        for name in (poses.R_KNEE, poses.L_KNEE):
            x, y = made.keypoints[name, :2].round().astype(int)
            assert made.mask[y, x] == 255


# ---------------------------------------------------------------- X-rays


def test_radiographs_are_grey_and_have_no_person() -> None:
    for seed in range(10):
        made = render("xray", seed)
        assert made.keypoints is None
        assert (made.mask is None) == (made.labels["finding"] == "none")
        assert np.array_equal(made.pixels[..., 0], made.pixels[..., 1])
        assert np.array_equal(made.pixels[..., 0], made.pixels[..., 2])
        assert set(made.labels) == {"finding", "side", "severity", "view"}
        sided = made.labels["finding"] not in ("none", "cardiomegaly")
        assert (made.labels["side"] in ("left", "right")) == sided
        assert (made.labels["severity"] == "") == (made.labels["finding"] == "none")


@pytest.mark.parametrize("finding", ["consolidation", "effusion", "nodule", "pneumothorax"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_mask_of_a_finding_is_where_it_changes_the_picture(finding: str, side: str) -> None:
    asked = {"finding": finding, "side": side, "severity": "severe", "view": "PA"}
    for seed in range(4):
        made = render("xray", seed, asked)
        columns = np.nonzero(made.mask)[1]
        assert (columns > 128).mean() > 0.9 if side == "left" else (columns < 128).mean() > 0.9
        brighter = np.median(made.pixels[made.mask > 0]) - np.median(made.pixels[:, ::-1][made.mask > 0])
        assert brighter < 0 if finding == "pneumothorax" else brighter > 0, (seed, brighter)


def test_the_mask_grows_with_severity() -> None:
    for finding in ("consolidation", "effusion", "nodule", "cardiomegaly", "pneumothorax"):
        sizes = [
            np.mean([(render("xray", seed, {"finding": finding, "severity": s}).mask > 0).sum() for seed in range(6)])
            for s in ("mild", "moderate", "severe")
        ]
        assert sizes == sorted(sizes), (finding, sizes)


def _grey(seed: int, fixed: dict[str, str]) -> np.ndarray:
    return render("xray", seed, {**fixed, "view": "PA"}).pixels[..., 0].astype(float)


@pytest.mark.parametrize("finding", ["consolidation", "effusion", "nodule"])
@pytest.mark.parametrize("severity", ["mild", "severe"])
def test_a_finding_is_on_its_side(finding: str, severity: str) -> None:
    fixed = {"finding": finding, "severity": severity}
    for seed in range(4):
        left, right = (
            render("xray", seed, {**fixed, "side": s}).pixels[..., 0].astype(float) for s in ("left", "right")
        )
        brighter = left - right
        assert brighter[:, 140:].max() > 25  # the patient's left is at the picture's right
        assert brighter[:, 140:].mean() > 0 > brighter[:, :116].mean()


@pytest.mark.parametrize("finding", ["consolidation", "effusion", "nodule"])
def test_a_worse_finding_is_a_larger_one(finding: str) -> None:
    for seed in range(4):
        mild, worse = (_grey(seed, {"finding": finding, "severity": d, "side": "left"}) for d in ("mild", "severe"))
        change = worse - mild
        assert change.clip(0).sum() > 5 * (-change).clip(0).sum()
        assert (change > 12).sum() > 60


def test_a_larger_heart_is_wider() -> None:
    for seed in range(4):
        mild, worse = (_grey(seed, {"finding": "cardiomegaly", "severity": d}) for d in ("mild", "severe"))
        assert ((worse - mild) > 12).sum() > 400


def test_air_outside_the_lung_is_darker() -> None:
    for seed in range(4):
        fixed = {"severity": "severe", "side": "right"}
        sound, burst = (_grey(seed, {**fixed, "finding": f}) for f in ("none", "pneumothorax"))
        change = burst - sound
        assert (change[:, :110] < -12).mean() > 0.02
        assert np.abs(change[:, 150:]).mean() < 6


# ---------------------------------------------------------------- captions

LABELS = {
    "category": "t-shirt", "colour": "red", "pattern": "striped", "skin_tone": "monk-06", "body_type": "plus",
    "age": "20-39", "hair_style": "short", "hair_colour": "black", "place": "beach", "view": "full",
    "pose": "arms-raised", "other_colour": "blue", "other_category": "pants",
}  # fmt: skip


def test_the_full_caption_is_the_wording_of_the_pipelines() -> None:
    assert full_caption(LABELS) == (
        "a photo of a young adult plus-size person with tan skin and short black hair wearing a red striped t-shirt "
        "and blue trousers, arms raised, full body, on a beach"
    )
    flat = {"category": "outwear", "colour": "orange", "pattern": "plain"}
    assert full_caption(flat) == "a photo of an orange jacket, flat lay"
    xray = {"finding": "effusion", "side": "left", "severity": "mild", "view": "PA"}
    assert full_caption(xray) == "chest x-ray, pleural effusion, left, PA view"
    nothing = {"finding": "none", "side": "", "severity": "", "view": ""}
    assert full_caption(nothing) == "chest x-ray, no finding"


def test_random_captions_come_in_the_stated_shares() -> None:
    rng = np.random.default_rng(1)
    said = [caption(LABELS, rng) for _ in range(1500)]
    full = sum(text == full_caption(LABELS) for text in said) / len(said)
    trigger = [text for text in said if any(word in text.split() for word in vocabulary.TRIGGER_WORDS)]
    short = sum(len(text.split()) <= 10 and text not in trigger for text in said) / len(said)
    assert 0.46 < full < 0.54
    assert 0.07 < len(trigger) / len(said) < 0.13
    assert 0.12 < short < 0.32
    assert len(set(said)) > 150


def test_a_trigger_word_stands_for_colour_and_pattern_or_beside_them() -> None:
    rng = np.random.default_rng(2)
    flat = {"category": "pants", "colour": "red", "pattern": "dotted"}
    for labels in (LABELS, flat):
        said = [caption(labels, rng) for _ in range(600)]
        said = [text for text in said if any(word in text.split() for word in vocabulary.TRIGGER_WORDS)]
        told = ["red" in text for text in said]
        assert 0.3 < np.mean(told) < 0.7
        for text, coloured in zip(said, told, strict=True):
            assert (labels["pattern"] in text) == coloured
            assert vocabulary.CATEGORIES[labels["category"]] in text


def test_captions_never_say_plain_and_never_double_an_article() -> None:
    rng = np.random.default_rng(3)
    for seed in range(60):
        kind = KINDS[seed % 3]
        text = caption(render(kind, seed).labels, rng)
        assert "plain" not in text and "  " not in text and text.strip() == text
        for wrong in (" a a ", " a an ", "a trousers", "a shorts", " a orange", " an red", ",,"):
            assert wrong not in f" {text}"


def test_captions_repeat_with_their_generator() -> None:
    first, again = (caption(LABELS, np.random.default_rng(8)) for _ in range(2))
    assert first == again


def test_renders_of_one_product_show_the_same_garment() -> None:
    labels = {"category": "shirt", "colour": "blue", "pattern": "striped"}
    shown = [render("flat", seed, labels, product=3) for seed in range(6)]
    middles = [np.median(made.pixels[made.mask > 0], axis=0) for made in shown]
    others = [np.median((made := render("flat", seed, labels)).pixels[made.mask > 0], axis=0) for seed in range(6)]
    assert np.std(middles, axis=0).max() < 0.5 * np.std(others, axis=0).max()


# ---------------------------------------------------------------- blood smears


@pytest.mark.parametrize("cell", vocabulary.WHITE_CELLS)
def test_a_smear_has_its_white_cell_and_no_other(cell: str) -> None:
    """The nucleus is the only large dark violet thing; its size and granules tell the kinds apart."""
    pictures = [render("smear", seed, {"cell": cell, "stain": "standard"}) for seed in range(6)]
    violet = np.mean([_violet(one.pixels).sum() for one in pictures])
    orange = np.mean([_orange(one.pixels).sum() for one in pictures])
    assert all(one.labels == {"cell": cell, "stain": "standard"} for one in pictures)
    assert (violet > 250) == (cell != "none")
    assert (orange > 200) == (cell == "eosinophil")


def _violet(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = (pixels[..., channel].astype(int) for channel in range(3))
    return (blue > red + 15) & (green < 110)


def _orange(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = (pixels[..., channel].astype(int) for channel in range(3))
    return (red > blue + 75) & (green < 165)
