"""How near a picture is to the training images, and whether nearness betrays who was among them.

Copy distance: a picture is compared with every training image by local contrast, whole (turned and mirrored) and in
windows (cropped, scaled and shifted). The distance to the nearest image, and its ratio to the nearest image of another
group (a patient, say), are measured against what images of different groups have among themselves. The smaller of all
is the score, and its p-value is the share of held-out groups that come as near.

Membership: what an attacker gains who sorts images by such a score: AUC, and hits at one false alarm in a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from synthgen.errors import Refused
from synthgen.intervals import LEVEL, Estimate, bootstrap

if TYPE_CHECKING:
    import numpy as np

ALPHA = 0.05  # share of fresh real images that may be taken for copies
SIDE = 64  # px of the pictures that are compared
WINDOW_SIDE, WINDOW = 32, 26  # px: a training image is searched in all its windows of 26 x 26 at 32 x 32
WINDOW_SCALES = (26, 29, 32, 36, 40)  # px that a whole query is scaled to before its middle window is taken
CONTRAST_PX = {SIDE: 4.0, WINDOW_SIDE: 2.0}  # reach of local contrast
CONTRAST_FLOOR = 2.0  # grey levels: flat ground must not be blown up to noise
# Near-duplicates lie three times as far below the median as the nearest twentieth of other groups does, and below this
# share of the median, for of few images that twentieth is not well known. The nearest image of another patient lies at
# 0.8 of it among the X-rays of benchmarks/copy_gate.py.
NEAR, NEAR_SHARE = -3.0, 0.75
TO_TWENTIETH = 2.44  # times as far as the quartile lies the twentieth, of normal values; few copies do not shift it
FAR = 9.0  # beyond any distance between unit vectors
SAMPLE = 400  # training images that the distances between groups are learned from
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Images:
    """Pictures of one split. greys (n, 64, 64) float32, 0 to 255; ids and groups (n,) text."""

    greys: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Nearness:
    """Of each of n pictures, its nearest training image and how near that is; arrays (n,)."""

    index: np.ndarray  # of the training image
    distance: np.ndarray  # 0 is the same; 1 is what the nearest image of another group usually has
    ratio: np.ndarray  # to the distance of the nearest image outside the group of the nearest
    score: np.ndarray  # the less, the nearer; 0 is usual between groups, -1 about their nearest twentieth
    twin: np.ndarray  # bool: a near-duplicate, by distance alone


def small(pixels: Any) -> np.ndarray:
    """(h, w, 3) uint8 sRGB -> (64, 64) float32 grey levels, the whole picture squared."""
    import numpy as np
    from PIL import Image

    from synthgen.images import square

    return greys(np.asarray(square(Image.fromarray(np.ascontiguousarray(pixels), "RGB"), SIDE)))


def greys(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> float32 grey levels, 0 to 255."""
    import numpy as np

    return np.asarray(pixels, np.float32) @ np.asarray(LUMA, np.float32)


class Reference:
    """Training images, ready to be compared with."""

    def __init__(self, images: Images) -> None:
        import numpy as np

        self.images = images
        self.groups = np.unique(np.asarray(images.groups), return_inverse=True)[1]
        self._whole = _unit(_contrast(images.greys).reshape(len(images), -1))
        self._windows = _windows(images.greys)
        self.alone = len(set(images.groups)) < 2
        self._usual = np.array([[[1.0, 1.0], [1.0, 1.0]]] * 2)  # [descriptor][distance, ratio] = median, spread
        if not self.alone:
            self._usual = self._between_groups()

    def nearness(self, pictures: np.ndarray) -> Nearness:
        """How near pictures come, (n, 64, 64) float32 grey levels each."""
        return self._nearness(self.distances(pictures))

    def twins_within(self, pictures: np.ndarray) -> np.ndarray:
        """(n,) bool: of pictures (n, 64, 64), those that have a near-duplicate among the others, by the whole."""
        import numpy as np

        if len(pictures) < 2:
            return np.zeros(len(pictures), bool)
        flat = _unit(_contrast(pictures).reshape(len(pictures), -1))
        distance = np.sqrt(np.maximum(0, 2 - 2 * flat @ flat.T))
        np.fill_diagonal(distance, FAR)
        return np.asarray(distance.min(axis=1) <= _near(*self._usual[0, 0]))

    def _between_groups(self) -> np.ndarray:
        """Median and spread of distance and ratio to the nearest image of another group: what is usual."""
        import numpy as np

        chosen = np.random.default_rng(0).permutation(len(self.images))[:SAMPLE]
        found = self.distances(self.images.greys[chosen])
        found[:, self.groups[chosen][:, None] == self.groups[None]] = FAR
        usual = []
        for distances in found:
            rows = []
            for values in self._first(distances)[1:]:
                median, low = np.quantile(values, [0.5, 0.25])
                rows.append([median, max(TO_TWENTIETH * (median - low), 0.01 * abs(median), 1e-6)])
            usual.append(rows)
        return np.array(usual)

    def _nearness(self, found: np.ndarray) -> Nearness:
        """found (2, n, m): by descriptor."""
        import numpy as np

        index, distance, ratio, score, twin = [], [], [], [], []
        for distances, ((d_usual, d_spread), (r_usual, r_spread)) in zip(found, self._usual, strict=True):
            nearest, first, ratios = self._first(distances)
            by_distance, by_ratio = (first - d_usual) / d_spread, (ratios - r_usual) / r_spread
            index.append(nearest)
            distance.append(first / d_usual)
            ratio.append(ratios)
            twin.append(first <= _near(d_usual, d_spread))
            score.append(np.minimum(by_distance, by_ratio))
        best = np.argmin(score, axis=0)
        each = np.arange(len(best))
        chosen = [np.asarray(values)[best, each] for values in (index, distance, ratio, score)]
        return Nearness(chosen[0], chosen[1], chosen[2], chosen[3], np.any(twin, axis=0))

    def _first(self, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nearest image, its distance, and that as a share of the distance to the nearest image of another group."""
        import numpy as np

        nearest = distances.argmin(axis=1)
        first = distances[np.arange(len(distances)), nearest]
        outside = np.where(self.groups[nearest][:, None] == self.groups[None], FAR, distances).min(axis=1)
        return nearest, first, np.where(outside < FAR, first / np.maximum(outside, 1e-6), 1.0)

    def distances(self, pictures: np.ndarray) -> np.ndarray:
        """(2, n, m): of whole pictures and of windows, the least over all views of the query."""
        import numpy as np

        count = len(self.images)
        whole = np.full((len(pictures), count), -1.0, np.float32)
        for view in _turned(_contrast(pictures)):
            np.maximum(whole, _unit(view.reshape(len(pictures), -1)) @ self._whole.T, out=whole)
        queries = _middles(pictures)
        windows = np.empty_like(whole)
        flat = self._windows.reshape(-1, self._windows.shape[-1])
        for row, query in enumerate(queries):
            windows[row] = (query @ flat.T).max(axis=0).reshape(count, -1).max(axis=1)
        return np.sqrt(np.maximum(0, 2 - 2 * np.stack([whole, windows])))


@dataclass(frozen=True)
class Calibration:
    """Training images, and how near fresh real images come to them."""

    reference: Reference
    null: np.ndarray  # (h,) scores of the held-out images
    weights: np.ndarray  # (h,) float64: of each, one part of its group
    alpha: float

    @property
    def units(self) -> int:
        """Groups that are held out."""
        return round(float(self.weights.sum()))

    @property
    def doubt(self) -> str:
        """Why alpha cannot be certified; "" where it can."""
        if self.reference.alone:
            return "all training images are of one group, so what is usual between groups is not known"
        wanted = math.ceil(round(1 / self.alpha - 1, 6))
        if self.units < wanted:
            return f"{self.units} groups are held out; alpha {self.alpha:g} needs {wanted} at least"
        return ""

    @property
    def level(self) -> float:
        """The p-value at which a picture is taken for a copy: alpha, or nearer than every held-out group."""
        return max(self.alpha, 1 / (1 + self.units)) if self.units else 0.0

    def p(self, scores: np.ndarray) -> np.ndarray:
        """Of each score, the share of groups, its own among them, that come as near: at most alpha is a copy.

        Every group counts once, however many images it has; for a fresh image of a fresh group p <= alpha happens
        at a rate of alpha at most. Source: Lee, Barber and Willett 2023, arXiv:2306.06342 (hierarchical data).
        """
        import numpy as np

        nearer = (self.null[None] <= np.asarray(scores)[:, None]) @ self.weights
        return np.asarray((1 + nearer) / (1 + self.units))


def calibrate(train: Images, held: Images, alpha: float = ALPHA) -> Calibration:
    """Learn what is usual from the training images alone, then how near the held-out ones come.

    Raises Refused where both share a group or near-duplicates: the held-out images would then be no fresh ones.
    """
    import numpy as np

    shared = sorted(set(train.groups) & set(held.groups))
    if shared:
        raise Refused(
            f"copy gate: {len(shared)} groups (patients) are both in training and held out, '{shared[0]}' among them. "
            "What is held out must be of others: train again, with the groups stated. No picture was judged."
        )
    reference = Reference(train)
    found = reference.nearness(held.greys) if len(held) else None
    if found and not reference.alone and found.twin.any():
        twins = np.flatnonzero(found.twin)
        one, other = held.ids[twins[0]], train.ids[found.index[twins[0]]]
        raise Refused(
            f"copy gate: {len(twins)} held-out images are near-duplicates of training images ({one} of {other}, say). "
            "State that they belong together (a patient_id, one group), and train again. No picture was judged."
        )
    sizes = {group: held.groups.count(group) for group in set(held.groups)}
    weights = np.array([1 / sizes[group] for group in held.groups], np.float64)
    return Calibration(reference, found.score if found else np.zeros(0), weights, alpha)


def joined(images: Images) -> tuple[str, ...]:
    """Groups for a split: those given, and what is nearly the same picture in one, whatever its groups were."""
    import numpy as np

    names = list(images.groups)
    reference = Reference(images)
    if reference.alone or len(images) < 3:
        return tuple(names)
    distances = reference.distances(images.greys)
    near = (distances <= np.array([_near(*rows[0]) for rows in reference._usual])[:, None, None]).any(axis=0)
    for one, other in np.argwhere(np.triu(near | near.T, 1)):  # only of a query are views and a middle compared
        if names[one] != names[other]:
            first, second = sorted((names[one], names[other]))
            names = [first if name == second else name for name in names]
    return tuple(names)


def attack(members: np.ndarray, others: np.ndarray, groups: Sequence[str]) -> dict[str, Estimate]:
    """What an attacker gains who takes images of a high score for members: `auc`, `tpr` at 1 % false alarms.

    members, others  (n,), (m,) scores of training images and of images that were never trained on
    groups           n + m: what is drawn together when the interval of the AUC is bootstrapped
    """
    import numpy as np
    from scipy.stats import binomtest

    n, m = len(members), len(others)
    if not n or not m:
        nothing = Estimate(None, n=n + m, reason="no image on one side")
        return {"auc": nothing, "tpr": nothing}
    wins = (members[:, None] > others[None]) + 0.5 * (members[:, None] == others[None])
    units = np.unique(np.asarray(groups), return_inverse=True)[1]

    def auc(weights: np.ndarray) -> np.ndarray:
        one, other = weights[:, :n], weights[:, n:]
        whole = one.sum(axis=1) * other.sum(axis=1)
        return np.where(whole > 0, ((one @ wins) * other).sum(axis=1) / np.maximum(whole, 1e-9), np.nan)

    low, high = bootstrap(auc, units)
    bar = np.sort(others)[::-1][math.floor(0.01 * m)]  # beyond it lies at most 1 % of the others
    hits = int((members > bar).sum())
    sure = binomtest(hits, n).proportion_ci(LEVEL, method="exact")
    few = "" if m >= 100 else f"{m} images were never trained on, so none may be let through"
    return {
        "auc": Estimate(
            float(wins.mean()), low, high, n + m, int(units.max()) + 1, "bootstrap by group", 0.5, "a blind guess"
        ),
        "tpr": Estimate(
            hits / n, float(sure.low), float(sure.high), n + m, int(units.max()) + 1, "Clopper-Pearson", 0.01,
            "a blind guess", few,
        ),
    }  # fmt: skip


def attack_told(
    members: np.ndarray, others: np.ndarray, groups: Sequence[str], other_groups: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """What `attack` finds, for JSON, beside the same attack where there is nothing to find.

    groups, other_groups  (n,), (m,) of the images of either side; half of the other groups are set against the rest
    """
    import numpy as np

    order = np.random.default_rng(seed).permutation(sorted(set(other_groups)))
    own = np.asarray(other_groups)
    first = np.isin(own, order[: len(order) // 2])
    found = attack(members, others, (*groups, *other_groups))
    blind = attack(others[first], others[~first], (*own[first], *own[~first]))
    return {
        **{name: _said(value) for name, value in found.items()},
        "attacked": len(members), "controls": len(others), "baseline_auc": _said(blind["auc"]),
        "baseline_is": "held-out images against held-out images, where there is nothing to find",
    }  # fmt: skip


def _said(value: Estimate) -> dict[str, Any]:
    return {key: part for key, part in asdict(value).items() if part not in ("", None)}


def _near(median: float, spread: float) -> float:
    """The distance up to which two pictures are near-duplicates."""
    return min(median + NEAR * spread, NEAR_SHARE * median)


def _contrast(pictures: np.ndarray) -> np.ndarray:
    """(n, s, s) grey levels -> the same with local mean and local contrast taken out."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    reach = CONTRAST_PX[SIDE] if pictures.shape[1] == SIDE else CONTRAST_PX[WINDOW_SIDE]
    detail = pictures - gaussian_filter(pictures, (0, reach, reach))
    return np.asarray(detail / (np.sqrt(gaussian_filter(detail * detail, (0, reach, reach))) + CONTRAST_FLOOR))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1; a flat row is 0."""
    import numpy as np

    rows = rows - rows.mean(axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-6), np.float32)


def _scaled(pictures: np.ndarray, side: int) -> np.ndarray:
    """(n, 64, 64) -> (n, side, side), still float32."""
    import numpy as np
    from PIL import Image

    way = Image.Resampling.BOX if SIDE % side == 0 else Image.Resampling.LANCZOS
    if not len(pictures):
        return np.zeros((0, side, side), np.float32)
    return np.stack([np.asarray(Image.fromarray(picture, "F").resize((side, side), way)) for picture in pictures])


def _turned(pictures: np.ndarray) -> list[np.ndarray]:
    """The eight ways to lay a picture down: cells and tissue have no upright."""
    import numpy as np

    return [np.rot90(way, turn, (1, 2)) for way in (pictures, pictures[:, :, ::-1]) for turn in range(4)]


def _windows(pictures: np.ndarray) -> np.ndarray:
    """(n, 49, 676): every window of each training image."""
    import numpy as np

    whole = _contrast(_scaled(pictures, WINDOW_SIDE))
    cut = np.lib.stride_tricks.sliding_window_view(whole, (WINDOW, WINDOW), axis=(1, 2))
    return _unit(cut.reshape(len(pictures), -1, WINDOW * WINDOW))


def _middles(pictures: np.ndarray) -> np.ndarray:
    """(n, 10, 676): of each query, its middle window at five scales, as it is and mirrored."""
    import numpy as np

    views = []
    for side in WINDOW_SCALES:
        edge = (side - WINDOW) // 2
        middle = _contrast(_scaled(pictures, side))[:, edge : edge + WINDOW, edge : edge + WINDOW]
        views += [middle, middle[:, :, ::-1]]
    return _unit(np.stack(views, axis=1).reshape(len(pictures), len(views), -1))
