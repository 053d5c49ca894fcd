"""What points to a person is found, listed and kept out, whatever kind of file it comes in."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from synthgen import burned_in, deidentify, dicom_file, identifiers
from synthgen.errors import Refused, UnreadableImage
from synthgen.mini.world import render


def phantom(seed: int = 1) -> np.ndarray:
    """(256, 256) uint8."""
    return np.ascontiguousarray(render("xray", seed).pixels[..., 0])


def written(picture: np.ndarray, text: str, at: tuple[int, int] = (6, 6), size: int = 15, ink: int = 255) -> np.ndarray:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(at, text, ink, ImageFont.load_default(size))
    return np.asarray(image)


def dicom(path: Path, pixels: np.ndarray, **told: Any) -> Path:
    """A file as a modality writes it: 12 bits in 16, MONOCHROME2, frames first where there are several."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    compressed = told.pop("compressed", False)
    for keyword, value in told.items():
        setattr(dataset, keyword, value)
    if compressed:
        dataset.compress(JPEG2000Lossless)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_window_a_slope_and_the_polarity_give_what_a_viewer_shows(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 4096, 16), (64, 1))
    plain = dicom_file.read(dicom(tmp_path / "a", ramp, WindowCenter=2048, WindowWidth=2048)).frames[0]
    assert plain.dtype == np.uint8 and plain[0, 0] == 0 and plain[0, -1] == 255
    assert abs(int(plain[0, 128]) - 128) <= 1 and plain[0, 60] == 0 and plain[0, 200] == 255
    inverse = dicom_file.read(
        dicom(tmp_path / "b", ramp, WindowCenter=2048, WindowWidth=2048, PhotometricInterpretation="MONOCHROME1")
    ).frames[0]
    assert (inverse == 255 - plain).all()
    shifted = dicom_file.read(
        dicom(tmp_path / "c", ramp, WindowCenter=1024, WindowWidth=2048, RescaleSlope=1, RescaleIntercept=-1024)
    ).frames[0]
    assert np.abs(shifted.astype(int) - plain).max() <= 1
    bare = dicom_file.read(dicom(tmp_path / "d", ramp)).frames[0]
    assert bare[0, 0] == 0 and bare[0, -1] == 255


def test_the_same_pixels_are_seen_by_another_reader(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    path = dicom(tmp_path / "a.dcm", phantom().astype(np.uint16) * 16, WindowCenter=2048, WindowWidth=4096)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0].astype(np.float64)
    ours = dicom_file.read(path).frames[0].astype(np.float64)
    assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.9999


def test_frames_and_compressed_files_are_read(tmp_path: Path) -> None:
    frames = np.stack([phantom(seed).astype(np.uint16) * 16 for seed in range(3)])
    assert len(dicom_file.read(dicom(tmp_path / "a", frames)).frames) == 3
    plain = dicom_file.read(dicom(tmp_path / "b", frames[0])).frames[0]
    packed = dicom_file.read(dicom(tmp_path / "c", frames[0], compressed=True)).frames[0]
    assert (packed == plain).all()


@pytest.mark.parametrize("damage", [b"", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + bytes(range(256)) * 4])
def test_broken_dicom_is_refused_with_a_reason(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(damage)
    with pytest.raises(UnreadableImage):
        dicom_file.read(path)


def test_attributes_of_the_basic_profile_are_found_wherever_they_stand(tmp_path: Path) -> None:
    inner = pydicom.Dataset()
    inner.OperatorsName = "Nightingale^F"
    path = dicom(
        tmp_path / "a", phantom().astype(np.uint16), PatientName="Mueller^Hans", StudyDate="20190312",
        InstitutionName="St. X", ProcedureCodeSequence=[inner], BurnedInAnnotation="NO", PatientID="4711-0815",
    )  # fmt: skip
    dataset = pydicom.dcmread(path)
    dataset.private_block(0x0099, "MAKER", create=True).add_new(1, "LO", "Hans Mueller")
    dataset.add_new(0x60023000, "OW", b"drawn over the picture")
    dataset.save_as(path)
    opened = dicom_file.read(path)
    keywords = {keyword for keyword, _ in opened.attributes}
    assert keywords >= {"PatientName", "StudyDate", "InstitutionName", "OperatorsName", "PatientID", "SOPInstanceUID",
                        "MediaStorageSOPInstanceUID", "PrivateAttribute", "OverlayData"}  # fmt: skip
    assert not keywords & {"Rows", "BurnedInAnnotation", "WindowCenter"} and opened.labels["patient_id"] == "4711-0815"


@pytest.mark.parametrize("turn", [0, 1, 3])
@pytest.mark.parametrize("text", ["MUELLER, HANS", "12.03.1956", "ID 4711-0815", "Dr. Okafor"])
def test_text_in_the_pixels_is_found_along_every_side(text: str, turn: int) -> None:
    picture = written(np.ascontiguousarray(np.rot90(phantom(), turn)), text)
    marks = burned_in.find(np.ascontiguousarray(np.rot90(picture, -turn)))
    assert any(mark.kind == "text" for mark in marks)


def test_words_that_markers_carry_are_no_reason_to_hold_back_and_can_be_filled_in() -> None:
    picture = written(written(phantom(), "PORTABLE", (6, 6), 16), "AP", (200, 6), 16)
    marks = burned_in.find(picture)
    assert {mark.kind for mark in marks} == {"marker"} and "PORTABLE" in {mark.word for mark in marks}
    assert "PORTABLE" not in {mark.word for mark in burned_in.find(burned_in.masked(picture, marks))}


def test_fresh_phantoms_and_smears_are_let_pass() -> None:
    held = 0
    for kind in ("xray", "smear"):
        for seed in range(30):
            held += any(mark.kind == "text" for mark in burned_in.find(render(kind, 10**7 + seed).pixels))
    assert held <= 3  # 5 % of 60


def test_what_lies_beside_the_pixels_is_listed_masked_and_stays_behind(tmp_path: Path) -> None:
    folder = tmp_path / "Mueller_Hans"
    folder.mkdir()
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Patient", "Hans Mueller")
    Image.fromarray(phantom(1)).save(folder / "Okafor_1956-03-12.png", pnginfo=chunks)
    exif = Image.Exif()
    exif[0x013B] = "Dr. Rossi"  # Artist
    exif.get_ifd(0x8825)[1] = "N"  # GPSLatitudeRef
    Image.fromarray(phantom(2)).save(folder / "case_0001.jpg", exif=exif)
    (folder / "case_0001.txt").write_text("Seen by Dr. Rossi on 12.03.2019")
    dicom(folder / "IM0007", phantom(3).astype(np.uint16) * 16, PatientName="Mueller^Hans", PatientID="P7")
    Image.fromarray(written(phantom(4), "MUELLER, HANS")).save(folder / "case_0002.png")
    taken = deidentify.take_in([deidentify.Source(folder, "effusion")], None, tmp_path / "clean")
    listed = list(csv.DictReader(deidentify.write(taken, tmp_path / "list").open()))
    found = {(row["file"], row["where"], row["what"]) for row in listed}
    assert found >= {
        (".", "folder name", "name"), ("Okafor_1956-03-12.png", "file name", "date"),
        ("Okafor_1956-03-12.png", "file name", "name"), ("Okafor_1956-03-12.png", "metadata", "text 'Patient'"),
        ("case_0001.jpg", "metadata", "EXIF Artist"), ("case_0001.jpg", "metadata", "GPS GPSLatitudeRef"),
        ("case_0001.txt", "caption", "words"), ("IM0007", "attribute", "PatientName"),
        ("case_0002.png", "pixels", "text"),
    }  # fmt: skip
    assert not any("Mueller" in row["value"] or "1956" in row["value"] for row in listed)
    assert taken.held_back == {"case_0002.png"} and taken.pictures == 3
    assert (tmp_path / "list" / "identifiers.png").stat().st_mode & 0o077 == 0
    for path in taken.folder.glob("*.png"):
        with Image.open(path) as image:
            assert not getattr(image, "text", {}) and not image.getexif() and "Mueller" not in path.name
    table = (taken.folder / "metadata.csv").read_text()
    assert "P7" not in table and "Rossi" not in table


def test_where_every_picture_is_held_back_nothing_is_learned(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for seed in range(2):
        Image.fromarray(written(phantom(seed), f"MUELLER {seed} HANS")).save(folder / f"case_{seed}.png")
    with pytest.raises(Refused, match="all 2 readable pictures"):
        deidentify.take_in([deidentify.Source(folder, "none")], None, tmp_path / "clean")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("scan_19560312", ["date"]), ("12-03-1956 chest", ["date"]), ("IMG_4711081", ["number"]),
        ("HansMueller", ["name", "name"]), ("pleural_effusion_left_PA_003", []), ("case-0001", []),
    ],
)  # fmt: skip
def test_dates_numbers_and_names_are_told_in_file_names(name: str, kinds: list[str]) -> None:
    assert [what for what, _ in identifiers.in_text(name)] == kinds
