"""A labelled render from a seed: a person, a garment laid flat, a chest X-ray phantom, or a blood smear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from synthgen import poses, vocabulary
from synthgen.errors import UnknownName
from synthgen.mini.world import cloth, garments, people, phantoms, places, smear
from synthgen.mini.world.body import Body, measure
from synthgen.mini.world.canvas import SIZE, Array, Canvas
from synthgen.mini.world.garments import Garment

KINDS = ("person", "flat", "xray", "smear")
_COMMON = ("blue", "navy", "black", "grey", "beige", "white", "brown")  # of the garment that is not the subject
_CLOSE = {"full": 0.68, "three-quarter": 0.82, "close": 1.0}  # how near the cloth is to the eye
_HIDDEN_WHEN_CLOSE = ("sitting", "walking")  # head to waist, these look like standing
_LAID = {"dress": "straight"}  # measures of the figure that a garment laid flat is drawn on; others are "laid"
_CUT_WHEN_CLOSE = (*vocabulary.LOWER_GARMENTS, "dress")  # head to waist, these are not seen or not told apart
_UPRIGHT = {"pants": 0.5, "shirt": 0.3, "skirt": 0.3}  # share of stripes that run along the body


@dataclass(frozen=True, eq=False)
class Render:
    """One picture of the procedural world and all that is known of it."""

    kind: str
    pixels: Any  # (256, 256, 3) uint8 sRGB
    labels: dict[str, str]
    keypoints: Any = None  # (18, 3) float32 px, v = 0 outside the frame; None without a person
    mask: Any = None  # (256, 256) uint8, 255 where the labelled garment or finding is seen; None without one


def render(
    kind: str, seed: int, fixed: Mapping[str, str] | None = None, points: Any = None, product: int | None = None
) -> Render:
    """The picture of a seed; the same arguments give the same picture.

    `fixed` sets labels (also "pose" by a pose's own name), `points` (18, 3) px sets the skeleton.
    Renders of one `product` number and the same labels show one and the same garment, or one person in the same
    clothes, whatever the seed.
    Raises RequestError for an unknown kind, label or value.
    """
    if kind not in KINDS:
        raise UnknownName("the procedural world", kind, KINDS)
    rng = np.random.default_rng([int(seed) % 2**63, KINDS.index(kind)])
    fixed = dict(fixed or {})
    if kind == "xray":
        labels = _radiograph_labels(fixed, rng)
        pixels, region = phantoms.radiograph(labels, rng)
        return Render(kind, pixels, labels, mask=region)
    if kind == "smear":
        labels = _smear_labels(fixed, rng)
        return Render(kind, smear.smear(labels, rng), labels)
    if kind == "flat":
        return _flat(fixed, rng, product)
    return _person(fixed, points, rng, int(seed), product)


# ---------------------------------------------------------------- labels


def _take(fixed: Mapping[str, str], key: str, values: Sequence[str], rng: np.random.Generator, odds: Any = None) -> str:
    """The fixed value of a label, else one of its values."""
    drawn = values[int(rng.choice(len(values), p=odds))]  # drawn even where fixed: the rest of the picture stays
    if key not in fixed:
        return drawn
    if fixed[key] not in values:
        raise UnknownName(f"label '{key}'", fixed[key], values)
    return fixed[key]


def _refuse_others(kind: str, fixed: Mapping[str, str], known: Sequence[str]) -> None:
    for key in fixed:
        if key not in known:
            raise UnknownName(f"a {kind} render", key, known)


def _person_labels(fixed: Mapping[str, str], points: Any, rng: np.random.Generator) -> dict[str, str]:
    known = ("category", "colour", "pattern", "skin_tone", "body_type", "age", "hair_style", "hair_colour", "place",
             "view", "pose", "other_colour", "other_category")  # fmt: skip
    _refuse_others("person", fixed, known)
    labels = {
        "category": _category(fixed, rng),
        "colour": _take(fixed, "colour", tuple(vocabulary.COLOURS), rng),
        "pattern": _take(fixed, "pattern", vocabulary.PATTERNS, rng, (0.4, 0.2, 0.2, 0.2)),
        "skin_tone": _take(fixed, "skin_tone", tuple(vocabulary.SKIN_TONES), rng),
        "body_type": _take(fixed, "body_type", tuple(vocabulary.BODY_TYPES), rng),
        "age": _take(fixed, "age", tuple(vocabulary.AGE_BANDS), rng),
        "hair_style": _take(fixed, "hair_style", vocabulary.HAIR_STYLES, rng),
    }
    grey = {"20-39": 0.02, "40-59": 0.18, "60+": 0.7}[labels["age"]]
    odds = [(1 - grey) / 4] * 4 + [grey]
    labels["hair_colour"] = _take(fixed, "hair_colour", tuple(vocabulary.HAIR_COLOURS), rng, odds)
    labels["place"] = _take(fixed, "place", tuple(vocabulary.PLACES), rng)
    labels["view"] = _view(fixed, labels["category"], points, rng)
    labels.update(_other(fixed, labels, rng))
    return labels


def _category(fixed: Mapping[str, str], rng: np.random.Generator) -> str:
    """Any garment; in a close view that is asked for, one that is worn above the waist."""
    drawn = _take(fixed, "category", tuple(vocabulary.CATEGORIES), rng)
    uppers = [name for name in vocabulary.CATEGORIES if name not in _CUT_WHEN_CLOSE]
    other = uppers[int(rng.integers(len(uppers)))]
    return other if "category" not in fixed and fixed.get("view") == "close" and drawn in _CUT_WHEN_CLOSE else drawn


def _view(fixed: Mapping[str, str], category: str, points: Any, rng: np.random.Generator) -> str:
    """Fixed, else what the given points show, else drawn among those that show garment and pose."""
    cut = category in _CUT_WHEN_CLOSE or _group(fixed.get("pose", "")) in _HIDDEN_WHEN_CLOSE
    view = _take(fixed, "view", tuple(vocabulary.VIEWS), rng, (0.5, 0.5, 0.0) if cut else (0.25, 0.25, 0.5))
    if "view" in fixed or points is None:
        return view
    seen = np.asarray(points)[:, 2] > 0
    if seen[[poses.R_ANKLE, poses.L_ANKLE]].any():
        return "full"
    return "three-quarter" if seen[[poses.R_KNEE, poses.L_KNEE]].any() else "close"


def _group(name: str) -> str:
    """The group of a pose name or group name; "" for none."""
    return name if name in poses.groups() or not name else poses.group_of(name)


def _other(fixed: Mapping[str, str], labels: Mapping[str, str], rng: np.random.Generator) -> dict[str, str]:
    """Category and colour of the garment that is worn with the labelled one."""
    lower = labels["category"] in vocabulary.LOWER_GARMENTS
    kinds = ("t-shirt", "shirt", "longsleeve") if lower else vocabulary.LOWER_GARMENTS
    kind = _take(
        fixed if fixed.get("other_category") else {}, "other_category", kinds, rng, None if lower else (0.6, 0.25, 0.15)
    )
    ours = np.array(vocabulary.COLOURS[labels["colour"]], float)
    far = [name for name in _COMMON if np.abs(ours - vocabulary.COLOURS[name]).sum() > 190]
    colour = far[int(rng.integers(len(far)))]
    if labels["category"] == "dress":
        return {"other_colour": "", "other_category": ""}
    if fixed.get("other_colour"):
        colour = _take(fixed, "other_colour", tuple(vocabulary.COLOURS), rng)
    return {"other_colour": colour, "other_category": kind}


def _radiograph_labels(fixed: Mapping[str, str], rng: np.random.Generator) -> dict[str, str]:
    _refuse_others("xray", fixed, ("finding", "side", "severity", "view"))
    finding = _take(fixed, "finding", tuple(vocabulary.FINDINGS), rng)
    side = _take(fixed if fixed.get("side") else {}, "side", ("left", "right"), rng)
    severity = _take(fixed if fixed.get("severity") else {}, "severity", ("mild", "moderate", "severe"), rng)
    view = _take(fixed, "view", ("PA", "AP"), rng, (0.65, 0.35))
    return {
        "finding": finding,
        "side": side if finding not in ("none", "cardiomegaly") else "",
        "severity": severity if finding != "none" else "",
        "view": view,
    }


def _smear_labels(fixed: Mapping[str, str], rng: np.random.Generator) -> dict[str, str]:
    _refuse_others("smear", fixed, ("cell", "stain"))
    return {
        "cell": _take(fixed, "cell", vocabulary.WHITE_CELLS, rng),
        "stain": _take(fixed, "stain", vocabulary.STAINS, rng, (0.4, 0.2, 0.2, 0.2)),
    }


# ---------------------------------------------------------------- a person


def _person(fixed: Mapping[str, str], points: Any, rng: np.random.Generator, seed: int, product: int | None) -> Render:
    labels = _person_labels(fixed, points, rng)
    keypoints, labels["pose"] = _skeleton(fixed, labels, points, rng, seed)
    body = measure(keypoints, labels["body_type"])
    canvas = Canvas(places.backdrop(labels["place"], labels["view"], rng))
    _contact_shadow(canvas, body)
    upper, lower = _clothes(labels, _of(product, 7, rng))
    people.draw(canvas, body, people.look(labels, _of(product, 8, rng)), upper, lower)
    mask = np.where(canvas.garment > 0.5, 255, 0).astype(np.uint8)
    return Render("person", canvas.finished(), labels, keypoints, mask)


def _of(product: int | None, part: int, rng: np.random.Generator) -> np.random.Generator:
    """What a part of a product is drawn from: its own number, so that it is the same in every picture."""
    return rng if product is None else np.random.default_rng([product % 2**63, part])


def _skeleton(
    fixed: Mapping[str, str], labels: Mapping[str, str], points: Any, rng: np.random.Generator, seed: int
) -> tuple[Array, str]:
    """(18, 3) px and the pose group."""
    known = poses.groups()
    allowed = [name for name in known if labels["view"] != "close" or name not in _HIDDEN_WHEN_CLOSE]
    group = _group(fixed.get("pose", "")) or allowed[int(rng.integers(len(allowed)))]
    name = known[group][int(rng.integers(len(known[group])))]
    if points is not None:
        return np.array(points, np.float32), _group(fixed.get("pose", ""))
    if fixed.get("pose", "") in poses.library():
        name = fixed["pose"]
    return poses.fit(poses.library()[name], labels["body_type"], labels["view"], SIZE, seed), group


def _clothes(labels: Mapping[str, str], rng: np.random.Generator) -> tuple[Garment, Garment | None]:
    """The upper garment and the lower one; a dress is an upper one alone."""
    close = _CLOSE[labels["view"]]
    category = labels["category"]
    subject = cloth.make(labels["colour"], labels["pattern"], close, rng, _UPRIGHT.get(category, 0.0))
    ours = _garment(category, subject, True, rng)
    if category == "dress":
        return ours, None
    theirs = _garment(labels["other_category"], cloth.make(labels["other_colour"], "plain", close, rng), False, rng)
    return (theirs, ours) if category in vocabulary.LOWER_GARMENTS else (ours, theirs)


def _garment(category: str, material: cloth.Cloth, ours: bool, rng: np.random.Generator) -> Garment:
    long_sleeves = category in ("longsleeve", "outwear") or (category == "shirt" and rng.random() < 0.8)
    return Garment(category, material, ours, long_sleeves, int(rng.integers(2**31)))


def _contact_shadow(canvas: Canvas, body: Body) -> None:
    s = body.scale
    feet = [body.leg(side)[2] for side in "rl"]
    y = max(foot[1] for foot in feet) + 0.036 * s
    if y - 0.05 * s > SIZE:
        return
    mask = np.zeros((SIZE, SIZE), np.uint8)
    x = (feet[0][0] + feet[1][0]) / 2
    half = abs(feet[1][0] - feet[0][0]) / 2 + 0.085 * s
    cv2.ellipse(mask, (round(x), round(y)), (round(half), max(round(0.022 * s), 2)), 0, 0, 360, 255, -1, cv2.LINE_AA)
    canvas.darken(cv2.GaussianBlur(mask, (0, 0), 0.016 * s).astype(np.float32) / 255, 0.42)


# ---------------------------------------------------------------- laid flat


def _lay(category: str, arms: float, legs: float) -> Array:
    """(18, 2) stature units: a headless figure that holds the garment, neck at (0, 0)."""
    points = np.zeros((18, 2), np.float32)
    for sign, shoulder, hip in ((-1, poses.R_SHOULDER, poses.R_HIP), (1, poses.L_SHOULDER, poses.L_HIP)):
        angle = np.deg2rad(arms)
        ahead = np.array([sign * np.sin(angle), np.cos(angle)])
        points[shoulder] = (sign * 0.120, 0.006)
        points[shoulder + 1] = points[shoulder] + ahead * 0.165
        points[shoulder + 2] = points[shoulder] + ahead * 0.313
        points[hip] = (sign * 0.052, poses.TORSO)
        for k in (1, 2):
            points[hip + k] = (
                points[hip] + np.array([sign * np.sin(np.deg2rad(legs)), np.cos(np.deg2rad(legs))]) * 0.243 * k
            )
    if category in ("skirt", "dress"):
        points[[poses.R_KNEE, poses.L_KNEE], 0] = (-0.075, 0.075)
    return points


def _spread(canvas: Canvas, body: Body, item: Garment) -> None:
    """One garment without a wearer."""
    if item.category in vocabulary.LOWER_GARMENTS:
        garments.wear_lower(canvas, body, item)
        return
    for side in "rl":
        garments.sleeve(canvas, body, item, side)
    garments.back_panel(canvas, body, item)
    (garments.dress if item.category == "dress" else garments.top)(canvas, body, item)


@cache
def _extent(category: str, long_sleeves: bool, arms: int, legs: int) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a garment laid flat, stature units from the neck."""
    scale, neck = 220.0, np.array([128.0, 40.0])
    lower = category in vocabulary.LOWER_GARMENTS
    if lower:
        neck = np.array([128.0, -30.0])
    canvas = Canvas(np.zeros((SIZE, SIZE, 3), np.float32))
    plain = cloth.make("grey", "plain", 1.0, np.random.default_rng(0))
    body = measure(_lay(category, arms, legs) * scale + neck, _LAID.get(category, "laid"))
    _spread(canvas, body, Garment(category, plain, True, long_sleeves, 0, np.zeros(3)))
    rows, columns = np.nonzero(canvas.garment > 0.5)
    corners = (columns.min() - neck[0], rows.min() - neck[1], columns.max() + 1 - neck[0], rows.max() + 1 - neck[1])
    return tuple(float(v) / scale for v in corners)  # type: ignore[return-value]


def _flat(fixed: Mapping[str, str], rng: np.random.Generator, product: int | None) -> Render:
    _refuse_others("flat", fixed, ("category", "colour", "pattern"))
    labels = {
        "category": _take(fixed, "category", tuple(vocabulary.CATEGORIES), rng),
        "colour": _take(fixed, "colour", tuple(vocabulary.COLOURS), rng),
        "pattern": _take(fixed, "pattern", vocabulary.PATTERNS, rng, (0.4, 0.2, 0.2, 0.2)),
    }
    category = labels["category"]
    table = places.table(rng)
    of_garment = _of(product, 7, rng)
    material = cloth.make(labels["colour"], labels["pattern"], 1.0, of_garment, _UPRIGHT.get(category, 0.0))
    item = _garment(category, material, True, of_garment)
    lining = material.colour * 0.5 + (14 if material.dark else 0)
    item = Garment(category, material, True, item.long_sleeves, item.seed, lining)
    arms = int(rng.integers(2, 5)) * 8 if item.long_sleeves else int(rng.integers(5, 8)) * 8
    legs = int(rng.integers(2, 5)) * 2
    x0, y0, x1, y1 = _extent(category, item.long_sleeves, arms, legs)
    scale = rng.uniform(0.76, 0.93) * SIZE / max(x1 - x0, y1 - y0)
    angle = np.deg2rad(np.clip(rng.normal(0, 4), -9, 9))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    points = ((_lay(category, arms, legs) - centre) * scale) @ turn + SIZE / 2 + rng.uniform(-7, 7, 2)
    canvas = Canvas(table)
    _spread(canvas, measure(points.astype(np.float32), _LAID.get(category, "laid")), item)
    pixels = _with_shadow(canvas, table, scale)
    mask = np.where(canvas.garment > 0.5, 255, 0).astype(np.uint8)
    return Render("flat", np.clip(np.rint(pixels), 0, 255).astype(np.uint8), labels, None, mask)


def _with_shadow(canvas: Canvas, table: Array, scale: float) -> Array:
    """The canvas with the garment's soft shadow on the table under it."""
    away = np.array([[1, 0, 4], [0, 1, 6]], np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(canvas.garment, away, (SIZE, SIZE)), (0, 0), 5)
    bare = (1 - canvas.garment)[..., None]
    return canvas.pixels - bare * table * 0.38 * shadow[..., None]
