"""Single files as the web UIs have them, for the families that have them: drawn, trained on, and refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import first_files
import numpy as np
import pytest
import toy_bases
from toy_base import OWN, photos

from synthgen import adapters, bases, generate, train
from synthgen.errors import RequestError
from synthgen.types import Job

JOB = Job("0" * 16, 0, "a photo of a sks shirt", "", 5, {})


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A toy as a folder and as one file with its settings beside it."""
    place = tmp_path_factory.mktemp("single")
    folder = toy_bases.write(request.param, place / f"toy-{request.param}")
    return folder, first_files.write(folder, place / "models" / "mine.safetensors", double=request.param == "sdxl")


def drawn(name: Path) -> np.ndarray:
    family, identity = bases.find(str(name))
    base = family.load(identity, "cpu")
    settings = {**base.settings, "num_inference_steps": 2, "controlnet_conditioning_scale": 1.0, "threads": 1}
    return np.asarray(base.render([JOB], [None], settings)[0].pixels)


def test_a_file_draws_what_its_folder_draws_and_has_its_places(file: tuple[Path, Path]) -> None:
    folder, single = file
    (family, whole), (other, one) = bases.find(str(folder)), bases.find(str(single))
    assert family is other and (one.id, one.license) == ("mine", "unknown")
    assert family.places(whole) == family.places(one)
    assert np.abs(drawn(folder).astype(int) - drawn(single)).max() <= 1


def test_a_file_can_be_trained_on_and_its_adapter_draws(file: tuple[Path, Path], tmp_path: Path) -> None:
    _, single = file
    quick = pytest.MonkeyPatch()
    family = bases.find(str(single))[0]
    quick.setattr(type(family), "SETTINGS", {**family.SETTINGS, "num_inference_steps": 2, "batch": 8})
    asked = train.TrainRequest(
        photos(tmp_path / "shirts", 3), base=str(single), steps=3, batch=3, learning_rate=3.0, rights=OWN,
        out=tmp_path / "shirts-adapter",
    )  # fmt: skip
    adapter = train.fit(asked)
    assert "mine.safetensors" in adapters.load_card(adapter).base_files
    result = generate.run(
        generate.GenerateRequest(count=1, base=str(single), adapters=(str(adapter),), out=tmp_path / "run")
    )
    quick.undo()
    assert result.made == 1


def test_a_file_without_settings_a_pickle_and_a_stranger_are_refused_by_name(
    file: tuple[Path, Path], tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    _, single = file
    lone = tmp_path / "lone.safetensors"
    lone.write_bytes(single.read_bytes())
    with pytest.raises(RequestError, match=r"taken from lone/ beside it.*synthgen bases pull sd"):
        bases.find(str(lone))
    (tmp_path / "old.ckpt").write_bytes(b"x")
    told = synthgen("generate", "--count", 1, "--no-adapter", "--base", tmp_path / "old.ckpt")
    assert told.code == 2 and "is a pickle" in told.err
    with pytest.raises(RequestError, match="no single-file base that is known"):
        bases.find(
            str(next((single.parent.parent / f"toy-{bases.find(str(single))[0].name}").rglob("unet/*.safetensors")))
        )
