"""COCO: annotations/<split>.json with garment boxes, person boxes and 17 keypoints, and a native licence per picture.

Boxes and keypoints are those of the skeleton that a picture was drawn along: asked for, not measured. A picture without
a skeleton has no annotation, and its label stands in `images[].label`. https://cocodataset.org/#format-data
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

from synthgen import boxes, splits
from synthgen.errors import RequestError
from synthgen.export_pictures import ExportPicture, Place
from synthgen.export_set import ExportSet
from synthgen.labelled_set import label_of
from synthgen.ledger import write_whole
from synthgen.types import FoundPicture

LOAD = """
from pycocotools.coco import COCO

train = COCO("annotations/train.json")
first = train.loadImgs(train.getImgIds()[:1])[0]
"""
PERSON = "person"
MOST_BYTES = 2**30  # of an annotation file that is read
VISIBLE = 2


def check(export: ExportSet) -> None:
    """Every set goes out as COCO; where nothing is known of boxes, none are made up."""


def write(export: ExportSet, folder: Path) -> Place:
    """images/<split>/<job_id>.png, then the annotations of each split. Ids go on from split to split."""
    categories = _categories(export)
    licenses = _licenses(export)
    (folder / "annotations").mkdir()
    first_image, first_annotation = 1, 1
    for split, count in export.splits.items():
        with (folder / "annotations" / f"{split}.json").open("w", encoding="utf-8") as file:
            head = {"info": _info(export), "licenses": list(licenses.values()), "categories": list(categories.values())}
            file.write(json.dumps(head, ensure_ascii=False).removesuffix("}"))
            _items(file, "images", _images(export, split, folder, licenses, first_image))
            written = _items(file, "annotations", _numbered(export, split, categories, first_image, first_annotation))
            file.write("}")
        first_image, first_annotation = first_image + count, first_annotation + written
    return lambda picture: (_file(picture), "")


def _file(picture: ExportPicture) -> str:
    return f"images/{picture.split}/{picture.name}"


def _items(file: TextIO, key: str, items: Iterator[dict[str, Any]]) -> int:
    """Write one more list of a JSON object, item by item, and say how many there were."""
    file.write(f', "{key}": [')
    count = 0
    for count, item in enumerate(items, 1):
        file.write(f"{', ' if count > 1 else ''}{json.dumps(item, ensure_ascii=False)}")
    file.write("]")
    return count


def _images(
    export: ExportSet, split: str, folder: Path, licenses: dict[str, dict[str, Any]], first: int
) -> Iterator[dict[str, Any]]:
    """Place the pictures of a split and tell each."""
    for image_id, picture in enumerate(export.pictures.of(split), first):
        export.place(picture, folder / _file(picture))
        yield _image(picture, image_id, _file(picture), licenses[picture.license]["id"]) | {
            "row": export.cells(picture)
        }


def _numbered(
    export: ExportSet, split: str, categories: dict[str, dict[str, Any]], first_image: int, first: int
) -> Iterator[dict[str, Any]]:
    number = itertools.count(first)
    for image_id, picture in enumerate(export.pictures.of(split), first_image):
        for annotation in _annotations(picture, categories):
            yield {"id": next(number), "image_id": image_id, **annotation}


def without(folder: Path, jobs: Collection[str]) -> None:
    """The annotation files without these jobs; the others keep their ids."""
    for path in sorted((folder / "annotations").glob("*.json")):
        whole = _load(path)
        gone = {image["id"] for image in whole["images"] if image.get("row", {}).get("job_id") in jobs}
        whole["images"] = [image for image in whole["images"] if image["id"] not in gone]
        whole["annotations"] = [one for one in whole["annotations"] if one["image_id"] not in gone]
        write_whole(path, json.dumps(whole, ensure_ascii=False).encode("utf-8"))


def recognises(folder: Path) -> bool:
    """Annotation files with images, annotations and categories."""
    return bool(_files(folder))


def read(folder: Path) -> Iterator[FoundPicture]:
    """The pictures of every annotation file, file names looked up beside it, at the top and under images/.

    The label is `images[].label` where synthgen wrote it, else the one category that a picture has beside `person`; a
    picture with several is passed over. Raises RequestError for a file that is no COCO.
    """
    for path in _files(folder):
        whole = _load(path)
        names = {item["id"]: str(item["name"]) for item in whole["categories"]}
        found: dict[Any, set[str]] = defaultdict(set)
        for annotation in whole["annotations"]:
            found[annotation["image_id"]].add(names.get(annotation["category_id"], ""))
        split = splits.normal(path.stem.split("_")[-1].rstrip("0123456789"))
        for image in whole["images"]:
            yield _found(folder, image, found[image["id"]], split)


def _categories(export: ExportSet) -> dict[str, dict[str, Any]]:
    """Class -> category; `person` with its keypoints first. A class that is itself called person is that category."""
    person = {
        "id": 1,
        "name": PERSON,
        "supercategory": PERSON,
        "keypoints": list(boxes.COCO_NAMES),
        "skeleton": [list(limb) for limb in boxes.COCO_LIMBS],
    }
    others = [name for name in export.classes if name != PERSON]
    rest = {name: {"id": at, "name": name, "supercategory": export.label} for at, name in enumerate(others, start=2)}
    return {PERSON: person, **rest}


def _licenses(export: ExportSet) -> dict[str, dict[str, Any]]:
    """Licence expression -> COCO licence; the expression is the name, the LICENSE beside says what it means."""
    return {name: {"id": at, "name": name, "url": "LICENSE"} for at, name in enumerate(export.licenses, start=1)}


def _info(export: ExportSet) -> dict[str, Any]:
    return {
        "description": f"{export.name}: synthetic pictures made with synthgen. Boxes and keypoints are those of the "
        "skeleton that was asked for; they were not measured in the pictures.",
        "version": "1.0",
        "year": int(export.created[:4] or 0),
        "date_created": export.created,
        "contributor": "synthgen",
        "url": "",
        "license_verdict": {"use": export.verdict.use, "answer": export.verdict.answer},
        "rights": sorted({f"{asset.kind} {asset.name}: {asset.license}" for asset in export.assets}),
    }


def _image(picture: ExportPicture, image_id: int, file_name: str, license_id: int) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": file_name,
        "width": picture.width,
        "height": picture.height,
        "license": license_id,
        "label": picture.label,
        "sha256": picture.sha256,
        "synthetic": True,
    }


def _annotations(picture: ExportPicture, categories: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The person with keypoints, then the garment, as far as the skeleton tells them."""
    size = (picture.width, picture.height)
    box = boxes.person(picture.keypoints, size)
    if box is not None:
        points = [picture.keypoints[at] for at in boxes.COCO_17]
        flat = [value for x, y, v in points for value in ((round(x, 1), round(y, 1), VISIBLE) if v else (0, 0, 0))]
        seen = sum(1 for _, _, v in points if v)
        yield {**_boxed(box), "category_id": categories[PERSON]["id"], "keypoints": flat, "num_keypoints": seen}
    worn = boxes.garment(picture.keypoints, picture.category, size)
    if worn is not None and picture.label != PERSON:
        yield {**_boxed(worn), "category_id": categories[picture.label]["id"]}


def _boxed(box: boxes.Box) -> dict[str, Any]:
    left, top, width, height = box
    corners = [left, top, left + width, top, left + width, top + height, left, top + height]
    return {
        "bbox": list(box),
        "area": round(width * height, 2),
        "segmentation": [[round(value, 1) for value in corners]],  # evaluators want one; this is the box again
        "iscrowd": 0,
    }


def _files(folder: Path) -> list[Path]:
    """Annotation files by their first bytes: a manifest is JSON, too."""
    found = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")]):
        if path.name != "manifest.json" and path.stat().st_size <= MOST_BYTES:
            text = path.read_bytes()
            if b'"annotations"' in text and b'"images"' in text and b'"categories"' in text:
                found.append(path)
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads(path.read_bytes())
        for key, wanted in (("images", "file_name"), ("annotations", "category_id"), ("categories", "name")):
            if not all(isinstance(item, dict) and wanted in item for item in whole[key]):
                raise ValueError(f"'{key}' has an item without '{wanted}'")
        if not all("id" in item for item in (*whole["images"], *whole["categories"])):
            raise ValueError("an item without 'id'")
        if not all("image_id" in item for item in whole["annotations"]):
            raise ValueError("an annotation without 'image_id'")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RequestError(f"{path} is no COCO annotation file ({str(error)[:80]}). Nothing was brought in.") from error
    return dict(whole)


def _found(folder: Path, image: dict[str, Any], categories: set[str], split: str) -> FoundPicture:
    name = str(image["file_name"])
    places = [folder / name, folder / "images" / name, folder / "images" / split / name, folder / split / name]
    path = next((place for place in places if place.is_file()), places[0])
    row = image.get("row")
    cells = {str(key): str(value) for key, value in row.items() if value is not None} if isinstance(row, dict) else {}
    things = categories - {PERSON, ""} or categories
    label = str(image.get("label", "")) or label_of(cells) or (next(iter(things)) if len(things) == 1 else "")
    skipped = ""
    if not path.resolve().is_relative_to(folder.resolve()):
        skipped = "leads out of the folder"
    elif not path.is_file():
        skipped = "there is no such picture"
    elif not label:
        skipped = "several categories" if things else "no category"
    return FoundPicture(path.name, path, label, cells.get("split", "") or split, cells=cells, skipped=skipped)
