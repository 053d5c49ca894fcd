"""Which pictures belong together, and which of them train: nothing that a group shares straddles two splits.

Pictures of one seed, photo or pose are one group, and of one adapter where several were used and the groups stay small
enough. What cannot be kept apart is told by `shared`, never passed over.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthgen.errors import RequestError

NAMES = ("train", "validation", "test")
ALIASES = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}
KEYS = ("seed", "photo", "pose", "adapter", "prompt")  # what pictures may share; all but the prompt make groups
GROUPED_BY = KEYS[:-1]
LARGEST_SHARE = 0.5  # a key that would put more than this of all pictures into one group is not grouped by


@dataclass(frozen=True)
class Shares:
    """Parts of a whole for train, validation and test; a split of 0 is not made."""

    train: float = 1.0
    validation: float = 0.0
    test: float = 0.0

    @property
    def wanted(self) -> dict[str, float]:
        """Split -> its part of 1, those of 0 left out."""
        parts = dict(zip(NAMES, (self.train, self.validation, self.test), strict=True))
        return {name: part / sum(parts.values()) for name, part in parts.items() if part}


def parse(text: str) -> Shares:
    """ "80/10/10" or "80/20" (train and test) as shares. Raises RequestError for a text of another form."""
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) == 2:
        parts.insert(1, 0.0)
    if len(parts) != 3 or not all(0 <= part < 1e6 for part in parts) or not sum(parts):
        raise RequestError(
            f"--split is '{text}'; wanted parts for train, validation and test such as 80/10/10, or for train and "
            "test such as 80/20. Nothing was written."
        )
    return Shares(*parts)


def normal(name: str) -> str:
    """The name that a split has here: "val" is "validation". "" for what names no split."""
    text = name.strip().lower()
    text = ALIASES.get(text, text)
    return text if text in NAMES else ""


def keys(lineage: Mapping[str, Any]) -> dict[str, str]:
    """What a picture may have in common with others: seed, photos it was drawn along, skeleton, adapters, prompt."""
    requested = lineage.get("requested", {})
    used = sorted(str(item.get("sha256") or item.get("name")) for item in lineage.get("adapters", ()))
    return {
        "seed": str(lineage.get("seed", "")),
        "photo": "+".join(sorted({str(item.get("sha256", "")) for item in lineage.get("guides", ())})),
        "pose": str(requested.get("pose_name") or requested.get("pose") or ""),
        "adapter": "+".join(used),
        "prompt": str(lineage.get("prompt", "")),
    }


class Keys(Sequence[Mapping[str, str]]):
    """What each of many pictures may share with others, held small: equal texts once, prompts as their digests."""

    def __init__(self, items: Iterable[Mapping[str, str]]) -> None:
        known: dict[str, str] = {}
        texts = ((_short(key, item.get(key, "")) for key in KEYS) for item in items)
        self._rows = [tuple(known.setdefault(text, text) for text in row) for row in texts]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return dict(zip(KEYS, self._rows[place], strict=True))


def groups(keys: Sequence[Mapping[str, str]]) -> list[str]:
    """A group name for each picture, the same whatever the order; `keys` is what each picture may share."""
    grouped_by = [*GROUPED_BY[:1]]
    for key in GROUPED_BY[1:]:
        found = _joined(keys, (*grouped_by, key))
        if len(keys) < 2 or max(Counter(found).values()) <= max(1, LARGEST_SHARE * len(keys)):
            grouped_by.append(key)
    return _joined(keys, tuple(grouped_by))


def assign(groups: Sequence[str], labels: Sequence[str], shares: Shares) -> list[str]:
    """A split for each picture: groups stay whole, and every label comes as near to the shares as they let it.

    Largest groups first, each to the split that lacks its labels most; nothing is drawn by lot.
    Raises RequestError where there are fewer groups than splits.
    """
    wanted = shares.wanted
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    if len(members) < len(wanted):
        raise RequestError(
            f"these {len(groups)} pictures make {len(members)} group(s) that must stay together, too few for "
            f"{len(wanted)} splits. Leave --split out, or export more pictures. Nothing was written."
        )
    totals = Counter(labels)
    filled = {name: Counter[str]() for name in wanted}
    chosen: dict[str, str] = {}
    for group in sorted(members, key=lambda name: (-len(members[name]), name)):
        mine = Counter(labels[place] for place in members[group])
        empty = [name for name in wanted if not filled[name]]
        left = len(members) - len(chosen)
        candidates = empty if len(empty) >= left else list(wanted)
        best = max(candidates, key=lambda name: _need(mine, filled[name], totals, wanted[name]))
        filled[best].update(mine)
        chosen[group] = best
    return [chosen[group] for group in groups]


def shared(keys: Sequence[Mapping[str, str]], splits: Sequence[str]) -> dict[str, int]:
    """What is still common to two splits: key -> how many of its values stand in more than one."""
    found = {}
    for key in KEYS:
        places: dict[str, set[str]] = {}
        for item, split in zip(keys, splits, strict=True):
            if item.get(key):
                places.setdefault(item[key], set()).add(split)
        count = sum(len(split) > 1 for split in places.values())
        if count:
            found[key] = count
    return found


def _need(mine: Mapping[str, int], filled: Mapping[str, int], totals: Mapping[str, int], part: float) -> float:
    """How much a split lacks these labels: pictures short of its share, each label weighed by its rarity."""
    return sum(
        count * (part * totals[label] - filled.get(label, 0) - count / 2) / (part * totals[label])
        for label, count in mine.items()
    )


def _joined(items: Sequence[Mapping[str, str]], by: Sequence[str]) -> list[str]:
    """Groups of pictures that have a value of one of these keys in common, directly or through others."""
    parents = list(range(len(items)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[tuple[str, str], int] = {}
    for place, item in enumerate(items):
        for key in by:
            if item.get(key):
                one, two = root(first.setdefault((key, item[key]), place)), root(place)
                parents[max(one, two)] = min(one, two)
    named_by: dict[int, int] = {}  # root -> the one of the group whose text is the smallest
    for place in range(len(items)):
        one = named_by.setdefault(root(place), place)
        if _text(items[place], by) < _text(items[one], by):
            named_by[root(place)] = place
    names = {at: hashlib.sha256(_text(items[one], by).encode()).hexdigest()[:12] for at, one in named_by.items()}
    return [names[root(place)] for place in range(len(items))]


def _text(item: Mapping[str, str], by: Sequence[str]) -> str:
    return "\n".join(f"{key}={item.get(key, '')}" for key in by)


def _short(key: str, text: str) -> str:
    """A prompt may be long and is only ever compared."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16] if key == "prompt" and text else text
