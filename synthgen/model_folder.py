"""A folder as diffusers keeps a pipeline: which parts it has, which files decide a picture. Loads no tensor.

    FOLDER/model_index.json          the pipeline's class, and for each part its library and class
    FOLDER/<part>/config.json        what the part is
    FOLDER/<part>/*.safetensors      its weights: one file, or several that an index names

What a folder says is not trusted: parts come from diffusers and transformers and from nowhere else, weights are
safetensors, and nothing in it is run as code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen.errors import RequestError

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers")
STEMS = ("diffusion_pytorch_model", "model")  # of weights: diffusers' parts, transformers' parts
SETTINGS = (".json", ".txt", ".model", ".jinja")  # configurations, vocabularies
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")  # parts that no picture of ours depends on


@dataclass(frozen=True)
class ModelFolder:
    """What model_index.json says."""

    path: Path
    pipeline: str  # name of the class
    parts: Mapping[str, str]  # part -> name of its class, those that are there
    options: Mapping[str, Any]  # its plain values, such as is_distilled
    variant: str  # "" or, where there are no others, the one of its weights, such as "fp16"


def is_one(path: Path) -> bool:
    """Whether a folder has a pipeline's index."""
    return (path / INDEX).is_file()


def read(path: Path) -> ModelFolder:
    """The pipeline in a folder. Raises RequestError: no index, a part from elsewhere, a part that is not here."""
    told = _json(path / INDEX)
    name = told.get("_class_name")
    if not isinstance(name, str):
        raise RequestError(
            f"{path.name}/{INDEX}: _class_name is {name!r}; wanted the name of a diffusers pipeline. A pipeline that "
            "brings its own code is not loaded."
        )
    parts, options = {}, {}
    for key, value in told.items():
        if isinstance(value, list) and len(value) == 2 and key not in LEFT_OUT:
            if value == [None, None]:
                continue
            library, kind = value
            if library not in LIBRARIES or not isinstance(kind, str):
                raise RequestError(
                    f"{path.name}/{INDEX}: part '{key}' is from '{library}'; wanted {' or '.join(LIBRARIES)}. "
                    "Code from a model folder is not run."
                )
            parts[key] = kind
        elif not key.startswith("_"):
            options[key] = value
    missing = [part for part in parts if not (path / part).is_dir()]
    if missing:
        raise RequestError(f"{path.name} is not whole: {', '.join(missing)} is not there. Fetch it again.")
    return ModelFolder(path, name, parts, options, _variant(path, parts))


def config(path: Path, part: str) -> dict[str, Any]:
    """config.json of a part (scheduler_config.json of a scheduler), {} where it has none."""
    for name in ("config.json", "scheduler_config.json"):
        if (path / part / name).is_file():
            return _json(path / part / name)
    return {}


def weights(folder: ModelFolder, part: str) -> list[Path]:
    """The safetensors files that a part is loaded from, none for a part without weights."""
    return part_weights(folder.path / part, folder.variant)


def part_weights(place: Path, variant: str = "") -> list[Path]:
    """The safetensors files of one model's folder. Raises RequestError where it has pickles only."""
    dot = f".{variant}" if variant else ""
    for stem in STEMS:
        one, index = place / f"{stem}{dot}.safetensors", place / f"{stem}.safetensors.index{dot}.json"
        if one.is_file():
            return [one]
        if index.is_file():
            names = sorted({str(name) for name in _json(index).get("weight_map", {}).values()})
            shards = [place / name for name in names if Path(name).name == name]
            absent = [shard.name for shard in shards if not shard.is_file()]
            if absent or not shards:
                raise RequestError(f"{place.name} is not whole: {', '.join(absent) or 'its index names no file'}.")
            return shards
    pickles = sorted(file.name for file in place.glob("*") if file.suffix in PICKLES)
    if pickles:
        raise RequestError(
            f"{place.parent.name}/{place.name} has its weights as {pickles[0]} only. Such files can run code as they "
            "are read; wanted safetensors. Nothing was loaded."
        )
    return []


def files(folder: ModelFolder) -> dict[str, Path]:
    """Path inside the folder -> file, for every file that decides a picture."""
    found = settings_files(folder)
    for part in sorted(folder.parts):
        found |= {f"{part}/{file.name}": file for file in weights(folder, part)}
    return dict(sorted(found.items()))


def headers(paths: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Tensor -> shape over all these files. Raises RequestError for a file that is no safetensors."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in paths:
        try:
            with safe_open(path, "np") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        except (OSError, SafetensorError) as error:
            raise RequestError(
                f"{path.parent.name}/{path.name} is no safetensors file: {error}. Nothing was loaded."
            ) from error
    return found


def places(folder: ModelFolder, parts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Where a LoRA may attach: "unet.MODULE" -> shape of the weight there, for these parts."""
    found: dict[str, tuple[int, ...]] = {}
    for part in parts:
        level = "text_model." if folder.parts.get(part) == "CLIPTextModel" else ""  # transformers 5 has it no more
        shapes = headers(weights(folder, part))
        found |= matrices(part, {name.removeprefix(level): shape for name, shape in shapes.items()})
    return found


def matrices(part: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """ "part.MODULE" -> shape, of those weights that a LoRA may attach to."""
    found = {}
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        if kind == "weight" and len(shape) >= 2 and not module.endswith(("embedding", "embed_tokens", "shared")):
            found[f"{part}.{module}"] = shape
    return found


def settings_files(folder: ModelFolder) -> dict[str, Path]:
    """Path inside the folder -> file, for every file that decides a picture and holds no weight."""
    found = {INDEX: folder.path / INDEX}
    for part in sorted(folder.parts):
        found |= {f"{part}/{file.name}": file for file in sorted((folder.path / part).iterdir()) if _is_setting(file)}
    return found


def _is_setting(file: Path) -> bool:
    return file.is_file() and file.suffix in SETTINGS and ".index." not in file.name


def _variant(path: Path, parts: Mapping[str, str]) -> str:
    """ "fp16" where some part has weights of that variant and none without."""
    for part in parts:
        names = [file.name for file in (path / part).glob("*.safetensors")]
        plain = [name for name in names if name.split(".")[0].split("-0")[0] in STEMS and name.count(".") == 1]
        if names and not plain and any(".fp16." in name for name in names):
            return "fp16"
    return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"{path.parent.name}/{path.name} cannot be read as JSON: {error}.") from error
    if not isinstance(told, dict):
        raise RequestError(f"{path.parent.name}/{path.name} is no JSON object.")
    return told
