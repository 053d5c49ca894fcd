"""Published weights that a family names: where they are, under which licence. No revision and no hash is known here.

Which commit a name means is asked of the Hub by `synthgen bases pull` and kept on the user's machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IN_DIFFUSERS = "diffusers 0.42.1, loaders/single_file_utils.py"
UNPINNED = "LicenseRef-synthgen-unpinned"


@dataclass(frozen=True)
class Size:
    """How large published networks are. benchmarks/full_size.py builds them and names the sources; a test counts."""

    numbers: Mapping[str, int]  # part -> how many it has
    network: Mapping[str, Any]  # the denoiser's configuration, where it is not its class's usual one
    few: int  # how many of them modes of few bits hold so
    eight: int = 0  # and how many in 8 bits always
    pair: int = 0  # numbers of an adapter of rank 1 on what the family trains


@dataclass(frozen=True)
class Weights:
    """One published base."""

    name: str
    repo: str
    license: str  # id of its record in licenses/
    source: str  # where repository and licence were read
    distilled: str = ""  # what shows that it draws in few steps
    size: Size | None = None

    @property
    def before_pull(self) -> str:
        """The licence while nobody has looked which commit it is: a case for review."""
        return f"{self.license} AND {UNPINNED}"
