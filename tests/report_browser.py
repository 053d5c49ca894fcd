"""A headless Chromium, where there is one: the report is looked at as a reader would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
REQUIRED = "SYNTHGEN_BROWSER_REQUIRED"  # set by .ci/run: no browser is then a failure and no reason to skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system, driven by playwright; nothing is downloaded."""
    from playwright.sync_api import sync_playwright

    found = next((path for name in NAMES if (path := shutil.which(name))), "")
    if not found:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, and there is none of {', '.join(NAMES)}")
        pytest.skip(f"none of {', '.join(NAMES)} is installed; Debian's package is chromium")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
