"""Base model families, one file each; `find` says which one, and which weights, a name or a path means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthgen import model_folder, rooms
from synthgen.bases._identity import Identity
from synthgen.errors import RequestError, UnknownName

__all__ = ["Identity", "choose", "family", "find"]


def family(name: str) -> Any:
    """The family of a name: what its file calls FAMILY, else the file itself. Raises UnknownName."""
    module = rooms.member("bases", name)
    return getattr(module, "FAMILY", module)


def choose(name: str) -> tuple[Any, Path | None]:
    """The family and the folder of its weights (None: the family's own).

    A name is a member of this room; a path is a folder with `model_index.json` that a member claims.
    Raises UnknownName with the nearest name, RequestError for a folder that no family claims.
    """
    known = rooms.members("bases")
    if name in known:
        return family(name), None
    folder = Path(name).expanduser()
    if model_folder.is_one(folder):
        for member in known:
            if family(member).claims(folder):
                return family(member), folder
        kind = model_folder.read(folder).pipeline
        raise RequestError(f"--base {name} is a {kind}; no family here knows one like it: {', '.join(known)}.")
    raise UnknownName("bases", name, known)


def find(name: str, controlnet: str = "") -> tuple[Any, Identity]:
    """The family and the weights that a name or a path means, with a ControlNet for poses where one is named.

    Raises UnknownName or RequestError.
    """
    member, folder = choose(name)
    if not controlnet:
        return member, member.identify(folder)
    place = Path(controlnet).expanduser()
    if not (place / "config.json").is_file():
        raise RequestError(f"--controlnet '{controlnet}' is no folder with a config.json. Nothing was loaded.")
    return member, member.identify(folder, place)
