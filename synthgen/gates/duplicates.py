"""Looks for pictures that are as good as one that the run has already: the same again fills no cell.

A picture is compared with those that were kept before it, so that a run that was killed judges as one that was not.
Pictures of one row of a sweep are meant to be alike and are not compared.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from synthgen import perceptual_hash
from synthgen.ledger import Ledger
from synthgen.types import Judgement, Picture, RunFacts

RECORDS = "records.jsonl"
NAME = 24  # bytes of a job's name: 16 of the plan and its try
FORM = np.dtype([("bits", np.uint64, 4), ("job", f"S{NAME}"), ("row", f"S{NAME}")])
AT_ONCE = 50_000  # pictures that are compared at a time
ROW = "sweep_of"  # label that the pictures of a row have in common
NEAR = perceptual_hash.NEAR  # of 256 bits; 40 pictures of one place, view and body by mini are 68 and more apart


class Seen:
    """The pictures of one run so far, in a temporary file: 32 bytes each, and the names of job and row."""

    def __init__(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._file.close)
        self._judged: tuple[Picture | None, str] = None, ""  # the last one, for it is likely kept next
        for line in lines:
            row = str(line["lineage"]["requested"].get(ROW, ""))
            self._keep(line["perceptual_hash"], str(line["job_id"]), row)

    def judge(self, picture: Picture) -> Judgement:
        """Accepts a picture that differs from each one before it by more than NEAR bits.

        Measured: `nearest_bits`, and `nearest`, the job of that picture.
        """
        found = perceptual_hash.perceptual_hash(picture.pixels)
        self._judged = picture, found
        row = str(picture.job.requested.get(ROW, ""))[:NAME]
        bits, job = self._nearest(_words(found), row.encode())
        if not job:
            return Judgement("duplicates", True)
        reason = f"duplicates: like {job}, {bits} of 256 bits apart" if bits <= NEAR else ""
        return Judgement("duplicates", not reason, reason, {"nearest_bits": bits, "nearest": job})

    def kept(self, picture: Picture) -> None:
        """Pictures after this one are compared with it too. One that any gate rejects is not kept, nor known later."""
        judged, found = self._judged
        if judged is not picture:
            found = perceptual_hash.perceptual_hash(picture.pixels)
        self._keep(found, picture.job.id, str(picture.job.requested.get(ROW, "")))

    def _keep(self, found: str, job: str, row: str) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(np.array([(_words(found), job.encode()[:NAME], row.encode()[:NAME])], FORM).tobytes())

    def _nearest(self, words: Any, row: bytes) -> tuple[int, str]:
        """Bits to the nearest picture that is not of this row, the first of those as near, and its job; "" for none."""
        nearest = 257, ""
        self._file.seek(0)
        while data := self._file.read(AT_ONCE * FORM.itemsize):
            part = np.frombuffer(data, FORM)
            distances = np.bitwise_count(part["bits"] ^ words).sum(1).astype(int)
            if row:
                distances[part["row"] == row] = 257
            at = int(distances.argmin())
            if distances[at] < nearest[0]:
                nearest = int(distances[at]), part["job"][at].decode()
        return nearest


def open(run: RunFacts) -> Seen:
    """What the run has kept so far."""
    return Seen(line for _, line in Ledger(run.folder / RECORDS).located())


def judge(picture: Picture) -> Judgement:
    """Accepts: a picture by itself is no duplicate."""
    return Judgement("duplicates", True)


def _words(found: str) -> Any:
    """(4,) uint64."""
    return np.array([int(found[at : at + 16], 16) for at in range(0, 64, 16)], np.uint64)
