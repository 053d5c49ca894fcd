"""One reader for every folder of labelled pictures, real or synthetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthgen import labelled_set
from synthgen.errors import RequestError, UnknownName


def picture(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 24, 3), value, np.uint8)).save(path)
    return path


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/b.jpg", "dog/a.png"):
        picture(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"")
    read = labelled_set.read(tmp_path)
    assert (read.label, read.name) == ("folder", tmp_path.name)
    assert [(item.path.name, item.label, item.split, item.group) for item in read.pictures] == [
        ("a.png", "cat", "", "cat/a.png"),
        ("b.jpg", "cat", "", "cat/b.jpg"),
        ("a.png", "dog", "", "dog/a.png"),
    ]


def test_folders_of_splits_hold_classes(tmp_path: Path) -> None:
    for name in ("train/cat/a.png", "val/cat/b.png", "test/dog/c.png"):
        picture(tmp_path / name)
    read = labelled_set.read(tmp_path)
    assert {item.split: item.label for item in read.pictures} == {"train": "cat", "validation": "cat", "test": "dog"}


def test_a_table_gives_label_group_and_every_other_column(tmp_path: Path) -> None:
    picture(tmp_path / "one" / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "metadata.csv").write_text(
        "file_name,finding,patient_id,view,requested_pose\none/a.png,effusion,007,AP,sitting\nb.png,none,008,,\n"
    )
    read = labelled_set.read(tmp_path)
    assert read.label == "finding"
    first, second = read.pictures
    assert (first.label, first.group, first.split) == ("effusion", "007", "")
    assert first.labels == {"patient_id": "007", "view": "AP", "pose": "sitting", "folder": "one"}
    assert (second.label, second.labels) == ("none", {"patient_id": "008"})
    assert [item.label for item in labelled_set.read(tmp_path, "patient_id").pictures] == ["007", "008"]
    with pytest.raises(UnknownName, match="did you mean 'finding'"):
        labelled_set.read(tmp_path, "findings")


def test_the_imagefolder_of_hugging_face_has_a_table_in_each_split(tmp_path: Path) -> None:
    for split, line in (
        ("train", '{"file_name": "a.png", "label": "x"}'),
        ("test", '{"file_name": "a.png", "label": "y"}'),
    ):
        picture(tmp_path / split / "a.png")
        (tmp_path / split / "metadata.jsonl").write_text(line + "\n")
    read = labelled_set.read(tmp_path)
    assert [(item.split, item.label) for item in read.pictures] == [("test", "y"), ("train", "x")]


BROKEN = {
    "file_name,label\n../out.png,x\n": "leads out",
    "file_name,label\n/etc/hosts,x\n": "leads out",
    "file_name,label\nlink.png,x\n": "leads out",
    "file_name,label\nnone.png,x\n": "there is no 'none.png'",
    "file_name,label\na.png,x\n./a.png,y\n": "has a row already",
    "file_name,label\na.png,x\nb.png,\n": "1 of 2 pictures have no 'label'",
    "file_name,colour\na.png,red\n": "Name the one to use with --label: colour",
    "file_name,label\n": "holds no labelled picture",
    "name,label\na.png,x\n": "no 'file_name' column",
    "file_name,label\n,x\n": "cell is empty",
}


@pytest.mark.parametrize("table", BROKEN)
def test_a_broken_table_is_told_with_its_line(table: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    picture(folder / "a.png")
    picture(folder / "b.png")
    (folder / "link.png").symlink_to(picture(tmp_path / "out.png"))
    (folder / "metadata.csv").write_text(table)
    with pytest.raises(RequestError, match=BROKEN[table]):
        labelled_set.read(folder)


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no folder"):
        labelled_set.read(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="holds no labelled picture"):
        labelled_set.read(tmp_path)
