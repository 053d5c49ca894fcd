"""Pictures of a set in another encoding, for the web: signed copies as JPEG or WebP, each with the marks of its PNG.

A copy's manifest holds the lineage of the PNG and the sha256 of the copy's own pixels, so `synthgen verify` finds it in
the store. JPEG changes pixels, WebP does not.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthgen import marks, provenance, signing
from synthgen.errors import RequestError, UnknownName
from synthgen.export_pictures import Digests, ExportPicture
from synthgen.export_set import ExportSet

PNG = "png"  # as in the run, bytes unchanged
KINDS = {"jpeg": ("JPEG", ".jpg"), "webp": ("WEBP", ".webp")}
NOT_FOR = ("dicom",)  # holds pixels, not files


def check(encoding: str, formats: tuple[str, ...]) -> None:
    """Raises UnknownName, and RequestError for a format that has no picture files."""
    if encoding != PNG and encoding not in KINDS:
        raise UnknownName("--encoding", encoding, (PNG, *KINDS))
    unfit = [name for name in formats if name in NOT_FOR]
    if encoding != PNG and unfit:
        raise RequestError(
            f"--encoding {encoding} does not go with --format {unfit[0]}, which holds pixels and no picture files. "
            "Leave one of them out. Nothing was written."
        )


def copies(export: ExportSet, encoding: str, folder: Path, step: Callable[[], None]) -> ExportSet:
    """The set with its pictures encoded anew into a folder, signed as `generate` signs where nothing else is said."""
    marker = marks.Marker(signing.identity(), prompts=True)  # a copy tells what its PNG tells, with prompts or without
    folder.mkdir(parents=True, exist_ok=True)
    kind, ending = KINDS[encoding]
    digests = Digests()
    for picture in export.pictures:
        whole = export.data(picture)
        data = marker.mark(_pixels(whole), provenance.read(whole), kind)
        (folder / _name(picture, ending)).write_bytes(data)
        digests.add(hashlib.sha256(data).hexdigest(), provenance.pixel_sha256(_pixels(data)))
        step()

    def copy_of(picture: ExportPicture) -> ExportPicture:
        name, (sha256, pixel_sha256) = _name(picture, ending), digests[picture.number]
        return replace(picture, source=folder / name, name=name, sha256=sha256, pixel_sha256=pixel_sha256)

    return replace(export, pictures=replace(export.pictures, changed=copy_of), ending=ending)


def _name(picture: ExportPicture, ending: str) -> str:
    return f"{Path(picture.name).stem}{ending}"


def _pixels(data: bytes) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=provenance.FORMATS) as image:
        return np.asarray(image.convert("RGB"))
