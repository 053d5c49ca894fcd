"""How far a long task is: one line on stderr with units and an honest time left."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

RECENT_S = 30.0  # the rate is that of the last half minute: a slow start must not spoil the time left
REDRAW_S = 0.1
PLAIN_STEPS = 10  # plain lines in all where the output is no terminal,
PLAIN_S = 1.0  # and none sooner than this after the last, so that a quick task gives one line


class Progress:
    """Progress of `total` units of work, of which `already` were done before this run.

    On a terminal one line is drawn again and again; elsewhere a plain line comes about every 10 %.

        with Progress(500, "generate shirts", "pictures", already=12) as progress:
            progress.step()              # one more is done
            progress.step(8, "2 rejected (blank)")   # eight more; the note stays until another comes

    `clock` gives seconds and never goes back. Nothing is written to stdout, ever.
    """

    def __init__(
        self,
        total: int,
        what: str,
        unit: str,
        *,
        already: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.what, self.unit, self.already = total, what, unit, already
        self.done = already
        self.note = ""
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._live = self._stream.isatty()
        self._marks: deque[tuple[float, int]] = deque([(clock(), already)])
        self._drawn_at = clock()
        self._drawn = already  # `done` as last shown
        self._closed = False

    def step(self, n: int = 1, note: str = "") -> None:
        """Counts n more units as done (n = 0 changes only the note)."""
        self.done += n
        self.note = note or self.note
        now = self._clock()
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[1][0] > RECENT_S:
            self._marks.popleft()
        last = self.done >= self.total
        if self._live:
            if last or now - self._drawn_at >= REDRAW_S:
                self._draw(now)
        elif self._tenth(self.done) > self._tenth(self._drawn) and (last or now - self._drawn_at >= PLAIN_S):
            self._draw(now)

    def close(self) -> None:
        """Leaves the last state on the screen and ends its line. More calls do nothing."""
        if self._closed:
            return
        self._closed = True
        if self._live and self.done > self.already:
            self._draw(self._clock())
            self._stream.write("\n")
            self._stream.flush()

    def line(self) -> str:
        """The line as it stands, without the codes that a terminal needs."""
        parts = [f"{self.what} {self.done}/{self.total}"]
        rate = self._rate()
        if rate:
            parts.append(_rate_text(rate, self.unit))
            if self.done < self.total:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        if self.already:
            parts.append(f"{self.already} already done")
        if self.note:
            parts.append(self.note)
        return "  ".join(parts)

    def _rate(self) -> float:
        """Units per second over the recent past; 0 while there is nothing to tell it from."""
        (start, before), (now, after) = self._marks[0], self._marks[-1]
        return (after - before) / (now - start) if now > start else 0.0

    def _tenth(self, done: int) -> int:
        return min(PLAIN_STEPS, done * PLAIN_STEPS // self.total) if self.total > 0 else PLAIN_STEPS

    def _draw(self, now: float) -> None:
        self._drawn, self._drawn_at = self.done, now
        if self._live:
            width = shutil.get_terminal_size().columns
            self._stream.write("\r" + self.line()[: width - 1] + "\x1b[K")
        else:
            self._stream.write(self.line() + "\n")
        self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _rate_text(rate: float, unit: str) -> str:
    """Slow work reads better as seconds per unit than as 0.02 units per second."""
    if rate >= 0.1:
        return f"{rate:.3g} {unit}/s" if rate < 1000 else f"{rate:.0f} {unit}/s"
    return f"{1 / rate:.3g} s per {unit.removesuffix('s')}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "9 s", "1 min 28 s", "2 h 05 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
