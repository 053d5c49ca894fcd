"""What a training begins with follows from the base and the size of the set, as trials have found it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from synthgen import bases, presets, resources, training_request
from synthgen.presets import Preset
from synthgen.training_request import TrainRequest

TABLE = """
[[mini]]
photos = 20
rank = 8
alpha = 4.0
learning_rate = 0.002
steps_share = 0.5
[[mini]]
photos = 5
source = "the family's own"
"""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "_table", lambda: tomllib.loads(TABLE))


def test_the_row_of_the_smallest_size_that_holds_the_set_counts(table: None) -> None:
    own = Preset(16, 16.0, 1e-3, 100)
    assert presets.of("mini", 3, own) == own == presets.of("sdxl", 12, own) == presets.of("mini", 21, own)
    assert presets.of("mini", 6, own) == presets.of("mini", 20, own) == Preset(8, 4.0, 2e-3, 50)


def test_what_is_stated_comes_before_the_preset_and_its_alpha_goes_with_its_rank(table: None) -> None:
    family = bases.family("mini")
    asked = TrainRequest(Path("x"))
    found = training_request.settings(asked, family, 12)
    assert (found.rank, found.alpha, found.learning_rate) == (8, 4.0, 2e-3)
    assert found.steps == round(family.steps(12) / 2)
    stated = training_request.settings(replace(asked, rank=32, steps=7), family, 12)
    assert (stated.rank, stated.alpha, stated.steps) == (32, 32.0, 7)
    preset = training_request.preset_of(family, 12)
    filled = training_request.filled(asked, preset)
    assert (filled.rank, filled.alpha) == (8, 4.0)
    assert training_request.filled(replace(asked, method="oft"), preset).alpha == 8.0


def test_the_shipped_rows_are_whole_and_no_further_from_the_family_than_trials_reach() -> None:
    for family, rows in tomllib.loads(resources.presets().read_text(encoding="utf-8")).items():
        own = bases.family(family)
        assert [row["photos"] for row in rows] == sorted({row["photos"] for row in rows})
        for row in rows:
            assert row["source"]
            found = training_request.preset_of(own, row["photos"])
            assert own.LEARNING_RATE / 16 <= found.learning_rate <= 16 * own.LEARNING_RATE
            assert 1 <= found.rank <= 64 and 0.5 <= found.alpha / found.rank <= 2 and found.steps > 0


def test_families_begin_as_their_practitioners_do() -> None:
    """Ranks and rates by family as the common trainers and diffusers' pages have them."""
    told = {
        name: (bases.family(name).RANK, bases.family(name).LEARNING_RATE) for name in ("sd15", "sdxl", "sd3", "flux")
    }
    assert told == {"sd15": (16, 1e-4), "sdxl": (32, 1e-4), "sd3": (16, 1e-4), "flux": (16, 1e-4)}
    assert (bases.family("qwen_image").LEARNING_RATE, bases.family("flux2").RANK) == (5e-5, 32)
