"""Garments in photos are described in mini's own words."""

from __future__ import annotations

import numpy as np

from synthgen import vocabulary
from synthgen.mini import looks
from synthgen.mini.world import render


def test_the_colour_of_a_rendered_garment_is_read() -> None:
    made = [
        render("flat", 7000 + number, {"colour": colour, "pattern": "plain"})
        for number, colour in enumerate([*vocabulary.COLOURS] * 2)
    ]
    hits = [looks.colour(one.pixels, one.mask / 255) == one.labels["colour"] for one in made]
    assert np.mean(hits) > 0.9


def test_a_pattern_is_said_where_it_is_clear() -> None:
    wanted = [("red", "striped"), ("blue", "checked"), ("green", "plain"), ("purple", "dotted")] * 4
    made = [
        render("flat", 8000 + number, {"colour": colour, "pattern": pattern})
        for number, (colour, pattern) in enumerate(wanted)
    ]
    read = looks.of([one.pixels for one in made], [one.mask / 255 for one in made])
    said = [colour if pattern == "plain" else f"{colour} {pattern}" for colour, pattern in wanted]
    assert np.mean([a == b for a, b in zip(read, said, strict=True)]) > 0.7


def test_a_picture_of_nothing_is_read_too() -> None:
    grey = np.full((90, 60, 3), 132, np.uint8)
    assert looks.of([grey], [np.zeros((90, 60), np.float32)]) in (["grey"], ["grey striped"], ["grey checked"])


def test_a_pale_blue_is_a_blue_and_a_white_in_the_shade_a_white() -> None:
    whole = np.ones((32, 32), np.float32)
    assert looks.colour(np.full((32, 32, 3), (150, 172, 204), np.uint8), whole) == "blue"
    shaded = np.full((32, 32, 3), 232, np.uint8)
    shaded[:16] = 170
    assert looks.colour(shaded, whole) == "white"
