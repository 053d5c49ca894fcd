"""From a labelled real set to the answer whether classifiers may be trained and tested on what is made from it.

    python benchmarks/whole_set.py DIR --domain medical --work build/xray --count 500
    python benchmarks/whole_set.py DIR --domain apparel --work build/apparel --count 100

DIR holds a folder for each class and metadata.csv with `file_name` and, where there is one, `patient_id`. Patients, or
pictures where none is named, go to training or to test by half. From the training half an adapter of each class is
trained, as users do, and `--count` pictures are made with each. `--together` trains one adapter of a condition that
learns the normal pictures beside it, and makes both with that. `real/` holds both halves with their split, and
`benchmarks/evaluate.py` puts its questions: classifiers taught from real training pictures, from synthetic ones, or
both, are judged on the test half that nothing has seen.
--work keeps it all: what is there is not made again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
SYNTHGEN = [sys.executable, "-m", "synthgen"]
NORMAL = "no_finding"


def synthgen(*words: object, folder: Path) -> str:
    """What a command of ours says on stdout; ends this one where it fails."""
    done = subprocess.run([*SYNTHGEN, *map(str, words)], cwd=folder, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"synthgen {' '.join(map(str, words))} ended with status {done.returncode}")
    return done.stdout.strip()


def halves(folder: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of the table with file_name, label, split and patient_id; no unit is in both halves."""
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (folder / row["file_name"]).is_file()]
    label = next(column for column in columns if column in rows[0])
    told = []
    for row in rows:
        unit = row.get("patient_id") or row["file_name"]
        test = hashlib.sha256(unit.encode()).digest()[0] % 2
        told.append(
            {"file_name": row["file_name"], "label": row[label], "split": ("train", "test")[test],
             "patient_id": row.get("patient_id", "")}
        )  # fmt: skip
    return told


def laid_out(source: Path, rows: Sequence[dict[str, str]], work: Path) -> dict[str, Path]:
    """real/ with both halves, and a folder of the training half for each class: class -> folder."""
    places: dict[str, Path] = {}
    for row in rows:
        copies = [work / "real" / row["file_name"]]
        if row["split"] == "train":
            places.setdefault(row["label"], work / "photos" / row["label"])
            copies.append(places[row["label"]] / Path(row["file_name"]).name)
        for copy in copies:
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists():
                shutil.copyfile(source / row["file_name"], copy)
    with (work / "real" / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ("file_name", "label", "split", "patient_id"))
        table.writeheader()
        table.writerows({**row, "label": "none" if row["label"] == NORMAL else row["label"]} for row in rows)
    if any(row["patient_id"] for row in rows):
        with (work / "photos" / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            cases = csv.writer(file)
            cases.writerow(("file_name", "patient_id", "finding"))
            for row in rows:
                if row["split"] == "train":
                    name = f"{row['label']}/{Path(row['file_name']).name}"
                    cases.writerow((name, row["patient_id"], row["label"]))
    return places


def medical(places: dict[str, Path], work: Path, modality: str, together: bool) -> list[list[str]]:
    """Adapters trained; options of generate for each."""
    commands = []
    for label, place in places.items():
        if label == NORMAL and together:
            continue
        if not (work / "adapters" / label / "card.toml").is_file():
            normal = ["--normal", places[NORMAL]] if together else []
            condition = "none" if label == NORMAL else label
            synthgen(
                "train-condition", "--images", place, "--condition", condition, "--name", label, "--modality", modality,
                "--metadata", work / "photos" / "metadata.csv", *normal, "--owner", "a public set", "--license",
                "LicenseRef-own", folder=work,
            )  # fmt: skip
        commands.append(["--pipeline", "medical", "--adapter", label])
    return commands


def apparel(places: dict[str, Path], work: Path) -> list[list[str]]:
    """Adapters trained; options of generate for each."""
    for label, place in places.items():
        if not (work / "adapters" / label / "card.toml").is_file():
            synthgen("train-product", "--images", place, "--name", label, "--license", "CC0-1.0", folder=work)
    return [["--adapter", label] for label in places]


def main() -> None:
    """Parse, make what is not there, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="labelled real pictures")
    parser.add_argument("--domain", choices=("apparel", "medical"), required=True)
    parser.add_argument("--modality", default="chest-xray", help="of a medical set")
    parser.add_argument("--together", action="store_true", help="one adapter for a condition and its normal pictures")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument("--count", type=int, default=500, help="pictures to make with each adapter")
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    rows = halves(given.source, ("finding", "category", "label"))
    places = laid_out(given.source, rows, work)
    if given.domain == "medical":
        commands = medical(places, work, given.modality, given.together)
    else:
        commands = apparel(places, work)
    runs = []
    for number, command in enumerate(commands):
        out = work / "runs" / f"{number}-{command[-1]}"
        synthgen("generate", *command, "--count", given.count, "--out", out, folder=work)
        runs.append(out)
    program = [sys.executable, str(FOLDER / "evaluate.py"), *map(str, runs), "--real", str(work / "real")]
    name = given.source.name
    sys.exit(subprocess.run([*program, "--name", name, "--keep", str(work / "evaluation")]).returncode)


if __name__ == "__main__":
    main()
