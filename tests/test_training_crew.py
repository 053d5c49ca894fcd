"""Several processes train one adapter together, through `accelerate launch`; what is logged is what happened."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from toy_base import OWN, interrupted_once, photos

from synthgen import adapters, precision, train, training_logs
from synthgen.errors import RequestError, UnknownName

STEPS, BATCH = 40, 5  # 3 rows of the product and 2 of the class: two processes have unequal shares


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def launched(*arguments: object, precision_of_launch: str = "no") -> subprocess.CompletedProcess[str]:
    """`accelerate launch` with two processes on the CPU."""
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", precision_of_launch, "--dynamo_backend", "no", "--main_process_port", str(free_port()),
        "-m", "synthgen", *(str(one) for one in arguments),
    ]  # fmt: skip
    place = os.pathsep.join([str(Path(train.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": place, "OMP_NUM_THREADS": "1"}
    )


def options(shirts: Path, toy: Path, out: Path) -> list[object]:
    return [
        "train-product", "--images", shirts, "--base", toy, "--batch-size", BATCH, "--steps", STEPS, "--rank", 4,
        "--learning-rate", 5e-3, "--samples", 0, "--owner", "Acme", "--license", "LicenseRef-own", "--source", "studio",
        "--out", out, "--device", "cpu",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def alone(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> train.TrainRequest:
    """A training by one process, done."""
    place = tmp_path_factory.mktemp("alone")
    request = train.TrainRequest(
        photos(place / "shirts", 6), base=str(toy), batch=BATCH, steps=STEPS, rank=4, learning_rate=5e-3, samples=0,
        rights=OWN, out=place / "alone", device="cpu",
    )  # fmt: skip
    train.fit(request)
    return request


def nearly_the_same(one: Path, other: Path) -> bool:
    """Whether two adapters have the same weights but for last bits."""
    ours, theirs = (load_file(folder / "adapter.safetensors") for folder in (one, other))
    reach = max(float(value.abs().max()) for value in ours.values())
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 0.02 * reach


def test_two_processes_train_the_adapter_that_one_trains(alone: train.TrainRequest, toy: Path, tmp_path: Path) -> None:
    assert alone.out is not None
    done = launched(*options(alone.images, toy, tmp_path / "crew"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [str(tmp_path / "crew")]
    assert done.stderr.count("photos to learn from") == 1
    cards = [adapters.load_card(folder) for folder in (alone.out, tmp_path / "crew")]
    assert cards[0].training["digest"] == cards[1].training["digest"]
    assert cards[0].losses["best_validation"] == pytest.approx(cards[1].losses["best_validation"], rel=1e-3)
    assert nearly_the_same(alone.out, tmp_path / "crew")


@pytest.mark.slow
def test_two_processes_go_on_with_what_one_began(alone: train.TrainRequest, toy: Path, tmp_path: Path) -> None:
    assert alone.out is not None
    state = tmp_path / "parts" / "private" / "checkpoint" / "state.json"
    with interrupted_once(lambda: state.is_file() and json.loads(state.read_text())["step"] == 20):
        train.fit(replace(alone, out=tmp_path / "parts"))
    done = launched(*options(alone.images, toy, tmp_path / "parts"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert nearly_the_same(alone.out, tmp_path / "parts")
    again = launched(*options(alone.images, toy, tmp_path / "parts"))
    assert again.returncode == 0 and again.stderr.count("is already trained on these photos") == 1


def test_settings_are_not_searched_by_several_processes(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    request = train.TrainRequest(photos(tmp_path / "shirts", 1), base=str(toy), auto=train.Budget(1, 1))
    for ask in (train.fit, train.tune):
        with pytest.raises(RequestError, match="is for one process, and 2 were started"):
            ask(request)


def test_precision_is_as_stated_or_as_the_launch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert (precision.wanted("auto"), precision.wanted("bf16")) == ("auto", "bf16")
    with precision.autocast("cpu", "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16
    with precision.autocast("cpu", "no"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32
    with pytest.raises(UnknownName, match="did you mean 'bf16'"):
        precision.wanted("bf61")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert (precision.wanted("auto"), precision.wanted("no")) == ("bf16", "no")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(RequestError, match="Say --mixed-precision bf16"):
        precision.wanted("auto")


def events(folder: Path) -> list[tuple[str, int, float]]:
    """(tag, step, value) of every scalar in a folder's event files; a record is length, checksum, data, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        raw = path.read_bytes()
        while raw:
            (length,) = struct.unpack("<Q", raw[:8])
            event = Event.FromString(raw[12 : 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            raw = raw[16 + length :]
    return found


def test_tensorboard_is_told_every_step_and_check_and_nothing_of_the_photos(toy: Path, tmp_path: Path) -> None:
    shirts = photos(tmp_path / "secret-shirts", 5)
    folder = train.fit(
        train.TrainRequest(
            shirts, base=str(toy), batch=4, steps=20, rank=4, learning_rate=0.02, samples=0, rights=OWN,
            out=tmp_path / "it", log=("tensorboard",),
        )
    )  # fmt: skip
    losses = adapters.load_card(folder).losses
    place = folder / training_logs.PLACE / "it"
    told = events(place)
    assert [step for tag, step, _ in told if tag == "train/loss"] == list(range(1, 21))
    held = {step: value for tag, step, value in told if tag == "check/held_out"}
    assert held == {20: pytest.approx(losses["validation"][-1][1])}
    rates = [value for tag, _, value in told if tag == "train/rate"]
    assert max(rates) == pytest.approx(0.02) and rates[-1] < rates[10]
    assert not any(b"secret" in path.read_bytes() for path in place.rglob("*") if path.is_file())


def test_a_tracker_that_is_not_there_is_a_wrong_request(toy: Path, tmp_path: Path) -> None:
    request: dict[str, Any] = {"images": photos(tmp_path / "shirts", 1), "base": str(toy), "out": tmp_path / "out"}
    with pytest.raises(UnknownName, match="did you mean 'tensorboard'"):
        train.fit(train.TrainRequest(**request, log=("tensorbord",)))
    with pytest.raises(RequestError, match="pip install swanlab"):
        train.fit(train.TrainRequest(**request, log=("swanlab",)))
    assert not (tmp_path / "out").exists()
