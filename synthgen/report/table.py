"""results.csv: every number of an evaluation with where it belongs, for programs that read tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = ("classifier", "set", "part", "metric", "value", "low", "high", "n", "units", "null", "null_is", "reason")


def rows(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, Mapping[str, Any]]]:
    """Every estimate with where it belongs: classifier, set, part, metric."""
    for name, found in results["classifiers"].items():
        for side in ("synthetic", "real"):
            for part, metric, estimate in _of_one(found[side]):
                yield name, side, part, metric, estimate
        for key, item in found["difference"].items():
            yield name, "synthetic less real", key, "difference", item["difference"]
    for part, item in ranked_parts(results["ranking"]).items():
        for metric in ("spearman", "kendall", "regret"):
            yield "(ranking)", "synthetic against real", part, metric, item[metric]
    yield from _of_the_set(results)


def _of_the_set(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, Mapping[str, Any]]]:
    """What is said of the set whatever the classifier."""
    for item in (results["utility"] or {"arms": ()})["arms"]:
        yield "(utility)", "trained on", item["arm"], "balanced accuracy gained", item["gain"]
        yield "(utility)", "trained on", item["arm"], "auroc", item["area"]
    if found := results["leakage"]["found"]:
        yield "(leakage)", "synthetic against real", "all", "close to a real picture", found["close"]
    for found in results["fidelity"]:
        for part, measures in faithful_parts(found).items():
            for metric, item in measures.items():
                yield "(fidelity)", "synthetic against real", part, metric, item["estimate"]


def _of_one(judged: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Part, metric, estimate of one classifier on one set."""
    for metric, estimate in judged["overall"].items():
        yield "all", metric, estimate
    for metric in ("recall", "precision", "auroc"):
        for label, estimate in judged[metric].items():
            yield f"class {label}", metric, estimate
    for axis, cells in judged["subgroups"].items():
        for value, estimate in cells.items():
            yield f"{axis} {value}", "accuracy", estimate
    for axis, gap in judged["gaps"].items():
        yield f"{axis}: {gap['best']} less {gap['worst']}", "accuracy gap", gap["difference"]


def ranked_parts(ranked: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Part -> its ranking: all, each class, each subgroup."""
    parts = {"all": ranked["overall"], **{f"class {name}": item for name, item in ranked["per_class"].items()}}
    for axis, cells in ranked["subgroups"].items():
        parts |= {f"{axis} {value}": item for value, item in cells.items()}
    return parts


def faithful_parts(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Part -> measure -> what was found: all, and each class."""
    return {"all": found["measures"], **{f"class {name}": item for name, item in found["per_class"].items()}}


def table(results: Mapping[str, Any]) -> str:
    """results.csv: one row for each estimate; what was not measured has an empty value and a reason."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for *where, estimate in rows(results):
        writer.writerow([*where, *("" if estimate[key] is None else estimate[key] for key in COLUMNS[4:])])
    return buffer.getvalue()
