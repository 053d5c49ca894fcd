"""Weights of other people's detectors: found on this machine, and opened only where the user has pinned their sha256.

They come as PyTorch files, which are pickles. So the user says which file is meant, in SYNTHGEN_HOME/detectors.toml,
and it must also pass PyTorch's own loader for plain tensors.
"""

from __future__ import annotations

from pathlib import Path

from synthgen import file_hash, resources, toml_file
from synthgen.errors import RequestError

REPOSITORY = "lllyasviel/Annotators"
PINS = "detectors.toml"
FOLDER = "detectors"


def trusted(name: str, purpose: str) -> Path:
    """The file of this name, in SYNTHGEN_HOME/detectors or the Hugging Face cache, its hash the pinned one.

    Raises RequestError where it is not on this machine, not pinned, another file than the pinned one, or more than
    tensors.
    """
    path = _found(name, purpose)
    pins = resources.home() / PINS
    pinned = str(toml_file.read(pins).get(name, "")) if pins.is_file() else ""
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


def _found(name: str, purpose: str) -> Path:
    from huggingface_hub import try_to_load_from_cache

    own = resources.home() / FOLDER / name
    if own.is_file():
        return own
    cached = try_to_load_from_cache(REPOSITORY, name)
    if isinstance(cached, str) and Path(cached).is_file():
        return Path(cached)
    raise RequestError(
        f"{purpose}: the weights {name} of {REPOSITORY} (non-commercial licence) are not on this machine. Put the file "
        f"into {own.parent}, or give keypoint JSON. Nothing was done."
    )


def _check_tensors(path: Path) -> None:
    import pickle

    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        what = str(error).splitlines()[0][:160]
        raise RequestError(f"{path} is no file of plain tensors ({what}). Its code was not run.") from error
