"""What a training shows: its loss curve, the same test pictures before and after, and the photos it learned from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import images, plan, recipes, resources, training_check
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
    """report/tests.png: the photos above, the base's pictures, and the adapter's below."""
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


def curve(folder: Path, losses: Losses, material: Any) -> None:
    """report/loss.png: the loss of each step, the checks on learned and held-out views, and which one was kept."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.2), dpi=110, layout="constrained")
    axes, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    steps = np.arange(1, len(losses.training) + 1)
    axes.plot(steps, losses.training, color="0.85", linewidth=0.8, label="training, each step")
    at = [check.step for check in losses.checks]
    axes.plot(at, [check.learned_loss for check in losses.checks], "s--", color="0.45", markersize=4,
              label="learned photos, fixed noise")  # fmt: skip
    axes.plot(at, [check.loss for check in losses.checks], "o-", color="tab:blue", markersize=4,
              label=f"held-out {'photos' if material.apart else 'views'}, fixed noise")  # fmt: skip
    bands = [training_check.interval(check.held, material.held_units) for check in losses.checks]
    axes.fill_between(
        at, [low for low, _ in bands], [high for _, high in bands], color="tab:blue", alpha=0.15, linewidth=0
    )
    for part in (axes, below):
        part.axvline(losses.best_step, color="tab:green", linestyle=":", label=f"kept: step {losses.best_step}")
    axes.set_ylim(0, 1.6 * max(check.loss for check in losses.checks))
    axes.set_ylabel("weighted prediction error")
    axes.legend(fontsize=8)
    gaps = [training_check.divergence(check, losses.checks[0]) for check in losses.checks]
    below.plot(at, gaps, "o-", color="tab:red", markersize=4)
    below.axhline(0, color="0.7", linewidth=0.8)
    below.set_ylabel("divergence")
    below.set_xlabel("step")
    figure.savefig(folder / "report" / "loss.png")
