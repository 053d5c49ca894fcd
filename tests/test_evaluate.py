"""The journey: sets and a classifier in, a report that stands alone out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Synthgen = Callable[..., Any]
COLOURS = {"blue": (40, 60, 200), "red": (200, 60, 40)}


def write_set(folder: Path, each: int, seed: int) -> Path:
    """Noisy coloured squares with a label and a tone."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    lines = ["file_name,category,tone"]
    for label, colour in COLOURS.items():
        for number in range(each):
            pixels = np.clip(np.array(colour) + rng.normal(0, 90, (16, 16, 3)) + rng.normal(0, 70, 3), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}-{number}.png")
            lines.append(f"{label}-{number}.png,{label},{'light' if number % 2 else 'dark'}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_predictions(path: Path, *folders: Path) -> Path:
    """Always sure of itself, wrong for every fifth picture."""
    lines = ["file_name,blue,red"]
    for folder in folders:
        for index, item in enumerate(sorted(folder.glob("*.png"))):
            blue = item.name.startswith("blue") != (index % 5 == 0)
            lines.append(f"{folder.name}/{item.name},{0.9 if blue else 0.1},{0.1 if blue else 0.9}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def prepared(empty_folder: Path) -> Path:
    write_set(empty_folder / "a", 40, 1)
    write_set(empty_folder / "b", 40, 2)
    write_set(empty_folder / "real", 80, 3)
    write_predictions(empty_folder / "said.csv", *(empty_folder / name for name in ("a", "b", "real")))
    return empty_folder


def test_a_whole_evaluation_and_the_same_again_from_what_is_kept(synthgen: Synthgen, prepared: Path) -> None:
    typed = ("evaluate", "a", "b", "--real", "real", "--classifier", "said.csv", "--steps", 3, "--seeds", 5, "--json")
    code, out, err = synthgen(*typed)
    assert code == 0, err
    told = json.loads(out)
    folder = prepared / "a-evaluation"
    whole = json.loads((folder / "results.json").read_text())
    assert whole == told and whole["schema"] == "synthgen.report/1"
    told = told["evaluation"]
    assert told["sets"] == {"synthetic": 160, "real": 160}
    assert told["classifiers"]["said"]["synthetic"]["overall"]["accuracy"]["value"] == pytest.approx(0.8)
    assert told["ranking"]["overall"]["models"] == 13
    assert told["ranking"]["verdict"] in ("yes", "no", "not enough evidence")
    assert set(told["ranking"]["per_class"]) == {"blue", "red"}
    arms = {item["arm"]: item for item in told["utility"]["arms"]}
    assert (arms["real + 1 x synthetic"]["real"], arms["real + 1 x synthetic"]["synthetic"]) == (80, 80)
    assert "10 x 80 synthetic pictures are wanted, and the runs have 160" in arms["real + 10 x synthetic"]["reason"]
    assert told["utility"]["sentence"] in (folder / "report.html").read_text()
    judge, own = told["fidelity"]
    assert (judge["extractor"], own["extractor"], own["real"]) == ("mini-judge", "real-alone", 80)
    assert f"KD(mini-judge@{judge['sha256'][:12]})" in judge["measures"]
    rows = list(csv.DictReader((folder / "results.csv").open(newline="")))
    assert all(row["value"] or row["reason"] for row in rows) and len(rows) > 30
    page = (folder / "report.html").read_text()
    assert "http" not in page and 'src="data:image/jpeg' in page and told["ranking"]["sentence"] in page
    kept = {path: path.stat().st_mtime_ns for path in (folder / "candidates").iterdir()}
    assert len(kept) == 12
    again = json.loads(synthgen(*typed).out)
    assert {**again["evaluation"], "seconds": 0} == {**told, "seconds": 0}
    assert {path: path.stat().st_mtime_ns for path in (folder / "candidates").iterdir()} == kept


def test_few_classifiers_are_not_enough_evidence(synthgen: Synthgen, prepared: Path) -> None:
    code, out, err = synthgen(
        "evaluate",
        "a",
        "--real",
        "real",
        "--classifier",
        "said.csv",
        "--candidates",
        0,
        "--out",
        "there",
        "--without",
        "fidelity",
        "--without",
        "utility",
    )
    assert (code, out) == (0, "there/report.html\n")
    assert "Not enough evidence" in err


def test_classifiers_of_one_name_are_told_apart_and_one_named_twice_is_refused(
    synthgen: Synthgen, prepared: Path
) -> None:
    (prepared / "later").mkdir()
    (prepared / "later" / "said.csv").write_bytes((prepared / "said.csv").read_bytes())
    few = ("evaluate", "a", "--real", "real", "--candidates", 0, "--without", "fidelity", "--without", "utility")
    told = synthgen(*few, "--classifier", "said.csv", "--classifier", "later/said.csv", "--json")
    names = set(json.loads(told.out)["evaluation"]["classifiers"])
    assert names == {f"{prepared.name}-said.csv", "later-said.csv"}
    assert {path.stem for path in (prepared / "a-evaluation" / "predictions").iterdir()} == names
    twice = synthgen(*few, "--classifier", "said.csv", "--classifier", "./said.csv")
    assert twice.code == 2 and "a classifier is named twice" in twice.err


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("evaluate nowhere --real real", "there is no folder 'nowhere'"),
        ("evaluate a --real nowhere", "there is no folder 'nowhere'"),
        ("evaluate a --real real --classifier nowhere.onnx", "there is no classifier 'nowhere.onnx'"),
        ("evaluate a --real real --label ton", "did you mean 'tone'?"),
        ("evaluate a --real real --classifier module:f", "--trust-code"),
        ("evaluate a --real real --candidates 0", "nothing to evaluate"),
    ],
)
def test_what_cannot_be_evaluated_is_told_and_nothing_is_written(
    typed: str, words: str, synthgen: Synthgen, prepared: Path
) -> None:
    before = sorted(prepared.rglob("*"))
    code, out, err = synthgen(*typed.split())
    assert (code, out) == (2, "")
    assert words in err, err
    assert sorted(prepared.rglob("*")) == before
