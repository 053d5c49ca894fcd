"""Looks for pictures that are as good as one that the run has already: the same again fills no cell.

A picture is compared with those that were kept before it, so that a run that was killed judges as one that was not.
Pictures of one row of a sweep are meant to be alike and are not compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synthgen import perceptual_hash
from synthgen.ledger import Ledger
from synthgen.types import Judgement, Picture, RunFacts

RECORDS = "records.jsonl"
ROW = "sweep_of"  # label that the pictures of a row have in common
NEAR = perceptual_hash.NEAR  # of 256 bits; 40 pictures of one place, view and body by mini are 68 and more apart


class Seen:
    """The pictures of one run so far, 32 bytes each."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._bits = np.zeros((0, 4), np.uint64)
        self._about: list[tuple[str, str]] = []  # job, row of a sweep
        self._judged: tuple[Picture | None, str] = None, ""  # the last one, for it is likely kept next
        self._keep([line["perceptual_hash"] for line in lines], [_about(line) for line in lines])

    def judge(self, picture: Picture) -> Judgement:
        """Accepts a picture that differs from each one before it by more than NEAR bits.

        Measured: `nearest_bits`, and `nearest`, the job of that picture.
        """
        found = perceptual_hash.perceptual_hash(picture.pixels)
        self._judged = picture, found
        row = str(picture.job.requested.get(ROW, ""))
        distances = np.bitwise_count(self._bits ^ _words([found])).sum(1)
        others = [number for number, (_, of) in enumerate(self._about) if not row or of != row]
        judgement = Judgement("duplicates", True)
        if others:
            nearest = min(others, key=lambda number: int(distances[number]))
            bits, job = int(distances[nearest]), self._about[nearest][0]
            reason = f"duplicates: like {job}, {bits} of 256 bits apart" if bits <= NEAR else ""
            judgement = Judgement("duplicates", not reason, reason, {"nearest_bits": bits, "nearest": job})
        return judgement

    def kept(self, picture: Picture) -> None:
        """Pictures after this one are compared with it too. One that any gate rejects is not kept, nor known later."""
        judged, found = self._judged
        if judged is not picture:
            found = perceptual_hash.perceptual_hash(picture.pixels)
        self._keep([found], [(picture.job.id, str(picture.job.requested.get(ROW, "")))])

    def _keep(self, hashes: list[str], about: list[tuple[str, str]]) -> None:
        self._bits = np.concatenate([self._bits, _words(hashes)])
        self._about += about


def open(run: RunFacts) -> Seen:
    """What the run has kept so far."""
    return Seen(Ledger(run.folder / RECORDS).read()[0])


def judge(picture: Picture) -> Judgement:
    """Accepts: a picture by itself is no duplicate."""
    return Judgement("duplicates", True)


def _about(line: dict[str, Any]) -> tuple[str, str]:
    return str(line["job_id"]), str(line["lineage"]["requested"].get(ROW, ""))


def _words(hashes: list[str]) -> Any:
    """(n, 4) uint64."""
    return np.array([[int(text[at : at + 16], 16) for at in range(0, 64, 16)] for text in hashes], np.uint64).reshape(
        -1, 4
    )
