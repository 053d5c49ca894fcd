"""A run of marked pictures without a model, and the attacks of benchmarks/marks.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from synthgen import marks, signing

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def _loaded() -> Any:
    found = importlib.util.spec_from_file_location("benchmark_marks", BENCHMARKS / "marks.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["benchmark_marks"] = module
    found.loader.exec_module(module)
    return module


benchmark = _loaded()


@pytest.fixture
def marker() -> marks.Marker:
    """Marks with the local authority of this test's own home."""
    return marks.Marker(signing.identity())


@pytest.fixture
def run(tmp_path: Path, marker: marks.Marker) -> Path:
    """Eight marked pictures of 64 px, finished."""
    benchmark.make_run(tmp_path / "runs" / "shirts-1a2b", 8, 64, marker)
    return tmp_path / "runs" / "shirts-1a2b"


def pictures(run: Path) -> list[Path]:
    return sorted((run / "images").glob("*.png"))
