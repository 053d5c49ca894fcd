"""What one licence says of one right, in the circumstances of who asks and in one of two readings.

`strict`: the conditions of a licence on photos reach the adapter and its pictures. `lenient`: training is taken for an
exception to copyright, so that a licence which binds by copyright alone leaves the pictures free; where it says no
outright, the answer is `review`. Creative Commons calls the strict reading likely more than is needed:
https://creativecommons.org/using-cc-licensed-works-for-ai-training-2/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthgen.license_record import Grant, License

READINGS = ("strict", "lenient")
WEIGHTS = ("base", "adapter", "control")  # their share-alike holds for adapters, not for what they draw
OUTPUTS = ("output_publish", "output_commercial", "output_train_ml")
SHOWN = 120  # characters of a name or a licence that somebody else wrote


@dataclass(frozen=True)
class Circumstances:
    """What is true of who asks, and how the licences are read. Empty means: not stated."""

    reading: str = "strict"
    revenue_usd: int | None = None  # of the last year, US dollars
    registrations: tuple[tuple[str, str], ...] = ()  # (licence id, number under which one registered with its licensor)
    waivers: tuple[tuple[str, str], ...] = ()  # (licence id, number of the signed waiver of a prohibited use)
    trains: str = ""  # what is to be trained on the pictures: one of TRAINED


@dataclass(frozen=True)
class Finding:
    """One asset, one right: the answer and the way to it."""

    asset: str  # "adapter 'acme' > photos 'shirts'"
    license: str
    right: str
    answer: str
    clause: str
    conditions: tuple[str, ...] = ()  # sentences

    @property
    def reason(self) -> str:
        """Asset > licence > right > clause, in one sentence."""
        return f"{self.asset} is {self.license}: {self.right} -> {self.answer} ({self.clause})"


@dataclass(frozen=True)
class Node:
    """One licence of one asset."""

    path: str
    kind: str
    license: str  # as it is told
    record: License | None


def grant(node: Node, right: str, about: Circumstances) -> Grant:
    """What the licence of one asset says of the right."""
    record = node.record
    if record is None:
        return Grant("unknown", "no record in licenses/ knows it")
    found = record.rights[right]
    if right == "output_train_ml" and about.trains:
        found = record.rights.get(f"output_train_{about.trains}", found)
    limit, revenue = record.revenue_threshold_usd, about.revenue_usd
    if limit is not None and revenue is not None and revenue > limit:
        found = Grant("deny", f"{record.revenue_clause}: revenue is above USD {limit:,}")
    found = _settled(found, node, right, about)
    if freed(node, about):
        found = _lenient(found, node.kind)
    notes = [found.clause]
    if record.evidence == "second-hand" and found.answer != "unknown":
        notes.append("second-hand")
    if record.own:
        notes.append("own record")
    return Grant(found.answer, "; ".join(notes), found.conditions, found.tags)


def freed(node: Node, about: Circumstances) -> bool:
    """Whether the lenient reading frees what was learned or drawn from this asset."""
    by_copyright = node.record is not None and node.record.binds == "copyright"
    return about.reading == "lenient" and by_copyright and node.kind in ("photos", "poses")


def _settled(found: Grant, node: Node, right: str, about: Circumstances) -> Grant:
    """Without the conditions that what is stated meets, and without weights' share-alike on what they draw."""
    met = set()
    if node.record and stated(about.registrations, node.record):
        met.add("register")
    if about.revenue_usd is not None:
        met.add("revenue_limit")
    if node.kind in WEIGHTS and right in OUTPUTS:
        met.add("share_alike")
    left = [(tag, text) for tag, text in zip(found.tags, found.conditions, strict=True) if tag not in met]
    answer = "allow" if found.answer == "conditional" and not left else found.answer
    return Grant(answer, found.clause, tuple(text for _, text in left), tuple(tag for tag, _ in left))


def _lenient(found: Grant, kind: str) -> Grant:
    """Photos leave what is learned from them free, skeletons want credit; what is unknown stays so."""
    clause = f"{found.clause}; lenient reading"
    if kind == "photos" and found.answer in ("deny", "conditional"):
        return Grant("review" if found.answer == "deny" else "allow", clause)
    if kind == "poses" and found.answer in ("deny", "review", "conditional"):
        return Grant("conditional", clause, ("credit the source of the pose",), ("credit",))
    return found


def stated(pairs: Sequence[tuple[str, str]], record: License) -> str:
    """The number that is stated for a licence, by its id or an alias."""
    names = {name.casefold() for name in (record.id, *record.aliases)}
    return next((number for name, number in pairs if name.strip().casefold() in names), "")


def shown(text: Any) -> str:
    """Text that somebody else wrote, safe to print: one line, no control signs, not endless."""
    clean = "".join(sign if sign.isprintable() else " " for sign in str(text))
    return " ".join(clean.split())[:SHOWN]
