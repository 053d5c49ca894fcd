"""Base model families, one file each; `choose` finds the one that a name or a folder means."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from synthgen import rooms
from synthgen.errors import UnknownName


def choose(name: str) -> tuple[ModuleType, Path | None]:
    """The family's module and the folder of its weights (None: the family's own).

    A name is a member of this room; a path is a folder with `model_index.json` that a member claims.
    Raises UnknownName with the nearest name.
    """
    known = rooms.members("bases")
    if name in known:
        return rooms.member("bases", name), None
    folder = Path(name).expanduser()
    if (folder / "model_index.json").is_file():
        for family in known:
            module = rooms.member("bases", family)
            if module.claims(folder):
                return module, folder
    raise UnknownName("bases", name, known)
