"""torchvision ImageFolder: <split>/<class>/<picture>, and metadata.csv at the top with everything else.

Opened by `torchvision.datasets.ImageFolder`, and by whatever else takes a folder for each class.
https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from synthgen import labelled_set, photo_table
from synthgen.errors import RequestError
from synthgen.export_pictures import ExportPicture, Place
from synthgen.export_set import ExportSet
from synthgen.types import FoundPicture

LOAD = """
from torchvision.datasets import ImageFolder

train = ImageFolder("train")
first, class_number = train[0]
"""


def check(export: ExportSet) -> None:
    """Refuses a split without one of the classes: ImageFolder numbers classes by the folders that it finds."""
    counts = export.counts
    for split in export.splits:
        missing = {label for label in export.classes if not counts[label, split]}
        if missing:
            raise RequestError(
                f"torchvision: split '{split}' has no picture of '{min(missing)}', so its class numbers would not be "
                "those of the other splits. Use other parts in --split, or another format. Nothing was written."
            )


def write(export: ExportSet, folder: Path) -> Place:
    """<split>/<class>/<job_id>.png, and the table."""
    classes = export.folders()

    def file_of(picture: ExportPicture) -> str:
        return f"{picture.split}/{classes[picture.label]}/{picture.name}"

    with export.table(folder / "metadata.csv") as add:
        for picture in export.pictures:
            export.place(picture, folder / file_of(picture))
            add(picture, file_of(picture))
    return lambda picture: (file_of(picture), "")


def without(folder: Path, jobs: Collection[str]) -> None:
    """The table without the rows of these jobs."""
    photo_table.drop(folder / "metadata.csv", jobs)


def recognises(folder: Path) -> bool:
    """Sub-folders of pictures."""
    return labelled_set.has_classes(folder)


def read(folder: Path) -> Iterator[FoundPicture]:
    """Pictures by sub-folder, or by the table where there is one."""
    yield from labelled_set.found(folder)
