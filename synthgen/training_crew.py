"""The processes that train one adapter together, as `accelerate launch` starts them: one for each GPU, or several CPUs.

Each takes its share of every batch; all step by the mean of their gradients. So what is learned does not depend on how
many there are, but for the last bits, and a training that ran on two may be gone on with by one. The first of them is
`main`: it alone says, draws and writes.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthgen.errors import RequestError


class Crew:
    """One process alone."""

    size = 1
    rank = 0

    @property
    def main(self) -> bool:
        """Whether this process says, draws and writes."""
        return self.rank == 0

    def mine(self, count: int) -> list[int]:
        """Of so many rows, those that this process takes."""
        return list(range(self.rank, count, self.size))

    def mean(self, parameters: Mapping[str, Any], loss: Any) -> float:
        """Make every gradient the mean over the processes; the mean of their losses comes back."""
        return float(loss.item())

    def gathered(self, values: Sequence[float], count: int) -> list[float]:
        """All rows in their order, of which each process has `mine`."""
        return list(values)

    def agreed(self, value: Any) -> Any:
        """What the first process says; the others' values do not count."""
        return value

    def same(self, parameters: Mapping[str, Any]) -> None:
        """Give every process the first one's values."""

    def wait(self) -> None:
        """Until all have come here."""

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """The others say nothing: they would say the same."""
        if self.main:
            yield
        else:
            with contextlib.redirect_stderr(io.StringIO()):
                yield


class Launched(Crew):
    """One of several processes."""

    def __init__(self, device: str) -> None:
        from accelerate import Accelerator

        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no")  # precision is chosen by the base
        self.size, self.rank = self.accelerator.num_processes, self.accelerator.process_index

    def mean(self, parameters: Mapping[str, Any], loss: Any) -> float:
        import torch

        grown = [torch.zeros_like(value) if value.grad is None else value.grad for value in parameters.values()]
        flat = torch.cat([*(one.flatten() for one in grown), loss.detach().float().reshape(1)])
        flat = self.accelerator.reduce(flat, reduction="mean")
        start = 0
        for value in parameters.values():
            value.grad = flat[start : start + value.numel()].reshape(value.shape)
            start += value.numel()
        return float(flat[-1].item())

    def gathered(self, values: Sequence[float], count: int) -> list[float]:
        from accelerate.utils import gather_object

        rows = gather_object(list(zip(self.mine(count), values, strict=True)))
        return [value for _, value in sorted(rows)]

    def agreed(self, value: Any) -> Any:
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def same(self, parameters: Mapping[str, Any]) -> None:
        from accelerate.utils import broadcast

        for value in parameters.values():
            value.data.copy_(broadcast(value.data))

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()


def launched() -> int:
    """How many processes were started together, 1 where this one was started alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that says, draws and writes."""
    return int(os.environ.get("RANK", "0")) == 0


def present(device: str = "") -> Crew:
    """The crew that this process belongs to."""
    if launched() == 1:
        return Crew()
    from synthgen.bases._device import device_of

    return Launched(device_of(device).partition(":")[0])


def require_alone(what: str) -> None:
    """Raises RequestError where several processes were started."""
    if launched() > 1:
        raise RequestError(
            f"{what} is for one process, and {launched()} were started. Find the settings with `synthgen tune` in one; "
            "then train with them in several. Nothing was trained."
        )
