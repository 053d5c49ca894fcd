"""A table of cases beside medical pictures: whose picture it is and what is known of it.

Columns: file_name, patient_id, finding (or cell), view, side, severity, stain, sex, age_band (or age), site, split;
others are left alone. The paths in `file_name` are meant from the table's folder or from the pictures'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from synthgen import modalities, photo_table, splits
from synthgen.errors import RequestError
from synthgen.types import Photo

NAMES = {  # column as it may be spelled -> label
    "patient_id": "patient_id", "patient": "patient_id", "patientid": "patient_id",
    "finding": "condition", "condition": "condition", "diagnosis": "condition", "label": "condition",
    "cell": "condition", "stain": "stain",
    "view": "view", "view_position": "view", "viewposition": "view",
    "side": "side", "laterality": "side", "severity": "severity", "sex": "sex", "gender": "sex",
    "age_band": "age", "ageband": "age", "age": "age", "patient_age": "age",
    "site": "site", "split": "split",
}  # fmt: skip
SEX_WORDS = {"f": "female", "w": "female", "female": "female", "m": "male", "male": "male"}
HELD_OUT = ("held-out", "held_out", "heldout", "holdout", "hold-out")  # other words for validation
AGES_END = (18, 40, 60, 80)  # years at which the bands of modalities.AGE_BANDS end


def read(table: Path | None, folder: Path) -> dict[str, dict[str, str]]:
    """File name -> labels of a folder's pictures; without a table that is named, metadata.csv in the folder.

    Raises RequestError where the table is no such table, or speaks of none of the pictures.
    """
    path = table or next((folder / name for name in photo_table.NAMES if (folder / name).is_file()), None)
    if path is None:
        return {}
    if not path.is_file():
        raise RequestError(f"there is no table '{path}'. --metadata wants a CSV with file_name and patient_id.")
    home = folder.resolve()
    here = {photo_table.key(entry.name) for entry in folder.iterdir()}
    found: dict[str, dict[str, str]] = {}
    for line, row in photo_table.rows(path):
        name = _name_in(home, path.resolve().parent, row[photo_table.KEY])
        if not name or photo_table.key(name) not in here:
            continue
        labels = _labels(row, f"{path} line {line}")
        if found.setdefault(photo_table.key(name), labels) != labels:
            raise RequestError(f"{path} line {line}: '{name}' has a row already that says otherwise. Keep one.")
    if table and not found:
        raise RequestError(
            f"{path} says nothing of the pictures in {folder}: no file_name in it is there. Paths are meant from the "
            "table's folder or from --images. Nothing was changed."
        )
    return found


def group(patient: str) -> str:
    """A patient's mark in what synthgen keeps: no number of the clinic's own, the same in every set."""
    return hashlib.sha256(f"patient:{patient}".encode()).hexdigest()[:16] if patient else ""


def check(photos: tuple[Photo, ...], rows: Mapping[str, Mapping[str, str]], table: str) -> None:
    """Raises RequestError where no split of these pictures can be told to keep patients apart."""
    cells = {photo.path.name: rows.get(photo_table.key(photo.path.name), {}) for photo in photos}
    nameless = [name for name, row in cells.items() if not row.get("patient_id")]
    if nameless and len(nameless) < len(cells):
        raise RequestError(
            f"{table}: {len(nameless)} of {len(cells)} pictures have no patient_id ({', '.join(nameless[:3])}): their "
            "patients might straddle the split. Give every picture one, or none. Nothing was learned."
        )
    places: dict[str, set[str]] = {}
    for row in cells.values():
        if row.get("patient_id") and row.get("split"):
            places.setdefault(row["patient_id"], set()).add(row["split"])
    straddling = sorted(patient for patient, found in places.items() if len(found) > 1)
    if straddling:
        raise RequestError(
            f"{table}: {len(straddling)} patients straddle its splits, such as {_masked(straddling[0])} in "
            f"{' and '.join(sorted(places[straddling[0]]))}. Put all pictures of a patient into one split, or remove "
            "the column 'split'. Nothing was learned."
        )
    patients = {row["patient_id"] for row in cells.values() if row.get("patient_id")}
    if len(patients) == 1 and len(cells) > 1:
        raise RequestError(
            f"{table}: all {len(cells)} pictures are of one patient, who would straddle any split. Add pictures of "
            "other patients. Nothing was learned."
        )


def _labels(row: Mapping[str, str], where: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for column, text in row.items():
        label = NAMES.get(column.strip().lower().replace(" ", "_"))
        if label and text and label not in labels:
            labels[label] = text
    if "condition" in labels:
        labels["condition"] = modalities.condition(labels["condition"])
    for label in ("side", "severity"):
        if label in labels:
            labels[label] = labels[label].lower()
    if "sex" in labels:
        labels["sex"] = SEX_WORDS.get(labels["sex"].lower(), labels["sex"].lower())
    if "age" in labels:
        labels["age"] = age_band(labels["age"])
    if "split" in labels:
        text = "validation" if labels["split"].lower() in HELD_OUT else labels["split"]
        labels["split"] = splits.normal(text) or _wrong_split(text, where)
    return labels


def _wrong_split(text: str, where: str) -> str:
    raise RequestError(f"{where}: split is '{text}'; wanted train, validation (or held-out) or test.")


def age_band(text: str) -> str:
    """ "063Y" or "63" as "60-79"; a band that is one stays; anything else stays as it is."""
    if text in modalities.AGE_BANDS:
        return text
    digits = text.upper().removesuffix("Y").strip()
    if text.upper().endswith(("M", "W", "D")) and digits[:-1].strip().isdigit():
        return modalities.AGE_BANDS[0]
    if not digits.isdigit():
        return text
    return modalities.AGE_BANDS[sum(int(digits) >= end for end in AGES_END)]


def _name_in(folder: Path, table_folder: Path, file_name: str) -> str:
    """The name of a picture directly in the folder that a cell means, or ""."""
    for start in (table_folder, folder):
        path = start / file_name
        if path.parent.resolve() == folder:
            return path.name
    return ""


def _masked(text: str) -> str:
    return f"'{text[:2]}...'"
