"""Is it the same character: compares who the embedded judge sees in a picture with the adapter's photos and the run.

Who is seen is what the judge reads of skin, hair, build, age and clothes, each reading as shares over its values; of
pose, view and place it asks nothing. Two pictures are alike by the mean overlap of these shares, 0 to 1. What the
photos give among themselves is the null that a picture's figure stands beside.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from synthgen import images, private_photos
from synthgen.mini import judge as judges
from synthgen.types import Judgement, Picture, RunFacts

BASES = ("mini",)  # the judge knows the embedded base's world and no other
READ = ("skin_tone", "hair_style", "hair_colour", "body_type", "age", "category", "colour", "pattern")
LOWEST = 5  # percentile of the photos' own likeness to one another below which a picture is somebody else


class Character:
    """Who the photos of a run's adapter show, and who its pictures have shown so far."""

    def __init__(self, photos: Any, kept: Iterable[Any]) -> None:
        """(h, w, 3) uint8 each; `kept` are the pictures that the run has already."""
        self.photos = _seen(photos)
        self._sum, self._count = np.zeros(self.photos.shape[1]), 0  # of what was seen in the pictures so far
        rest = iter(kept)
        while part := list(itertools.islice(rest, 16)):
            for one in _seen(part):
                self._add(one)
        among = alike(self.photos, self.photos)
        np.fill_diagonal(among, np.nan)
        self.null = float(np.nanpercentile(np.nanmean(among, axis=1), LOWEST)) if len(photos) > 1 else 0.0

    def judge(self, picture: Picture) -> Judgement:
        """Accepts a picture that is as like the photos as they are like one another, but for the least like LOWEST %.

        Measured: `identity`, the mean likeness to the photos; `identity_null`, that percentile of the photos' own; and
        `identity_across`, the mean likeness to the pictures that the run kept before.
        """
        own = _seen([picture.pixels])
        found = float(alike(own, self.photos).mean())
        measured = {"identity": round(found, 3), "identity_null": round(self.null, 3)}
        if self._count:  # the mean of likenesses is the likeness to the mean
            measured["identity_across"] = round(float(alike(own, self._sum[None] / self._count)[0, 0]), 3)
        reason = "" if found >= self.null else f"identity: {found:.2f} like the photos, at least {self.null:.2f} wanted"
        return Judgement("identity", not reason, reason, measured)

    def kept(self, picture: Picture) -> None:
        """Pictures after this one are compared with it too."""
        self._add(_seen([picture.pixels])[0])

    def _add(self, seen: Any) -> None:
        self._sum += seen
        self._count += 1


def open(run: RunFacts) -> Character | None:
    """The photos of the run's adapter; None where it keeps none, or where several would be mixed."""
    kept = [use.path for use in run.adapters]
    photos = private_photos.recall(kept[0]) if len(kept) == 1 else None
    return Character(photos.plants, _pictures(run)) if photos else None


def judge(picture: Picture) -> Judgement:
    """Accepts: without photos of one character there is nobody to compare with."""
    return Judgement("identity", True)


def alike(some: Any, others: Any) -> Any:
    """(n, m) float64 in [0, 1] from (n, d) and (m, d) of `_seen`."""
    return some @ others.T / len(READ)


def _seen(pictures: Sequence[Any]) -> Any:
    """(n, d) float64: square roots of the shares of all labels of READ, so that a product is their overlap."""
    rows: list[Any] = []
    for start in range(0, len(pictures), 16):
        for reading in judges.load().read(pictures[start : start + 16]):
            rows.append(np.sqrt(np.concatenate([reading.shares[key] for key in READ]), dtype=np.float64))
    return np.stack(rows)


def _pictures(run: RunFacts) -> Iterator[Any]:
    """What a run that is gone on with has kept, in the order of its records, one at a time."""
    from synthgen.ledger import Ledger

    for _, line in Ledger(run.folder / "records.jsonl").located():
        yield images.drawn(run.folder / str(line["file_name"]))
