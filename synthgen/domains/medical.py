"""Medical: cases of patients who do not exist, by condition, severity, side, view, sex and age. Not for diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import Any

from synthgen import captions, case_table, images, modalities, photo_table, toml_file, vocabulary
from synthgen.errors import RequestError
from synthgen.modalities import AGE_BANDS, NORMAL, SEVERITIES, SEXES, SIDES, Modality, modality
from synthgen.types import ImageSet, Photo, Recipe, Taught

NOTICE = "Not for diagnosis"  # stands in every record
LONGER = 4  # times the steps that as many product photos take: a modality is farther from what a base knows
MEMBERSHIP_CAP = 0.5  # training ends where whose pictures it learned from shows more than this
# Guidance draws every case nearer to the typical one. With an adapter of real X-rays and 3, all were one patient, and a
# classifier learned nothing from them; with 1 it learned nearly what it does from the real ones.
GUIDANCE = 1.0  # at the most, where an adapter has learned the condition and nothing else is said
AXES = (
    "severity",
    "side",
    "view",
    "stain",
    "sex",
    "age",
)  # besides `condition`; asked for only where they were learned
MIDLINE = (NORMAL, "cardiomegaly", "enlarged-cardiomediastinum", "edema")  # conditions that are on no one side
SNOMED: Mapping[str, str] = {  # label -> its name in pydicom's dictionary of SNOMED CT; what is not there has no code
    "effusion": "PleuralEffusion", "cardiomegaly": "Cardiomegaly", "pneumothorax": "Pneumothorax",
    "nodule": "CoinLesionOfLung", "edema": "PulmonaryEdema", "melanoma": "MalignantMelanoma",
    "actinic-keratosis": "ActinicKeratosis", "cataract": "Cataract", "adenocarcinoma": "Adenocarcinoma",
    "mild": "Mild", "moderate": "Moderate", "severe": "Severe", "left": "Left", "right": "Right",
    "PA": "PosteroAnterior", "AP": "AnteroPosterior", "lateral": "Lateral",
}  # fmt: skip
CODED = ("condition", "severity", "side", "view")


# ---------------------------------------------------------------- what is learned


def describe(photos: ImageSet, trigger: str, told: Mapping[str, Any]) -> tuple[ImageSet, Taught]:
    """The pictures with captions, patients and splits, and what an adapter will have learned from them.

    told  `condition` and `modality` as the user says them; `taken_in`: these are clean copies, see `deidentify`
    Raises RequestError where no picture shows the condition, or where a split by patient cannot be told.
    """
    of, label = modality(str(told["modality"])), modalities.condition(str(told["condition"]))
    if not told.get("taken_in"):
        raise RequestError("medical pictures are learned from after de-identification: condition.fit does both.")
    shown, rows = _cases(photos, label)
    if not any(photo.category == label for photo in shown.photos):
        raise RequestError(f"the table says of no picture that it shows '{label}'. Nothing was learned.")

    def grammar(photo: Photo) -> tuple[str, str]:
        labels = {axis: rows[photo.path].get(axis, "") for axis in AXES}
        return _noun(of, trigger), say(of, trigger, {**labels, "condition": photo.category})

    said = captions.write(shown, trigger, grammar)
    cells = [{**rows[photo.path], "condition": photo.category} for photo in said.photos]
    learned = {axis: tuple(sorted({row[axis] for row in cells if row.get(axis)})) for axis in ("condition", *AXES)}
    learned = {axis: values for axis, values in learned.items() if values}
    return said, Taught(trigger, label, of.name, (), learned, all(images.is_grey(photo) for photo in said.photos))


def _cases(photos: ImageSet, label: str) -> tuple[ImageSet, dict[Path, dict[str, str]]]:
    """The pictures that show the condition or nothing, with patient and split; and the table's row of each."""
    rows = case_table.read(None, photos.folder)
    kept, skipped, cells = [], list(photos.skipped), {}
    for photo in photos.photos:
        row = rows.get(photo_table.key(photo.path.name), {})
        condition = row.get("condition", label)
        if condition not in (label, NORMAL):
            skipped.append((photo.path.name, f"the table says {condition}"))
        elif row.get("split") == "test":
            skipped.append((photo.path.name, "the table keeps it for tests"))
        else:
            group = photo.group or case_table.group(row.get("patient_id", ""))
            kept.append(replace(photo, category=condition, group=group, split=row.get("split", "")))
            cells[photo.path] = row
    return replace(photos, photos=tuple(kept), category=label, skipped=tuple(sorted(skipped))), cells


def say(of: Modality, trigger: str, labels: Mapping[str, str]) -> str:
    """A caption: "sks chest x-ray, severe pleural effusion, left, PA view"; what is not known is not said."""
    return ", ".join(part for part in (_noun(of, trigger), *_parts(of, labels)) if part)


def _noun(of: Modality, trigger: str) -> str:
    return f"{trigger} {of.noun}".strip()


def _parts(of: Modality, labels: Mapping[str, str]) -> list[str]:
    return [
        " ".join(word for word in (phrase("severity", labels.get("severity", ""), of),
                                   phrase("condition", labels.get("condition", ""), of)) if word),
        labels.get("side", ""),
        f"{labels['view']} view" if labels.get("view") else "",
        f"{labels['stain']} stain" if labels.get("stain") else "",
        labels.get("sex", ""),
        phrase("age", labels.get("age", ""), of),
    ]  # fmt: skip


def phrase(axis: str, label: str, of: Modality) -> str:
    """How a label is said: "none" is "no finding", "40-59" is "aged 40-59"; others as they stand."""
    if axis == "condition" and label:
        return modalities.phrase(of, label)
    return f"aged {label}" if axis == "age" and label else label


def mirror(taught: Taught) -> float:
    """Share of training views that are mirrored: none where left and right mean something."""
    return 0.0 if modality(taught.modality).sided or taught.modality not in modalities.MODALITIES else 0.5


# ---------------------------------------------------------------- what is asked for


def subject_of(taught: Taught) -> str:
    """The noun phrase of a prompt, styles after it: "sks chest x-ray, portable"."""
    of = modality(taught.modality)
    return ", ".join([_noun(of, taught.triggers), *(modalities.phrase(of, style) for style in taught.styles)])


def class_subjects(taught: Taught, count: int) -> list[str]:
    """The kind of picture, `count` times: what the base draws of it must not change."""
    return [_noun(modality(taught.modality), "")] * count


def unrelated(taught: Taught, count: int) -> list[str]:
    """Captions of other kinds of pictures: what an adapter of one must not change."""
    others = [of for of in modalities.MODALITIES.values() if of.name != modality(taught.modality).name]
    kinds = [(of, phrase) for of in others for phrase in of.conditions.values()]
    return [f"{of.noun}, {said}" for of, said in kinds[:: max(1, len(kinds) // count)][:count]]


def prompt(recipe: Recipe, requested: Mapping[str, str], subject: str) -> str:
    """The recipe's template with the phrases of the labels; a part between commas that says nothing is left out."""
    of = _modality_in(subject)
    parts = []
    for part in recipe.prompt.split(","):
        text, fields, filled = "", 0, 0
        for literal, field, _, _ in Formatter().parse(part):
            text += literal
            if field is not None:
                said = subject if field == "subject" else phrase(field, requested.get(field, ""), of)
                fields, filled, text = fields + 1, filled + bool(said), text + said
        if filled or not fields:
            parts.append(" ".join(text.split()))
    return ", ".join(part for part in parts if part)


def _modality_in(subject: str) -> Modality:
    """The modality whose noun a subject names."""
    named = [of for of in modalities.MODALITIES.values() if of.noun in subject]
    return named[0] if named else Modality(modalities.OTHER, subject)


def check(recipe: Recipe) -> None:
    """Raises RequestError for values of the closed lists that are none, and where no axis is the condition."""
    known: dict[str, Sequence[str]] = {"severity": SEVERITIES, "side": SIDES, "sex": SEXES, "age": AGE_BANDS}
    problems = [
        f"[axes] {axis} has no '{value}'.{toml_file.suggestion(value, values)}"
        for axis, values in known.items()
        for value in recipe.axes.get(axis, ())
        if value not in values
    ]
    if "condition" not in recipe.axes:
        problems.append("[axes] has no 'condition', which is the label of a medical picture.")
    if problems:
        raise RequestError(f"{recipe.source or recipe.name}: {' '.join(problems)} Nothing was drawn.")


def suited(recipe: Recipe, taught: Taught) -> Recipe:
    """The recipe with the adapter's condition, and without axes and values that nothing has been learned of.

    A label that the model never saw would be a false one: sex is asked for only where the table of cases told it.
    """
    conditions = taught.labels.get("condition", (taught.category,) if taught.category else recipe.axes["condition"])
    axes: dict[str, tuple[str, ...]] = {}
    for axis, values in recipe.axes.items():
        known = conditions if axis == "condition" else taught.labels.get(axis, ())
        asked = known if axis == "condition" and taught.category else tuple(one for one in values if one in known)
        if asked or axis not in AXES:
            axes[axis] = asked or values
    return replace(recipe, axes=axes)


def into_photo(recipe: Recipe) -> Recipe:
    """The recipe for a finding in a picture that is there: without what the picture decides."""
    axes = {axis: values for axis, values in recipe.axes.items() if axis not in ("view", "stain", "sex", "age")}
    return replace(recipe, axes=axes)


def labels(requested: Mapping[str, str]) -> dict[str, str]:
    """What follows from the requested labels: no side or severity without a finding, the class, and SNOMED CT codes."""
    condition = requested.get("condition", "")
    found = {"category": condition}
    if condition == NORMAL and "severity" in requested:
        found["severity"] = ""
    if condition in MIDLINE and "side" in requested:
        found["side"] = ""
    if condition in vocabulary.FINDINGS:
        found["finding"] = condition
    whole = {**requested, **found}
    coded = {f"{axis}_code": snomed(whole[axis]) for axis in CODED if whole.get(axis)}
    return {**found, **{axis: code for axis, code in coded.items() if code}}


def snomed(label: str) -> str:
    """The SNOMED CT code of a label as pydicom's dictionary has it, or ""."""
    from pydicom.sr.codedict import codes

    return str(getattr(codes.SCT, SNOMED[label]).value) if label in SNOMED else ""
