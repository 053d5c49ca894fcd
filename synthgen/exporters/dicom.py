"""DICOM Secondary Capture: one synthetic picture a file, marked as such, of nobody, its lineage in a private block.

SyntheticData (0008,001C) is YES, ImageType DERIVED and SECONDARY, ConversionType SYN; every UID is new and follows from
the lineage alone. Grey pictures are MONOCHROME2 with a window that shows each level as it is. The attributes are those
of DICOM PS3.3, A.8.1 (Secondary Capture Image IOD). Not for diagnosis.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import __version__, burned_in, dicom_file, provenance
from synthgen.errors import UnreadableImage
from synthgen.export_pictures import ExportPicture, Place
from synthgen.export_set import ExportSet
from synthgen.types import FoundPicture

LOAD = """
import glob

import pydicom

first = pydicom.dcmread(sorted(glob.glob("*/*.dcm"))[0])
"""
NOTICE = "NOT FOR DIAGNOSIS. Synthetic: drawn by a model, no patient."
GROUP, CREATOR = 0x0099, "SYNTHGEN LINEAGE 1"  # of the private block
LINEAGE, LINEAGE_ID, LABEL, FILE_SHA256 = 1, 2, 3, 4  # elements in it
SEXES = {"female": "F", "male": "M"}
SIDES = {"left": "L", "right": "R"}


def check(export: ExportSet) -> None:
    """Every set goes out as DICOM; pictures with colour as RGB."""


def write(export: ExportSet, folder: Path) -> Place:
    """<split>/<job_id>.dcm; one study for each file, since no two pictures are of one patient."""
    for picture in export.pictures:
        (folder / picture.split).mkdir(exist_ok=True)
        _dataset(picture, export.data(picture)).save_as(folder / _file(picture), enforce_file_format=True)
    return lambda picture: (_file(picture), "")


def _file(picture: ExportPicture) -> str:
    return f"{picture.split}/{picture.job_id}.dcm"


def recognises(folder: Path) -> bool:
    """A folder with DICOM files in it or in folders below."""
    return any(dicom_file.is_dicom(path) for path in [*folder.glob("*.dcm"), *folder.glob("*/*.dcm")][:8])


def read(folder: Path) -> Iterator[FoundPicture]:
    """Each first frame as a PNG; the label from our private block, else the folder's name. No attribute comes along."""
    for path in sorted([*folder.glob("*.dcm"), *folder.glob("*/*.dcm")]):
        inside = path.parent.name if path.parent != folder else ""
        try:
            frame = dicom_file.read(path).frames[0]
        except UnreadableImage as error:
            yield FoundPicture(f"{path.stem}.png", path, skipped=str(error))
            continue
        label = _label(path)
        yield FoundPicture(
            f"{path.stem}.png", _png(frame), label or inside, inside if label else "",
            skipped="" if label or inside else "no label",
        )  # fmt: skip


def _dataset(picture: ExportPicture, data: bytes) -> Any:
    import pydicom
    from PIL import Image
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    lineage = provenance.read(picture.source)
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    uids = {name: generate_uid(entropy_srcs=[picture.lineage_id, picture.pixel_sha256, name])
            for name in ("study", "series", "instance")}  # fmt: skip
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uids["instance"]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids["study"], uids["series"]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    _say_nobody(dataset, picture)
    _say_synthetic(dataset, picture, lineage)
    dataset.BurnedInAnnotation = "YES" if any(m.kind == "text" for m in burned_in.find(pixels)) else "NO"
    _put_pixels(dataset, pixels)
    block = dataset.private_block(GROUP, CREATOR, create=True)
    block.add_new(LINEAGE, "UT", provenance.canonical_json(lineage))
    block.add_new(LINEAGE_ID, "LO", picture.lineage_id)
    block.add_new(LABEL, "LO", picture.label[:64])
    block.add_new(FILE_SHA256, "LO", picture.sha256)
    return dataset


def _say_nobody(dataset: Any, picture: ExportPicture) -> None:
    """A patient who does not exist: type 2 attributes are there and empty."""
    dataset.PatientName, dataset.PatientID = f"SYNTHETIC^{picture.job_id}", f"SYN-{picture.job_id}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = SEXES.get(str(picture.row.get("requested_sex", "")), "")
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "No patient: the picture was drawn by a model"
    for keyword in ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"):
        setattr(dataset, keyword, "")
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1


def _say_synthetic(dataset: Any, picture: ExportPicture, lineage: dict[str, Any]) -> None:
    told = {key.removeprefix("requested_"): str(value) for key, value in picture.row.items() if value}
    dataset.Modality, dataset.ConversionType, dataset.SyntheticData = "OT", "SYN", "YES"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"Drawn by synthgen {__version__} with base {lineage['base'].get('id', '')}"
    dataset.ImageComments = NOTICE
    dataset.ContentQualification = "RESEARCH"
    dataset.SeriesDescription = f"Synthetic {picture.label}"[:64]
    dataset.Manufacturer = dataset.SecondaryCaptureDeviceManufacturer = "synthgen"
    dataset.SoftwareVersions = dataset.SecondaryCaptureDeviceSoftwareVersions = __version__
    dataset.PatientOrientation = ""
    dataset.Laterality = SIDES.get(told.get("side", ""), "")
    if told.get("view") in ("PA", "AP"):
        dataset.ViewPosition = told["view"]


def _put_pixels(dataset: Any, pixels: Any) -> None:
    grey = bool((pixels == pixels[..., :1]).all())
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if grey else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if grey else "RGB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.LossyImageCompression = "00"
    if grey:  # by PS3.3 C.11.2.1.2 this window maps 0 to 0 and 255 to 255
        dataset.WindowCenter, dataset.WindowWidth, dataset.PresentationLUTShape = 128, 256, "IDENTITY"
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    else:
        dataset.PlanarConfiguration = 0
    raw = np.ascontiguousarray(pixels[..., 0] if grey else pixels).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)


def lineage(path: Path) -> dict[str, Any]:
    """The lineage in a file's private block; {} where there is none, or it was changed."""
    try:
        told = json.loads(_private(path, LINEAGE))
    except ValueError:
        return {}
    return told if isinstance(told, dict) and told.get("id") == provenance.lineage_id(told) else {}


def _label(path: Path) -> str:
    return _private(path, LABEL)


def _private(path: Path, element: int) -> str:
    """One text of our private block, "" where it is not there."""
    import pydicom

    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        return str(dataset.private_block(GROUP, CREATOR)[element].value)
    except (KeyError, pydicom.errors.InvalidDicomError, OSError):
        return ""


def _png(frame: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()
