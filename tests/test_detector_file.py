"""Another program's weights are opened only where the user has said which file is meant."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch

from synthgen import detector_file
from synthgen.errors import RequestError

NAME = "body_pose_model.pth"


@pytest.fixture
def weights(own_home: Path) -> Path:
    place = own_home / detector_file.FOLDER
    place.mkdir()
    torch.save({"conv1.weight": torch.ones(2, 2)}, place / NAME)
    return place / NAME


def pin(home: Path, sha256: str) -> None:
    (home / detector_file.PINS).write_text(f"\"{NAME}\" = '{sha256}'\n")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_unpinned_file_is_refused_with_the_line_that_pins_it(weights: Path, own_home: Path) -> None:
    with pytest.raises(RequestError, match=digest(weights)):
        detector_file.trusted(NAME, "poses")
    pin(own_home, digest(weights))
    assert detector_file.trusted(NAME, "poses") == weights


def test_another_file_than_the_pinned_one_is_refused(weights: Path, own_home: Path) -> None:
    pin(own_home, digest(weights))
    torch.save({"conv1.weight": torch.zeros(2, 2)}, weights)
    with pytest.raises(RequestError, match="pins"):
        detector_file.trusted(NAME, "poses")


class Trap:
    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["SYNTHGEN_HOME"] + "/sprung",)


def test_a_pinned_pickle_with_code_in_it_is_refused_and_its_code_not_run(weights: Path, own_home: Path) -> None:
    torch.save({"conv1.weight": Trap()}, weights)
    pin(own_home, digest(weights))
    with pytest.raises(RequestError, match="not run"):
        detector_file.trusted(NAME, "poses")
    assert not (own_home / "sprung").exists()
