"""Ctrl-C that waits until a library is done: raised inside a callback from foreign code it would only be printed.

There it would be lost, and the library would go on with whatever the callback had not delivered.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held() -> Iterator[None]:
    """Hold a SIGINT back while this lasts, then hand it to the handler of before; for a few milliseconds at most.

    Changes nothing outside the main thread, which alone gets signals, or where SIGINT is ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            before(signal.SIGINT, came[0])
