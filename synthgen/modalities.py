"""Kinds of medical pictures: what each is called in a caption, and which words its labels may have.

A modality of the user's own is free text: it has no vocabulary, and its words are taken as they come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NORMAL = "none"  # the condition of a picture without a finding
NORMAL_WORDS = ("none", "no finding", "no findings", "normal", "healthy", "negative", "")
SEVERITIES = ("mild", "moderate", "severe")
SIDES = ("left", "right")
SEXES = ("female", "male")
AGE_BANDS = ("0-17", "18-39", "40-59", "60-79", "80+")  # of medical tables; apparel has adults only


@dataclass(frozen=True)
class Modality:
    """One kind of picture."""

    name: str
    noun: str  # in a caption
    normal: str = "no finding"  # what is said of a picture without a finding
    conditions: Mapping[str, str] = field(default_factory=dict)  # label -> phrase; others are said as they stand
    views: tuple[str, ...] = ()
    sided: bool = False  # left and right mean something: a mirrored picture would be another one
    grey: bool = False  # what is made has no colour


MODALITIES: dict[str, Modality] = {
    item.name: item
    for item in (
        Modality(
            "chest-xray",
            "chest x-ray",
            conditions={  # the first five are drawn by mini's world; the rest are the 14 labels of CheXpert
                "consolidation": "consolidation", "effusion": "pleural effusion", "nodule": "lung nodule",
                "cardiomegaly": "enlarged heart", "pneumothorax": "pneumothorax",
                "pneumonia": "pneumonia", "atelectasis": "atelectasis", "edema": "edema",
                "enlarged-cardiomediastinum": "enlarged cardiomediastinum", "fracture": "fracture",
                "lung-lesion": "lung lesion", "lung-opacity": "lung opacity", "pleural-other": "pleural other",
                "support-devices": "support devices",
            },
            views=("PA", "AP", "lateral"),
            sided=True,
            grey=True,
        ),
        Modality(
            "blood-smear",
            "blood smear",
            normal="no white cell",
            conditions={
                "neutrophil": "neutrophil", "lymphocyte": "lymphocyte", "monocyte": "monocyte",
                "eosinophil": "eosinophil", "basophil": "basophil",
            },
            views=("thin", "thick"),
        ),
        Modality(
            "dermatology",
            "skin lesion photo",
            normal="clear skin",
            conditions={  # the 7 classes of HAM10000 as MedMNIST lists them
                "actinic-keratosis": "actinic keratosis", "basal-cell-carcinoma": "basal cell carcinoma",
                "benign-keratosis": "benign keratosis", "dermatofibroma": "dermatofibroma", "melanoma": "melanoma",
                "nevus": "melanocytic nevus", "vascular-lesion": "vascular lesion",
            },
            views=("dermoscopic", "clinical"),
        ),
        Modality(
            "fundus",
            "fundus photo",
            conditions={
                "diabetic-retinopathy": "diabetic retinopathy", "glaucoma": "glaucoma", "cataract": "cataract",
                "macular-degeneration": "macular degeneration",
            },
            views=("macula", "optic disc"),
            sided=True,
        ),
        Modality(
            "histology",
            "histology slide",
            normal="normal tissue",
            conditions={  # of the 9 classes of NCT-CRC-HE as MedMNIST lists them, those that are no background
                "adipose": "adipose tissue", "debris": "debris", "lymphocytes": "lymphocytes", "mucus": "mucus",
                "smooth-muscle": "smooth muscle", "normal-mucosa": "normal colon mucosa", "stroma": "stroma",
                "adenocarcinoma": "adenocarcinoma epithelium",
            },
            views=("10x", "20x", "40x"),
        ),
    )
}  # fmt: skip
OTHER = "other"
ALIASES = {
    "cxr": "chest-xray", "xray": "chest-xray", "x-ray": "chest-xray", "chest-x-ray": "chest-xray",
    "blood": "blood-smear", "smear": "blood-smear", "derm": "dermatology", "skin": "dermatology",
    "retina": "fundus", "pathology": "histology",
}  # fmt: skip


def modality(name: str) -> Modality:
    """The modality of a name; words that no vocabulary knows are a modality of their own, said as they stand."""
    key = slug(name)
    key = ALIASES.get(key, key)
    if key in MODALITIES:
        return MODALITIES[key]
    return Modality(key or OTHER, "medical picture" if key in ("", OTHER) else words(name))


def condition(name: str) -> str:
    """The label of a condition: "Pleural Effusion" is "effusion", "No Finding" and "normal" are "none"."""
    said = words(name).lower()
    named = (label for of in MODALITIES.values() for label, phrase in of.conditions.items() if said == phrase)
    return NORMAL if said in NORMAL_WORDS else next(named, slug(name))


def phrase(of: Modality, label: str) -> str:
    """A condition as a caption says it."""
    return of.normal if label == NORMAL else of.conditions.get(label, label.replace("-", " "))


def slug(text: str) -> str:
    """ "Chest X-ray" -> "chest-x-ray"."""
    return "-".join(words(text).lower().split())


def words(text: str) -> str:
    """ "no_finding " -> "no finding"."""
    return " ".join(text.replace("_", " ").split())
