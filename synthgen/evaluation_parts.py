"""The parts of an evaluation, each of which puts one question to one evaluator; what is trained for it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from synthgen import candidates, evaluation_sets
from synthgen.answers import Answers
from synthgen.candidates import Candidate
from synthgen.evaluation_sets import Sets
from synthgen.evaluators import _extractors, accuracy, fidelity, ranking
from synthgen.ledger import write_whole
from synthgen.progress import Progress
from synthgen.types import LabelledPicture

if TYPE_CHECKING:
    import numpy as np

TRAINED = "candidates"
SYNTHETIC, REAL = "synthetic", "real"


@dataclass(frozen=True)
class Budget:
    """How much is trained here."""

    candidates: int
    steps: int
    seed: int


def answers(
    classes: Sequence[str], pictures: Sequence[LabelledPicture], scores: np.ndarray, scored: bool, alone: bool = False
) -> Answers:
    """Scores with the truth, the units and the cells. `alone`: every picture is a unit, as those of a run are."""
    import numpy as np

    order = {name: index for index, name in enumerate(classes)}
    axes = sorted({axis for item in pictures for axis in item.labels})
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
    order = [item for item in sets.judged.pictures if item.path in tested]
    if budget.candidates:
        small = [evaluation_sets.decoded(part) for part in (sets.training.pictures, pictures, order)]
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
    """Scores on the synthetic and the real test pictures; those of a candidate that is done are read back."""
    import numpy as np
    from safetensors.numpy import load_file, save

    truth = np.array([sets.labels.index(item.label) for item in sets.training.pictures])
    digest = hashlib.sha256(json.dumps([one.described, steps, sets.labels]).encode())
    for array in (*small, truth):
        digest.update(np.ascontiguousarray(array).tobytes())
    path = folder / f"{one.name}-{digest.hexdigest()[:16]}.safetensors"
    if not path.is_file():
        module = candidates.train(one, small[0], truth, len(sets.labels), steps)
        said = {name: candidates.scores(one, module, part) for name, part in ((SYNTHETIC, small[1]), (REAL, small[2]))}
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, save(said))
    kept = load_file(path)
    return kept[SYNTHETIC], kept[REAL]


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
    import numpy as np

    made = sets.made
    codecs = [sorted(_extractors.kinds(part)) for part in (made, sets.real)]
    remarks = [] if codecs[0] == codecs[1] else [
        f"the synthetic files are {', '.join(codecs[0])} and the real ones {', '.join(codecs[1])}: a part of any "
        "distance between them may be the codec's"
    ]  # fmt: skip
    found = []
    for one in opened:
        if one is None:
            truth = np.array([sets.labels.index(item.label) for item in sets.training.pictures])
            small = evaluation_sets.decoded(sets.training.pictures)
            one = _extractors.trained(small, truth, len(sets.labels), budget.steps)
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


def units_of(pictures: Sequence[LabelledPicture]) -> np.ndarray:
    """(n,) int: pictures of one group have one number."""
    import numpy as np

    return np.unique([item.group for item in pictures], return_inverse=True)[1]


def _features(pictures: Sequence[LabelledPicture], values: np.ndarray, alone: bool = False) -> fidelity.Features:
    """`alone`: every picture is a unit, as those of a run are."""
    import numpy as np

    units = np.arange(len(pictures)) if alone else units_of(pictures)
    return fidelity.Features(values, units, np.array([item.label for item in pictures]))
