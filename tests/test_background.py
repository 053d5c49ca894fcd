"""Work beside the models: in order, complete, and none after a piece that failed."""

from __future__ import annotations

import threading
import time

import pytest

from synthgen.background import Background


def test_pieces_are_done_in_order_beside_the_caller_and_all_of_them_at_the_end() -> None:
    done: list[tuple[int, bool]] = []

    def piece(number: int) -> None:
        time.sleep(0.002)
        done.append((number, threading.current_thread() is threading.main_thread()))

    with Background() as aside:
        for start in (0, 3):
            aside.do([lambda number=number: piece(number) for number in range(start, start + 3)])  # type: ignore[misc]
    assert done == [(number, False) for number in range(6)]


def test_after_a_piece_that_failed_none_is_begun_and_its_error_is_told() -> None:
    done = []

    def fail() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), Background() as aside:
        aside.do([lambda: done.append(1), fail, lambda: done.append(3)])
        aside.do([lambda: done.append(4)])
    assert done == [1]


def test_an_error_drops_what_has_not_begun_and_waits_for_what_has() -> None:
    done, begun, may_end = [], threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        may_end.wait(5)
        done.append("slow")

    with pytest.raises(KeyboardInterrupt), Background() as aside:
        aside.do([slow, lambda: done.append("next")])
        begun.wait(5)
        threading.Timer(0.05, may_end.set).start()
        raise KeyboardInterrupt
    assert done == ["slow"]
