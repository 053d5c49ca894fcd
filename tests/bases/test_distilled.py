"""Bases that were distilled to few steps draw, and are not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_bases
from toy_base import photos

from synthgen import bases


def altered(folder: Path, file: str, **values: Any) -> Path:
    told = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**told, **values}))
    return folder


def named(folder: Path, name: str) -> Path:
    return folder.rename(folder.with_name(name))


CASES = {
    "schnell by its transformer": ("flux", lambda f: altered(f, "transformer/config.json", guidance_embeds=False)),
    "klein by its index": ("flux2", lambda f: altered(f, "model_index.json", is_distilled=True)),
    "turbo by its name": ("sdxl", lambda f: named(f, "my-SDXL-Turbo")),
    "LCM by its network": ("sd15", lambda f: altered(f, "unet/config.json", time_cond_proj_dim=256)),
    "LCM by its scheduler": ("sd15", lambda f: altered(f, "model_index.json", scheduler=["diffusers", "LCMScheduler"])),
}


@pytest.mark.parametrize("case", CASES)
def test_a_distilled_base_is_refused_for_training_with_the_reason_and_what_to_train_on(
    case: str, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    family, distil = CASES[case]
    folder = distil(toy_bases.write(family, tmp_path / "toy"))
    told = synthgen(
        "train-product", "--images", photos(tmp_path / "shirts", 1), "--base", folder, "--out", tmp_path / "new"
    )
    assert told.code == 2 and not (tmp_path / "new").exists()
    assert "is distilled to few steps (" in told.err and "Train on " in told.err
    few, whole = (family_of.settings(one) for family_of, one in _both(folder))
    assert few["num_inference_steps"] <= 9 < whole["num_inference_steps"] and few["guidance_scale"] <= 1
    drawn = synthgen("generate", "--count", 2, "--base", folder, "--no-adapter", "--size", 64, "--dry-run")
    assert drawn.code == 0, drawn.err


def _both(folder: Path) -> list[tuple[Any, Any]]:
    """The base as it is, and as if it were not distilled."""
    family, identity = bases.find(str(folder))
    assert identity.distilled
    return [(family, identity), (family, replace(identity, distilled=""))]
