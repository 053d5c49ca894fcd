"""card.toml: what an adapter is, where it comes from and what it may serve. Its presence means finished."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthgen import toml_file
from synthgen.errors import RequestError, SynthgenError, UnfitAdapter
from synthgen.types import Taught

NAME = "card.toml"


@dataclass(frozen=True)
class Card:
    """What is known of one adapter. Empty text means not stated."""

    name: str
    trigger: str
    category: str  # one of vocabulary.CATEGORIES, or ""
    domain: str  # "apparel", "medical", ...
    base: str
    base_sha256: str
    rank: int
    alpha: float
    license: str
    created: str = ""  # ISO 8601, UTC
    finished: bool = False
    trained_on: Mapping[str, Any] = field(default_factory=dict)  # rights of the photos, digest, count, skipped
    training: Mapping[str, Any] = field(default_factory=dict)  # hyper-parameters, seconds, device
    losses: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    weights_autov3: str = ""  # Civitai's hash of the tensors' bytes: metadata does not change it
    weights_fingerprint: str = ""  # ours, of the tensors: neither their order nor metadata changes it
    base_files: Mapping[str, str] = field(default_factory=dict)  # path inside the base -> sha256, as it was trained on
    base_license: str = ""  # of the base, as it was when the adapter was trained
    base_rights: Mapping[str, Any] = field(default_factory=dict)  # what was stated of the base then, without empty keys
    imported: Mapping[str, Any] = field(default_factory=dict)  # of an adapter made elsewhere: layout, hashes, claims

    @property
    def moment(self) -> datetime:
        """`created` as a time that can be compared. Raises ValueError where it is none."""
        moment = datetime.fromisoformat(self.created)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


KINDS: dict[str, type | tuple[type, ...]] = {
    **{entry.name: str for entry in fields(Card)},
    "rank": int,
    "alpha": (int, float),
    "finished": bool,
    **dict.fromkeys(("trained_on", "training", "losses", "base_files", "base_rights", "imported"), dict),
}
LATER = (  # not in the first cards
    "weights_autov3", "weights_fingerprint", "base_files", "base_license", "base_rights", "imported",
)  # fmt: skip


def read(folder: Path) -> Card:
    """The card of an adapter folder. Raises UnfitAdapter with all that is wrong: none there, not TOML, wrong keys."""
    path = folder / NAME
    if not path.is_file():
        raise UnfitAdapter(
            f"{folder} has no {NAME}: its training did not end, or it is no adapter folder. Train it to its end."
        )
    try:
        stated = toml_file.read(path)
    except RequestError as error:
        raise UnfitAdapter(str(error)) from error
    problems = _problems(stated, str(path))
    if not problems:
        card = Card(**{**stated, "alpha": float(stated["alpha"])})
        problems = _unsound(card, str(path))
        if not problems:
            return card
    raise UnfitAdapter(f"{' '.join(problems)} Train the adapter again, or mend its card. Nothing was loaded.")


def taught(cards: Sequence[Card]) -> Taught:
    """What adapters together have learned: the first one's class, and the conditions of the others as styles.

    Raises RequestError where they are of different kinds of pictures.
    """
    if not cards:
        return Taught()
    kinds = dict.fromkeys(str(card.trained_on.get("modality", "")) for card in cards)
    if len(kinds) > 1:
        raise RequestError(f"these adapters are of different kinds of pictures ({', '.join(kinds)}): use one kind.")
    labels: dict[str, tuple[str, ...]] = {}
    for card in cards:
        for axis, values in dict(card.trained_on.get("labels", {})).items():
            if axis == "condition" and card is not cards[0]:
                continue
            labels[axis] = tuple(dict.fromkeys((*labels.get(axis, ()), *map(str, values))))
    return Taught(
        triggers=" ".join(dict.fromkeys(card.trigger for card in cards)),
        category=cards[0].category,
        modality=next(iter(kinds)),
        styles=tuple(card.category for card in cards[1:] if next(iter(kinds))),
        labels=labels,
        grey=all(bool(card.trained_on.get("grey")) for card in cards),
    )


def write(folder: Path, card: Card) -> None:
    """Put the card into its folder, whole or not at all. Raises SynthgenError where the disk refuses."""
    import tomli_w

    text = tomli_w.dumps(_plain(asdict(card)))
    target = folder / NAME
    temporary = target.with_name(f".{NAME}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SynthgenError(f"{target} could not be written: {error.strerror}. The weights beside it stay.") from error


def _problems(stated: Mapping[str, Any], where: str) -> list[str]:
    """Unknown keys, missing keys, values of the wrong kind."""
    problems = toml_file.unknown_keys(stated, KINDS, where)
    missing = [key for key in KINDS if key not in stated and key not in LATER]
    if missing:
        problems.append(f"{where}: missing {', '.join(missing)}.")
    for key, kind in KINDS.items():
        value = stated.get(key)
        if key in stated and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            wanted = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
            problems.append(f"{where}: {key} is {str(value)[:40]!r}, wanted {wanted}.")
    return problems


def _unsound(card: Card, where: str) -> list[str]:
    """Values of the right kind that mean nothing."""
    problems = []
    if card.rank < 1:
        problems.append(f"{where}: rank is {card.rank}, wanted 1 or more.")
    if not (math.isfinite(card.alpha) and card.alpha > 0):
        problems.append(f"{where}: alpha is {card.alpha}, wanted a number above 0.")
    try:
        _ = card.moment
    except ValueError:
        problems.append(f"{where}: created is '{card.created[:40]}', wanted a time such as 2026-03-01T12:00:00Z.")
    return problems


def _plain(value: Any) -> Any:
    """Only what TOML has: nothing for None, text for paths, Python's own numbers for numpy's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value if item is not None]
    if isinstance(value, Path):
        return str(value)
    return value.item() if hasattr(value, "item") else value
