"""Boxes told from a skeleton fit the garments of renders whose masks are known."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen import boxes
from synthgen.vocabulary import CATEGORIES


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(0.0, wide) * max(0.0, high)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


@pytest.mark.parametrize("category", CATEGORIES)
def test_garment_boxes_overlap_the_garment(category: str) -> None:
    from synthgen.mini import world

    found = []
    for seed in range(7000, 7012):
        render = world.render("person", seed, {"category": category})
        ys, xs = np.nonzero(render.mask)
        true = (float(xs.min()), float(ys.min()), float(np.ptp(xs)) + 1, float(np.ptp(ys)) + 1)
        box = boxes.garment(render.keypoints.tolist(), category, (256, 256))
        assert box is not None
        found.append(overlap(box, true))
    assert np.mean(found) > 0.65


def test_nothing_known_gives_no_box() -> None:
    assert boxes.person((), (64, 64)) is None
    assert boxes.person([(0.0, 0.0, 0.0)] * 18, (64, 64)) is None
    assert boxes.garment([(30.0, 30.0, 1.0)] * 18, "shirt", (64, 64)) is None
    assert boxes.garment([(30.0, 30.0, 1.0)] * 18, "hat", (64, 64)) is None
