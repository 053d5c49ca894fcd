"""No number in the README is typed by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parent.parent


def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", REPOSITORY / "benchmarks" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_in_the_readme_are_those_that_the_benchmarks_gave() -> None:
    assert figures().block() in (REPOSITORY / "README.md").read_text(encoding="utf-8")
