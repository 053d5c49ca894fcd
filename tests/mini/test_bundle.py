"""The shipped weights: small, complete, and at home in unmodified diffusers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from synthgen import resources
from synthgen.bases import mini

WEIGHTS = resources.mini_weights()


def test_base_and_pose_controlnet_take_at_most_40_mb() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 40_000_000


def test_only_safetensors_and_plain_text_are_shipped() -> None:
    kinds = {path.suffix for path in WEIGHTS.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".txt", ".md"}


def test_the_model_card_says_how_it_was_trained_and_under_which_licence() -> None:
    card = (WEIGHTS / "README.md").read_text()
    for word in ("Apache-2.0", "python -m synthgen.mini", "renders", "No photo"):
        assert word in card


def test_the_stock_pipeline_loads_and_draws_with_its_defaults() -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(WEIGHTS, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    drawn = pipe(
        "a photo of a red t-shirt, flat lay", num_inference_steps=4, generator=torch.Generator().manual_seed(0)
    )
    picture = np.asarray(drawn.images[0])
    assert picture.shape == (256, 256, 3)
    assert picture.std() > 10


def test_a_changed_file_changes_the_identity(tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "mini"
    shutil.copytree(WEIGHTS, copy)
    before = mini.identify(copy).sha256
    assert before == mini.identify().sha256
    told = json.loads((copy / "scheduler" / "scheduler_config.json").read_text())
    (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps({**told, "beta_end": 0.013}))
    assert mini.identify(copy).sha256 != before


def test_missing_weights_are_named(tmp_path: Path) -> None:
    from synthgen.errors import RequestError

    with pytest.raises(RequestError, match="has no weights"):
        mini.identify(tmp_path)
