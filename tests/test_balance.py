"""Shares and crosses hold for any count; what cannot be understood is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen import balance
from synthgen.errors import RequestError, UnknownName

AXES = {"pose": ("a", "b", "c"), "place": ("x", "y"), "tone": tuple("0123456789")}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(0, 9), st.integers(1, 7), st.integers(1, 7))
def test_values_come_in_the_proportion_of_their_weights(count, seed, first, second):
    rows = list(balance.rows(AXES, count, seed, {"pose": {"a": first, "b": second}}, ()))
    seen = Counter(row["pose"] for row in rows)
    whole = first + second + 1
    for at, weight in enumerate((first, second, 1)):
        assert abs(seen[at] - count * weight / whole) < 2
    assert max(Counter(row["place"] for row in rows).values()) <= (count + 1) // 2


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 130), st.integers(0, 9))
def test_every_cell_of_crossed_axes_comes_within_one_of_its_share(count, seed):
    rows = balance.rows(AXES, count, seed, {}, (("pose", "tone"),))
    cells = Counter((row["pose"], row["tone"]) for row in rows)
    numbers = [cells[pose, tone] for pose in range(3) for tone in range(10)]
    assert max(numbers) - min(numbers) <= 1


def test_crossed_cells_follow_the_weights_too() -> None:
    rows = list(balance.rows(AXES, 240, 0, {"place": {"x": 3}}, (("pose", "place"),)))
    cells = Counter((row["pose"], row["place"]) for row in rows)
    assert {cells[pose, 0] for pose in range(3)} == {60}
    assert {cells[pose, 1] for pose in range(3)} == {20}


def test_weights_and_crosses_are_read_from_the_command_line() -> None:
    assert balance.parse_weights(["place=street:3, beach:1", "tone=uniform"]) == {
        "place": {"street": 3, "beach": 1}, "tone": {}
    }  # fmt: skip
    assert balance.parse_cross(["pose,place", "tone, age"]) == (("pose", "place"), ("tone", "age"))
    for text in ("place", "place=street", "place=street:0", "place=street:x", "=a:1", "place=:3"):
        with pytest.raises(RequestError, match="place=street:3,beach:1"):
            balance.parse_weights([text])
    for texts in (["pose"], ["pose,place", "place,age"], ["pose,pose"]):
        with pytest.raises(RequestError, match="two or more axes"):
            balance.parse_cross(texts)


def test_unknown_names_are_offered_the_nearest_and_too_many_cells_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'pose'"):
        balance.check(AXES, {"poze": {}}, ())
    with pytest.raises(UnknownName, match="Known: x, y"):
        balance.check(AXES, {"place": {"q": 2}}, ())
    wide = {axis: tuple(str(number) for number in range(20)) for axis in "abc"}
    with pytest.raises(RequestError, match="8000 cells"):
        balance.check(wide, {}, (("a", "b", "c"),))


def test_the_half_width_is_that_of_wilson() -> None:
    assert round(balance.half_width(100), 4) == 0.0962  # from z = 1.96: 50 of 100 is 0.404 to 0.596
    assert balance.half_width(1) < 0.5


def test_a_dry_run_shows_weights_crosses_and_precision(synthgen: Callable, empty_folder: Path) -> None:
    code, out, _ = synthgen(
        "generate", "--count", 60, "--no-adapter", "--only", "place=beach,park", "--weight", "place=beach:3",
        "--cross", "place,view", "--dry-run",
    )  # fmt: skip
    assert code == 0
    assert "beach 45, park 15" in out
    assert "place=park (15) +-23" in out
    assert "beach x full 15" in out and "place x view=park x close (5)" in out
