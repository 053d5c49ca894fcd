"""A process that draws on one device: asked one question after another, it answers through a pipe."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import signal
from multiprocessing.connection import Connection
from typing import Any

from synthgen.engines._drawer import Drawer, Work
from synthgen.errors import SynthgenError


class Ended(Exception):
    """The process died over a question."""


class Process:
    """One process with its base: started when it is first asked, and anew after it died."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._running: Any = None
        self._line: Connection | None = None

    def ask(self, what: str, *told: Any) -> Any:
        """What its `Drawer` answers, see `_answer`; what that raises is raised here. Raises Ended where it dies."""
        line = self._line or self._started()
        try:
            line.send((what, told))
            good, answer = line.recv()
        except (OSError, EOFError):
            self.end()
            raise Ended from None
        if not good:
            raise answer
        return answer

    def kill(self) -> None:
        """Whatever it does; who waits for its answer is told that it ended."""
        if self._running:
            self._running.kill()

    def end(self) -> None:
        """The same, and let it go."""
        if self._running and self._line:
            self._running.kill()
            self._running.join()
            self._line.close()
            self._running = self._line = None

    def _started(self) -> Connection:
        fresh = multiprocessing.get_context("spawn")  # a fork would share threads and a device that cannot be shared
        self._line, theirs = fresh.Pipe()
        name = f"synthgen on {self._work.device}"
        self._running = fresh.Process(target=_answers, args=(self._work, theirs), name=name, daemon=True)
        self._running.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return self._line


def _answers(work: Work, line: Connection) -> None:
    """In the process: until nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started it decides
    drawer: Drawer | None = None
    while True:
        try:
            what, told = line.recv()
        except (OSError, EOFError):
            return
        try:
            drawer = drawer or Drawer(work)
            said: tuple[bool, Any] = True, _answer(drawer, what, told)
        except Exception as error:
            said = False, _sendable(error)
        try:
            line.send(said)
        except OSError:
            return


def _answer(drawer: Drawer, what: str, told: Any) -> Any:
    uses, *rest = told
    drawer.attach(uses)
    if what == "redraw":
        return drawer.redraw(*rest)
    drawer.tolerance, batch, wanted = rest
    return drawer.batch(batch, wanted), drawer.tolerance


def _sendable(error: Exception) -> Exception:
    """The error, if it can be made again on the other side; else one that says the same."""
    try:
        pickle.dumps(copy.copy(error))
    except Exception:  # whatever its class asks for
        return SynthgenError(str(error))
    return error
