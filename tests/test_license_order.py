"""Licences are asked before weights are opened, of all that a thing was made from, and of making it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_base import OWN, photos

from synthgen import adapter_choice, adapters, generate, train
from synthgen.errors import Refused, UnfitAdapter

NO_DERIVATIVES = "LicenseRef-civitai-Image-NoDerivatives-AnyLicense-NoCredit"


@pytest.fixture
def adapter(trained: Path, tmp_path: Path) -> Path:
    """A copy of a trained adapter whose weights are no weights any more."""
    folder = tmp_path / "adapters" / "shirts"
    folder.mkdir(parents=True)
    for name in ("card.toml", adapters.WEIGHTS):
        (folder / name).write_bytes((trained / name).read_bytes() if name == "card.toml" else b"\x80\x04 a pickle")
    return folder


def test_a_licence_says_no_before_an_adapter_is_opened(adapter: Path, toy: Path, tmp_path: Path) -> None:
    asked = generate.GenerateRequest(1, base=str(toy), adapters=(str(adapter),), use="commercial", out=tmp_path / "run")
    with pytest.raises(Refused, match="unknown"):
        generate.run(asked)
    with pytest.raises(UnfitAdapter, match="pickle"):
        generate.run(replace(asked, use="internal"))
    assert not (tmp_path / "run").exists()


def test_the_weights_that_an_adapter_was_trained_on_count_wherever_it_draws(
    trained: Path, empty_folder: Path, synthgen: Callable[..., Any]
) -> None:
    card = replace(adapters.load_card(trained), base="sdxl-turbo", base_sha256="ab" * 32)
    beside = adapter_choice.asset(card, "sdxl").trained_on[0]
    assert beside.license.startswith("LicenseRef-synthgen-sai-nc") and beside.sha256 == "ab" * 32
    assert adapter_choice.asset(card, "sdxl-turbo") == adapters.asset(card)  # the base is asked itself
    assert adapter_choice.asset(replace(card, base="somebody/elses")).trained_on[0].license == "unknown"
    told = synthgen("licenses", "check", "--adapter", trained, "--use", "commercial")
    assert told.code == 3 and "> base 'toy'" in told.out


def test_nothing_is_trained_on_what_may_not_be_derived_from(toy: Path, tmp_path: Path) -> None:
    request = train.TrainRequest(photos(tmp_path / "shirts", 3), base=str(toy), steps=2, out=tmp_path / "a")
    with pytest.raises(Refused, match="derive_adapter -> deny"):
        train.fit(replace(request, rights=replace(OWN, license=NO_DERIVATIVES)))
    assert not (tmp_path / "a").exists()
