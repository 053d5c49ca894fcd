"""Synthetic pictures as DICOM: nobody's, marked as synthetic, and seen by another reader as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from synthgen import export, generate, store
from synthgen.exporters import dicom

SIZE = 64


@pytest.fixture(scope="module")
def run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six grey cases by the base alone."""
    out = tmp_path_factory.mktemp("medical") / "run"
    request = generate.GenerateRequest(
        count=6, pipeline="medical", base=str(toy), no_adapter=True, size=SIZE, steps=1, out=out
    )  # fmt: skip
    generate.run(request)
    return out


@pytest.fixture(scope="module")
def files(run: Path) -> list[Path]:
    export.run(export.ExportRequest((run,), ("dicom",), run.with_name("out")))
    found = sorted((run.with_name("out") / "dicom").glob("train/*.dcm"))
    assert len(found) == 6
    return found


def test_every_file_says_that_it_is_synthetic_and_of_nobody(files: list[Path], run: Path) -> None:
    lines = {line["job_id"]: line for line in store.read(run)}
    uids = set()
    for path in files:
        told = pydicom.dcmread(path)
        assert told[0x0008, 0x001C].value == "YES" and told.ConversionType == "SYN"
        assert list(told.ImageType) == ["DERIVED", "SECONDARY"]
        assert told.SOPClassUID.name == "Secondary Capture Image Storage" and told.PatientIdentityRemoved == "YES"
        assert "NOT FOR DIAGNOSIS" in told.ImageComments and told.PatientID == f"SYN-{path.stem}"
        assert not told.PatientBirthDate and not told.StudyDate and not told.ReferringPhysicianName
        uids |= {told.SOPInstanceUID, told.StudyInstanceUID, told.SeriesInstanceUID}
        lineage = json.loads(told.private_block(dicom.GROUP, dicom.CREATOR)[dicom.LINEAGE].value)
        assert lineage["id"] == lines[path.stem]["lineage_id"] and lineage["notice"] == "Not for diagnosis"
    assert len(uids) == 18


def test_pixels_and_window_are_right_for_pydicom_and_for_another_reader(files: list[Path], run: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    for path in files:
        wanted = np.asarray(Image.open(run / "images" / f"{path.stem}.png"))[..., 0]
        told = pydicom.dcmread(path)
        assert told.PhotometricInterpretation == "MONOCHROME2" and (told.pixel_array == wanted).all()
        shown = pydicom.pixels.apply_windowing(told.pixel_array, told)
        assert np.abs(shown - wanted).max() < 0.51
        assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0] == wanted).all()


def test_the_same_export_has_the_same_bytes_and_comes_back_with_its_labels(files: list[Path], run: Path) -> None:
    export.run(export.ExportRequest((run,), ("dicom",), run.with_name("again")))
    for path in files:
        assert (run.with_name("again") / "dicom" / "train" / path.name).read_bytes() == path.read_bytes()
    back = {found.name: found for found in dicom.read(files[0].parent.parent)}
    for line in store.read(run):
        found = back[f"{line['job_id']}.png"]
        assert (found.label, found.split) == (line["lineage"]["job"]["category"], "train")


def test_colour_goes_out_as_colour(two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    export.run(export.ExportRequest(two_runs[:1], ("dicom",), tmp_path / "out"))
    path = next((tmp_path / "out" / "dicom").glob("train/*.dcm"))
    told = pydicom.dcmread(path)
    assert told.PhotometricInterpretation == "RGB"
    assert (told.pixel_array == np.asarray(Image.open(two_runs[0] / "images" / f"{path.stem}.png"))).all()
