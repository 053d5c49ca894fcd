"""What a training shows: its loss curve, the same test pictures before and after, and the photos it learned from."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import images, plan, recipe_choice, recipes, resources, training_check
from synthgen.checkpoint import Losses
from synthgen.conditioners import pose
from synthgen.training_measures import Mean, Seen
from synthgen.types import Photo, Taught

TESTS = 8
MINIATURE_PX = 192  # side of a picture on the sheet of checkpoints


def say(text: str) -> None:
    """One plain line on stderr."""
    print(text, file=sys.stderr, flush=True)


def test_pictures(base: Any, domain: Any, taught: Taught, seed: int) -> np.ndarray:
    """TESTS pictures of what is learned (people who wear the product), (n, s, s, 3) uint8; one plan for one seed."""
    subjects = [domain.subject_of(taught)] * TESTS
    return _drawn(base, domain, taught, subjects, seed, recipe_choice.with_adapter(base.settings, domain))[0]


def class_pictures(base: Any, domain: Any, taught: Taught, count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Others of the class (people wearing other garments), as the base draws them, and what was said."""
    return _drawn(base, domain, taught, domain.class_subjects(taught, count), seed + 1, base.settings)


def _drawn(
    base: Any, domain: Any, taught: Taught, subjects: Sequence[str], seed: int, own: Mapping[str, Any]
) -> tuple[np.ndarray, list[str]]:
    """By the shipped recipe, whatever the user's own says: what an adapter is must not depend on it."""
    name, count = domain.__name__.rpartition(".")[2], len(subjects)
    recipe = domain.suited(recipes.load(resources.shipped("pipelines") / f"{name}.toml"), taught)
    planned = plan.jobs(plan.Request(recipe, count, seed, subject="x"), lambda requested: "x")
    jobs = tuple(
        replace(job, prompt=domain.prompt(recipe, {**job.requested, **domain.labels(job.requested)}, subject))
        for job, subject in zip(planned, subjects, strict=True)
    )
    settings = {**recipe.settings, **own}
    pictures = []
    for start in range(0, count, settings["batch"]):
        batch = jobs[start : start + settings["batch"]]
        controls = [pose.prepare(job, base.size).control if "pose" in job.requested else None for job in batch]
        pictures += base.render(batch, controls, settings)
    return np.stack([picture.pixels for picture in pictures]), [job.prompt for job in jobs]


def write(folder: Path, before: np.ndarray, after: np.ndarray, photos: Sequence[Photo]) -> None:
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


def checkpoints(folder: Path, states: Sequence[Seen], best: int) -> None:
    """report/checkpoints.png: the same prompts by the base and at each state that was drawn, the kept one framed."""
    from PIL import Image, ImageDraw

    side, edge = min(states[0].pictures.shape[1], MINIATURE_PX), 26
    sheet = Image.new("RGB", (len(states[0].pictures) * side, len(states) * (side + edge)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, state in enumerate(states):
        top = row * (side + edge)
        name = "base" if not state.step else f"step {state.step}" + (" (kept)" if state.step == best else "")
        text = f"{name}: like the photos {state.similarity.value:.3f}, drift {state.drift.value:.3f}"
        draw.text((6, top + 6), text, fill="black", font_size=14)
        for column, pixels in enumerate(state.pictures):
            picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(picture, (column * side, top + edge))
        if state.step and state.step == best:
            draw.rectangle((0, top, sheet.width - 1, top + side + edge - 1), outline=(30, 140, 60), width=4)
    sheet.save(folder / "report" / "checkpoints.png")


def curve(folder: Path, losses: Losses, material: Any, states: Sequence[Seen] = ()) -> None:
    """report/loss.png: losses of steps and checks, the check that was kept, and what each gives away of its photos.

    states  what was drawn: how like the photos it is, and how far it drifts
    """
    from matplotlib.figure import Figure

    heights = [3, 1, *([1] if material.apart else []), *([1.4] if states else [])]
    figure = Figure(figsize=(7.5, 1.3 * sum(heights)), dpi=110, layout="constrained")
    axes, below, *more = figure.subplots(len(heights), sharex=True, height_ratios=heights)
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
    for part in (axes, below, *more):
        part.axvline(losses.best_step, color="tab:green", linestyle=":", label=f"kept: step {losses.best_step}")
    axes.set_ylim(0, 1.6 * max(check.loss for check in losses.checks))
    axes.set_ylabel("weighted prediction error")
    axes.legend(fontsize=8)
    gaps = [training_check.divergence(check, losses.checks[0]) for check in losses.checks]
    below.plot(at, gaps, "o-", color="tab:red", markersize=4)
    below.axhline(0, color="0.7", linewidth=0.8)
    below.set_ylabel("divergence")
    if material.apart:
        _given_away(more[0], losses.checks, material.held_units)
    if states:
        _measured(more[-1], states)
    (more[-1] if more else below).set_xlabel("step")
    figure.savefig(folder / "report" / "loss.png")


def _given_away(axes: Any, checks: Sequence[training_check.Check], units: Sequence[int]) -> None:
    """The membership advantage of each check with its interval; red where it is beyond the cap."""
    told = [training_check.membership(checks[0], check, units, True) for check in checks]
    rows = [(one.advantage or 0.0, one.low or 0.0, one.high or 0.0) for one in told]
    for beyond, colour in ((False, "0.35"), (True, "tab:red")):
        chosen = [(check.step, *row) for check, row in zip(checks, rows, strict=True) if check.beyond == beyond]
        if chosen:
            at, value, low, high = np.array(chosen).T
            axes.errorbar(at, value, yerr=np.clip([value - low, high - value], 0, None), fmt="o", color=colour,
                          markersize=4, capsize=3)  # fmt: skip
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.set_ylim(-1.1, 1.1)
    axes.set_ylabel("membership\nadvantage")


def _measured(axes: Any, states: Sequence[Seen]) -> None:
    """Similarity and drift of what was drawn, each with its interval."""
    at = [state.step for state in states]
    rows: tuple[tuple[str, str, list[Mean]], ...] = (
        ("like the photos (cosine)", "tab:purple", [state.similarity for state in states]),
        ("drift on other prompts", "tab:orange", [state.drift for state in states]),
    )
    for name, colour, means in rows:
        middle = np.array([one.value for one in means])
        reach = np.nan_to_num(np.array([[one.value - one.low, one.high - one.value] for one in means]).T)
        axes.errorbar(at, middle, yerr=reach, fmt="o-", color=colour, markersize=4, capsize=3, label=name)
    axes.legend(fontsize=8)
