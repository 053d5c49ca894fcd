"""A run's report: report.html for people and a JSON file with the same numbers for programs; both stand alone.

facts.of_run -> what an evaluation found, where there is one -> page.page
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthgen import labelled_set, store
from synthgen.errors import RequestError
from synthgen.labelled_set import NO_LABELS
from synthgen.ledger import write_whole
from synthgen.report import facts, page, schema
from synthgen.report.gallery import MOST, Shown, chosen

SCHEMA = "synthgen.report/1"
PAGE, DOCUMENT, RESULTS, TYPES = "report.html", "report.json", "results.json", "report.schema.json"
ALWAYS = (
    "whether an attacker can tell which photos taught an adapter: no membership test is part of this report",
    "whether the photos that the adapters were trained on are among the real test pictures",
)


@dataclass(frozen=True)
class Reported:
    """Where a report is, and its numbers."""

    page: Path
    document: Mapping[str, Any]


def run(folders: Sequence[Path], evaluation: Path | None = None, out: Path | None = None) -> Reported:
    """Write the report of runs anew, with what an evaluation of them found.

    evaluation  a folder that `synthgen evaluate` wrote; by default RUN-evaluation beside the first run, if it is there
    out         folder of the report; by default the run itself, and for several RUN-report beside the first
    Raises RequestError for what is no run, and for an evaluation of other runs.
    """
    for folder in folders:
        store.about(folder)
    first = folders[0]
    given = evaluation or first.with_name(f"{first.resolve().name}-evaluation")
    found = None
    if evaluation is not None or (given / RESULTS).is_file():
        found = _evaluation(given, folders)
    place = out or (first if len(folders) == 1 else first.with_name(f"{first.resolve().name}-report"))
    place.mkdir(parents=True, exist_ok=True)
    return write(place, DOCUMENT, folders, found)


def write(place: Path, name: str, folders: Sequence[Path], found: Mapping[str, Any] | None) -> Reported:
    """Write report.html, the JSON under `name`, and the schema of it, into a folder that is there."""
    told = [facts.of_run(folder) for folder in folders if (folder / store.ABOUT).is_file()]
    document = {
        "schema": SCHEMA,
        "names": [folder.resolve().name for folder in folders],
        "runs": [asdict(one) for one in told],
        "evaluation": found,
        "not_measured": [*_not_measured(folders, told, found), *ALWAYS],
    }
    document = plain(document)
    by_name = {folder.resolve().name: folder for folder in folders}
    whole = pictures(folders, found["label"] if found else "")
    shown = chosen(whole, (found["label"] if found else "") or "category", MOST)
    html = page.page(document, shown, _wrong(document["evaluation"], by_name, whole), by_name)
    for file, content in ((TYPES, schema.schema(SCHEMA)), (name, document)):
        write_whole(place / file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    write_whole(place / PAGE, html.encode())
    return Reported(place / PAGE, document)


def pictures(folders: Sequence[Path], label: str) -> list[Shown]:
    """Every picture of all sets, with what was asked for."""
    whole: list[Shown] = []
    for folder in folders:
        name = folder.resolve().name
        if (folder / store.ABOUT).is_file():
            for line in store.read(folder):
                lineage = line["lineage"]
                asked = {key: value for key, value in lineage["requested"].items() if key not in NO_LABELS}
                labels = {"category": str(lineage["job"].get("category", "")), **asked, "run": name}
                whole.append(Shown(folder / str(line["file_name"]), str(lineage["prompt"]), labels))
        else:
            for item in labelled_set.read(folder, label).pictures:
                whole.append(Shown(item.path, item.label, {label or "label": item.label, **item.labels, "run": name}))
    return whole


def plain(value: Any) -> Any:
    """Without NaN, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value != value else value


def _evaluation(folder: Path, folders: Sequence[Path]) -> Mapping[str, Any]:
    """What results.json says, where it says it of these runs."""
    path = folder / RESULTS
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        names, found = document["names"], document["evaluation"]
        sound = document["schema"] == SCHEMA and isinstance(found, dict)
    except (OSError, ValueError, KeyError, TypeError):
        names, found, sound = [], {}, False
    if not sound:
        raise RequestError(f"{path} is no result of this synthgen's `evaluate`. Run it again. Nothing was written.")
    wanted = [one.resolve().name for one in folders]
    if sorted(names) != sorted(wanted):
        raise RequestError(
            f"{path} is an evaluation of {', '.join(names)}, and the report is asked for {', '.join(wanted)}. Name "
            "another with --evaluation, or the same runs. Nothing was written."
        )
    return dict(found)


def _wrong(
    found: Mapping[str, Any] | None, folders: Mapping[str, Path], whole: Sequence[Shown]
) -> dict[str, list[Shown]]:
    """Classifier -> the pictures that it got wrong and that the page shows; those that are gone are left out."""
    if found is None:
        return {}
    labels = {item.path: item.labels for item in whole}
    shown: dict[str, list[Shown]] = {}
    for name, judged in found["classifiers"].items():
        shown[name] = [
            Shown(
                folders[item["run"]] / item["file"],
                f"{item['truth']}, taken for {item['choice']} ({item['score']:.2f})",
                {
                    **labels.get(folders[item["run"]] / item["file"], {}),
                    "truth": item["truth"],
                    "taken for": item["choice"],
                },
            )
            for item in judged["failures"]
            if item["run"] in folders and (folders[item["run"]] / item["file"]).is_file()
        ]
    return shown


def _not_measured(
    folders: Sequence[Path], told: Sequence[facts.RunFacts], found: Mapping[str, Any] | None
) -> list[str]:
    missing = [
        f"{folder.resolve().name} is no run of synthgen: without records, nothing is known of its validity, rights and "
        "origin"
        for folder in folders
        if not (folder / store.ABOUT).is_file()
    ]
    if found is None:
        missing.append(
            "whether accuracy on this set holds on real pictures, whether it helps training, how faithful and varied "
            "it is: no evaluation was made. synthgen evaluate RUN --real FOLDER"
        )
    else:
        missing += found["left_out"]
    for one in told:
        if one.copies is None:
            missing.append(f"{one.name}: whether it copies photos: the copy gate wrote nothing into its records")
        if not one.agreement:
            missing.append(f"{one.name}: whether labels are as asked: no gate read them")
    return missing
