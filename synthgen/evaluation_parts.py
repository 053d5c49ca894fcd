"""The parts of an evaluation, each of which puts one question to one evaluator; what is trained for it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import candidates
from synthgen.answers import Answers
from synthgen.candidates import Candidate
from synthgen.evaluation_sets import Sets
from synthgen.evaluators import _extractors, accuracy, fidelity, leakage, ranking, utility
from synthgen.ledger import write_whole
from synthgen.progress import Progress
from synthgen.types import LabelledPicture

if TYPE_CHECKING:
    import numpy as np

TRAINED = "candidates"
SYNTHETIC, REAL = "synthetic", "real"
_Turn = tuple["np.ndarray", "np.ndarray", int]  # pixels, labels, steps


@dataclass(frozen=True)
class Budget:
    """How much is trained here."""

    candidates: int
    steps: int
    seed: int
    seeds: int = utility.LEAST_SEEDS  # of each arm of the question whether the set helps training


def answers(
    classes: Sequence[str], pictures: Sequence[LabelledPicture], scores: np.ndarray, scored: bool, alone: bool = False
) -> Answers:
    """Scores with the truth, the units and the cells. `alone`: every picture is a unit, as those of a run are."""
    import numpy as np

    order = {name: index for index, name in enumerate(classes)}
    axes = sorted(  # one that only says the class again makes no cells
        {axis for item in pictures for axis, value in item.labels.items() if value != item.label}
    )
    return Answers(
        tuple(classes),
        np.array([order[item.label] for item in pictures]),
        scores,
        np.arange(len(pictures)) if alone else units_of(pictures),
        {axis: np.array([item.labels.get(axis, "") for item in pictures]) for axis in axes},
        scored,
    )


def ranked(budget: Budget, sets: Sets, said: Mapping[str, tuple[Answers, Answers]], folder: Path) -> ranking.Ranking:
    """The built-in family and the user's classifiers, on the synthetic set and on the real test part."""
    import numpy as np

    pictures = sets.made
    tested = {item.path for item in sets.testing.pictures}
    kept = np.array([item.path in tested for item in sets.judged.pictures])
    pairs = {name: (synthetic, real.part(kept)) for name, (synthetic, real) in said.items()}
    order = sets.testing.pictures
    if budget.candidates:
        small = [sets.small_training, sets.small_made, sets.small_testing]
        family = candidates.family(budget.candidates)
        with Progress(len(family), "train candidates", "classifiers") as progress:
            for one in family:
                scores = _candidate(one, budget.steps, small, sets, folder / TRAINED)
                pairs[one.name] = (
                    answers(sets.labels, pictures, scores[0], True, alone=True),
                    answers(sets.labels, order, scores[1], True),
                )
                progress.step()
    sides = [ranking.side([pair[index] for pair in pairs.values()]) for index in (0, 1)]
    axes = set.intersection(*(set(accuracy.usable_axes(one.cells)[0]) for one in sides))
    sides = [replace(one, cells={axis: one.cells[axis] for axis in axes}) for one in sides]
    return ranking.answer(list(pairs), sides[0], sides[1], sets.labels, budget.seed)


def _candidate(
    one: Candidate, steps: int, small: Sequence[np.ndarray], sets: Sets, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Scores on the synthetic and the real test pictures."""
    truth = truths(sets.training.pictures, sets)

    def train() -> dict[str, np.ndarray]:
        module = candidates.train(one, small[0], truth, len(sets.labels), steps)
        return {name: candidates.scores(one, module, part) for name, part in ((SYNTHETIC, small[1]), (REAL, small[2]))}

    said = _kept(folder / one.name, [one.described, steps, sets.labels], [*small, truth], train)
    return said[SYNTHETIC], said[REAL]


def _kept(
    stem: Path, settings: Sequence[Any], arrays: Sequence[np.ndarray], train: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What a training gave: read back where the same was trained before, else trained now and kept."""
    import numpy as np
    from safetensors.numpy import load_file, save

    digest = hashlib.sha256(json.dumps(settings).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    path = stem.with_name(f"{stem.name}-{digest.hexdigest()[:16]}.safetensors")
    if not path.is_file():
        said = train()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save(said))
    return dict(load_file(path))


def truths(pictures: Sequence[LabelledPicture], sets: Sets) -> np.ndarray:
    """(n,) int: the label of each picture, by its place among the labels of the sets."""
    import numpy as np

    return np.array([sets.labels.index(item.label) for item in pictures])


PUPIL = Candidate("pupil", "conv", 16, side=candidates.SIDE_PX, augment=False)


def helpful(budget: Budget, sets: Sets, folder: Path) -> utility.Utility:
    """Every arm taught and judged on the real test part."""
    test = sets.small_testing
    real = sets.small_training, truths(sets.training.pictures, sets)
    made = sets.small_made, truths(sets.made, sets)
    missing = {
        arm.name: f"{arm.synthetic:g} x {len(real[1])} synthetic pictures are wanted, and the runs have {len(made[1])}"
        for arm in utility.ARMS
        if arm.synthetic * len(real[1]) > len(made[1])
    }
    arms = [arm for arm in utility.ARMS if arm.name not in missing]
    answered: dict[str, list[Answers]] = {arm.name: [] for arm in arms}
    taught: dict[str, tuple[int, int]] = {}
    with Progress(len(arms) * budget.seeds, "train arms", "classifiers") as progress:
        for arm in arms:
            for seed in range(budget.seeds):
                pupil = replace(PUPIL, augment=arm.augment, seed=seed + (1000 if arm.other_seeds else 0))
                turns = _turns(arm, real, made, budget.steps, pupil.seed)
                parts = [part for pixels, labels, _ in turns for part in (pixels, labels)]
                settings = [pupil.described, [steps for *_, steps in turns], sets.labels]
                said = _kept(folder / "arm", settings, [*parts, test], partial(_lesson, pupil, turns, sets, test))
                answered[arm.name].append(answers(sets.labels, sets.testing.pictures, said[REAL], True))
                taught[arm.name] = _sizes(arm, len(real[1]), len(made[1]))
                progress.step()
    return utility.compare(answered, taught, missing, budget.steps, budget.seed)


def _lesson(pupil: Candidate, turns: Sequence[_Turn], sets: Sets, test: np.ndarray) -> dict[str, np.ndarray]:
    import numpy as np

    module = candidates.train_in_turn(pupil, turns, len(sets.labels), np.random.default_rng(pupil.seed))
    return {REAL: candidates.scores(pupil, module, test)}


def _sizes(arm: utility.Arm, real: int, made: int) -> tuple[int, int]:
    """How many real and synthetic pictures an arm is taught from."""
    return round(arm.real * real), made if arm.synthetic < 0 else round(arm.synthetic * real)


def _turns(
    arm: utility.Arm, real: tuple[np.ndarray, np.ndarray], made: tuple[np.ndarray, np.ndarray], steps: int, seed: int
) -> list[_Turn]:
    """What an arm is taught, one set after another; which pictures of a larger set are taken differs by seed."""
    import numpy as np

    rng = np.random.default_rng([seed, 7])
    sizes = _sizes(arm, len(real[1]), len(made[1]))
    (pixels, labels), (more, told) = (
        (part[0][chosen], part[1][chosen])
        for part, size in zip((real, made), sizes, strict=True)
        for chosen in [np.sort(rng.permutation(len(part[1]))[:size])]
    )
    if arm.shuffled:
        told = rng.permutation(told)
    if arm.in_turn:
        return [(more, told, steps // 2), (pixels, labels, steps - steps // 2)]
    return [(np.concatenate([pixels, more]), np.concatenate([labels, told]), steps)]


def extractors(specs: Sequence[str], trust_code: bool) -> list[_extractors.Extractor | None]:
    """Those that need no training, opened; None stands for the one that the real training part has yet to teach.

    The judge is never the only one: it knows the embedded base's world best, and would flatter it.
    """
    wanted = list(dict.fromkeys(specs))
    if wanted == ["judge"]:
        wanted.append("real")
    opened = {"judge": _extractors.judge, "real": lambda: None}
    return [opened[spec]() if spec in opened else _extractors.open_extractor(spec, trust_code) for spec in wanted]


def faithful(
    budget: Budget, sets: Sets, opened: Sequence[_extractors.Extractor | None]
) -> tuple[list[fidelity.Fidelity], list[str]]:
    """The measures by each extractor, and remarks for the report."""

    made = sets.made
    codecs = [sorted(_extractors.kinds(part)) for part in (made, sets.real)]
    remarks = [] if codecs[0] == codecs[1] else [
        f"the synthetic files are {', '.join(codecs[0])} and the real ones {', '.join(codecs[1])}: a part of any "
        "distance between them may be the codec's"
    ]  # fmt: skip
    found = []
    for one in opened:
        if one is None:
            truth = truths(sets.training.pictures, sets)
            one = _extractors.trained(sets.small_training, truth, len(sets.labels), budget.steps)
        real = sets.testing.pictures if one.learnt else sets.real
        with Progress(len(real) + len(made), f"features {one.name}", "pictures") as progress:
            parts = [(item, one.features(item, progress.step)) for item in (real, made)]
        (of_real, seen_real), (of_made, seen_made) = parts
        found.append(
            fidelity.measure(
                _features(of_real, seen_real), _features(of_made, seen_made, alone=True), one.name, one.sha256,
                budget.seed,
            )
        )  # fmt: skip
        remarks += one.remarks
    return found, remarks


def leaked(sets: Sets) -> dict[str, Any]:
    """What leakage.measure says, its pairs by the names of their files."""
    import numpy as np

    real = np.concatenate([sets.small_training, sets.small_testing])
    found = leakage.measure(real, units_of(sets.real), sets.small_made)
    if isinstance(found, str):
        return {"reason": found, "found": None, "closest": []}
    runs = [part for part in sets.synthetic for _ in part.pictures]
    closest = [
        {
            "run": runs[pair.synthetic].folder.resolve().name,
            "file": sets.made[pair.synthetic].path.relative_to(runs[pair.synthetic].folder).as_posix(),
            "real": sets.real[pair.real].path.name,
            "distance": pair.distance,
        }
        for pair in found.closest
    ]
    return {"reason": "", "found": {**asdict(found), "closest": []}, "closest": closest}


def units_of(pictures: Sequence[LabelledPicture]) -> np.ndarray:
    """(n,) int: pictures of one group have one number."""
    import numpy as np

    return np.unique([item.group for item in pictures], return_inverse=True)[1]


def _features(pictures: Sequence[LabelledPicture], values: np.ndarray, alone: bool = False) -> fidelity.Features:
    """`alone`: every picture is a unit, as those of a run are."""
    import numpy as np

    units = np.arange(len(pictures)) if alone else units_of(pictures)
    return fidelity.Features(values, units, np.array([item.label for item in pictures]))
