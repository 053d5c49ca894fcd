"""What points to a person beside the pixels: names, dates and numbers in file names, EXIF, text chunks and tables.

A value is never repeated whole in what is listed: its first signs and its length tell its owner which it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import image_file, modalities, vocabulary

DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-_. ]?(?:0[1-9]|1[0-2])[-_. ]?(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-_. /](?:0?[1-9]|[12]\d|3[01])[-_. /](?:19|20)?\d\d"
    r"|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d\d)(?!\d)"
)
NUMBER = re.compile(r"(?<!\d)\d{5,}(?!\d)")
WORD = re.compile(r"[^\W\d_]{2,}")
PLAIN = (  # words of file names that name nobody
    "img image images im photo picture pic scan scans file frame slice series study exam view case cases patient pat "
    "subject sample test train val valid validation set data raw copy export dicom dcm png jpg jpeg tif tiff "
    "cxr chest xray ray thorax lung lungs heart blood smear cell cells red white skin lesion eye retina fundus tissue "
    "slide stain field crop left right bilateral frontal lateral oblique pa ap upright supine portable "
    "no none finding findings normal abnormal positive negative healthy mild moderate severe control "
    "male female sex age site north south east west anon anonymous deid deidentified masked clean processed resized "
    "and the of with in to for from new old final full size small large low high res dark pale standard bluish"
)
HARMLESS = {  # EXIF tags that say how a picture is stored and nothing else
    0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0112, 0x0115, 0x0116, 0x0117, 0x0118, 0x0119, 0x011A,
    0x011B, 0x011C, 0x0128, 0x013D, 0x0140, 0x0142, 0x0143, 0x0144, 0x0145, 0x0152, 0x0153, 0x0211, 0x0212, 0x0213,
    0x0214, 0x8769, 0x8825, 0xA005, 0x9000, 0x9101, 0xA000, 0xA001, 0xA002, 0xA003,
}  # fmt: skip
INFO = ("comment", "xmp", "photoshop", "Software", "Description")


@dataclass(frozen=True)
class Found:
    """One thing that points, or may point, to a person."""

    file: str  # its name, or "." for the folder
    where: str  # "file name", "folder name", "metadata", "attribute", "caption", "pixels"
    what: str  # "date", "number", "name", an EXIF tag, a DICOM keyword, "text", "marker"
    value: str  # masked
    action: str  # what was done: "cut off", "held back", "left in place"


def masked(value: str) -> str:
    """ "Mueller, Hans" -> "Mu... (13 signs)"."""
    text = " ".join(value.split())
    return f"{text[:2]}... ({len(text)} signs)"


def in_text(text: str) -> Iterator[tuple[str, str]]:
    """(what, value) of the dates, the long numbers and the words that may be names."""
    for date in DATE.finditer(text):
        yield "date", date.group()
    rest = DATE.sub(" ", text)
    for number in NUMBER.finditer(rest):
        yield "number", number.group()
    known = _known_words()
    for word in WORD.finditer(re.sub(r"([a-z])([A-Z])", r"\1 \2", rest)):
        if word.group().lower() not in known:
            yield "name", word.group()


def in_name(path: Path, where: str = "file name") -> list[Found]:
    """What a file or a folder is called after. Names are cut off: synthgen knows pictures by their digest."""
    name = "." if where == "folder name" else path.name
    text = path.name if where == "folder name" else path.stem
    return [Found(name, where, what, masked(value), "cut off") for what, value in in_text(text)]


def in_file(path: Path) -> list[Found]:
    """What EXIF, XMP, IPTC, text chunks and comments of a picture file hold."""
    from PIL import Image

    found: list[tuple[str, str]] = []
    with image_file.quiet():
        try:
            with Image.open(path, formats=image_file.FORMATS) as image:
                found += _exif(image)
                found += _chunks(image)
        except Exception:  # what cannot be opened is skipped with a reason by who reads the pixels
            return []
    return [Found(path.name, "metadata", what, masked(value), "cut off") for what, value in found]


def _exif(image: Any) -> Iterator[tuple[str, str]]:
    from PIL import ExifTags

    exif = image.getexif()
    for name, part in (("", exif), ("Exif", exif.get_ifd(0x8769)), ("GPS", exif.get_ifd(0x8825))):
        names = ExifTags.GPSTAGS if name == "GPS" else ExifTags.TAGS
        for tag, value in part.items():
            if (name == "GPS" or tag not in HARMLESS) and str(value).strip():
                yield f"{'GPS' if name == 'GPS' else 'EXIF'} {names.get(tag, hex(tag))}", str(value)


def _chunks(image: Any) -> Iterator[tuple[str, str]]:
    if hasattr(image, "text"):
        image.load()  # text may follow the pixels
    told = dict(getattr(image, "text", {}) or {})
    told |= {key: image.info[key] for key in INFO if image.info.get(key)}
    for key, value in told.items():
        yield f"text '{key[:40]}'", value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _known_words() -> set[str]:
    words = set(PLAIN.split())
    for of in modalities.MODALITIES.values():
        for text in (of.name, of.noun, of.normal, *of.conditions, *of.conditions.values(), *of.views):
            words.update(WORD.findall(text.lower()))
    words.update(word for text in (*vocabulary.FINDINGS.values(), *vocabulary.STAINS) for word in WORD.findall(text))
    return words
