"""A Ctrl-C that comes while a library works is neither lost nor early."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from synthgen import interrupt


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins deaf to it
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass


def test_it_comes_when_the_library_is_done() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupt.held():
        press()
        done.append("all of it")
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_comes_though_the_library_fails() -> None:
    with pytest.raises(KeyboardInterrupt) as raised, interrupt.held():
        press()
        raise ValueError("broken")
    assert isinstance(raised.value.__context__, ValueError)
    with pytest.raises(ValueError, match="broken"), interrupt.held():
        raise ValueError("broken")


def test_where_it_is_ignored_it_stays_so_and_other_threads_are_left_alone() -> None:
    def elsewhere() -> None:
        with interrupt.held():
            seen.append(signal.getsignal(signal.SIGINT))

    seen: list[object] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupt.held():
        press()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
