"""Ctrl-C that is not lost: one that arrives inside a callback of a library is only printed there, so it is kept too."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """Remembers a SIGINT beside what the present handler does with it; `check` raises what did not come through.

    Does nothing outside the main thread, or where SIGINT is ignored.
    """

    def __init__(self) -> None:
        self.came = False
        self._before: Any = None

    def watch(self) -> None:
        """Begin to listen."""
        present = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(present):
            self._before = present
            signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        self._before(number, frame)

    def check(self) -> None:
        """Raises KeyboardInterrupt where one came and the work went on nevertheless."""
        if self.came:
            self.came = False
            raise KeyboardInterrupt

    def leave(self) -> None:
        """Stop listening; the handler of before is back."""
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._before)
        self._before = None
