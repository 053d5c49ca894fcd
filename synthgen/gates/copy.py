"""Refuses copies of training images, at a stated rate of false alarms; says so where that rate cannot be certified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthgen import copy_report, edit_ladder, measures, private_photos
from synthgen.copy_report import Tested
from synthgen.edit_ladder import Rung
from synthgen.errors import Refused
from synthgen.private_photos import Remembered
from synthgen.types import AdapterUse, Judgement, Picture, RunFacts

COPY, CLEAR, UNCERTIFIED, FAILED, NOTHING = "copy", "no copy found", "uncertified", "gate failed", "nothing to copy"


def judge(picture: Picture) -> Judgement:
    """A picture that no adapter had a hand in has no training image to be a copy of; see `open` for the others."""
    return Judgement("copy", True, "", {"copy_verdict": NOTHING})


def open(run: RunFacts) -> CopyGate | None:
    """The gate for one run: calibrated from its adapters' own private folders, its power measured on planted copies.

    None where no adapter is used. Raises Refused where training and held-out images are not apart, and for the use
    `dataset-release` where nothing can be certified or the gate fails itself.
    """
    uses = [use for use in run.adapters if use.weight]
    if not uses:
        return None
    known = _remembered(uses)
    if isinstance(known, str):
        gate = CopyGate(run, known)
    else:
        calibration = measures.calibrate(known.train, known.held, float(run.settings.get("copy_alpha", measures.ALPHA)))
        rungs = _ladder(run, known, calibration) if len(known.held) else []
        gate = CopyGate(run, calibration.doubt, edit_ladder.failed(rungs), calibration, known, tuple(rungs))
    if run.use == copy_report.RELEASE and (gate.doubt or gate.failure):
        raise Refused(
            f"copy gate: {gate.doubt or gate.failure}. --use {copy_report.RELEASE} needs a gate that certifies its "
            "alpha: train with more patients or photos held out, or say --use internal. Nothing was drawn."
        )
    return gate


class CopyGate(Tested):
    """What one run is judged by."""

    def judge(self, picture: Picture) -> Judgement:
        """Refuses a picture whose p-value is at most alpha. Measured: nearest training image, distance, ratio, p."""
        if self.calibration is None or self.known is None:
            return Judgement("copy", True, "", {"copy_verdict": UNCERTIFIED})
        found = self.calibration.reference.nearness(measures.small(picture.pixels)[None])
        p = float(self.calibration.p(found.score)[0])
        verdict = UNCERTIFIED if self.doubt else FAILED if self.failure else CLEAR
        if verdict == CLEAR and p <= self.calibration.alpha:
            verdict = COPY
        told: dict[str, float | str] = {
            "copy_nearest": self.known.train.ids[int(found.index[0])],
            "copy_distance": round(float(found.distance[0]), 4),
            "copy_ratio": round(float(found.ratio[0]), 4),
            "copy_p": round(p, 4),
            "copy_verdict": verdict,
        }
        reason = f"copy: p {p:.3f} is at most alpha {self.calibration.alpha:g}" if verdict == COPY else ""
        return Judgement("copy", verdict != COPY, reason, told)

    def finish(self) -> str:
        """Write what the whole set shows into the run's folder; one line of what it came to."""
        return copy_report.write(self)


def _remembered(uses: Sequence[AdapterUse]) -> Remembered | str:
    """What all adapters together were trained on; or why that is not known.

    What one adapter holds out and another was trained on is no fresh image, and is left out.
    """
    parts = []
    for use in uses:
        found = private_photos.recall(use.path)
        if found is None:
            return f"adapter '{use.name}' came without its private folder, so its training images are not known"
        parts.append(found)
    if len(parts) == 1:
        return parts[0]
    train = _together([part.train for part in parts])
    held = _together([part.held for part in parts])
    away = set(train.groups)
    if fresh := [place for place, group in enumerate(held.groups) if group not in away]:
        twins = measures.Reference(train).nearness(held.greys[fresh]).twin
        fresh = [place for place, twin in zip(fresh, twins, strict=True) if not twin]
    least = min(part.plants.shape[1] for part in parts)
    planting = [part for part in parts if part.plants.shape[1] == least]
    return Remembered(
        train,
        _some(held, fresh),
        np.concatenate([part.plants for part in planting]),
        tuple(name for part in planting for name in part.planted),
        {key: name for part in parts for key, name in part.names.items()},
    )


def _together(parts: Sequence[measures.Images]) -> measures.Images:
    return measures.Images(
        np.concatenate([part.greys for part in parts]),
        tuple(name for part in parts for name in part.ids),
        tuple(group for part in parts for group in part.groups),
    )


def _some(images: measures.Images, places: Sequence[int]) -> measures.Images:
    return measures.Images(
        images.greys[list(places)],
        tuple(images.ids[place] for place in places),
        tuple(images.groups[place] for place in places),
    )


def _ladder(run: RunFacts, known: Remembered, calibration: measures.Calibration) -> list[Rung]:
    """The power of the gate, with what this run draws with doing the image-to-image."""
    draw = run.redraw
    if draw is None or not run.jobs:
        return edit_ladder.climb(calibration, known.plants)
    steps = max(edit_ladder.REDRAW_STEPS, int(run.settings["num_inference_steps"]))

    def redraw(pixels: np.ndarray, strength: float) -> np.ndarray:
        jobs = [replace(run.jobs[number % len(run.jobs)], seed=number) for number in range(len(pixels))]
        return draw(pixels, jobs, strength, {**run.settings, "num_inference_steps": steps})

    return edit_ladder.climb(calibration, known.plants, redraw)
