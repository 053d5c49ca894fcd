"""Runs and a real set in, a report out: how good is a classifier, and may the synthetic answer be believed?

labelled_set.read -> classifiers.open_classifier -> scores -> accuracy.judge, accuracy.compare
  -> candidates.train -> ranking.answer -> results.json, results.csv, report.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import candidates, classifiers, evaluation_report, images, labelled_set, predictions_file, splits
from synthgen.answers import Answers
from synthgen.candidates import Candidate
from synthgen.classifiers import Classifier, Options
from synthgen.errors import RequestError
from synthgen.evaluators import accuracy, ranking
from synthgen.ledger import write_whole
from synthgen.progress import Progress
from synthgen.types import LabelledPicture, LabelledSet

if TYPE_CHECKING:
    import numpy as np

REPORT, RESULTS, TABLE, PREDICTIONS, TRAINED = "report.html", "results.json", "results.csv", "predictions", "candidates"
SYNTHETIC, REAL = "synthetic", "real"


@dataclass(frozen=True)
class EvaluateRequest:
    """What to evaluate."""

    runs: tuple[Path, ...]
    real: Path
    classifiers: tuple[str, ...] = ()
    label: str = ""
    classes: Path | None = None
    trust_code: bool = False
    out: Path | None = None
    candidates: int = ranking.LEAST_MODELS
    steps: int = 300
    seed: int = 0


@dataclass(frozen=True)
class EvaluateResult:
    """Where the report is, and the same numbers as plain values."""

    folder: Path
    results: Mapping[str, Any]


@dataclass(frozen=True)
class Sets:
    """Both sides, kept to the labels that both have."""

    synthetic: tuple[LabelledSet, ...]
    training: LabelledSet  # real, trains the candidates
    testing: LabelledSet  # real, ranks them
    judged: LabelledSet  # real, judges the user's own classifiers
    labels: tuple[str, ...]
    remarks: tuple[str, ...]


def run(request: EvaluateRequest) -> EvaluateResult:
    """Evaluate and write the report; what is in `out` already is replaced file by file.

    Raises RequestError before anything is written where a set or a classifier cannot be used.
    """
    if not request.classifiers and not request.candidates:
        raise RequestError("there is nothing to evaluate: name a --classifier, or let --candidates be above 0.")
    sets = _sets(request)
    options = Options(request.classes, request.trust_code, sets.labels)
    opened = [classifiers.open_classifier(spec, options) for spec in request.classifiers]
    _check_classes(opened, sets)
    folder = request.out or request.runs[0].with_name(f"{request.runs[0].resolve().name}-evaluation")
    (folder / PREDICTIONS).mkdir(parents=True, exist_ok=True)
    said = {one.name: _ask(one, sets, folder) for one in opened}
    judged = {
        name: {
            "synthetic": asdict(accuracy.judge(synthetic, request.seed)),
            "real": asdict(accuracy.judge(real, request.seed)),
            "difference": {
                key: asdict(value) for key, value in accuracy.compare(synthetic, real, request.seed).items()
            },
        }
        for name, (synthetic, real) in said.items()
    }
    ranked = _ranking(request, sets, said, folder)
    results = {
        "label": sets.synthetic[0].label,
        "classes": list(sets.labels),
        "sets": {SYNTHETIC: sum(len(one.pictures) for one in sets.synthetic), REAL: len(sets.judged.pictures)},
        "candidates": {"count": request.candidates, "steps": request.steps, "trained_on": len(sets.training.pictures),
                       "tested_on": len(sets.testing.pictures)},
        "seed": request.seed,
        "remarks": [*sets.remarks, *(remark for one in opened for remark in one.remarks)],
        "classifiers": {
            one.name: {"kind": one.kind, "sha256": one.sha256, "classes": one.classes, **judged[one.name]}
            for one in opened
        },
        "ranking": asdict(ranked),
        "not_measured": list(evaluation_report.NOT_MEASURED),
    }  # fmt: skip
    wrong = {name: list(_failures(pair[0], sets)) for name, pair in said.items()}
    write_whole(folder / RESULTS, (json.dumps(_plain(results), indent=2, ensure_ascii=False) + "\n").encode())
    write_whole(folder / TABLE, evaluation_report.table(results).encode())
    write_whole(folder / REPORT, evaluation_report.page(results, wrong).encode())
    return EvaluateResult(folder, _plain(results))


def _sets(request: EvaluateRequest) -> Sets:
    """Both sides read, narrowed to common labels, the real one split by group."""
    synthetic = [labelled_set.read(path, request.label) for path in request.runs]
    real = labelled_set.read(request.real, request.label)
    names = {item.label for one in synthetic for item in one.pictures}
    common = sorted(names & {item.label for item in real.pictures})
    if len(common) < 2:
        raise RequestError(
            f"the runs have the labels {', '.join(sorted(names))} and {request.real} has "
            f"{', '.join(sorted({item.label for item in real.pictures}))}; at least two in common are needed. Merge "
            "several runs, or name the column with --label. Nothing was evaluated."
        )
    remarks = [
        f"{one.name}: {gone} pictures have a label that the other side lacks, and were left out"
        for one in (*synthetic, real)
        if (gone := sum(item.label not in common for item in one.pictures))
    ]
    synthetic, real = [_only(one, common) for one in synthetic], _only(real, common)
    training = [item for item in real.pictures if item.split == "train"]
    testing = [item for item in real.pictures if item.split in ("validation", "test")]
    if not training or not testing:
        parts = splits.assign(
            [item.group for item in real.pictures], [item.label for item in real.pictures], splits.parse("50/50")
        )
        training = [item for item, part in zip(real.pictures, parts, strict=True) if part == "train"]
        testing = [item for item, part in zip(real.pictures, parts, strict=True) if part == "test"]
        judged = real
        remarks.append("the real set names no train and test split: it was halved by group for the ranking, and all of "
                       "it judges the classifiers given")  # fmt: skip
    else:
        judged = replace(real, pictures=tuple(testing))
    return Sets(
        tuple(synthetic), replace(real, pictures=tuple(training)), replace(real, pictures=tuple(testing)), judged,
        tuple(common), tuple(remarks),
    )  # fmt: skip


def _only(one: LabelledSet, labels: Sequence[str]) -> LabelledSet:
    return replace(one, pictures=tuple(item for item in one.pictures if item.label in labels))


def _check_classes(opened: Sequence[Classifier], sets: Sets) -> None:
    for one in opened:
        lacking = [label for label in sets.labels if label not in one.classes]
        if lacking:
            raise RequestError(
                f"{one.name} knows {', '.join(one.classes)}, and the sets have {', '.join(lacking)}. Name its classes "
                "by the labels of the sets, in its order, with --classes. Nothing was evaluated."
            )
    names = [one.name for one in opened]
    if len(set(names)) < len(names):
        raise RequestError(f"two classifiers share a name: {', '.join(names)}. Rename one file. Nothing was evaluated.")


def _ask(one: Classifier, sets: Sets, folder: Path) -> tuple[Answers, Answers]:
    """What a classifier says of the synthetic pictures and of the real ones; also kept as a table."""
    import numpy as np

    total = sum(len(part.pictures) for part in (*sets.synthetic, sets.judged))
    with Progress(total, f"evaluate {one.name}", "pictures") as progress:
        parts = [(part, one.scores(part, progress.step)) for part in (*sets.synthetic, sets.judged)]
    tables = [predictions_file.write(part, one.classes, scores) for part, scores in parts]
    header = tables[0].partition("\n")[0]
    whole = "\n".join([header, *(table.partition("\n")[2].rstrip("\n") for table in tables)]) + "\n"
    write_whole(folder / PREDICTIONS / f"{one.name}.csv", whole.encode())
    pictures = [item for part in sets.synthetic for item in part.pictures]
    synthetic = np.concatenate([scores for _, scores in parts[:-1]])
    return (
        answers(one.classes, pictures, synthetic, one.scored, alone=True),
        answers(one.classes, sets.judged.pictures, parts[-1][1], one.scored),
    )


def answers(
    classes: Sequence[str], pictures: Sequence[LabelledPicture], scores: np.ndarray, scored: bool, alone: bool = False
) -> Answers:
    """Scores with the truth, the units and the cells. `alone`: every picture is a unit, as those of a run are."""
    import numpy as np

    order = {name: index for index, name in enumerate(classes)}
    units = [str(index) for index in range(len(pictures))] if alone else [item.group for item in pictures]
    axes = sorted({axis for item in pictures for axis in item.labels})
    return Answers(
        tuple(classes),
        np.array([order[item.label] for item in pictures]),
        scores,
        np.unique(units, return_inverse=True)[1],
        {axis: np.array([item.labels.get(axis, "") for item in pictures]) for axis in axes},
        scored,
    )


def _ranking(
    request: EvaluateRequest, sets: Sets, said: Mapping[str, tuple[Answers, Answers]], folder: Path
) -> ranking.Ranking:
    """The built-in family and the user's classifiers, on the synthetic set and on the real test part."""
    import numpy as np

    pictures = [item for part in sets.synthetic for item in part.pictures]
    tested = {item.path for item in sets.testing.pictures}
    kept = np.array([item.path in tested for item in sets.judged.pictures])
    pairs = {name: (synthetic, real.part(kept)) for name, (synthetic, real) in said.items()}
    order = [item for item in sets.judged.pictures if item.path in tested]
    if request.candidates:
        small = [_decoded(part) for part in (sets.training.pictures, pictures, order)]
        family = candidates.family(request.candidates)
        with Progress(len(family), "train candidates", "classifiers") as progress:
            for one in family:
                scores = _candidate(one, request.steps, small, sets, folder / TRAINED)
                pairs[one.name] = (
                    answers(sets.labels, pictures, scores[0], True, alone=True),
                    answers(sets.labels, order, scores[1], True),
                )
                progress.step()
    sides = [ranking.side([pair[index] for pair in pairs.values()]) for index in (0, 1)]
    axes = set.intersection(*(set(accuracy.usable_axes(one.cells)[0]) for one in sides))
    sides = [replace(one, cells={axis: one.cells[axis] for axis in axes}) for one in sides]
    return ranking.answer(list(pairs), sides[0], sides[1], sets.labels, request.seed)


def _decoded(pictures: Sequence[LabelledPicture]) -> np.ndarray:
    """(n, SIDE_PX, SIDE_PX, 3) uint8: the same way for both sides."""
    import numpy as np

    side = candidates.SIDE_PX
    return np.stack([np.asarray(images.square(classifiers.decoded(item.path, side), side)) for item in pictures])


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


def _failures(said: Answers, sets: Sets) -> Iterator[tuple[Path, str, str, float]]:
    """The synthetic pictures that were got wrong, the most certain first: path, truth, choice, score."""
    pictures = [item for part in sets.synthetic for item in part.pictures]
    highest = said.scores.max(axis=1)
    for index in sorted((~said.hits).nonzero()[0], key=lambda place: -highest[place]):
        yield (pictures[index].path, pictures[index].label, said.classes[said.choice[index]], float(highest[index]))


def _plain(value: Any) -> Any:
    """Without NaN, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
