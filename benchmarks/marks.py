"""Whether `verify` finds and rightly names what was done to marked pictures, and what marking costs.

    python benchmarks/marks.py --count 1000

A run of pictures is drawn from seeds (no model is needed), marked and stored as `generate` does. Then each attack is
made on every picture of a copy of the run, and `verify` is asked about the copy. Figures go to
benchmarks/results/marks.json. The shares are exact; times are CPU time of one thread, at 256 px.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthgen import marks, plan, png_file, provenance, rooms, signing, store, verify, watermark
from synthgen.perceptual_hash import distance, perceptual_hash
from synthgen.types import Job, Picture, Recipe, Verdict

RESULTS = (Path(__file__).parent / "results" / "marks.json").resolve()
RECIPE = Recipe("marks", "apparel", "x", "", {"pose": ("walking", "sitting")}, {"size": 256}, {})
CONTEXT = provenance.Context(
    base={"id": "mini", "sha256": "ab" * 32, "license": "Apache-2.0"},
    adapters=({"name": "shirts", "sha256": "cd" * 32, "weight": 0.8, "license": "unknown"},),
    verdict=Verdict("internal", "allow", ("base 'mini' is Apache-2.0: run -> allow (2)",)),
    pipeline="marks",
    settings={"size": 256},
    versions={"numpy": np.__version__},
)
Attack = Callable[[bytes, int], bytes]  # a marked PNG file and a seed -> what is left of it


def drawn(job: Job, size: int) -> Picture:
    """Soft patches of colour: like a picture, no two alike."""
    rng = np.random.default_rng(job.seed)
    patches = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), "RGB")
    return Picture(job, np.asarray(patches.resize((size, size), Image.Resampling.BICUBIC)))


def make_run(folder: Path, count: int, size: int, marker: marks.Marker, invisible: str = "") -> None:
    """A finished run of marked pictures, with an invisible mark in them where one is named."""
    asked = plan.Request(RECIPE, count, 0, (), category="shirt")
    with store.Run.open(folder, plan.described(asked)) as run:
        for job in run.pending(plan.jobs(asked, lambda wanted: f"a secret prompt, {wanted['pose']}")):
            picture = watermark.marked(drawn(job, size), invisible)
            record = provenance.record(picture, CONTEXT)
            run.add(picture, record, marker.mark(picture.pixels, record))
        run.finish()


def another_marker() -> marks.Marker:
    """A marker under an authority of its own."""
    before = os.environ.get("SYNTHGEN_HOME")
    with tempfile.TemporaryDirectory() as home:
        os.environ["SYNTHGEN_HOME"] = home
        try:
            return marks.Marker(signing.identity())
        finally:
            os.environ.pop("SYNTHGEN_HOME")
            if before is not None:
                os.environ["SYNTHGEN_HOME"] = before


def flipped(data: bytes, seed: int) -> bytes:
    """One random bit of one random byte turned over."""
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def flipped_and_mended(data: bytes, seed: int) -> bytes:
    """The same inside a chunk, whose check sum is then made to fit: what a careful forger would do."""
    rng = np.random.default_rng(seed)
    changed, parts = bytearray(data), [part for part in png_file.chunks(data) if part[0] != b"IHDR" and part[2]]
    _, first, length = parts[int(rng.integers(len(parts)))]
    changed[first + int(rng.integers(length))] ^= 1 << int(rng.integers(8))
    changed[first + length : first + length + 4] = zlib.crc32(changed[first - 4 : first + length]).to_bytes(4, "big")
    return bytes(changed)


def saved_as(kind: str, **options: Any) -> Attack:
    """Opened and saved again, as any program does."""

    def attack(data: bytes, seed: int) -> bytes:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(data)).save(buffer, kind, **options)
        return buffer.getvalue()

    return attack


def halved(data: bytes, seed: int) -> bytes:
    """Scaled to half its size and saved as JPEG."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).reduce(2).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def signed_again(marker: marks.Marker) -> Attack:
    """The same pixels and the same lineage under another authority."""

    def attack(data: bytes, seed: int) -> bytes:
        lineage = marks.examine(data, b"").lineage
        assert lineage is not None
        return marker.mark(np.asarray(Image.open(io.BytesIO(data))), lineage)

    return attack


def retold(data: bytes, seed: int) -> bytes:
    """Another XMP packet in place of ours, the manifest left where it is."""
    words = b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta xmlns:x='adobe:ns:meta/'>a photo by hand</x:xmpmeta>"
    return _with_chunk(data, b"iTXt", words)


def _with_chunk(data: bytes, wanted: bytes, content: bytes) -> bytes:
    """The file with other content in its first chunk of this name, sound in its form."""
    _, first, length = next(part for part in png_file.chunks(data) if part[0] == wanted)
    body = wanted + content
    made = len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return data[: first - 8] + made + data[first + length + 4 :]


def without_manifest_and_retold(data: bytes, seed: int) -> bytes:
    """Our metadata taken out and a false lineage put in, unsigned."""
    image = Image.open(io.BytesIO(data))
    lineage = {**(marks.examine(data, b"").lineage or {}), "system": {"name": "a camera", "version": "1"}}
    return provenance.encoded(np.asarray(image), {**lineage, "id": provenance.lineage_id(lineage)}, "PNG")


def pixels_saved(quality: int, scale: float = 1.0, gain: float = 1.0) -> Callable[[Any], Any]:
    """What is left of pixels that were made brighter, scaled down and up again, and saved as JPEG."""

    def attack(pixels: Any) -> Any:
        image = Image.fromarray(pixels)
        size = image.size
        image = image.point(lambda value: round(min(255.0, value * gain)))
        if scale != 1:
            small = image.resize((round(size[0] * scale), round(size[1] * scale)), Image.Resampling.LANCZOS)
            image = small.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(io.BytesIO(buffer.getvalue())))

    return attack


WATERMARK_ATTACKS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda pixels: pixels,
    "JPEG 85": pixels_saved(85),
    "JPEG 60": pixels_saved(60),
    "half as wide and back, JPEG 85": pixels_saved(85, scale=0.5),
    "5 % darker, JPEG 85": pixels_saved(85, gain=0.95),
}


def watermarks(count: int) -> dict[str, Any]:
    """Each invisible mark: how far it changes 256 px pictures, its cost, and how many pictures it names after what."""
    found: dict[str, Any] = {}
    for name in rooms.members("watermarks"):
        member, costs, errors = rooms.member("watermarks", name), [], []
        named: Counter[str] = Counter()
        jobs = plan.jobs(plan.Request(RECIPE, count, 2, ()), lambda _: "x")
        lineages = [{"watermark": {"name": name, "payload": job.id}} for job in jobs]
        for place, job in enumerate(jobs):
            pixels = drawn(job, 256).pixels
            began = time.process_time()
            marked = member.embed(pixels, watermark.bits(job.id, member.BITS))
            costs.append((time.process_time() - began) * 1000)
            errors.append(float(np.mean((pixels.astype(float) - marked) ** 2)))
            for attack, made in WATERMARK_ATTACKS.items():
                named[attack] += watermark.named(made(marked), lineages) == place
        decibels = 10 * np.log10(255**2 / np.array(errors))
        found[name] = {
            "pictures": count, "named_after": {attack: named[attack] for attack in WATERMARK_ATTACKS},
            "psnr_db_least": round(float(decibels.min()), 1), "cpu_ms": round(statistics.median(costs), 2),
        }  # fmt: skip
    return found


def attacks() -> dict[str, tuple[Attack, str]]:
    """What is done -> how, and the name that it must get."""
    return {
        "one byte flipped": (flipped, "altered"),
        "one byte flipped, check sum mended": (flipped_and_mended, "altered"),
        "saved again as PNG": (saved_as("PNG"), "stripped"),
        "saved again as JPEG": (saved_as("JPEG", quality=75), "stripped"),
        "saved again as WebP": (saved_as("WEBP", quality=80), "stripped"),
        "halved and saved as JPEG": (halved, "stripped"),
        "signed by another authority": (signed_again(another_marker()), "re-signed"),
        "metadata replaced": (retold, "altered"),
        "metadata replaced, manifest taken off": (without_manifest_and_retold, "stripped"),
    }


def attacked(run: Path, place: Path, attack: Attack) -> dict[str, int]:
    """The statuses of a copy of the run of which every picture was attacked."""
    shutil.copytree(run, place)
    for number, file in enumerate(sorted((place / store.IMAGES).glob("*.png"))):
        file.write_bytes(attack(file.read_bytes(), number))
    found = verify.path(place).findings
    shutil.rmtree(place)
    return dict(Counter(item.status for item in found if item.file != store.RECORDS))


def without_store(run: Path, place: Path, attack: Attack) -> dict[str, int]:
    """The statuses of attacked pictures where no store is at hand."""
    counted: Counter[str] = Counter()
    for number, file in enumerate(sorted((run / store.IMAGES).glob("*.png"))):
        place.write_bytes(attack(file.read_bytes(), number))
        counted[verify.path(place).findings[0].status] += 1
    return dict(counted)


def costs(count: int, marker: marks.Marker) -> dict[str, Any]:
    """CPU milliseconds a 256 px picture: the median over pictures, each way made once."""
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        result = work()
        times.setdefault(name, []).append((time.process_time() - began) * 1000)
        return result

    for job in plan.jobs(plan.Request(RECIPE, count, 0, (), category="shirt"), lambda _: "a photo"):
        picture = drawn(job, 256)
        pixels, lineage = picture.pixels, provenance.record(picture, CONTEXT)
        timed("plain PNG, no marks", partial(_plain_png, pixels))
        data = timed("PNG with XMP and signed manifest", partial(marker.mark, pixels, lineage))
        timed("perceptual hash", partial(perceptual_hash, pixels))
        timed("examining a manifest", partial(marks.examine, data, b""))
    told = {name: round(statistics.median(values), 2) for name, values in times.items()}
    marking = told["PNG with XMP and signed manifest"] - told["plain PNG, no marks"]
    return {**told, "marking and signing": round(marking, 2), "goal": 3.0, "pictures": count}


def _plain_png(pixels: Any) -> None:
    Image.fromarray(pixels).save(io.BytesIO(), "PNG", compress_level=6)


def looks(count: int) -> dict[str, int]:
    """Bits of 256: the farthest of a picture and its JPEG of half the size, the nearest of two pictures."""
    pictures = [drawn(job, 256) for job in plan.jobs(plan.Request(RECIPE, count, 1, ()), lambda _: "x")]
    own = [perceptual_hash(picture.pixels) for picture in pictures]
    small = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture.pixels).save(buffer, "PNG")
        small.append(perceptual_hash(np.asarray(Image.open(io.BytesIO(halved(buffer.getvalue(), 0))))))
    apart = min(distance(one, other) for number, one in enumerate(own) for other in own[:number])
    return {"saved again, at most": max(map(distance, own, small)), "two pictures, at least": apart}


def main() -> None:
    """Parse, run, print, keep. Exits with 1 where an attack was not found or got another name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="pictures in the run")
    parser.add_argument("--size", type=int, default=128, help="their side in px")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures go")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["SYNTHGEN_HOME"] = str(folder / "home")
        marker = marks.Marker(signing.identity())
        make_run(folder / "run", given.count, given.size, marker)
        found = {"nothing": {"wanted": "ok", "found": attacked(folder / "run", folder / "copy", lambda data, _: data)}}
        for name, (attack, wanted) in attacks().items():
            found[name] = {"wanted": wanted, "found": attacked(folder / "run", folder / "copy", attack)}
            print(name, found[name], file=sys.stderr)
        os.chdir(folder)
        alone = {"nothing": ("store missing", lambda data, _: data), "one byte flipped": ("altered", flipped)}
        for name, (wanted, attack) in alone.items():
            statuses = without_store(folder / "run", folder / "alone.png", attack)
            found[f"{name}, no store"] = {"wanted": wanted, "found": statuses}
        figures = {
            "command": f"python benchmarks/marks.py --count {given.count} --size {given.size}",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": platform.machine(),
            "versions": {name: version(name) for name in ("c2pa-python", "cryptography", "pillow", "imagehash")},
            "pictures": given.count,
            "attacks": found,
            "cpu_ms": costs(min(given.count, 200), marker),
            "bits_of_256": looks(min(given.count, 300)),
            "watermarks": watermarks(min(given.count, 100)),
        }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
    wrong = [name for name, row in found.items() if row["found"] != {row["wanted"]: given.count}]
    sys.exit(f"not rightly named: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
