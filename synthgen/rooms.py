"""A package is a room, a file is a member, the file's name is the member's name.

Names and captions are read without importing, so that listing is quick and loads no heavy library.
"""

from __future__ import annotations

import ast
import importlib
from importlib.metadata import entry_points
from importlib.resources import files
from types import ModuleType

from synthgen.errors import UnknownName

ROOMS = ("bases", "conditioners", "domains", "gates", "exporters", "evaluators", "watermarks", "engines")


def members(room: str) -> dict[str, str]:
    """Names of the members of a room with the first line of each docstring, nothing imported.

    Third parties join through the entry-point group `synthgen.<room>`.
    """
    found: dict[str, str] = {}
    for entry in sorted(files("synthgen").joinpath(room).iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".py") and not entry.name.startswith("_"):
            text = ast.get_docstring(ast.parse(entry.read_text(encoding="utf-8"))) or ""
            found[entry.name[:-3]] = text.split("\n", 1)[0]
    for point in entry_points(group=f"synthgen.{room}"):
        found.setdefault(point.name, f"from {point.value}")
    return found


def member(room: str, name: str) -> ModuleType:
    """The module of one member. Raises UnknownName with the nearest name; import errors are not hidden."""
    known = members(room)
    if name not in known:
        raise UnknownName(room, name, known)
    for point in entry_points(group=f"synthgen.{room}"):
        if point.name == name:
            return importlib.import_module(point.value)
    return importlib.import_module(f"synthgen.{room}.{name}")
