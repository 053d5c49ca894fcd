"""How much of what points to a person is found: 60 files with planted identifiers; and how many clean ones are held.

    python benchmarks/deidentify.py [--xray FOLDER] [--seed 2026]

Names, dates, GPS, DICOM and private attributes, overlay planes, text chunks, names in paths, and text burned into the
corners of phantoms and smears, in faces and words that the detector was not made with. Beside the recall stands the
share of clean pictures that are held back: rendered smears and phantoms, and the X-rays of a folder where one is given.
The result goes to benchmarks/results/deidentify.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pydicom
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from synthgen import burned_in, deidentify, image_file
from synthgen.mini.world import render

RESULT = Path(__file__).parent / "results" / "deidentify.json"
FACES = ("STIXGeneral.ttf", "DejaVuSerif.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSansMono.ttf", "cmss10.ttf", "", "cv2")
FAMILY = ("Abernathy", "Bjornstad", "Cetinkaya", "Dvorak", "Echevarria", "Fitzgerald", "Gupta", "Hashimoto", "Ilieva",
          "Jankowski", "Kamau", "Lindqvist")  # fmt: skip
GIVEN = ("Beatriz", "Cornelius", "Daiyu", "Emeka", "Freya", "Goran", "Hilde", "Imran", "Jolanta", "Kofi")
CLEAN = 200  # clean renders of each kind
FIRST_CLEAN = 77_000_000  # seeds that nothing else draws


class Planter:
    """Draws identifiers and puts them into files, each called after what is in it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng, self.count = folder, np.random.default_rng([seed, 60]), 0
        self.planted: list[tuple[str, str, str]] = []  # (file, kind, where it has to be found)

    def pick(self, of: Any) -> Any:
        return of[int(self.rng.integers(len(of)))]

    def name(self) -> str:
        return f"{self.pick(FAMILY)} {self.pick(GIVEN)}"

    def date(self) -> str:
        day, month, year = (
            int(self.rng.integers(1, 29)),
            int(self.rng.integers(1, 13)),
            int(self.rng.integers(1930, 2021)),
        )
        form = self.pick(("{d:02}.{m:02}.{y}", "{y}-{m:02}-{d:02}", "{d:02}/{m:02}/{y}", "{y}{m:02}{d:02}"))
        return str(form.format(d=day, m=month, y=year))

    def picture(self) -> np.ndarray:
        """(s, s, 3) uint8: a phantom or a smear, at one of the sizes that sets come in."""
        self.count += 1
        made = render(self.pick(("xray", "smear")), 91_000_000 + self.count).pixels
        size = int(self.pick((256, 320, 512, 1024)))
        return cv2.resize(made, (size, size), interpolation=cv2.INTER_CUBIC)

    def note(self, path: Path, kind: str, where: str) -> None:
        self.planted.append((path.name, kind, where))

    # ---- one file each

    def in_file_name(self) -> None:
        text = self.pick((self.name().replace(" ", "_"), self.date().replace("/", "-"), f"{self.name()} {self.count}"))
        path = self.folder / f"{text}-{len(self.planted)}.png"
        Image.fromarray(self.picture()).save(path)
        self.note(path, "file name", "file name")

    def in_exif(self) -> None:
        path, exif = self._path("jpg"), Image.Exif()
        tag = self.pick((0x013B, 0x8298, 0x010E, 0x0132))  # artist, copyright, description, date and time
        exif[tag] = self.date() if tag == 0x0132 else self.name()
        Image.fromarray(self.picture()).save(path, exif=exif, quality=92)
        self.note(path, "EXIF", "metadata")

    def in_gps(self) -> None:
        path, exif = self._path("jpg"), Image.Exif()
        exif.get_ifd(0x8825).update(
            {1: "N", 2: (52.0, 31.0, float(self.rng.integers(60))), 3: "E", 4: (13.0, 24.0, 1.0)}
        )
        Image.fromarray(self.picture()).save(path, exif=exif, quality=92)
        self.note(path, "GPS", "metadata")

    def in_text_chunk(self) -> None:
        path, chunks = self._path("png"), PngImagePlugin.PngInfo()
        chunks.add_text(self.pick(("Comment", "Author", "Title", "XML:com.adobe.xmp")), f"{self.name()}, {self.date()}")
        Image.fromarray(self.picture()).save(path, pnginfo=chunks)
        self.note(path, "text chunk", "metadata")

    def in_tiff(self) -> None:
        path = self._path("tif")
        Image.fromarray(self.picture()).save(path, tiffinfo={270: self.name(), 315: self.name()})
        self.note(path, "TIFF tag", "metadata")

    def in_attribute(self) -> None:
        keyword = self.pick(("PatientName", "PatientID", "PatientBirthDate", "InstitutionName",
                             "ReferringPhysicianName", "StudyDate", "OperatorsName",
                             "OtherPatientIDs", "PatientAddress"))  # fmt: skip
        dated = "Date" in keyword
        value = (
            f"{self.rng.integers(1930, 2020)}0{self.rng.integers(1, 10)}11" if dated else self.name().replace(" ", "^")
        )
        self._dicom(self.picture(), **{keyword: value})
        self.note(self.last, "DICOM attribute", f"attribute {keyword}")

    def in_private(self) -> None:
        dataset = self._dicom(self.picture())
        dataset.private_block(0x0011, "VENDOR", create=True).add_new(1, "LO", self.name())
        dataset.save_as(self.last)
        self.note(self.last, "private attribute", "attribute PrivateAttribute")

    def in_overlay(self) -> None:
        picture = self.picture()
        dataset = self._dicom(picture)
        plane = np.asarray(Image.fromarray(self._written(np.zeros_like(picture))[0]).convert("1"))
        dataset.add_new(0x60000010, "US", plane.shape[0])
        dataset.add_new(0x60000011, "US", plane.shape[1])
        dataset.add_new(0x60003000, "OW", np.packbits(plane, bitorder="little").tobytes())
        dataset.save_as(self.last)
        self.note(self.last, "overlay plane", "attribute OverlayData")

    def burned(self) -> None:
        path = self._path(self.pick(("png", "jpg")))
        picture, _ = self._written(self.picture())
        Image.fromarray(picture).save(path, **({"quality": 88} if path.suffix == ".jpg" else {}))
        self.note(path, "burned in", "pixels text")

    def burned_dicom(self) -> None:
        """The header says that nothing is burned in."""
        self._dicom(self._written(self.picture())[0], BurnedInAnnotation="NO")
        self.note(self.last, "burned in, header says NO", "pixels text")

    # ---- how

    def _path(self, suffix: str) -> Path:
        return self.folder / f"case_{len(self.planted):03}.{suffix}"

    def _dicom(self, picture: np.ndarray, **told: str) -> Any:
        grey = picture.mean(axis=2).astype(np.uint16) * 16
        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.Rows, dataset.Columns = grey.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
        dataset.PixelData = grey.tobytes()
        for keyword, value in told.items():
            setattr(dataset, keyword, value)
        self.last = self._path("dcm")
        dataset.save_as(self.last, enforce_file_format=True)
        return dataset

    def _written(self, picture: np.ndarray) -> tuple[np.ndarray, str]:
        """A line of text in a corner, 4 to 6 % of the side high, light or dark as it can be read there."""
        text = self.pick((self.name().upper(), self.name(), f"Born {self.date()}",
                          f"MRN {self.rng.integers(10**6, 10**7)}", f"{self.date()} 14:{self.rng.integers(10, 60)}",
                          f"Pat. {self.name()}"))  # fmt: skip
        side, face = picture.shape[0], self.pick(FACES)
        size = max(13, round(side * self.rng.uniform(0.04, 0.06)))
        wide, tall, pen = self._sized(text, face, size, side)
        x = self.pick((4, side - wide - 4))
        y = self.pick((4, side - tall - 6))
        dark = float(picture[y : y + tall, x : x + wide].mean()) > 150
        return pen(picture.copy(), (int(x), int(y)), (10, 10, 10) if dark else (245, 245, 245)), text

    def _sized(self, text: str, face: str, size: int, side: int) -> tuple[int, int, Callable[..., np.ndarray]]:
        if face == "cv2":
            scale = size / 30
            (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1 + size // 20)

            def draw(picture: np.ndarray, at: tuple[int, int], ink: Any) -> np.ndarray:
                where = (at[0], at[1] + tall)
                cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1 + size // 20, cv2.LINE_AA)
                return picture

            return min(wide, side - 8), tall, draw
        place = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / face
        font = ImageFont.truetype(str(place), size) if face else ImageFont.load_default(size)
        left, top, right, bottom = font.getbbox(text)

        def write(picture: np.ndarray, at: tuple[int, int], ink: Any) -> np.ndarray:
            image = Image.fromarray(picture)
            ImageDraw.Draw(image).text((at[0] - left, at[1] - top), text, ink, font)
            return np.asarray(image)

        return min(round(right - left), side - 8), round(bottom - top), write


PLAN = {"in_file_name": 8, "in_exif": 5, "in_gps": 4, "in_text_chunk": 5, "in_tiff": 3, "in_attribute": 8,
        "in_private": 4, "in_overlay": 4, "burned": 14, "burned_dicom": 5}  # fmt: skip


def recall(seed: int) -> dict[str, Any]:
    """60 planted files through the door that train-condition uses."""
    with tempfile.TemporaryDirectory() as spare:
        folder = Path(spare) / "in"
        folder.mkdir()
        planter = Planter(folder, seed)
        for kind, count in PLAN.items():
            for _ in range(count):
                getattr(planter, kind)()
        taken = deidentify.take_in([deidentify.Source(folder, "none")], None, Path(spare) / "clean")
    found: dict[str, set[str]] = {}
    for one in taken.found:
        found.setdefault(one.file, set()).update({one.where, f"{one.where} {one.what}"})
    kinds: dict[str, dict[str, int]] = {}
    for name, kind, where in planter.planted:
        row = kinds.setdefault(kind, {"planted": 0, "found": 0})
        row["planted"] += 1
        row["found"] += where in found.get(name, set())
    missed = [f"{name}: {kind}" for name, kind, where in planter.planted if where not in found.get(name, set())]
    total = sum(row["planted"] for row in kinds.values())
    return {"planted": total, "found": total - len(missed), "kinds": kinds, "missed": missed}


def held_back(pictures: list[Callable[[], np.ndarray]]) -> dict[str, Any]:
    """How many clean pictures are held back for text in their pixels, and how long one takes."""
    began, held = time.process_time(), 0
    for picture in pictures:
        held += any(mark.kind == "text" for mark in burned_in.find(picture()))
    share = held / len(pictures)
    return {"pictures": len(pictures), "held_back": held, "share": round(share, 4),
            "cpu_seconds_each": round((time.process_time() - began) / len(pictures), 3)}  # fmt: skip


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--xray", type=Path, help="folder of clean X-rays, sub-folders included")
    reader.add_argument("--seed", type=int, default=2026)
    given = reader.parse_args()
    told: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "seed": given.seed, **recall(given.seed)}
    for kind in ("xray", "smear"):
        seeds = range(FIRST_CLEAN, FIRST_CLEAN + CLEAN)
        told[f"rendered_{kind}"] = held_back([lambda kind=kind, seed=seed: render(kind, seed).pixels for seed in seeds])
    if given.xray:
        paths = sorted(path for path in given.xray.rglob("*") if path.suffix.lower() in image_file.SUFFIXES)
        told["real_xray"] = held_back([lambda path=path: np.asarray(image_file.decode(path).image) for path in paths])
    RESULT.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
