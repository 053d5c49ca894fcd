"""What is wrong with the captions of a set: words that are learned in place of the product, or are not read at all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from synthgen import captions, vocabulary
from synthgen.types import ImageSet

LEAST = 3  # captions from which on a word that all share is a habit
SHARED = 0.9  # of the captions
PLAIN = frozenset(
    re.findall(
        r"\w+",
        "a an and at by for from in is it its lies lay laid lying of on one or the this to with photo photograph "
        "picture image shot product garment clothing item piece flat front back side view studio plain ground "
        "background white person people man woman adult wearing worn wears hanging hanger",
    )
)
EXCLUSIVE: tuple[tuple[frozenset[str], ...], ...] = (  # of each row at most one may be said of one photo
    (
        frozenset({"long-sleeve", "long-sleeved"}), frozenset({"short-sleeve", "short-sleeved"}),
        frozenset({"sleeveless"}),
    ),
    (frozenset({"front"}), frozenset({"back"}), frozenset({"side"})),
    tuple(frozenset({pattern}) for pattern in vocabulary.PATTERNS),
    tuple(frozenset({band}) for band in ("young", "middle-aged", "senior")),
)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """What the captions are for."""

    trigger: str
    count: Callable[[Sequence[str]], list[int]] | None = None  # tokens of each text, as the base's encoder counts them
    limit: int = 0  # tokens that it reads


def missing_trigger(image_set: ImageSet, words: Words) -> list[str]:
    """Photos whose own caption lacks the trigger word; it was put in front of them."""
    said = captions.stated(image_set)
    return [path.name for path, text in said.items() if not captions.has_trigger(text, words.trigger)]


def leaked(image_set: ImageSet, words: Words) -> dict[str, float]:
    """Words that describe the product and stand in nearly every caption -> share of the captions.

    The training cannot tell such a word from the trigger word: half of the product goes into it, and the bare trigger
    word gives a paler one. Said of few photos, the same word is a fact about those photos and does no harm.
    """
    said = list(captions.stated(image_set).values())
    if len(said) < LEAST:
        return {}
    own = set(_words(captions.subject(words.trigger, image_set.category))) | {words.trigger.lower()}
    counts = Counter(word for text in said for word in set(_words(text)) - PLAIN - own)
    return {word: count / len(said) for word, count in counts.most_common() if count >= SHARED * len(said)}


def too_long(image_set: ImageSet, words: Words) -> dict[str, bool]:
    """Photos whose caption is longer than the encoder reads -> whether the trigger word is lost with the rest."""
    if words.count is None or not words.limit:
        return {}
    photos = image_set.photos
    counts = words.count([photo.caption for photo in photos])
    return {
        photo.path.name: _cut(photo.caption, words)
        for photo, count in zip(photos, counts, strict=True)
        if count > words.limit
    }


def contradictions(image_set: ImageSet) -> dict[str, str]:
    """Photos whose own caption says two things that exclude one another, or another kind of garment than its set is."""
    found = {}
    for path, text in captions.stated(image_set).items():
        told = set(_words(text))
        for row in EXCLUSIVE:
            both = sorted(min(words & told) for words in row if words & told)
            if len(both) > 1:
                found[path.name] = f"says {' and '.join(both)}"
        others = _categories(told) - {image_set.category}
        worn = image_set.category in vocabulary.CATEGORIES  # not a character, who may wear anything
        if worn and others and not _categories(told) & {image_set.category}:
            found[path.name] = f"says {min(others)}, and the set is {image_set.category}"
    return found


def _cut(caption: str, words: Words) -> bool:
    """Whether the trigger word lies behind the last token that is read."""
    assert words.count is not None
    start = re.search(rf"(?<!\w){re.escape(words.trigger)}(?!\w)", caption, flags=re.IGNORECASE)
    return start is not None and words.count([caption[: start.end()]])[0] > words.limit


def _categories(told: set[str]) -> set[str]:
    nouns: Mapping[str, str] = {**{name: name for name in vocabulary.CATEGORIES}, **vocabulary.CATEGORY_ALIASES}
    return {nouns[word] for word in told & nouns.keys() if word not in ("top", "tops", "short")}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z][a-z-]+", text.lower())
