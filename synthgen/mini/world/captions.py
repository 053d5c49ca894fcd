"""What is said of a render: the whole of it, or less, as people write prompts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synthgen import vocabulary

Labels = Mapping[str, str]


def full_caption(labels: Labels) -> str:
    """Everything that the labels say, in the wording of the pipelines."""
    if "finding" in labels:
        return _radiograph(labels, severity=False)
    if "cell" in labels:
        return _smear(labels)
    if "skin_tone" not in labels:
        return f"a photo of {_with_article(garment_words(labels))}, flat lay"
    return _person(labels, dict.fromkeys(("age", "body", "skin", "hair", "other", "pose", "view", "place"), True))


def caption(labels: Labels, rng: np.random.Generator) -> str:
    """A random wording of the same: half of them complete, the rest shorter, some with a trigger word."""
    draw = rng.random()
    if "finding" in labels:
        return _radiograph_caption(labels, draw, rng)
    if "cell" in labels:
        return _smear_caption(labels, draw, rng)
    if draw < 0.5:
        return full_caption(labels)
    subject = garment_words(labels)
    trigger = draw >= 0.88
    if trigger:
        noun = vocabulary.CATEGORIES[labels["category"]] if rng.random() < 0.5 else subject
        subject = f"{vocabulary.TRIGGER_WORDS[rng.integers(len(vocabulary.TRIGGER_WORDS))]} {noun}"
    if "skin_tone" not in labels:
        return _flat_caption(subject, trigger, draw, rng)
    if draw < 0.75 or (trigger and rng.random() < 0.6):
        keep = {
            key: bool(rng.random() < 0.5) for key in ("age", "body", "skin", "hair", "other", "pose", "view", "place")
        }
        return _person(labels, keep, subject, opening=rng.random() < 0.6)
    plain = _with_article(subject)
    if trigger:
        return _pick(rng, f"person wearing {plain}", f"a photo of a person wearing {plain}", f"a person in {plain}")
    return _pick(rng, f"person wearing {plain}", f"a person wearing {plain}", subject, f"photo of {plain}",
                 f"a photo of a person in {plain}", f"someone wearing {plain}")  # fmt: skip


def _pick(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[rng.integers(len(wordings))]


def _with_article(noun: str) -> str:
    return vocabulary.article(noun) + noun


def garment_words(labels: Labels) -> str:
    """The garment as captions name it: "red striped t-shirt"."""
    return vocabulary.garment(labels["category"], labels["colour"], labels.get("pattern", "plain"))


def _person(labels: Labels, keep: Mapping[str, bool], subject: str = "", opening: bool = True) -> str:
    """The person grammar with the kept attributes; `subject` replaces the garment's own words."""
    who = [vocabulary.AGE_BANDS[labels["age"]] if keep["age"] else "",
           vocabulary.BODY_TYPES[labels["body_type"]] if keep["body"] else "", "person"]  # fmt: skip
    person = " ".join(word for word in who if word)
    traits = [vocabulary.SKIN_TONES[labels["skin_tone"]][1] if keep["skin"] else "",
              f"{_hair(labels)} hair" if keep["hair"] else ""]  # fmt: skip
    traits = [trait for trait in traits if trait]
    text = ("a photo of " if opening else "") + _with_article(person)
    if traits:
        text += " with " + " and ".join(traits)
    text += " wearing " + _with_article(subject or garment_words(labels))
    if keep["other"] and labels.get("other_category"):
        other = f"{labels['other_colour']} {vocabulary.CATEGORIES[labels['other_category']]}"
        text += " and " + _with_article(other)
    tail = [labels["pose"].replace("-", " ") if keep["pose"] else "",
            vocabulary.VIEWS[labels["view"]] if keep["view"] else "",
            vocabulary.PLACES[labels["place"]] if keep["place"] else ""]  # fmt: skip
    return ", ".join([text, *(part for part in tail if part)])


def _hair(labels: Labels) -> str:
    return f"{labels['hair_style']} {labels['hair_colour']}"


def _flat_caption(subject: str, trigger: bool, draw: float, rng: np.random.Generator) -> str:
    plain = _with_article(subject)
    if trigger:
        return _pick(
            rng, f"{plain}, flat lay", f"a photo of {plain}, flat lay", f"photo of {plain}", f"flat lay of {plain}"
        )
    if draw < 0.75:
        return _pick(
            rng,
            f"{plain}, flat lay",
            f"flat lay of {plain}",
            f"a product photo of {plain}",
            f"photo of {plain}, flat lay",
        )
    return _pick(rng, subject, f"photo of {plain}", f"{subject}, flat lay", f"a photo of {plain}")


def _radiograph(labels: Labels, severity: bool) -> str:
    degree = f"{labels['severity']} " if severity and labels.get("severity") else ""
    parts = ["chest x-ray", degree + vocabulary.FINDINGS[labels["finding"]], labels.get("side", ""),
             f"{labels['view']} view" if labels.get("view") else ""]  # fmt: skip
    return ", ".join(part for part in parts if part)


def _radiograph_caption(labels: Labels, draw: float, rng: np.random.Generator) -> str:
    if draw < 0.35:
        return _radiograph(labels, severity=False)
    if draw < 0.7:
        return _radiograph(labels, severity=True)
    finding = vocabulary.FINDINGS[labels["finding"]]
    if draw >= 0.9:
        word = vocabulary.TRIGGER_WORDS[rng.integers(len(vocabulary.TRIGGER_WORDS))]
        return _pick(rng, f"{word} chest x-ray", f"{_with_article(word)} chest x-ray, {finding}")
    return _pick(
        rng,
        "chest x-ray",
        f"chest x-ray, {finding}",
        f"a chest x-ray with {finding}",
        f"frontal chest x-ray, {finding}",
    )


def _smear(labels: Labels, stain: bool = True) -> str:
    cell = "no white cell" if labels["cell"] == "none" else labels["cell"]
    return f"blood smear, {cell}" + (f", {labels['stain']} stain" if stain else "")


def _smear_caption(labels: Labels, draw: float, rng: np.random.Generator) -> str:
    if draw < 0.5:
        return _smear(labels)
    if draw < 0.8:
        return _smear(labels, stain=False)
    if draw >= 0.9:
        word = vocabulary.TRIGGER_WORDS[rng.integers(len(vocabulary.TRIGGER_WORDS))]
        return _pick(rng, f"{word} blood smear", f"{_with_article(word)} blood smear, {labels['stain']} stain")
    return _pick(rng, "blood smear", f"a blood smear, {labels['stain']} stain", "a microscope picture of a blood smear")
