"""A run folder of any assets, as `generate` leaves it, without a model."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from synthgen import licenses, provenance, store
from synthgen.types import Asset, Job, Picture

SDXL = Asset("base", "sdxl", "openrail++", "ab" * 32)
PHOTOS = Asset("photos", "shirts", "CC-BY-4.0", "cd" * 32, owner="Acme", credit="Jane | <b>Roe</b>", source="studio")
ADAPTER = Asset("adapter", "acme", "LicenseRef-own", "ef" * 32, trained_on=(PHOTOS,))
TODAY = date(2026, 11, 24)


def made(folder: Path, *assets: Asset, use: str = "internal", reading: str = "strict", count: int = 2) -> Path:
    """A run folder as `generate` leaves it, of these assets."""
    about = licenses.Circumstances(reading)
    context = provenance.Context(
        {"id": "sdxl"}, (), licenses.clear(assets, use, TODAY, about), "apparel", {}, {"torch": "2.15"}, plan="1a2b3c4d"
    )
    with store.Run.open(folder, {"digest": "1a2b3c4d", "count": count}) as run:
        for index in range(count):
            pixels = np.full((8, 8, 3), index, np.uint8)
            picture = Picture(Job(f"{index:016x}", index, "a photo", "", index, {"pose": "walking"}, "shirt"), pixels)
            record = provenance.record(picture, context)
            run.add(picture, record, provenance.png_bytes(picture, record))
        run.finish()
    return folder
