"""Pictures of patients in, an adapter of their condition out: de-identified first, then learned by the one loop.

deidentify.take_in -> (a clean folder, for as long as it takes) -> train.fit
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from synthgen import deidentify, modalities, train, training_crew, training_report
from synthgen.card import NAME
from synthgen.errors import RequestError
from synthgen.train import TrainRequest

FINDINGS = Path("private") / "identifiers"  # in the adapter's folder, never exported


@dataclass(frozen=True)
class Case:
    """What is said of the pictures."""

    condition: str
    modality: str
    metadata: Path | None = None
    normal: Path | None = None
    mask_markers: bool = False


def fit(request: TrainRequest, case: Case) -> Path:
    """Train an adapter on pictures of a condition; its folder comes back.

    Raises what `train.fit` raises, and Refused where every picture has to be held back.
    """
    label = modalities.condition(case.condition)
    place = request.out or Path("adapters") / (request.name or label)
    _check_place(place)
    sources = [deidentify.Source(request.images, label)]
    if case.normal is not None:
        sources.append(deidentify.Source(case.normal, modalities.NORMAL))
    with tempfile.TemporaryDirectory(prefix="synthgen-") as spare:
        try:
            taken = deidentify.take_in(sources, case.metadata, Path(spare) / label, case.mask_markers)
        except deidentify.AllHeld as error:
            listed = deidentify.write(error.taken, place / FINDINGS)
            training_report.say("\n".join(deidentify.said(error.taken, listed)))
            raise
        if training_crew.is_main():
            listed = deidentify.write(taken, place / FINDINGS)
            training_report.say("\n".join(deidentify.said(taken, listed)))
        told = {
            "condition": case.condition, "modality": case.modality, "taken_in": True,
            "left_out": {"held_back": len(taken.held_back), "unreadable": len(taken.unreadable)},
        }  # fmt: skip
        clean = replace(request, images=taken.folder, out=place, name=place.name, domain="medical", told=told)
        return train.fit(clean)


def _check_place(place: Path) -> None:
    """Raises RequestError where the folder holds something else than an adapter: nothing is written into that."""
    here = {path.name for path in place.iterdir()} if place.is_dir() else set()
    if here and NAME not in here and "private" not in here:
        raise RequestError(f"{place} is not empty and holds no adapter. Give --out a new folder. It is untouched.")
