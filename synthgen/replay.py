"""replay: make a picture again from its record, and say whether it is the same.

The record says base, adapters, strengths, prompt, seed, settings, skeleton, the size of the batch and the row in it.
Kernels round by the shape of a batch and not by what else is in it; so the picture is drawn in each row of a batch of
its own, and the one in its old row is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import adapters, bases, guides, images, precision, provenance, retouch, store, watermark
from synthgen.bases._device import device_of
from synthgen.errors import RequestError, UnknownName
from synthgen.ledger import Ledger
from synthgen.memory_modes import MODES
from synthgen.types import AdapterUse, Guide, Job, Picture

SAME, CLOSE, DIFFERENT = "same", "close", "different"


@dataclass(frozen=True)
class Replay:
    """What came of making a picture again."""

    file: Path
    status: str  # same: bit for bit; close: within the tolerance between batch sizes that the record states; different
    levels: int  # of 255, the largest difference to the file
    share: float  # of the values that differ
    tolerance: int  # levels, as the record says
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """Where the things are that a picture was made of. What is not said is looked for by the names in its record."""

    stores: Sequence[Path] = ()  # runs that are asked for the prompt, which published marks leave out
    base: str = ""  # where its base is, if it was a folder
    adapter: Sequence[str] = ()  # folders of its adapters, where they are not found by name
    controlnet: Sequence[str] = ()  # FOLDER or KIND=FOLDER of ControlNets that are not inside its base
    reference: Sequence[Path] = ()  # photos that it was drawn along, or their folders


def picture(file: Path, places: Places | None = None, device: str = "") -> Replay:
    """Draw the picture of this file once more and compare.

    Raises RequestError where something that it was made of is not here, or is not what it was.
    """
    places = places or Places()
    lineage = _whole(provenance.read(file), file, places.stores)
    drawn = lineage.get("drawn", {})
    device = device or str(drawn.get("device", ""))
    memory, remarks = _held(lineage, device)
    module, identity = _base(places, memory, lineage, file)
    if identity.sha256 != lineage["base"]["sha256"]:
        raise RequestError(
            f"{file} was drawn by base '{lineage['base']['id']}' with sha256 {lineage['base']['sha256'][:12]}; the one "
            f"here has {identity.sha256[:12]}. Name the one it was with --base FOLDER. Nothing was drawn."
        )
    uses = [_use(told, places.adapter, file) for told in lineage["adapters"]]
    _check_controlnets(identity, lineage, file)
    guide = guides.again(lineage, places.reference, retouch.again(lineage, places.reference))
    loaded = module.load(identity, device)
    loaded.attach(uses)
    made = _draw(loaded, lineage, guide, int(drawn.get("batch", 1)), int(drawn.get("row", 0)))
    if drawn.get("grey"):
        made = images.greyed(made)
    made = watermark.marked(made, str(lineage.get("watermark", {}).get("name", "")))
    return _compared(file, lineage, made.pixels, remarks)


def _held(lineage: Mapping[str, Any], device: str) -> tuple[str, list[str]]:
    """The mode that the base was held in then, or the nearest that this device computes in, and a remark."""
    mode = str(lineage["base"].get("memory", "full"))
    if MODES[mode].bytes == 2 and device_of(device) == "cpu" and not precision.cpu_has_bfloat16():
        return "full", [f"drawn with --memory {mode}; this processor does not compute in bfloat16, and drew in full"]
    if MODES[mode].offload and device_of(device) == "cpu":
        return "lean", []  # the same numbers: nothing has to wait elsewhere
    return mode, []


def _whole(lineage: Mapping[str, Any], file: Path, stores: Sequence[Path]) -> Mapping[str, Any]:
    """The lineage with its prompt: from the picture where it is published, else from the run."""
    if "prompt" in lineage:
        return lineage
    own = file.resolve().parent.parent
    for run in stores or (own, *sorted(path.parent for path in Path("runs").glob(f"*/{store.ABOUT}"))):
        for line in Ledger(run / store.RECORDS).read()[0]:
            if line.get("lineage_id") == lineage["id"]:
                return dict(line["lineage"])
    raise RequestError(
        f"{file} does not publish its prompt, and no run here has its record. Name its run: --store RUN. "
        "Nothing was drawn."
    )


def _base(places: Places, memory: str, lineage: Mapping[str, Any], file: Path) -> tuple[Any, Any]:
    name = places.base or str(lineage["base"]["id"])
    try:
        return bases.find(name, places.controlnet, memory)
    except UnknownName as error:
        raise RequestError(
            f"{file} was drawn by base '{lineage['base']['id']}', which is not found as '{name}'. Say where it is: "
            "--base FOLDER. Nothing was drawn."
        ) from error


def _use(told: Mapping[str, Any], given: Sequence[str], file: Path) -> AdapterUse:
    """The adapter that the record names, the same tensors as then."""
    for place in (*given, str(told["name"])):
        try:
            folder = adapters.find(place)
        except UnknownName:
            continue
        if adapters.load_card(folder).weights_sha256 == told["sha256"]:
            adapters.verify_weights(folder, adapters.load_card(folder))
            blocks = tuple((str(start), float(factor)) for start, factor in told.get("blocks", {}).items())
            return AdapterUse(str(told["name"]), folder, float(told["weight"]), blocks)
    raise RequestError(
        f"{file} was drawn with adapter '{told['name']}' with sha256 {told['sha256'][:12]}, which is not here. Name "
        "its folder: --adapter FOLDER. Nothing was drawn."
    )


def _check_controlnets(identity: Any, lineage: Mapping[str, Any], file: Path) -> None:
    """Raises RequestError where a ControlNet that the record names is not here, or is another."""
    for told in (one for one in lineage.get("guides", ()) if guides.by_controlnet(one["kind"])):
        wanted = lineage["base"].get(f"controlnet_{told['kind']}_sha256", "")
        found = {one.kind: one.sha256 for one in identity.controls}.get(told["kind"], "")
        if wanted != found:
            raise RequestError(
                f"{file} was steered by a ControlNet for {told['kind']} with sha256 {wanted[:12]}, and "
                f"{f'the one named has {found[:12]}' if found else 'none was named'}. Name it: --controlnet "
                f"{told['kind']}=FOLDER. Nothing was drawn."
            )


def _draw(base: Any, lineage: Mapping[str, Any], guide: Guide, batch: int, row: int) -> Picture:
    about = lineage["job"]
    job = Job(
        about["id"], int(about["index"]), lineage["prompt"], lineage["negative_prompt"], int(lineage["seed"]),
        lineage["requested"], about["category"], int(about["attempt"]),
    )  # fmt: skip
    drawn: list[Picture] = base.render([job] * batch, [guide] * batch, lineage["settings"])
    return drawn[row]


def _compared(file: Path, lineage: Mapping[str, Any], made: Any, told: Sequence[str]) -> Replay:
    from PIL import Image

    with Image.open(file, formats=provenance.FORMATS) as image:
        there, kind = np.asarray(image.convert("RGB")), image.format
    tolerance = int(lineage.get("drawn", {}).get("batch_tolerance_levels", 0))
    remarks = [*told, *_versions(lineage["versions"])]
    recorded = provenance.pixel_sha256(there) == lineage["pixel_sha256"]
    if not recorded:
        why = "is a copy in another encoding" if kind == "JPEG" else "was changed after it was made"
        remarks.append(f"the pixels in the file are not those of its record: it {why}")
    same = provenance.pixel_sha256(made) == lineage["pixel_sha256"]
    if there.shape != made.shape:
        return Replay(file, SAME if same else DIFFERENT, 255, 1.0, tolerance, tuple(remarks))
    off = np.abs(there.astype(np.int16) - made)
    close = recorded and int(off.max()) <= tolerance
    status = SAME if same else CLOSE if close else DIFFERENT
    return Replay(file, status, int(off.max()), float((off > 0).mean()), tolerance, tuple(remarks))


def _versions(then: Mapping[str, str]) -> list[str]:
    """What else draws now than drew then."""
    found = []
    for name, was in then.items():
        try:
            now = version(name)
        except PackageNotFoundError:
            now = "absent"
        if now != was:
            found.append(f"drawn with {name} {was}; here is {now}")
    return found
