"""A Ctrl-C that a library's callback swallows stops the work at its next step."""

from __future__ import annotations

import contextlib
import io
import os
import signal

import pytest

from synthgen.progress import Progress


def swallowed() -> None:
    with contextlib.suppress(KeyboardInterrupt):  # as ctypes does with what a callback raises
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass


def test_a_swallowed_interrupt_comes_at_the_next_step() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = 0
        with pytest.raises(KeyboardInterrupt), Progress(3, "make", "pictures", stream=io.StringIO()) as progress:
            for number in range(3):
                if number == 1:
                    swallowed()
                progress.step()
                done += 1
        assert (done, progress.done) == (1, 2)  # what was finished is counted
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_where_interrupts_are_ignored_they_stay_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Progress(1, "make", "pictures", stream=io.StringIO()) as progress:
            os.kill(os.getpid(), signal.SIGINT)
            progress.step()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
