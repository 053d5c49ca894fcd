"""Published weights that a family names: where they are, under which licence. No revision and no hash is known here.

Which commit a name means is asked of the Hub by `synthgen bases pull` and kept on the user's machine.
"""

from __future__ import annotations

from dataclasses import dataclass

IN_DIFFUSERS = "diffusers 0.42.1, loaders/single_file_utils.py"
UNPINNED = "LicenseRef-synthgen-unpinned"


@dataclass(frozen=True)
class Weights:
    """One published base."""

    name: str
    repo: str
    license: str  # id of its record in licenses/
    source: str  # where repository and licence were read
    distilled: str = ""  # what shows that it draws in few steps

    @property
    def before_pull(self) -> str:
        """The licence while nobody has looked which commit it is: a case for review."""
        return f"{self.license} AND {UNPINNED}"
