"""What a classifier expects: its classes in the order of its outputs, input size, mean and std; --classes FILE.

A .toml file has `classes`, `size`, `mean`, `std`, `fit`; any other text file is one class a line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import photo_table, toml_file
from synthgen.errors import RequestError

if TYPE_CHECKING:
    from PIL import Image

FITS = ("crop", "pad", "stretch")
KEYS = ("classes", "size", "mean", "std", "fit")
USUAL_SIDE_PX = 224
MAX_SIDE_PX = 4096
MAX_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Input:
    """How a picture becomes a classifier's input. Empty or zero means: not stated."""

    classes: tuple[str, ...] = ()
    size: int | tuple[int, int] = 0  # px: the side, or (height, width)
    mean: tuple[float, ...] = ()  # of R, G, B in [0, 1]
    std: tuple[float, ...] = ()
    fit: str = ""  # one of FITS


def read(path: Path) -> Input:
    """A --classes file. Raises RequestError with all that is wrong in it."""
    if not path.is_file():
        raise RequestError(f"there is no file '{path}'. --classes wants a .toml file, or a text file of classes.")
    if path.suffix.lower() != ".toml":
        lines = photo_table.read_text(path, MAX_BYTES).splitlines()
        return Input(classes=_distinct([line.strip() for line in lines if line.strip()], path))
    table = toml_file.read(path)
    problems = toml_file.unknown_keys(table, KEYS, str(path))
    classes = table.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(item, str) and item for item in classes):
        problems.append(f"{path}: classes must be a list of names.")
    if table.get("fit", "") not in ("", *FITS):
        problems.append(f"{path}: fit is {table['fit']!r}; wanted one of {', '.join(FITS)}.")
    size = table.get("size", 0)
    if not (_side(size) or size == 0 or (isinstance(size, list) and len(size) == 2 and all(map(_side, size)))):
        problems.append(f"{path}: size is {size!r}; wanted a side in px, or [height, width], up to {MAX_SIDE_PX}.")
    for key in ("mean", "std"):
        if not _three(table.get(key, [0.5] * 3), positive=key == "std"):
            problems.append(f"{path}: {key} is {table[key]!r}; wanted three numbers, of R, G, B in [0, 1].")
    if problems:
        raise RequestError("\n".join(problems))
    return Input(
        _distinct(classes, path), tuple(size) if isinstance(size, list) else size, tuple(table.get("mean", ())),
        tuple(table.get("std", ())), table.get("fit", ""),
    )  # fmt: skip


def settled(given: Input, size: tuple[int, int] | None, name: str) -> tuple[Input, list[str]]:
    """The whole of an input, and remarks on what had to be assumed.

    size   (height, width) px that the classifier's own file fixes; it wins over the --classes file
    Raises RequestError where the two differ.
    """
    remarks = []
    stated = (given.size, given.size) if isinstance(given.size, int) else given.size
    if size and given.size and tuple(stated) != size:
        raise RequestError(f"{name} takes pictures of {size[0]} x {size[1]} px, and --classes says {given.size}.")
    if not size and not given.size:
        remarks.append(f"{name} states no input size: {USUAL_SIDE_PX} px were taken")
    if not given.mean and not given.std:
        remarks.append(f"{name} states no mean and std: pictures went in as they are, in [0, 1]")
    whole = replace(
        given,
        size=size or (stated if given.size else (USUAL_SIDE_PX, USUAL_SIDE_PX)),
        mean=given.mean or (0.0, 0.0, 0.0),
        std=given.std or (1.0, 1.0, 1.0),
        fit=given.fit or FITS[0],
    )
    return whole, remarks


def fitted(image: Image.Image, asked: Input) -> Image.Image:
    """RGB of the input's size: `crop` cuts the middle out, `pad` adds grey, `stretch` distorts."""
    from PIL import Image, ImageOps

    assert isinstance(asked.size, tuple)
    height, width = asked.size
    if asked.fit == "crop":
        return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    if asked.fit == "pad":
        return ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR, color=(127, 127, 127))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _distinct(classes: list[str], path: Path) -> tuple[str, ...]:
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise RequestError(f"{path} names {', '.join(twice)} more than once. Each output has one class.")
    return tuple(classes)


def _side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIDE_PX


def _three(value: Any, positive: bool) -> bool:
    numbers = isinstance(value, list) and len(value) == 3 and all(isinstance(item, int | float) for item in value)
    return numbers and (not positive or all(item > 0 for item in value))
