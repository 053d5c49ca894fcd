"""Runs and a real set in, a report out: how good is a classifier, and may the synthetic answer be believed?

labelled_set.read -> classifiers.open_classifier -> scores -> accuracy.judge, accuracy.compare
  -> candidates.train -> ranking.answer -> results.json, results.csv, report.html
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from synthgen import classifiers, evaluation_parts, evaluation_sets, predictions_file, report
from synthgen.answers import Answers
from synthgen.classifiers import Classifier, Options
from synthgen.errors import RequestError
from synthgen.evaluation_parts import Budget
from synthgen.evaluation_sets import Sets
from synthgen.evaluators import accuracy, ranking, utility
from synthgen.ledger import write_whole
from synthgen.progress import Progress
from synthgen.report import RESULTS
from synthgen.report import table as report_table
from synthgen.report.gallery import MOST, PER_CELL

TABLE, PREDICTIONS = "results.csv", "predictions"


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
    extractors: tuple[str, ...] = ("judge", "real")
    seeds: int = utility.LEAST_SEEDS
    without: tuple[str, ...] = ()  # "fidelity", "utility"


@dataclass(frozen=True)
class EvaluateResult:
    """Where the report is, and the same numbers as plain values."""

    page: Path
    results: Mapping[str, Any]  # the whole document, as results.json holds it


def run(request: EvaluateRequest) -> EvaluateResult:
    """Evaluate and write the report; what is in `out` already is replaced file by file.

    Raises RequestError before anything is written where a set or a classifier cannot be used.
    """
    if not request.classifiers and not request.candidates:
        raise RequestError("there is nothing to evaluate: name a --classifier, or let --candidates be above 0.")
    begun = time.monotonic()
    sets = evaluation_sets.read(request.runs, request.real, request.label)
    options = Options(request.classes, request.trust_code, sets.labels)
    opened = _named(request.classifiers, [classifiers.open_classifier(spec, options) for spec in request.classifiers])
    _check_classes(opened, sets)
    seers = [] if "fidelity" in request.without else evaluation_parts.extractors(request.extractors, request.trust_code)
    budget = Budget(request.candidates, request.steps, request.seed, request.seeds)
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
    ranked = evaluation_parts.ranked(budget, sets, said, folder)
    helpful = None if "utility" in request.without else evaluation_parts.helpful(budget, sets, folder / "arms")
    faithful, remarks = evaluation_parts.faithful(budget, sets, seers)
    found = {
        "label": sets.synthetic[0].label,
        "classes": list(sets.labels),
        "sets": {"synthetic": len(sets.made), "real": len(sets.judged.pictures)},
        "candidates": {"count": request.candidates, "steps": request.steps, "trained_on": len(sets.training.pictures),
                       "tested_on": len(sets.testing.pictures)},
        "seed": request.seed,
        "seconds": round(time.monotonic() - begun, 1),
        "remarks": [*sets.remarks, *remarks, *(remark for one in opened for remark in one.remarks)],
        "classifiers": {
            one.name: {"kind": one.kind, "sha256": one.sha256, "classes": one.classes, **judged[one.name],
                       **_failures(said[one.name][0], sets)}
            for one in opened
        },
        "ranking": asdict(ranked),
        "utility": None if helpful is None else asdict(helpful),
        "fidelity": [asdict(one) for one in faithful],
        "leakage": evaluation_parts.leaked(sets),
        "left_out": [f"{part}: left out by --without {part}" for part in request.without],
    }  # fmt: skip
    reported = report.write(folder, RESULTS, request.runs, found)
    write_whole(folder / TABLE, report_table.table(reported.document["evaluation"]).encode())
    return EvaluateResult(reported.page, reported.document)


def _check_classes(opened: Sequence[Classifier], sets: Sets) -> None:
    for one in opened:
        lacking = [label for label in sets.labels if label not in one.classes]
        if lacking:
            raise RequestError(
                f"{one.name} knows {', '.join(one.classes)}, and the sets have {', '.join(lacking)}. Name its classes "
                "by the labels of the sets, in its order, with --classes. Nothing was evaluated."
            )


def _named(specs: Sequence[str], opened: Sequence[Classifier]) -> list[Classifier]:
    """The classifiers by names of their own: where two files are called alike, with their ending, then their folder.

    Raises RequestError where one is named twice.
    """
    names = [one.name for one in opened]
    for parts in (1, 2):
        counts = Counter(names)
        names = [
            name if counts[name] == 1 else "-".join(Path(spec).resolve().parts[-parts:])
            for spec, name in zip(specs, names, strict=True)
        ]
    if len(set(names)) < len(names):
        raise RequestError(f"a classifier is named twice: {', '.join(specs)}. Nothing was evaluated.")
    return [replace(one, name=name) for one, name in zip(opened, names, strict=True)]


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
    pictures = sets.made
    synthetic = np.concatenate([scores for _, scores in parts[:-1]])
    return (
        evaluation_parts.answers(one.classes, pictures, synthetic, one.scored, alone=True),
        evaluation_parts.answers(one.classes, sets.judged.pictures, parts[-1][1], one.scored),
    )


def _failures(said: Answers, sets: Sets) -> dict[str, Any]:
    """How many synthetic pictures were got wrong, and some of each confusion, the surest first."""
    run_of = [part for part in sets.synthetic for _ in part.pictures]
    highest = said.scores.max(axis=1)
    places = sorted((~said.hits).nonzero()[0], key=lambda place: -highest[place])
    taken: Counter[tuple[str, str]] = Counter()
    shown: list[dict[str, Any]] = []
    for place in places:
        item, choice = sets.made[place], said.classes[said.choice[place]]
        if taken[item.label, choice] < PER_CELL and len(shown) < MOST:
            taken[item.label, choice] += 1
            shown.append(
                {
                    "run": run_of[place].folder.resolve().name,
                    "file": item.path.relative_to(run_of[place].folder).as_posix(),
                    "truth": item.label,
                    "choice": choice,
                    "score": float(highest[place]),
                }
            )
    return {"wrong": len(places), "failures": shown}
