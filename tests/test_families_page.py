"""docs/families.md is what the families declare, and every cell has a test that runs in `make test`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def families() -> Any:
    spec = importlib.util.spec_from_file_location("families", ROOT / "docs" / "families.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["families"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_families_say() -> None:
    made = families()
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "python docs/families.py --write"


def test_every_cell_has_a_test_that_runs_for_its_family(request: pytest.FixtureRequest) -> None:
    made = families()
    wanted = {test for family in made.rows() for test in made.backing(family)}
    found = {_plain(item.nodeid) for item in request.session.items}
    files = sorted({test.partition("::")[0] for test in wanted})
    if not {*files} <= {test.partition("::")[0] for test in found}:  # this file alone was asked for
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300).stdout
        found = {_plain(line) for line in told.splitlines() if "::" in line}
    assert wanted <= found, sorted(wanted - found)


def _plain(test: str) -> str:
    """A test's name with its parameters in the order that the page has them: the family first."""
    name, bracket, inner = test.removesuffix("]").partition("[")
    parts = inner.split("-")
    family = next((part for part in parts if part in families_of()), "")
    rest = [part for part in parts if part != family]
    return f"{name}[{'-'.join(filter(None, (family, *rest)))}]" if bracket else name


def families_of() -> set[str]:
    from synthgen import rooms

    return {*rooms.members("bases")}
