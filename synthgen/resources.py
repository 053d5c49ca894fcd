"""Where shipped files are, and where a user's own are looked for first. The only file that knows."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import platformdirs

from synthgen.errors import SynthgenError

FOLDERS = ("pipelines", "licenses", "adapters")


def shipped(folder: str) -> Path:
    """The folder of shipped data: inside an installed wheel, else beside the package in a checkout."""
    package = Path(str(files("synthgen")))
    for place in (package / "_shipped" / folder, package.parent / folder):
        if place.is_dir() and (place.parent.name == "_shipped" or (place.parent / "pyproject.toml").is_file()):
            return place
    raise SynthgenError(f"synthgen is not installed whole: its '{folder}' folder is missing. Install it again.")


def search(folder: str) -> tuple[Path, ...]:
    """Places where a name is looked up, first match wins: the current folder's own, SYNTHGEN_HOME, the shipped."""
    places = [Path.cwd() / folder, home() / folder, shipped(folder)]
    return tuple(dict.fromkeys(place for place in places if place.is_dir()))


def home() -> Path:
    """SYNTHGEN_HOME, else the platform's data folder. Not made by asking."""
    chosen = os.environ.get("SYNTHGEN_HOME")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("synthgen", appauthor=False))


def mini_weights() -> Path:
    """The folder of the embedded base, as the unmodified diffusers pipelines load it."""
    return Path(str(files("synthgen"))) / "mini" / "weights"


def presets() -> Path:
    """The table of settings that trials found better than a family's own."""
    return Path(str(files("synthgen"))) / "presets.toml"
