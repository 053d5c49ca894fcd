"""The line that tells how far a long task is."""

from __future__ import annotations

import io

import pytest

from synthgen.progress import Progress, duration


class Watch:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(progress: Progress, watch: Watch, steps: int, each_s: float) -> None:
    for _ in range(steps):
        watch.now += each_s
        progress.step()


def test_time_left_follows_the_recent_rate_and_not_a_slow_start() -> None:
    watch, stream = Watch(), io.StringIO()
    progress = Progress(400, "generate tryon", "pictures", stream=stream, clock=watch)
    work(progress, watch, 1, 60.0)
    work(progress, watch, 199, 0.5)
    assert progress.line() == "generate tryon 200/400  2 pictures/s  1 min 40 s left"


def test_what_was_done_before_is_told_and_does_not_raise_the_rate() -> None:
    watch = Watch()
    progress = Progress(100, "generate", "pictures", already=60, stream=io.StringIO(), clock=watch)
    work(progress, watch, 10, 1.0)
    progress.step(0, "4 rejected (blank)")
    assert progress.line() == "generate 70/100  1 pictures/s  30 s left  60 already done  4 rejected (blank)"


def test_slow_work_is_told_in_seconds_for_each() -> None:
    watch = Watch()
    progress = Progress(10, "train", "epochs", stream=io.StringIO(), clock=watch)
    work(progress, watch, 2, 30.0)
    assert progress.line() == "train 2/10  30 s per epoch  4 min 00 s left"


def test_no_terminal_gets_ten_plain_lines_at_most() -> None:
    watch, stream = Watch(), io.StringIO()
    with Progress(1000, "train", "steps", stream=stream, clock=watch) as progress:
        work(progress, watch, 1000, 0.25)
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [f"{tenth}00/1000" for tenth in range(1, 11)]
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_a_quick_task_gives_one_plain_line() -> None:
    watch, stream = Watch(), io.StringIO()
    with Progress(20, "samples", "pictures", stream=stream, clock=watch) as progress:
        work(progress, watch, 20, 0.01)
    assert stream.getvalue() == "samples 20/20  100 pictures/s\n"


def test_a_terminal_gets_one_line_that_is_drawn_again_and_ended_once() -> None:
    watch, stream = Watch(), Terminal()
    with Progress(30, "samples", "pictures", stream=stream, clock=watch) as progress:
        work(progress, watch, 30, 0.05)
    progress.close()
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    assert 10 <= text.count("\r") <= 17  # ten a second over 1.5 s, the last state twice
    assert "30/30" in text.rsplit("\r", 1)[1]


def test_nothing_done_leaves_no_line() -> None:
    stream = Terminal()
    with Progress(5, "generate", "pictures", already=5, stream=stream):
        pass
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (59.4, "59 s"), (88, "1 min 28 s"), (7500, "2 h 05 min"), (-3, "0 s")]
)
def test_durations_read_as_a_person_says_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
