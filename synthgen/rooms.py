"""A package is a room, a file is a member, the file's name is the member's name.

Names and captions are read without importing, so that listing is quick and loads no heavy library.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from types import ModuleType

from synthgen.errors import UnknownName

ROOMS = ("bases", "conditioners", "domains", "gates", "exporters", "evaluators", "watermarks", "engines")


def members(room: str) -> dict[str, str]:
    """Names of the members of a room with the first line of each docstring, nothing imported.

    Third parties join through the entry-point group `synthgen.<room>`.
    """
    found = dict(_shipped(room))
    for point in _joined(room):
        found.setdefault(point.name, f"from {point.value}")
    return found


def member(room: str, name: str) -> ModuleType:
    """The module of one member. Raises UnknownName with the nearest name; import errors are not hidden."""
    known = members(room)
    if name not in known:
        raise UnknownName(room, name, known)
    for point in _joined(room):
        if point.name == name:
            return importlib.import_module(point.value)
    return importlib.import_module(f"synthgen.{room}.{name}")


@cache  # what is installed does not change while a program runs, and to look takes a tenth of a second
def _joined(room: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=f"synthgen.{room}"))


@cache
def _shipped(room: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in sorted(files("synthgen").joinpath(room).iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".py") and not entry.name.startswith("_"):
            text = ast.get_docstring(ast.parse(entry.read_text(encoding="utf-8"))) or ""
            found[entry.name[:-3]] = text.split("\n", 1)[0]
    return found
