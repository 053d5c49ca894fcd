"""What a training shows: its loss curve, the same test pictures before and after, and the photos it learned from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import images, plan, recipes, resources
from synthgen.checkpoint import Losses
from synthgen.conditioners import pose
from synthgen.types import Photo, Taught

TESTS = 8


def say(text: str) -> None:
    """One plain line on stderr."""
    print(text, file=sys.stderr, flush=True)


def test_pictures(base: Any, domain: Any, taught: Taught, seed: int) -> np.ndarray:
    """TESTS pictures of what is learned (people who wear the product), (n, s, s, 3) uint8; one plan for one seed."""
    return _drawn(base, domain, taught, [domain.subject_of(taught)] * TESTS, seed)[0]


def class_pictures(base: Any, domain: Any, taught: Taught, count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Others of the class (people wearing other garments), as the base draws them, and what was said."""
    return _drawn(base, domain, taught, domain.class_subjects(taught, count), seed + 1)


def _drawn(base: Any, domain: Any, taught: Taught, subjects: Sequence[str], seed: int) -> tuple[np.ndarray, list[str]]:
    """By the shipped recipe, whatever the user's own says: what an adapter is must not depend on it."""
    name, count = domain.__name__.rpartition(".")[2], len(subjects)
    recipe = domain.suited(recipes.load(resources.shipped("pipelines") / f"{name}.toml"), taught)
    jobs = plan.jobs(plan.Request(recipe, count, seed, subject="x"), lambda requested: "x")
    jobs = tuple(
        replace(job, prompt=domain.prompt(recipe, {**job.requested, **domain.labels(job.requested)}, subject))
        for job, subject in zip(jobs, subjects, strict=True)
    )
    settings = {**recipe.settings, **base.settings}
    pictures = []
    for start in range(0, count, settings["batch"]):
        batch = jobs[start : start + settings["batch"]]
        controls = [pose.prepare(job, base.size).control if "pose" in job.requested else None for job in batch]
        pictures += base.render(batch, controls, settings)
    return np.stack([picture.pixels for picture in pictures]), [job.prompt for job in jobs]


def write(folder: Path, losses: Losses, before: np.ndarray, after: np.ndarray, photos: Sequence[Photo]) -> None:
    """report/: loss.png, and tests.png with the photos above, the base's pictures, and the adapter's below."""
    from PIL import Image

    report = folder / "report"
    report.mkdir(parents=True, exist_ok=True)
    size = before.shape[1]
    shown = []
    for photo in photos[:TESTS]:
        shown.append(np.asarray(images.square(images.pixels(photo), size)))
    shown += [np.full((size, size, 3), 255, np.uint8)] * (TESTS - len(shown))
    sheet = np.vstack([np.hstack(shown), np.hstack(list(before)), np.hstack(list(after))])
    Image.fromarray(sheet).save(report / "tests.png")
    _curve(losses, report / "loss.png")


def _curve(losses: Losses, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, len(losses.training) + 1)
    axes.plot(steps, losses.training, color="0.8", linewidth=0.8, label="training, each step")
    window = max(1, min(20, len(steps)))
    axes.plot(
        steps[window - 1 :],
        np.convolve(losses.training, np.ones(window) / window, "valid"),
        color="0.4",
        label=f"training, mean of {window}",
    )
    checked = np.array(losses.validation)
    axes.plot(checked[:, 0], checked[:, 1], "o-", color="tab:blue", label="held-out, fixed noise")
    axes.axvline(losses.best_step, color="tab:green", linestyle=":", label=f"kept: step {losses.best_step}")
    axes.set_xlabel("step")
    axes.set_ylabel("weighted prediction error")
    axes.legend()
    figure.savefig(path)
