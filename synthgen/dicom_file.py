"""One DICOM file that nobody vouches for: its frames as 8-bit pictures as a viewer shows them, and what it tells.

Modality LUT, window or VOI LUT, photometric interpretation and presentation shape are applied, in this order. What is
an identifier stands in table E.1-1 of DICOM PS3.15 (Basic Application Level Confidentiality Profile), 2026c edition,
as the package dicom-anonymizer carries it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import image_file
from synthgen.errors import UnreadableImage

SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
MOST_FRAMES = 64  # of one file, evenly taken; neighbouring frames of a volume are nearly the same
TABLE = "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c"
OUTLIERS = 0.1  # percent at either end that sets no window where the file states none
LABELS = {"PatientID": "patient_id", "ViewPosition": "view", "PatientSex": "sex", "PatientAge": "age"}
SIDES = {"L": "left", "R": "right"}
CODECS = {  # transfer syntax -> what decodes it
    "JPEG 2000": "pylibjpeg-openjpeg", "High-Throughput": "pylibjpeg-openjpeg", "JPEG": "pylibjpeg-libjpeg",
    "JPEG-LS": "pylibjpeg-libjpeg", "RLE": "pylibjpeg-rle",
}  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """What a file holds."""

    frames: tuple[Any, ...]  # each (h, w) or (h, w, 3) uint8
    labels: Mapping[str, str]  # patient_id, view, side, sex, age, as far as stated
    attributes: tuple[tuple[str, str], ...]  # identifiers of the profile that have a value: keyword, value


def is_dicom(path: Path) -> bool:
    """By the four letters at byte 128; old files without them by their name, and `read` finds out."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read(path: Path) -> Opened:
    """The frames of a file and what it tells. Raises UnreadableImage, with the reason alone as its text."""
    import pydicom

    with image_file.quiet():
        try:
            dataset = pydicom.dcmread(path, force=path.suffix.lower() in SUFFIXES)
            _refuse_size(dataset)
            attributes, labels = tuple(_identifiers(dataset)), _labels(dataset)
            frames = tuple(_frames(dataset))
        except UnreadableImage:
            raise
        except Exception as error:  # a stranger's bytes raise every exception there is
            raise UnreadableImage(_reason(error, path)) from error
    return Opened(frames, labels, attributes)


def _refuse_size(dataset: Any) -> None:
    if "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise UnreadableImage("no DICOM file, whatever its name says")
    if "PixelData" not in dataset:
        raise UnreadableImage("a DICOM file without pixels")
    rows, columns, frames = int(dataset.Rows), int(dataset.Columns), int(dataset.get("NumberOfFrames") or 1)
    if rows * columns > image_file.MAX_PIXELS or rows * columns * frames > 20 * image_file.MAX_PIXELS:
        raise UnreadableImage(f"refused: its header claims {frames} frames of {columns} x {rows} px")
    if min(rows, columns) < image_file.MIN_SIDE_PX:
        raise UnreadableImage(f"too small: {columns} x {rows} px; each side needs at least {image_file.MIN_SIDE_PX}")


def _frames(dataset: Any) -> Iterator[Any]:
    from pydicom.pixels import apply_color_lut, pixel_array

    count = int(dataset.get("NumberOfFrames") or 1)
    chosen = sorted({round(at) for at in np.linspace(0, count - 1, min(count, MOST_FRAMES))})
    colour = int(dataset.get("SamplesPerPixel") or 1) > 1
    for index in chosen:
        values = pixel_array(dataset, index=index)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            yield _bytes(apply_color_lut(values, dataset))
        elif colour:
            yield _bytes(values)
        else:
            yield _windowed(values, dataset)


def _bytes(values: Any) -> Any:
    """Colour of 8 or 16 bits as 8."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    top = 255.0 if values.max() <= 255 else float(np.iinfo(values.dtype).max)
    return np.round(values.astype(np.float32) * (255.0 / top)).astype(np.uint8)


def _windowed(values: Any, dataset: Any) -> Any:
    """(h, w) uint8 as a viewer shows it: black is 0."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    padding = dataset.get("PixelPaddingValue")
    seen = values != padding if padding is not None else np.ones(values.shape, bool)
    levels = np.asarray(apply_modality_lut(values, dataset))
    if "WindowCenter" in dataset or "VOILUTSequence" in dataset:
        low, high = _range(dataset, levels)
        shown = np.asarray(apply_voi_lut(levels, dataset, index=0), np.float64)
    else:
        shown = levels.astype(np.float64)
        inside = shown[seen] if seen.any() else shown
        low, high = np.percentile(inside, (OUTLIERS, 100 - OUTLIERS))
        if high <= low:
            low, high = inside.min(), inside.max()
    grey = np.clip((shown - low) / max(float(high - low), 1e-9), 0, 1)
    dark = str(dataset.get("PresentationLUTShape", "")) == "INVERSE"
    if (dataset.PhotometricInterpretation == "MONOCHROME1") != (dark and "VOILUTSequence" not in dataset):
        grey = 1 - grey
    grey[~seen] = 0
    return np.round(grey * 255).astype(np.uint8)


def _range(dataset: Any, levels: Any) -> tuple[float, float]:
    """The range that a window or a VOI LUT maps to."""
    if "VOILUTSequence" in dataset:
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return 0.0, float(2**bits - 1)
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation)
    if "ModalityLUTSequence" in dataset:
        return 0.0, float(2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    ends = least * slope + intercept, most * slope + intercept
    return min(ends), max(ends)


def _labels(dataset: Any) -> dict[str, str]:
    found = {label: str(dataset.get(keyword) or "").strip() for keyword, label in LABELS.items()}
    side = str(dataset.get("ImageLaterality") or dataset.get("Laterality") or "").strip().upper()
    found["side"] = SIDES.get(side, "")
    return {label: value for label, value in found.items() if value}


def _identifiers(dataset: Any) -> Iterator[tuple[str, str]]:
    """Every attribute of the profile with a value, those inside sequences and the file's own head included."""
    yield from _walked(getattr(dataset, "file_meta", None) or [])
    yield from _walked(dataset)


def _walked(dataset: Any) -> Iterator[tuple[str, str]]:
    from pydicom.datadict import keyword_for_tag

    exact, masks = profile()
    for element in dataset:
        tag = element.tag
        listed = (tag.group, tag.element) in exact or any(
            tag.group & group_mask == group and tag.element & element_mask == number
            for group, number, group_mask, element_mask in masks
        )
        if tag.is_private or listed:
            value = _told(element)
            if value:
                name = keyword_for_tag(tag) or f"{tag}"  # a data element knows none of its own in a repeating group
                yield ("PrivateAttribute" if tag.is_private else name), value
        elif element.VR == "SQ":
            for item in element.value or ():
                yield from _walked(item)


def _told(element: Any) -> str:
    if element.VR == "SQ":
        return f"{len(element.value or ())} items" if element.value else ""
    value = element.value
    if isinstance(value, bytes):
        return f"{len(value)} bytes" if value else ""
    return str(value).strip() if value is not None else ""


@cache
def profile() -> tuple[frozenset[tuple[int, int]], tuple[tuple[int, int, int, int], ...]]:
    """Tags of the profile: exact ones, and ranges as (group, element, mask of group, mask of element)."""
    tags = importlib.import_module(TABLE).ALL_TAGS
    exact = frozenset((int(tag[0]), int(tag[1])) for tag in tags if len(tag) == 2)
    return exact, tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in (tag for tag in tags if len(tag) == 4))


def _reason(error: Exception, path: Path) -> str:
    text = " ".join(str(error).replace(str(path), path.name).split())[:160]
    if "plugins" in text or "decod" in text.lower():
        syntax = next((codec for name, codec in CODECS.items() if name in text), "")
        hint = f"; pip install {syntax}" if syntax else ""
        return f"compressed in a way that nothing here decodes ({text[:90]}){hint}"
    return f"broken or no DICOM: {text or type(error).__name__}"
