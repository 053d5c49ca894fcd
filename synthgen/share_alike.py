"""Licences that cannot all be kept: two that each want to be the only one, or one that bears no restriction beside
one that brings some.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from synthgen.license_reading import WEIGHTS, Circumstances, Finding, Node, freed
from synthgen.license_record import License

SHARING = ("output_publish", "output_commercial", "redistribute_adapter")  # what goes out to others
NO_ROOM = "share-alike: no restriction may be added, and the other brings some"


def clashes(nodes: Sequence[Node], rights: Sequence[str], about: Circumstances) -> Iterator[Finding]:
    """What the licences say of these rights only when they stand together."""
    told = sorted((node for node in nodes if node.record and not freed(node, about)), key=_order)
    for right in (right for right in rights if right in SHARING):
        alike = [node for node in told if _record(node).share_alike and _reaches(node, right)]
        for one, other in combinations(alike, 2):
            if not set(_record(one).share_alike) & set(_record(other).share_alike):
                yield _pair(one, other, right, "deny", "share-alike: each wants its own licence for the whole")
        common = [set(_record(node).share_alike) for node in alike]
        if common and not set.intersection(*common):
            yield Finding("all assets", "under share-alike", right, "deny", "share-alike: no licence suits all of them")
        for one in alike:
            for other in told:
                if _record(other).prohibited_uses and _record(other).id not in _record(one).share_alike:
                    yield _pair(one, other, right, "review", NO_ROOM)


def _order(node: Node) -> tuple[str, str]:
    return node.path, node.license


def _pair(one: Node, other: Node, right: str, answer: str, clause: str) -> Finding:
    """A finding on two assets at once."""
    return Finding(f"{one.path} is {one.license} and {other.path}", other.license, right, answer, clause)


def _record(node: Node) -> License:
    assert node.record is not None
    return node.record


def _reaches(node: Node, right: str) -> bool:
    """Share-alike of photos, poses and references reaches pictures and adapters, that of weights adapters only."""
    return node.kind not in WEIGHTS or right == "redistribute_adapter"
