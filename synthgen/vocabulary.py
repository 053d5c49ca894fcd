"""The words for labels: one spelling for the renderer, the captions, the plan and the exports.

A label is what stands in a table ("monk-04"); a phrase is what stands in a prompt ("light tan skin").
"""

from __future__ import annotations

CATEGORIES: dict[str, str] = {  # folder names of the public clothing set -> the noun in a prompt
    "t-shirt": "t-shirt",
    "shirt": "shirt",
    "longsleeve": "long-sleeve top",
    "dress": "dress",
    "pants": "trousers",
    "skirt": "skirt",
    "shorts": "shorts",
    "outwear": "jacket",
}
CATEGORY_ALIASES: dict[str, str] = {
    "tshirt": "t-shirt", "tee": "t-shirt", "tees": "t-shirt", "t-shirts": "t-shirt", "tshirts": "t-shirt",
    "top": "t-shirt", "tops": "t-shirt", "polo": "t-shirt", "polos": "t-shirt",
    "shirts": "shirt", "blouse": "shirt", "blouses": "shirt", "button-down": "shirt",
    "long-sleeve": "longsleeve", "longsleeves": "longsleeve", "sweater": "longsleeve", "sweaters": "longsleeve",
    "sweatshirt": "longsleeve", "jumper": "longsleeve", "pullover": "longsleeve", "hoodie": "longsleeve",
    "dresses": "dress", "gown": "dress", "gowns": "dress",
    "trousers": "pants", "jeans": "pants", "leggings": "pants", "chinos": "pants",
    "skirts": "skirt", "short": "shorts",
    "outerwear": "outwear", "jacket": "outwear", "jackets": "outwear", "coat": "outwear", "coats": "outwear",
    "blazer": "outwear", "blazers": "outwear", "parka": "outwear",
}  # fmt: skip
LOWER_GARMENTS = ("pants", "skirt", "shorts")
UPPER_GARMENTS = tuple(name for name in CATEGORIES if name not in (*LOWER_GARMENTS, "dress"))
PLURAL_GARMENTS = ("pants", "shorts")

COLOURS: dict[str, tuple[int, int, int]] = {  # sRGB of the middle of each named colour
    "white": (240, 240, 236), "black": (30, 30, 34), "grey": (132, 134, 138), "red": (200, 36, 42),
    "orange": (235, 122, 30), "yellow": (240, 204, 52), "green": (46, 140, 66), "teal": (30, 142, 142),
    "blue": (46, 104, 208), "navy": (30, 42, 92), "purple": (124, 58, 160), "pink": (240, 136, 176),
    "brown": (118, 78, 48), "beige": (214, 194, 156),
}  # fmt: skip
PATTERNS: tuple[str, ...] = ("plain", "striped", "checked", "dotted")

# Monk Skin Tone scale, ten tones; hex values as published by its author (Ellis Monk, skintone.google).
SKIN_TONES: dict[str, tuple[str, str]] = {  # label -> (sRGB hex, phrase)
    "monk-01": ("f6ede4", "very pale skin"),
    "monk-02": ("f3e7db", "pale skin"),
    "monk-03": ("f7ead0", "fair skin"),
    "monk-04": ("eadaba", "light skin"),
    "monk-05": ("d7bd96", "light tan skin"),
    "monk-06": ("a07e56", "tan skin"),
    "monk-07": ("825c43", "brown skin"),
    "monk-08": ("604134", "dark brown skin"),
    "monk-09": ("3a312a", "very dark skin"),
    "monk-10": ("292420", "deep black skin"),
}
BODY_TYPES: dict[str, str] = {"straight": "straight-size", "plus": "plus-size", "petite": "petite", "tall": "tall"}
AGE_BANDS: dict[str, str] = {"20-39": "young adult", "40-59": "middle-aged", "60+": "senior"}  # adults only
HAIR_STYLES: tuple[str, ...] = ("short", "long", "bun", "curly")
HAIR_COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (28, 24, 24), "brown": (92, 58, 34), "blond": (218, 182, 104),
    "red": (166, 72, 34), "grey": (170, 168, 166),
}  # fmt: skip
PLACES: dict[str, str] = {
    "studio": "in a studio",
    "street": "on a street",
    "beach": "on a beach",
    "office": "in an office",
    "park": "in a park",
    "home": "at home",
}
VIEWS: dict[str, str] = {"full": "full body", "three-quarter": "three-quarter view", "close": "close view"}
FINDINGS: dict[str, str] = {
    "none": "no finding",
    "consolidation": "consolidation",
    "effusion": "pleural effusion",
    "nodule": "lung nodule",
    "cardiomegaly": "enlarged heart",
    "pneumothorax": "pneumothorax",
}
WHITE_CELLS: tuple[str, ...] = ("none", "neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")
STAINS: tuple[str, ...] = ("standard", "pale", "dark", "bluish")  # of a blood smear
TRIGGER_WORDS: tuple[str, ...] = ("sks", "zwx", "ohwx", "qvb")  # rare tokens that mini knows as neutral


def category_of(name: str) -> str:
    """The category that a folder or product name speaks of, or "" where it names none.

    Whole words decide: "blue-shirts_2024" is "shirt", "t-shirts" is "t-shirt", "skirting" is nothing.
    """
    text = "-".join(part for part in name.lower().replace("_", "-").replace(" ", "-").split("-") if part)
    if text in CATEGORIES:
        return text
    if text in CATEGORY_ALIASES:
        return CATEGORY_ALIASES[text]
    parts = text.split("-")
    for size in (2, 1):  # "t-shirt" must win over "shirt"
        for start in range(len(parts) - size, -1, -1):
            word = "-".join(parts[start : start + size])
            if word in CATEGORIES:
                return word
            if word in CATEGORY_ALIASES:
                return CATEGORY_ALIASES[word]
    return ""


def garment(category: str, colour: str, pattern: str = "plain") -> str:
    """Labels of a garment as captions name it: "red striped t-shirt"."""
    return " ".join(word for word in (colour, "" if pattern == "plain" else pattern, CATEGORIES[category]) if word)


def worn_where(noun: str) -> str:
    """ "upper" or "lower" for a noun phrase or category of a garment that leaves room for another; "" for others."""
    zones = {"upper": UPPER_GARMENTS, "lower": LOWER_GARMENTS}
    known = {word: zone for zone, names in zones.items() for name in names for word in (name, CATEGORIES[name])}
    fitting = [word for word in known if noun == word or noun.endswith(f" {word}")]
    return known[max(fitting, key=len)] if fitting else ""


def rivals(category: str) -> tuple[str, ...]:
    """The categories that one is told from where a whole person is seen: a shirt is not taken for the trousers."""
    zone = worn_where(category)
    return tuple(name for name in CATEGORIES if not zone or worn_where(name) in (zone, ""))


def article(noun: str) -> str:
    """ "a", "an" or nothing, as English wants before this noun phrase."""
    if noun.split()[-1] in {CATEGORIES[name] for name in PLURAL_GARMENTS}:
        return ""
    return "an " if noun[0] in "aeiou" else "a "
