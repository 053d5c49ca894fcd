"""Weights of other people's detectors: found on this machine, and opened only where the user has pinned their sha256.

None is ever fetched.

They come as PyTorch files, which are pickles. So the user says which file is meant, in SYNTHGEN_HOME/detectors.toml,
and it must also pass PyTorch's own loader for plain tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthgen import file_hash, resources, toml_file
from synthgen.errors import RequestError

REPOSITORY = "lllyasviel/Annotators"
POSE = "body_pose_model.pth"
PINS = "detectors.toml"
FOLDER = "detectors"


def trusted(names: str | Sequence[str], purpose: str, instead: str = "or give keypoint JSON") -> Path:
    """The file of this name, in SYNTHGEN_HOME/detectors or the Hugging Face cache, its hash the pinned one.

    names    one, or several of which the first that is here is taken
    purpose  what it is for, as the beginning of an error
    instead  what else can be done, as its end
    Raises RequestError where it is not on this machine, not pinned, another file than the pinned one, or more than
    tensors.
    """
    path = _found((names,) if isinstance(names, str) else names, purpose, instead)
    name, pins = path.name, resources.home() / PINS
    pinned = str(_pin(name).get("sha256", ""))
    sha256 = file_hash.sha256(path)
    if not pinned:
        raise RequestError(
            f"the detector weights {name} are here but not pinned. If you trust this file, put the line "
            f"\"{name}\" = '{sha256}' into {pins}. Nothing was loaded."
        )
    if pinned.lower() != sha256:
        raise RequestError(
            f"the detector weights {name} have sha256 {sha256}; {pins} pins {pinned}. Get the pinned file, or pin this "
            "one if you trust it. Nothing was loaded."
        )
    _check_tensors(path)
    return path


def license_of(name: str) -> str:
    """The licence that the user states beside the pin: NAME = { sha256 = '...', license = 'MIT' }; else "unknown"."""
    return str(_pin(name).get("license", "")) or "unknown"


def _pin(name: str) -> dict[str, Any]:
    pins = resources.home() / PINS
    told = toml_file.read(pins).get(name, "") if pins.is_file() else ""
    return dict(told) if isinstance(told, dict) else {"sha256": told}


def _found(names: Sequence[str], purpose: str, instead: str) -> Path:
    from huggingface_hub import try_to_load_from_cache

    folder = resources.home() / FOLDER
    for name in names:
        if (folder / name).is_file():
            return folder / name
        cached = try_to_load_from_cache(REPOSITORY, name)
        if isinstance(cached, str) and Path(cached).is_file():
            return Path(cached)
    licensed = f" of {REPOSITORY} (non-commercial licence)" if names == (POSE,) else ""
    raise RequestError(
        f"{purpose}: the weights {' or '.join(names)}{licensed} are not on this machine. Put the file into {folder}, "
        f"{instead}. Nothing was done."
    )


def _check_tensors(path: Path) -> None:
    import pickle

    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        what = str(error).splitlines()[0][:160]
        raise RequestError(f"{path} is no file of plain tensors ({what}). Its code was not run.") from error
