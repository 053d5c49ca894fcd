"""The metrics test themselves: sets whose answer is known by construction go in, and the right answer has to come out.

Sets of drawn shapes: of one kind with the real ones, shifted, the same few again, wrapped around at 256, labels dealt
out anew, one file that cannot be read. A metric that does not notice what was done, or cries out where nothing was,
fails the check.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthgen import answers as measures
from synthgen.answers import Answers
from synthgen.errors import SynthgenError
from synthgen.evaluators import _extractors, accuracy, fidelity, leakage, ranking, utility
from synthgen.evaluators.fidelity import Features
from synthgen.types import LabelledPicture

if TYPE_CHECKING:
    import numpy as np

CLASSES = ("disc", "square")
SIDE, COUNT, FEW, STEPS = 64, 240, 8, 40  # px, pictures in a set, pictures in a collapsed set, steps of the extractor
SKILLS = (0.45, 0.5, 0.55, 0.6, 0.64, 0.68, 0.72, 0.76, 0.8, 0.85, 0.9, 0.95)
ALIKE = 5  # sets of the same kind: each is called worse in one of twenty, so two of five hardly ever
CLOSE = 1e-6  # relative, to what the definition gives


@dataclass(frozen=True)
class Checked:
    """One check: what was put in, what had to come out, what came."""

    metric: str
    given: str
    wanted: str
    found: str
    passed: bool


def run(step: Callable[[int], None] = lambda n: None) -> list[Checked]:
    """Every check, in an order that does not change. `step` is told of each part that is done."""
    done: list[Checked] = []
    for checks in PARTS:
        done += checks()
        step(1)
    return done


def shapes(count: int, seed: int, bright: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(n, SIDE, SIDE, 3) uint8 and (n,) int: discs and squares of every colour, place and size on noise."""
    import numpy as np

    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    up, across = np.mgrid[:SIDE, :SIDE]
    pixels = rng.normal(90 + bright, 18, (count, SIDE, SIDE, 3)) + rng.normal(0, 25, (count, 1, 1, 3))
    for place in range(count):
        (y, x), radius = rng.uniform(20, 44, 2), rng.uniform(8, 18)
        far = np.hypot(up - y, across - x) if labels[place] == 0 else np.maximum(abs(up - y), abs(across - x))
        pixels[place][far < radius] = rng.uniform(120, 230, 3) + bright
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


def definitions() -> Iterator[Checked]:
    """Each measure against its definition, worked out another way."""
    import numpy as np

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(60, 5)), rng.normal(0.4, 1, (60, 5))
    moved = np.array([3.0, 0, 0, 4, 0])
    yield _near("FD", "a set and the same moved by 5", fidelity.frechet(one, one + moved), 25.0)
    kernels = [[(float(a @ b) / 5 + 1) ** 3 for b in np.r_[one, other]] for a in np.r_[one, other]]
    table = np.array(kernels)
    apart = [table[:60, :60], table[60:, 60:]]
    inner = sum((part.sum() - np.trace(part)) / (60 * 59) for part in apart)
    yield _near("KD", "two sets of 60", fidelity.kernel(one, other), float(inner - 2 * table[:60, 60:].mean()))
    found = fidelity.neighbourhoods(one, other, 3)
    for key, value in _by_hand(one, other, 3).items():
        yield _near(key, "two sets of 60, 3 neighbours", found[key], value)
    yield _near("vendi", "4 pictures, 10 times each", fidelity.vendi(np.repeat(np.eye(4), 10, axis=0)), 4.0)
    said = _said(0.8, 1, 400)
    pairs = [
        (said.scores[a, 1] > said.scores[b, 1]) + (said.scores[a, 1] == said.scores[b, 1]) / 2
        for a in np.flatnonzero(said.truth == 1)
        for b in np.flatnonzero(said.truth == 0)
    ]
    area = float(measures.class_auroc(said, 1, measures.even(said))[0])
    yield _near("AUROC", "every pair counted", area, float(np.mean(pairs)))


def faithful() -> Iterator[Checked]:
    """The measures of fidelity, by a network that is trained on the real set alone."""
    import numpy as np

    pixels, labels = shapes(COUNT, 1)
    seer = _extractors.trained(*shapes(COUNT, 2), len(CLASSES), STEPS)
    real = _features(seer, pixels, labels)

    def measured(given: np.ndarray) -> dict[str, fidelity.Measure]:
        found = fidelity.measure(real, _features(seer, given, labels), seer.name, seer.sha256).measures
        return {key.partition("(")[0]: item for key, item in found.items()}

    alike = [measured(shapes(COUNT, 10 + seed)[0]) for seed in range(ALIKE)]
    for key in fidelity.BETTER:
        times = sum(found[key].beyond_null or found[key].estimate.value is None for found in alike)
        told = f"{times} of {ALIKE} called worse than real"
        yield Checked(key, f"{ALIKE} sets of the same kind", "at most 1 called worse than real", told, times <= 1)
    fresh, shifted = shapes(COUNT, 3)[0], shapes(COUNT, 3, 60)[0]
    for name, given, noticed in (
        ("a set that is brighter", shifted, ("FD", "KD", "precision", "density", "coverage")),
        (f"{FEW} pictures again and again", np.resize(fresh[:FEW], fresh.shape), ("FD", "KD", "recall", "coverage")),
        ("a set wrapped around at 256", (fresh.astype(int) + 120).astype(np.uint8), ("FD", "KD", "precision")),
        ("one picture again and again", np.resize(fresh[:1], fresh.shape), ("vendi",)),
    ):
        found = measured(given)
        for key in noticed:
            item = found[key]
            told = (
                f"{item.estimate.value:.3g} beside {item.null_low:.3g} to {item.null_high:.3g}"
                if item.estimate.value is not None
                else item.estimate.reason
            )
            yield Checked(key, name, "worse than real", told, item.beyond_null)


def dealt() -> Iterator[Checked]:
    """The measures of fidelity, class by class, of classes that lie apart: as they are, and labels dealt out anew."""
    import numpy as np

    def kind(seed: int, anew: bool) -> Features:
        rng = np.random.default_rng(seed)
        labels = np.arange(COUNT) % 2
        values = rng.normal(size=(COUNT, 8)) + 4 * labels[:, None]
        return Features(values, np.arange(COUNT), np.asarray(CLASSES)[rng.permutation(labels) if anew else labels])

    for anew in (False, True):
        found = fidelity.measure(kind(1, False), kind(2, anew), "drawn", "0" * 64)
        parts = {"all": (found.measures, False)}
        parts |= {f"class {name}": (measures, anew) for name, measures in found.per_class.items()}
        for name, (measured, wanted) in parts.items():
            for key in ("FD", "KD", "precision", "coverage"):
                item = next(item for named, item in measured.items() if named.partition("(")[0] == key)
                yield Checked(
                    key,
                    f"{name}, {'labels dealt out anew' if anew else 'classes that lie apart'}",
                    "worse than real" if wanted else "not worse than real",
                    f"{item.estimate.value:.3g} beside {item.null_low:.3g} to {item.null_high:.3g}",
                    item.beyond_null is wanted,
                )


def copied() -> Iterator[Checked]:
    """Real pictures among the synthetic ones, saved again, and none."""
    import io

    import numpy as np
    from PIL import Image

    def again(pixels: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        return np.asarray(Image.open(buffer))

    real, units = shapes(COUNT, 1)[0], np.arange(COUNT)
    fresh = shapes(COUNT, 3)[0]
    half = np.concatenate([fresh[: COUNT // 2], np.stack([again(one) for one in real[: COUNT // 2]])])
    for name, given, wanted in (("half of them copied", half, True), ("a set of the same kind", fresh, False)):
        found = leakage.measure(real, units, given)
        if isinstance(found, str):
            yield Checked("leakage", name, "a share", found, False)
            continue
        yield Checked(
            "leakage", name, "more close than real ones are" if wanted else "no more close than real ones are",
            _interval(found.close), found.beyond_null == wanted,
        )  # fmt: skip


def judged() -> Iterator[Checked]:
    """The measures of a classifier."""
    import numpy as np

    perfect, dealt = _said(1.0, 2, 400), _said(0.9, 3, 400)
    dealt = Answers(dealt.classes, np.random.default_rng(4).permutation(dealt.truth), dealt.scores, dealt.units)
    best, lost = accuracy.judge(perfect), accuracy.judge(dealt)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc"):
        yield _near(name, "a classifier that is always right", best.overall[name].value or 0.0, 1.0)
        item = lost.overall[name]
        inside = None not in (item.low, item.high, item.null) and item.low <= item.null <= item.high  # type: ignore[operator]
        yield Checked(name, "labels dealt out anew", "its null", _interval(item), inside)
    sure = _said(0.7, 5, 800, sure=0.999)
    item = accuracy.overall(sure, "calibration_error")
    noticed = item.low is not None and item.null is not None and item.low > item.null
    yield Checked("calibration_error", "sure and often wrong", "above its null", _interval(item), noticed)
    apart = accuracy.compare(_said(0.95, 6, 400), _said(0.7, 7, 400))["accuracy"]
    yield Checked(
        "accuracy, synthetic less real", "an easier set", "beyond real against real", _interval(apart.difference),
        apart.beyond_null,
    )  # fmt: skip
    alike = accuracy.compare(_said(0.8, 8, 400), _said(0.8, 9, 400))["accuracy"]
    yield Checked(
        "accuracy, synthetic less real", "a set of the same kind", "within real against real",
        _interval(alike.difference), not alike.beyond_null,
    )  # fmt: skip


def ranked() -> Iterator[Checked]:
    """Whether two sets rank classifiers alike."""
    import numpy as np

    def side(skills: Sequence[float], seed: int) -> ranking.Side:
        rng = np.random.default_rng(seed)
        hits = rng.random((len(skills), 500)) < np.asarray(skills)[:, None]
        return ranking.Side(hits, np.arange(500) % 2, np.arange(500), {})

    dealt = tuple(np.random.default_rng(3).permutation(SKILLS))
    for name, skills, wanted in (
        ("classifiers in the same order", SKILLS, (ranking.YES,)),
        ("classifiers in the opposite order", SKILLS[::-1], (ranking.NO,)),
        ("classifiers in an order of chance", dealt, (ranking.NO, ranking.OPEN)),
        ("classifiers that are all alike", (0.7,) * len(SKILLS), (ranking.OPEN,)),
    ):
        real = SKILLS if len(set(skills)) > 1 else skills
        verdict, sentence = ranking.decide(ranking.rank(side(skills, 1), side(real, 2), draws=200))
        yield Checked("ranking", name, " or ".join(wanted), sentence, verdict in wanted)


def helpful() -> Iterator[Checked]:
    """Whether a set helps training."""
    several = {arm.name: (COUNT, COUNT) for arm in utility.ARMS}
    best = next(arm.name for arm in utility.ARMS if arm.helps)
    for name, gains, wanted in (
        ("one mix gains 15 points", {best: 0.85}, (utility.HELPS,)),
        ("with shuffled labels as much is gained", {best: 0.85, utility.SHUFFLED: 0.85}, (utility.NOTHING,)),
        ("nothing gains", {}, (utility.NOTHING, utility.COLLECT)),
        ("only more real pictures gain", {utility.HALF: 0.5}, (utility.COLLECT,)),
    ):
        said = {
            arm.name: [_said(gains.get(arm.name, 0.7), 100 * place + seed, 600) for seed in range(5)]
            for place, arm in enumerate(utility.ARMS)
        }
        found = utility.compare(said, several, {}, STEPS)
        yield Checked("utility", name, " or ".join(wanted), found.sentence, found.verdict in wanted)


def unreadable() -> Iterator[Checked]:
    """A file that is no picture: an error, never a blank in its place."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as place:
        good, bad = Path(place) / "good.png", Path(place) / "bad.png"
        Image.fromarray(shapes(1, 1)[0][0]).save(good)
        bad.write_bytes(good.read_bytes()[:60])
        pictures = [LabelledPicture(path, CLASSES[0], "", path.name, {}) for path in (good, bad)]
        try:
            seen = _extractors.judge().features(pictures)
            yield Checked("features", "one file unreadable", "an error that names it", f"{len(seen)} rows", False)
        except SynthgenError as error:
            told = str(error).replace(place, "").lstrip("/")
            yield Checked("features", "one file unreadable", "an error that names it", told, bad.name in told)


def _by_hand(real: np.ndarray, made: np.ndarray, k: int) -> dict[str, float]:
    """Precision, recall, density, coverage, picture by picture."""
    import numpy as np

    def ball(points: np.ndarray, place: int) -> float:
        return float(sorted(np.linalg.norm(points - points[place], axis=1))[k])

    inner = [[float(np.linalg.norm(r - s)) <= ball(real, place) for s in made] for place, r in enumerate(real)]
    outer = [[float(np.linalg.norm(r - s)) <= ball(made, place) for r in real] for place, s in enumerate(made)]
    within = np.array(inner)
    return {
        "precision": float(within.any(axis=0).mean()),
        "recall": float(np.array(outer).any(axis=0).mean()),
        "density": float(within.sum(axis=0).mean() / k),
        "coverage": float(within.any(axis=1).mean()),
    }


def _features(seer: _extractors.Extractor, pixels: np.ndarray, labels: np.ndarray) -> Features:
    import numpy as np
    from PIL import Image

    return Features(
        np.asarray(seer.ask([Image.fromarray(one) for one in pixels]), np.float64),
        np.arange(len(pixels)),
        np.asarray(CLASSES)[labels],
    )


def _said(skill: float, seed: int, n: int, sure: float = 0.0) -> Answers:
    """Two classes, half each, right with a chance of `skill`, with scores that say so unless `sure`."""
    import numpy as np

    rng = np.random.default_rng([seed, 5])
    truth = np.arange(n) % 2
    choice = np.where(rng.random(n) < skill, truth, 1 - truth)
    high = np.full(n, sure) if sure else np.clip(rng.normal(skill, 0.03, n), 0.51, 0.99).round(2)
    scores = np.where(choice[:, None] == np.arange(2), high[:, None], 1 - high[:, None])
    return Answers(CLASSES, truth, scores, np.arange(n))


def _near(metric: str, given: str, found: float, wanted: float) -> Checked:
    passed = abs(found - wanted) <= CLOSE * max(1.0, abs(wanted))
    return Checked(metric, given, f"{wanted:.6g}", f"{found:.6g}", passed)


def _interval(item: accuracy.Estimate) -> str:
    if item.value is None or item.low is None or item.high is None:
        return item.reason
    null = "" if item.null is None else f", null {item.null:.3f}"
    return f"{item.value:.3f} [{item.low:.3f}, {item.high:.3f}]{null}"


PARTS = (definitions, faithful, dealt, copied, judged, ranked, helpful, unreadable)
