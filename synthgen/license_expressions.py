"""SPDX licence expressions: AND is all of them, OR is the user's choice, WITH is a licence of its own.

`license-expression` reads them. A name that a record knows is taken as it stands, spaces and all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from synthgen import civitai_flags
from synthgen.license_record import License

LONGEST = 500  # characters; what is longer was not written for people and is not read


def resolve(name: str, records: Mapping[str, License]) -> License | None:
    """The record of one licence: by id or alias, or by the flags of Civitai. None: no record knows it.

    records  by name in small letters (license_record.names)
    """
    record = records.get(name.strip().casefold())
    flags = civitai_flags.flags_of(name) if record is None else None
    if flags is None:
        return record
    template = records.get(civitai_flags.ID.casefold())
    return civitai_flags.record(flags, template) if template else None


def chosen(text: str, rank: Callable[[tuple[str, ...]], Any], known: Callable[[str], bool]) -> tuple[str, ...]:
    """The names of the licences that apply together when every OR goes to its best side.

    rank   how good some licences together are; the highest is taken, the first by name among equals
    known  whether there is a record of this name; then it is taken as it stands
    What is no expression comes back as it is, as one name.
    """
    tree = None if known(text) else _tree(text)
    return _choose(tree, rank) if tree is not None else (text.strip(),)


def mentioned(text: str, records: Mapping[str, License]) -> tuple[str, ...]:
    """The names of all licences in an expression, whether by AND or by OR; what is none is one name."""
    tree = _tree(text) if resolve(text, records) is None else None
    return tuple(_names(tree)) if tree is not None else (text.strip(),)


def _names(node: Any) -> Iterator[str]:
    if getattr(node, "operator", "").strip() in ("AND", "OR"):
        for side in node.args:
            yield from _names(side)
    else:
        yield str(node)


def _choose(node: Any, rank: Callable[[tuple[str, ...]], Any]) -> tuple[str, ...]:
    """Each OR can be decided by itself, since what stands beside it by AND only ever takes away."""
    operator = getattr(node, "operator", "").strip()
    if operator not in ("AND", "OR"):
        return (str(node),)
    sides = [_choose(side, rank) for side in node.args]
    if operator == "OR":
        return max(sorted(sides), key=rank)
    return tuple(dict.fromkeys(name for side in sides for name in side))


@lru_cache(maxsize=1)
def _library() -> Any:
    """The parser: what it makes on first use costs more than reading an expression."""
    from license_expression import Licensing

    return Licensing()


@lru_cache(maxsize=256)
def _tree(text: str) -> Any:
    """The expression as a tree, or None where it is none. The library raises what it likes at hostile text."""
    from license_expression import ExpressionError

    if len(text) > LONGEST:
        return None
    try:
        return _library().parse(text)
    except (ExpressionError, RecursionError, ValueError, TypeError, AttributeError, IndexError):
        return None
