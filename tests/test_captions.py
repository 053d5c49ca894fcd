"""What is said of each photo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from synthgen import captions, images
from synthgen.errors import RequestError


@pytest.fixture
def shirts(tmp_path: Path) -> Path:
    folder = tmp_path / "shirts"
    folder.mkdir()
    for name, shade in (("a.jpg", 40), ("b.jpg", 120), ("ü.jpg", 200)):
        Image.new("RGB", (32, 32), (shade, shade, 90)).save(folder / name)
    return folder


def said(folder: Path, trigger: str = "sks") -> dict[str, str]:
    written = captions.write(images.read(folder), trigger)
    return {photo.path.name: photo.caption for photo in written.photos}


def test_a_photo_without_words_is_captioned_by_its_category(shirts: Path) -> None:
    assert set(said(shirts).values()) == {"a photo of a sks shirt, flat lay"}


@pytest.mark.parametrize(
    ("category", "trigger", "caption"),
    [
        ("pants", "sks", "a photo of sks trousers, flat lay"),
        ("outwear", "ohwx", "a photo of an ohwx jacket, flat lay"),
        ("longsleeve", "zwx", "a photo of a zwx long-sleeve top, flat lay"),
        ("", "sks", "a photo of a sks garment, flat lay"),
    ],
)
def test_made_captions_are_english_for_every_noun(category: str, trigger: str, caption: str) -> None:
    assert captions.flat_lay(captions.subject(trigger, category)) == caption


def test_writing_captions_leaves_the_folder_and_the_set_as_they_were(shirts: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in shirts.iterdir()}
    image_set = images.read(shirts)
    written = captions.write(image_set, "sks")
    assert {path.name: path.stat().st_mtime_ns for path in shirts.iterdir()} == before
    assert [photo.caption for photo in image_set.photos] == ["", "", ""]
    assert (written.digest, written.folder) == (image_set.digest, image_set.folder)


def test_a_sidecar_beats_the_table_and_the_table_beats_what_is_made(shirts: Path) -> None:
    (shirts / "a.txt").write_text("sks shirt on a hanger\n")
    (shirts / "metadata.csv").write_text('file_name,text\na.jpg,from the table\nb.jpg,"sks, folded"\n')
    assert said(shirts) == {
        "a.jpg": "sks shirt on a hanger",
        "b.jpg": "sks, folded",
        "ü.jpg": "a photo of a sks shirt, flat lay",
    }


def test_an_empty_sidecar_says_nothing(shirts: Path) -> None:
    (shirts / "a.txt").write_text(" \n")
    (shirts / "metadata.csv").write_text("file_name,text\na.jpg,sks folded\n")
    assert said(shirts)["a.jpg"] == "sks folded"


@pytest.mark.parametrize("column", ["text", "caption", "prompt"])
def test_each_column_name_is_understood_in_both_tables(shirts: Path, column: str) -> None:
    (shirts / "metadata.csv").write_text(f"file_name,{column}\na.jpg,sks one\n")
    lines = [{"file_name": "a.jpg", column: "sks lower"}, {"file_name": "b.jpg", column: "sks two", "n": 3}]
    (shirts / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    assert (said(shirts)["a.jpg"], said(shirts)["b.jpg"]) == ("sks one", "sks two")


def test_the_trigger_word_is_put_in_front_where_it_is_missing(shirts: Path) -> None:
    (shirts / "a.txt").write_text("folded on a table, she asks")
    (shirts / "b.txt").write_text("a SKS-shirt")
    assert said(shirts)["a.jpg"] == "sks shirt, folded on a table, she asks"
    assert said(shirts)["b.jpg"] == "a SKS-shirt"


def test_several_lines_and_a_byte_order_mark_become_one_clean_line(shirts: Path) -> None:
    (shirts / "a.txt").write_bytes("\ufeffsks shirt,\r\n  grün\n".encode())
    assert said(shirts)["a.jpg"] == "sks shirt, grün"


def test_a_name_that_a_mac_wrote_decomposed_is_the_same_name(shirts: Path) -> None:
    (shirts / "metadata.csv").write_text("file_name,text\nu\u0308.jpg,sks decomposed\n", encoding="utf-8")
    assert said(shirts)["ü.jpg"] == "sks decomposed"


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("metadata.csv", b"file_name,text\na.jpg,x\ngone.jpg,y\n", r"metadata\.csv line 3: there is no 'gone\.jpg'"),
        ("metadata.csv", b"file_name,text\na.jpg,x\na.jpg,y\n", r"line 3: 'a\.jpg' has a row already, in line 2"),
        ("metadata.csv", b"file_name,text\n../a.jpg,x\n", "line 2: '../a.jpg' is not directly in"),
        ("metadata.csv", b"file_name,text\n,x\n", "line 2: the 'file_name' cell is empty"),
        ("metadata.csv", b"file_name,text\na.jpg,red, blue\n", "line 2: more cells than columns"),
        ("metadata.csv", b"file_name;text\na.jpg;x\n", "no 'file_name' column; it has: file_name;text"),
        ("metadata.csv", b'file_name,text\na.jpg,"x\n', "not CSV"),
        ("metadata.csv", "file_name,text\na.jpg,grün\n".encode("latin-1"), r"not UTF-8 text \(byte 23\)"),
        ("metadata.csv", "file_name,text\n".encode("utf-16"), r"not UTF-8 text \(byte 0\)"),
        ("metadata.jsonl", b'{"file_name": "a.jpg"}\n{"file_name": \n', r"metadata\.jsonl line 2: not JSON"),
        ("metadata.jsonl", b'["a.jpg"]\n', "line 1: wanted an object with a text 'file_name'"),
        ("metadata.jsonl", b"\n" + b"[" * 100_000 + b"\n", "line 2: not JSON"),
        ("metadata.jsonl", b'{"file_name": "gone.jpg"}\n', r"line 1: there is no 'gone\.jpg'"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(shirts: Path, name: str, content: bytes, wanted: str) -> None:
    (shirts / name).write_bytes(content)
    with pytest.raises(RequestError, match=wanted):
        images.read(shirts)


def test_a_table_may_name_a_picture_that_cannot_be_read(shirts: Path) -> None:
    (shirts / "bad.jpg").touch()
    (shirts / "metadata.csv").write_text("file_name,text\nbad.jpg,x\na.jpg,sks whole\n")
    assert said(shirts)["a.jpg"] == "sks whole"


def test_a_sidecar_that_is_no_text_is_named(shirts: Path) -> None:
    (shirts / "b.txt").write_bytes(b"sks gr\xfcn")
    with pytest.raises(RequestError, match=r"b\.txt is not UTF-8 text \(byte 6\)"):
        said(shirts)
    (shirts / "b.txt").write_bytes(b"x" * 100_000)
    with pytest.raises(RequestError, match=r"b\.txt has 100000 bytes"):
        said(shirts)


@pytest.mark.parametrize("trigger", ["", "two words", "a,b", "<lora:x>", "x" * 41])
def test_a_trigger_that_is_no_word_is_refused(shirts: Path, trigger: str) -> None:
    with pytest.raises(RequestError, match="wanted one word"):
        said(shirts, trigger)
