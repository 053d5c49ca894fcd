"""Several devices draw what one draws, though a process dies; a device that fails ends the run and loses nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_base import SIZE_PX

from synthgen import generate, store
from synthgen.engines import _loss
from synthgen.errors import RequestError, SynthgenError
from synthgen.ledger import Ledger

COUNT = 16


def asked(toy: Path, out: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": COUNT, "base": str(toy), "no_adapter": True, "size": SIZE_PX, "steps": 1, "batch": 2, "threads": 1,
           "device": "cpu", "out": out, **more}
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that one device drew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHGEN_HOME", str(tmp_path_factory.mktemp("home")))
        return Path(generate.run(asked(toy, tmp_path_factory.mktemp("whole") / "run")).folder)


def drawing() -> list[int]:
    """The processes that draw for this one."""
    found = [process for process in multiprocessing.active_children() if process.name.startswith("synthgen on ")]
    return sorted(process.pid for process in found if process.pid)


def test_two_devices_draw_what_one_draws_though_a_process_is_killed(toy: Path, whole: Path, tmp_path: Path) -> None:
    folder, seen = tmp_path / "run", set()

    def kill() -> None:
        ledger, until = folder / store.RECORDS, time.monotonic() + 240
        while time.monotonic() < until and not (ledger.is_file() and ledger.read_bytes().count(b"\n") >= 3):
            time.sleep(0.01)
        seen.update(drawing())
        os.kill(max(seen), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result = generate.run(asked(toy, folder, device="cpu,cpu"))
    killer.join()
    assert result.made == COUNT and len(seen) == 2 and drawing() == []
    here, there = (Ledger(run / store.RECORDS) for run in (whole, folder))
    assert [line["lineage"] for line in here.read()[0]] == [line["lineage"] for line in there.read()[0]]
    assert there.broken() == "" and len({line["job_id"] for line in there.read()[0]}) == COUNT
    assert (whole / store.TABLE).read_bytes() == (folder / store.TABLE).read_bytes()


def test_devices_that_are_not_here_or_of_several_kinds_are_refused(toy: Path, tmp_path: Path) -> None:
    from synthgen.engines import Work, local

    with pytest.raises(RequestError, match="'gpu' is not on this machine"):
        generate.run(asked(toy, tmp_path / "run", device="cpu,gpu"))
    with pytest.raises(RequestError, match="several kinds"), local.start(Work(None, None, "cpu,cuda:0", {}, None)):  # type: ignore[arg-type]
        pass


@contextlib.contextmanager
def failing_device(call: int) -> Iterator[None]:
    """The device is lost at the so-manyeth call of a UNet: torch's own error, from within the model."""
    import torch
    from diffusers import UNet2DConditionModel

    left = [call]

    def lose(module: Any, given: Any) -> None:
        if isinstance(module, UNet2DConditionModel):
            left[0] -= 1
            if left[0] < 0:
                raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be ...")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(lose)
    try:
        yield
    finally:
        hook.remove()


def test_a_device_that_fails_ends_the_run_with_one_error_and_the_same_command_makes_the_rest(
    toy: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    said = r"device cpu failed in the middle of the run \(CUDA error: unspecified launch failure\)\. What is finished"
    with failing_device(5), pytest.raises(SynthgenError, match=said):
        generate.run(asked(toy, folder))
    kept = store.read(folder)
    assert 2 <= len(kept) < COUNT and not (folder / ".lock").exists()
    result = generate.run(asked(toy, folder))
    assert (result.already, result.made) == (len(kept), COUNT - len(kept))
    assert [line["lineage"] for line in store.read(folder)] == [line["lineage"] for line in store.read(whole)]


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: out of memory"), False),  # halves the batch
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (MemoryError(), False),
    ],
)
def test_a_lost_device_is_told_from_too_little_memory_and_from_faults(error: Exception, lost: bool) -> None:
    assert _loss.is_lost(error) is lost
