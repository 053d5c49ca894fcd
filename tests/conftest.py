"""What every test stands on: one thread, no network, a home of its own."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch or numpy: two cores, and more threads only get in each other's way
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import pytest


def pytest_report_header() -> str:
    told = []
    for name in ("torch", "diffusers", "peft", "transformers", "numpy", "pillow", "albumentations", "click"):
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"{name} absent")
    return "with " + ", ".join(told)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh SYNTHGEN_HOME, so that no test reads or writes the home of who runs it."""
    home = tmp_path_factory.mktemp("synthgen-home")
    monkeypatch.setenv("SYNTHGEN_HOME", str(home))
    return home


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a user who has nothing yet."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Outcome(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def synthgen(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command as the shell would, in this process: synthgen("list", "pipelines")."""
    from synthgen.cli import run

    def call(*arguments: object) -> Outcome:
        code = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base at toy size."""
    from toy_base import write_toy_base

    return write_toy_base(tmp_path_factory.mktemp("bases") / "toy")


@pytest.fixture(scope="session")
def other_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base at toy size."""
    from toy_base import write_toy_base

    return write_toy_base(tmp_path_factory.mktemp("bases") / "other", width=16, seed=1)


@pytest.fixture(scope="session")
def trained(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter trained on six photos with the toy base, alpha half its rank."""
    from toy_base import OWN, photos

    from synthgen import train

    place = tmp_path_factory.mktemp("trained")
    request = train.TrainRequest(
        photos(place / "shirts", 6), base=str(toy), steps=45, batch=4, rank=8, alpha=4.0, out=place / "shirts-adapter",
        rights=OWN, learning_rate=5e-3,
    )  # fmt: skip
    return train.fit(request)


@pytest.fixture(scope="session")
def two_runs(toy: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two finished runs, of a shirt and of a dress, 24 pictures each, whose adapters are gone."""
    from toy_base import two_finished_runs

    return two_finished_runs(toy, trained, tmp_path_factory.mktemp("runs"))
