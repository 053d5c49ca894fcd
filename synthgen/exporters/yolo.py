"""YOLO detection: images/<split>, labels/<split> with a line for each garment box, and data.yaml.

A line is `class x_centre y_centre width height`, all but the class as parts of the picture's sides. Boxes are those of
the skeleton that was asked for. https://docs.ultralytics.com/datasets/detect/ ; for classification take `torchvision`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from synthgen import boxes, photo_table, splits
from synthgen.errors import RequestError
from synthgen.export_pictures import ExportPicture, Place
from synthgen.export_set import ExportSet
from synthgen.image_file import SUFFIXES
from synthgen.types import FoundPicture

LOAD = """
import yaml

about = yaml.safe_load(open("data.yaml"))
first_class = about["names"][0]
"""
NAMES = {"train": "train", "validation": "val", "test": "test"}  # the keys that data.yaml has for splits
DATA = ("data.yaml", "data.yml", "dataset.yaml")


def check(export: ExportSet) -> None:
    """Refuses a set with a picture whose box is not known: a picture without a line means that nothing is there."""
    bare, first = 0, ""
    for picture in export.pictures:
        if _box(picture) is None:
            bare, first = bare + 1, first or picture.name
    if bare:
        raise RequestError(
            f"yolo: no box is known for {bare} of {len(export.pictures)} pictures (the first is {first}): "
            "they have no skeleton, or their product is out of sight or no garment. For classification use torchvision "
            "(YOLO classifiers read it), for pictures without boxes coco. Nothing was written."
        )


def write(export: ExportSet, folder: Path) -> Place:
    """Pictures, their lines and metadata.csv with everything else, then data.yaml."""
    with export.table(folder / "metadata.csv") as add:
        for picture in export.pictures:
            export.place(picture, folder / _file(picture))
            line = folder / "labels" / picture.split / f"{picture.job_id}.txt"
            line.parent.mkdir(parents=True, exist_ok=True)
            line.write_text(_line(export, picture), encoding="ascii")
            add(picture, _file(picture))
    if "validation" not in export.splits:  # trainers want one; where none was split off they are told what they get
        paths = {"train": "images/train", "val": "images/test" if "test" in export.splits else "images/train"}
    else:
        paths = {}
    paths |= {NAMES[split]: f"images/{split}" for split in export.splits}
    lines = ["path: .", *(f"{name}: {path}" for name, path in sorted(paths.items())), "names:"]
    lines += [f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(export.classes)]
    (folder / "data.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lambda picture: (_file(picture), "")


def without(folder: Path, jobs: Collection[str]) -> None:
    """No line and no row of these jobs; the classes keep their numbers."""
    for path in sorted(folder.glob("labels/*/*.txt")):
        if path.stem in jobs:
            path.unlink()
    photo_table.drop(folder / "metadata.csv", jobs)


def recognises(folder: Path) -> bool:
    """A data.yaml beside images/ and labels/, or folders of splits that have them."""
    return any((folder / name).is_file() for name in DATA) and bool(_label_folders(folder))


def read(folder: Path) -> Iterator[FoundPicture]:
    """Every picture whose lines name one class; with none or several it is passed over."""
    names = _names(folder)
    for labels in _label_folders(folder):
        images = Path(*("images" if part == "labels" else part for part in labels.relative_to(folder).parts))
        split = next((found for part in images.parts if (found := splits.normal(part))), "")
        for path in sorted((folder / images).iterdir() if (folder / images).is_dir() else ()):
            if path.suffix.lower() in SUFFIXES and path.resolve().is_relative_to(folder.resolve()):
                yield _found(path, labels / f"{path.stem}.txt", names, split)


def _file(picture: ExportPicture) -> str:
    return f"images/{picture.split}/{picture.name}"


def _box(picture: ExportPicture) -> boxes.Box | None:
    return boxes.garment(picture.keypoints, picture.category, (picture.width, picture.height))


def _line(export: ExportSet, picture: ExportPicture) -> str:
    box = _box(picture)
    assert box is not None, "check() lets no picture without a box through"
    left, top, width, height = box
    parts = ((left + width / 2) / picture.width, (top + height / 2) / picture.height)
    sides = (width / picture.width, height / picture.height)
    numbers = " ".join(f"{min(value, 1.0):.6f}" for value in (*parts, *sides))
    return f"{export.classes.index(picture.label)} {numbers}\n"


def _label_folders(folder: Path) -> list[Path]:
    """Folders called labels, with folders of splits in them or above them, that hold texts."""
    found = [folder / "labels", *sorted(folder.glob("labels/*")), *sorted(folder.glob("*/labels"))]
    return [path for path in found if path.is_dir() and any(path.glob("*.txt"))]


def _names(folder: Path) -> dict[int, str]:
    """The classes of data.yaml by number. Raises RequestError where there are none."""
    import yaml

    path = next(folder / name for name in DATA if (folder / name).is_file())
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))["names"]
        return {
            int(number): str(name) for number, name in (told.items() if isinstance(told, dict) else enumerate(told))
        }
    except (yaml.YAMLError, KeyError, TypeError, ValueError, OSError) as error:
        raise RequestError(f"{path} has no list of 'names' ({str(error)[:80]}). Nothing was brought in.") from error


def _found(path: Path, labels: Path, names: dict[int, str], split: str) -> FoundPicture:
    text = labels.read_text(encoding="utf-8", errors="replace") if labels.is_file() else ""
    numbers = {words[0] for line in text.splitlines() if (words := line.split())}
    known = {names[int(number)] for number in numbers if number.isdecimal() and int(number) in names}
    skipped = (
        "" if len(known) == 1 and len(numbers) == 1 else ("several classes" if known else "no class that is named")
    )
    return FoundPicture(path.name, path, next(iter(known)) if not skipped else "", split, skipped=skipped)
