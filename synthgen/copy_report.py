"""What the copy gate found in a whole run: RUN/copy_gate.json in numbers, RUN/private/ with pictures and file names.

What was tested stands there with what was found, never a promise: that nothing was found at a stated alpha, and how
many of planted copies would have been. private/ shows photos that were trained on and is never exported.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import edit_ladder, images, measures, membership, store
from synthgen.edit_ladder import Rung
from synthgen.errors import Refused
from synthgen.intervals import wilson
from synthgen.ledger import write_whole
from synthgen.private_photos import PLACE, Remembered
from synthgen.types import RunFacts

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "synthgen.copy_gate/1"
SHEET, EXPOSURE = "closest.png", "exposure.csv"

RELEASE = "dataset-release"
PAIRS, PAIR_PX = 16, 160


@dataclass(frozen=True)
class Tested:
    """What a run was judged by."""

    run: RunFacts
    doubt: str = ""  # why alpha cannot be certified
    failure: str = ""  # why the gate fails itself
    calibration: measures.Calibration | None = None
    known: Remembered | None = None
    rungs: tuple[Rung, ...] = ()


def write(tested: Tested) -> str:
    """Judge the set as a whole, write what was found, and say it in one line."""
    folder = tested.run.folder
    refusals = [text for text in (tested.doubt, tested.failure) if text]
    told: dict[str, Any] = {"schema": SCHEMA, "doubt": tested.doubt, "failure": tested.failure}
    if tested.calibration is not None and tested.known is not None:
        told |= _found(tested, tested.calibration, tested.known)
        if why := _excess(told, tested.calibration.alpha):
            refusals.append(why)
    told["adapters"] = {use.name: attack for use in tested.run.adapters if (attack := _of_adapter(use.path))}
    told["release"] = {"refused": refusals}
    write_whole(folder / store.COPY_GATE, (json.dumps(told, indent=1) + "\n").encode())
    if refusals:
        return f"copy gate: this set cannot be released: {'; '.join(refusals)}."
    drawn = told["drawn"]
    return (
        f"copy gate: of {drawn['pictures']} pictures drawn {drawn['copies']} were taken for copies, at alpha "
        f"{told['alpha']:g}; see {store.COPY_GATE}."
    )


def require(folder: Path, lineages: Iterable[Mapping[str, Any]], use: str) -> None:
    """Raises Refused where a set is to be released that the copy gate does not certify, or never saw the whole of."""
    if use != RELEASE:
        return
    verdicts, noticed = set(), False
    for lineage in lineages:
        verdicts.add(str(lineage["measured"].get("copy_verdict", "")))
        noticed = noticed or bool(lineage.get("notice"))
    if verdicts == {""} and not noticed:
        return
    refused = store.copy_gate(folder).get("release", {}).get("refused", ["the run was not judged as a whole"])
    if "nothing to copy" in verdicts and len(verdicts) == 1:
        return
    if "" in verdicts:
        refused = ["the copy gate was off, and medical pictures are released with it only", *refused]
    if refused:
        raise Refused(f"{folder}: refused for --use {RELEASE}: {'; '.join(refused)}. Nothing was written.")


def _found(tested: Tested, calibration: measures.Calibration, known: Remembered) -> dict[str, Any]:
    import numpy as np

    kept, refused = _pictures(tested.run.folder)
    names = [*kept, *refused]
    pixels = [images.drawn(path) for path in names]
    small = np.stack([measures.small(one) for one in pixels]) if pixels else np.zeros((0, 64, 64), np.float32)
    near = calibration.reference.nearness(small)
    p = calibration.p(near.score)
    copies = p <= calibration.level
    _sheet(tested.run.folder, known, pixels, near, p)
    _exposure(tested.run.folder, known, near, copies)
    low, high = wilson(int(copies.sum()), len(names)) if names else (0.0, 1.0)
    times = Counter(near.index[copies].tolist())
    return {
        "alpha": calibration.alpha,
        "level": calibration.level,
        "training": {"pictures": len(known.train), "groups": len(set(known.train.groups))},
        "held_out": {"pictures": len(known.held), "groups": calibration.units},
        "power": edit_ladder.told(tested.rungs),
        "drawn": {
            "pictures": len(names), "kept": len(kept), "copies": int(copies.sum()),
            "share": float(copies.mean()) if names else 0.0, "low": low, "high": high,
            "near_duplicates": int(near.twin.sum()), "copies_kept": int(copies[: len(kept)].sum()),
        },
        "exposure": {"approached": len(times), "of": len(known.train), "most": max(times.values(), default=0)},
        "mode_collapse": _collapse(calibration.reference, small[: len(kept)]),
        "membership": _released(known, small[: len(kept)]),
    }  # fmt: skip


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures of a run that are kept, and those that this gate rejected."""
    kept = [folder / str(line["file_name"]) for line in store.read(folder)]
    refused = [
        folder / store.REJECTED / f"{line['job_id']}.png"
        for line in store.rejections(folder)
        if "copy" in line.get("reasons", {})
    ]
    return kept, [path for path in refused if path.is_file()]


def _excess(told: Mapping[str, Any], alpha: float) -> str:
    """Why so many copies say that the adapter repeats its photos; "" where there are no more than fresh images give."""
    drawn = told["drawn"]
    if drawn["low"] <= alpha:
        return ""
    return (
        f"{drawn['copies']} of {drawn['pictures']} pictures drawn were taken for copies ({drawn['share']:.0%}, at "
        f"least {drawn['low']:.0%}), where fresh real images give {alpha:.0%} at most: the adapter repeats what it was "
        "trained on, and a gate that finds most copies does not find all"
    )


def _collapse(reference: measures.Reference, small: np.ndarray) -> dict[str, int]:
    """How many pictures of the set have a near-duplicate in it, by the distance that is usual between groups."""
    return {"pictures": int(reference.twins_within(small).sum()), "of": len(small)}


def _released(known: Remembered, small: np.ndarray) -> dict[str, Any]:
    """An attacker who has nothing but the set takes those images for trained on that it comes nearest to."""
    if not len(small) or not len(known.held):
        return {}
    released = measures.Reference(
        measures.Images(small, tuple(map(str, range(len(small)))), tuple(map(str, range(len(small)))))
    )
    one, other = (-released.distances(part.greys).mean(axis=0).min(axis=1) for part in (known.train, known.held))
    return measures.attack_told(one, other, known.train.groups, known.held.groups)


def _of_adapter(folder: Path) -> dict[str, Any]:
    """What the attack on the adapter itself gave when it was trained; empty where none was made."""
    try:
        told = json.loads((folder / "report" / membership.NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _exposure(folder: Path, known: Remembered, near: measures.Nearness, copies: np.ndarray) -> None:
    """How often each training image was the nearest, and how often it was copied; with file names, so private."""
    nearest, copied = Counter(near.index.tolist()), Counter(near.index[copies].tolist())
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(["id", "file", "times_nearest", "times_copied"])
    order = sorted(range(len(known.train)), key=lambda place: (-copied[place], -nearest[place], place))
    for place in order:
        name = known.train.ids[place]
        rows.writerow([name, known.names.get(name, ""), nearest[place], copied[place]])
    (folder / PLACE).mkdir(exist_ok=True)
    write_whole(folder / PLACE / EXPOSURE, buffer.getvalue().encode())


def _sheet(
    folder: Path, known: Remembered, pixels: Sequence[np.ndarray], near: measures.Nearness, p: np.ndarray
) -> None:
    """The closest pairs: each picture beside the training image that it comes nearest to, with ratio and p."""
    import numpy as np
    from PIL import Image, ImageDraw

    order = np.argsort(near.score)[:PAIRS]
    columns = 4
    tall = PAIR_PX + 14
    sheet = Image.new("RGB", (columns * (2 * PAIR_PX + 8), max(1, -(-len(order) // columns)) * tall), "white")
    write_on = ImageDraw.Draw(sheet)
    plants = dict(zip(known.planted, known.plants, strict=True))
    for number, place in enumerate(order):
        source = int(near.index[place])
        name = known.train.ids[source]
        thumbnail = np.repeat(known.train.greys[source][..., None].round().clip(0, 255).astype(np.uint8), 3, axis=2)
        left, top = number % columns * (2 * PAIR_PX + 8), number // columns * tall
        for shift, shown in ((0, pixels[place]), (PAIR_PX, plants.get(name, thumbnail))):
            image = Image.fromarray(np.ascontiguousarray(shown), "RGB")
            sheet.paste(image.resize((PAIR_PX, PAIR_PX)), (left + shift, top))
        write_on.text(
            (left + 2, top + PAIR_PX + 1), f"{name[:8]}  distance {near.distance[place]:.2f}  p {p[place]:.3f}", "black"
        )
    (folder / PLACE).mkdir(exist_ok=True)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_whole(folder / PLACE / SHEET, buffer.getvalue())
