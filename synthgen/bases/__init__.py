"""Base model families, one file each; `find` says which one, and which weights, a name or a path means."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from synthgen import hub, license_expressions, license_record, memory_modes, model_folder, rights_file, rooms
from synthgen.bases._identity import Identity
from synthgen.bases._weights import Size, Weights
from synthgen.errors import RequestError, UnknownName
from synthgen.types import Rights

__all__ = ["Identity", "Size", "Weights", "choose", "family", "find", "license_of", "names", "rights_of", "rights_told"]

EMBEDDED = "mini"
FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")


def family(name: str) -> Any:
    """The family of a name: what its file calls FAMILY, else the file itself. Raises UnknownName."""
    module = rooms.member("bases", name)
    return getattr(module, "FAMILY", module)


def names() -> dict[str, tuple[Any, Weights | None]]:
    """Every base that can be named: its family, and where its weights are published (None: they are in the package)."""
    found: dict[str, tuple[Any, Weights | None]] = {}
    for member in rooms.members("bases"):
        one = family(member)
        published = getattr(one, "NAMES", ())
        found |= {weights.name: (one, weights) for weights in published} if published else {member: (one, None)}
    return found


def choose(name: str) -> tuple[Any, Path | None]:
    """The family and the folder of its weights (None: the family's own, in the package).

    A name is one of `names`; a path is a folder with `model_index.json` that a family claims; ORG/NAME[@REVISION] is a
    repository of the Hub that was pulled.
    Raises UnknownName with the nearest name, RequestError for what is not here, and for a folder that no family claims.
    """
    known = names()
    if name in known and known[name][1] is None:
        return known[name][0], None
    folder = Path(name).expanduser()
    if folder.suffix in FILES and name not in known:
        return _of_file(folder), folder
    if name in known or (hub.is_id(name) and not folder.exists()):
        folder = hub.folder(name)
    elif not model_folder.is_one(folder):
        raise UnknownName("bases", name, known)
    for member in rooms.members("bases"):
        if family(member).claims(folder):
            return family(member), folder
    kind = model_folder.read(folder).pipeline
    raise RequestError(f"--base {name} is a {kind}; no family here knows one like it: {', '.join(known)}.")


def find(name: str, controlnet: str | Sequence[str] = "", memory: str = "full") -> tuple[Any, Identity]:
    """The family and the weights that a name or a path means, with the ControlNets that are named.

    controlnet  FOLDER for poses, KIND=FOLDER for another condition
    memory      one of memory_modes.MODES: in which precision they are held, and what waits elsewhere

    Raises UnknownName or RequestError.
    """
    if memory not in memory_modes.MODES:
        raise UnknownName("--memory", memory, memory_modes.MODES)
    named = _controlnets([controlnet] if isinstance(controlnet, str) else controlnet)
    folders = {kind: _controlnet(text) for kind, text in named.items()}
    member, identity = _found(name, folders.pop("pose", None))
    for kind, folder in folders.items():
        identity = member.steered(identity, folder, kind)
    return member, replace(_with_rights(identity, name, named), memory=memory)


def _with_rights(identity: Identity, name: str, named: Mapping[str, str]) -> Identity:
    """With what the user states of the rights in the base and in the ControlNets of these names."""
    own = _stated(name, identity.file or identity.folder)
    if own:
        identity = replace(identity, license=own.license, rights=own)
    if identity.controlnet and "pose" in named:
        identity = replace(identity, controlnet_rights=_stated(named["pose"], identity.controlnet) or Rights())
    controls = (replace(one, rights=_stated(named[one.kind], one.folder) or Rights()) for one in identity.controls)
    return replace(identity, controls=tuple(controls))


def _stated(name: str, place: Path) -> Rights | None:
    """What is stated of weights: with the pull for what came from the Hub, else in a file at their place."""
    if not Path(name).expanduser().exists():
        return hub.rights(name)
    return rights_file.read(rights_file.place_of(place))


def _found(name: str, controlnet: Path | None) -> tuple[Any, Identity]:
    member, folder = choose(name)
    if folder is not None and folder.suffix in FILES and folder.is_file():
        return member, _identified(member, folder, controlnet)
    identity = member.identify(folder, controlnet)
    pin = hub.pinned(name) if folder is not None and not Path(name).expanduser().exists() else None
    if pin is None:
        return member, identity
    promised = {path: told["sha256"] for path, told in pin.files.items() if "sha256" in told}
    for path in (path for path, found in identity.files.items() if promised.get(path, found) != found):
        raise RequestError(f"base '{name}' is not as it was pulled: {path} changed. Pull it again. Nothing was loaded.")
    published = names().get(name, (None, None))[1]
    more = {"distilled": identity.distilled or published.distilled} if published else {}
    return member, replace(identity, id=name, license=license_of(name, pin), **more)


def _of_file(file: Path) -> Any:
    """The family whose single file this is. Raises RequestError: not there, a pickle, or of no family here."""
    if not file.is_file():
        raise RequestError(f"there is no file '{file}'. Nothing was loaded.")
    if file.suffix == ".gguf":
        raise RequestError(
            f"--base {file.name} holds weights in few bits as GGUF, which are not read here. Take the safetensors file "
            "of whole weights, and --memory 8bit or 4bit. Nothing was loaded."
        )
    if file.suffix != FILES[0]:
        raise RequestError(f"--base {file.name} is a pickle and can run code as it is read; wanted .safetensors.")
    tensors = model_folder.headers([file])
    for member in rooms.members("bases"):
        if family(member).claims_file(tensors):
            return family(member)
    raise RequestError(
        f"--base {file.name} holds no single-file base that is known here: Stable Diffusion 1.x and XL are, and "
        "transformers of SD 3, FLUX.1, FLUX.2, Qwen-Image and Z-Image, as the web UIs have them. Of others name a "
        "diffusers folder."
    )


def _identified(member: Any, file: Path, controlnet: Path | None) -> Identity:
    """A single file with the folder of what it does not hold; said once where weights are among that."""
    folder, name = _settings(member, file)
    identity: Identity = member.identify_file(file, folder, controlnet)
    if not identity.file_part:
        return identity
    rights = rights_of(name, hub.pinned(name)) if name else rights_file.read(rights_file.place_of(folder))
    beside = name or f"{folder.name}/"
    _say(f"--base {file.name} holds a {identity.file_part}; all else is that of {beside}")
    return replace(identity, beside=beside, beside_rights=rights)


@cache  # a base is looked for more than once on the way
def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _settings(member: Any, file: Path) -> tuple[Path, str]:
    """The folder with what a single file does not hold, and the name of the base that it is; "" beside the file.

    Raises RequestError where there is none that goes with it.
    """
    beside, tensors = file.with_suffix(""), model_folder.headers([file])
    if model_folder.is_one(beside):
        if not member.claims(beside):
            raise RequestError(
                f"--base {file.name}: {beside.name}/ beside it is of another family. Nothing was loaded."
            )
        if misfit := member.misfit_file(tensors, model_folder.read(beside)):
            raise RequestError(f"--base {file.name} and {beside.name}/ beside it: {misfit}. Nothing was loaded.")
        return beside, ""
    misfits = []
    few = bool(member.few_by_name(file.stem))
    for weights in sorted(member.NAMES, key=lambda one: bool(one.distilled) != few):
        if hub.pinned(weights.name):
            folder = hub.folder(weights.name)
            if not (misfit := member.misfit_file(tensors, model_folder.read(folder))):
                return folder, weights.name
            misfits.append(f" With {weights.name}, which is here: {misfit}.")
    known = " or ".join(weights.name for weights in member.NAMES if bool(weights.distilled) == few or few)
    raise RequestError(
        f"--base {file.name} holds weights only, of family '{member.name}'. What it does not hold is taken from "
        f"{beside.name}/ beside it, a diffusers folder, or from a pulled base: synthgen bases pull {known}."
        f"{''.join(misfits)} Nothing was loaded."
    )


def _controlnets(texts: Sequence[str]) -> dict[str, str]:
    """("FOLDER", "canny=FOLDER") by condition. Raises RequestError for a kind that is named twice."""
    found: dict[str, str] = {}
    for text in filter(None, texts):
        kind, mark, folder = text.partition("=")
        named = bool(mark) and re.fullmatch("[a-z][a-z0-9_]*", kind) is not None and not Path(text).exists()
        kind, folder = (kind, folder) if named else ("pose", text)
        if kind in found:
            raise RequestError(f"--controlnet names two for '{kind}'. Leave one of them out. Nothing was loaded.")
        found[kind] = folder
    return found


def _controlnet(name: str) -> Path:
    place = Path(name).expanduser()
    if not place.exists() and hub.is_id(name):
        place = hub.folder(name)
    if not (place / "config.json").is_file():
        raise RequestError(f"--controlnet '{name}' is no folder with a config.json. Nothing was loaded.")
    return place


def license_of(name: str, pin: hub.Pin | None = None) -> str:
    """The licence of a base that is named: an id, or an expression that is read as its most restrictive part.

    The record's own where the commit is known; with what the repository's card says as well, where that is another.
    What the user stated as he pulled it comes before both.
    """
    if stated := hub.rights(name):
        return stated.license
    member, weights = names().get(name, (None, None))
    if weights is None:
        return str(member.LICENSE) if member is not None else "unknown"
    if pin is None:
        return weights.before_pull
    told = license_expressions.resolve(pin.license_tag, license_record.names()) if pin.license_tag else None
    own = license_record.names().get(weights.license.casefold())
    other = told is not None and own is not None and told.id not in (own.id, "unknown")
    return f"{weights.license} AND {told.id}" if other and told else weights.license


def rights_of(name: str, pin: hub.Pin | None = None) -> Rights:
    """The rights in a base that is named: `license_of`, with all else that the user stated as he pulled it."""
    return replace(hub.rights(name) or Rights(), license=license_of(name, pin))


def rights_told(name: str, pin: hub.Pin | None = None) -> Rights:
    """The same as lists and pages tell it: before the pull the licence of the record alone, whatever the commit."""
    weights = names().get(name, (None, None))[1]
    if weights and not pin and not hub.rights(name):
        return Rights(license=weights.license)
    return rights_of(name, pin)
