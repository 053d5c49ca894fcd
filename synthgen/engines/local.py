"""Draws jobs on this machine, in this process, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from synthgen.engines._drawer import Drawer, Work
from synthgen.errors import RequestError


@contextmanager
def start(work: Work, tolerance: int | None = None, address: str = "") -> Iterator[Drawer]:
    """An engine in this process, its base loaded. Raises RequestError where a cluster's address is given."""
    if address:
        raise RequestError(f"--address {address} names a cluster: say --engine ray too. Nothing was drawn.")
    yield Drawer(work, tolerance)
