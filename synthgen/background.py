"""Work that goes on beside the models: one thread, one piece after the other, never more than a batch behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from synthgen import interrupt


class Background:
    """Pieces of work in the order in which they were given. Use it as a context manager.

    Leaving it waits for all of them; leaving it with an error drops those that have not begun. After a piece that
    fails none is begun, and its error is raised by the next call.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "synthgen-background", initializer=_on_one_core)
        self._waiting: list[Future[None]] = []
        self._failed = False

    def do(self, pieces: Sequence[Callable[[], None]]) -> None:
        """Begin these once those before are done."""
        self.wait()
        self._waiting = [self._pool.submit(self._done, piece) for piece in pieces]

    def wait(self) -> None:
        """Until everything is done."""
        waiting, self._waiting = self._waiting, []
        for piece in waiting:
            piece.result()

    def _done(self, piece: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            piece()
        except BaseException:
            self._failed = True
            raise

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            with interrupt.held():  # what is being written is written before the run lets its folder go
                self._pool.shutdown(wait=True, cancel_futures=True)


def _on_one_core() -> None:
    """The judge's figures must not depend on how many threads the models have, and should leave the cores to them."""
    import torch

    torch.set_num_threads(1)
