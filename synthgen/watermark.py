"""An invisible mark that names its picture: the digits of its job's id, put in by a member of watermarks/.

It is for pictures that are published. It changes pixels, so it is off unless asked for, and refused for sets that
others train or are tested on. Where manifest, file and looks are gone, `verify` can still read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from synthgen import rooms
from synthgen.errors import RequestError
from synthgen.licenses import NEEDED
from synthgen.plan import root
from synthgen.types import Picture

ROOM, RIGHT = "watermarks", "output_train_ml"
WRONG = 6 / 64  # of the bits: a picture without a mark has no more than so many wrong in one of 10 ** 11 comparisons


def check(name: str, use: str, size: int, into: bool) -> None:
    """Raises UnknownName, and RequestError where pixels must not be changed or are too few."""
    if not name:
        return
    member = rooms.member(ROOM, name)
    if RIGHT in NEEDED[use]:
        raise RequestError(
            f"--watermark changes pixels, and pictures for --use {use} are there to be learned from. Leave it out, or "
            "make the pictures that you publish as a run of their own. Nothing was drawn."
        )
    if into:
        raise RequestError(
            "--watermark changes every pixel, and --into keeps those outside the mask as they are. Leave one of them "
            "out. Nothing was drawn."
        )
    if size < member.SMALLEST:
        raise RequestError(
            f"--watermark {name} needs pictures of {member.SMALLEST} px or more; these have {size}. Nothing was drawn."
        )


def marked(picture: Picture, name: str) -> Picture:
    """The picture with the mark in it; as it is where there is no name."""
    if not name:
        return picture
    member, payload = rooms.member(ROOM, name), root(picture.job.id)
    pixels = member.embed(picture.pixels, bits(payload, member.BITS))
    return replace(picture, pixels=pixels, watermark={"name": name, "payload": payload})


def bits(payload: str, count: int) -> Any:
    """(count,) bool: the 64 bits of 16 hexadecimal digits, again from the first where they are too few."""
    import numpy as np

    number = int(payload, 16)
    own = np.array([number >> place & 1 for place in range(64)], dtype=bool)
    return np.resize(own, count)


def named(pixels: Any, lineages: Sequence[Mapping[str, Any]]) -> int | None:
    """The place of the lineage whose mark a picture holds, or None. Only marks whose method is here are looked for."""
    import numpy as np

    found: dict[str, Any] = {}
    best: tuple[float, int] | None = None
    for place, lineage in enumerate(lineages):
        mark = lineage.get("watermark") or {}
        name = str(mark.get("name", ""))
        if name not in rooms.members(ROOM) or min(pixels.shape[:2]) < rooms.member(ROOM, name).SMALLEST:
            continue
        if name not in found:
            found[name] = rooms.member(ROOM, name).read(pixels)
        wrong = float(np.mean(found[name] != bits(str(mark["payload"]), len(found[name]))))
        if wrong <= WRONG and (best is None or wrong < best[0]):
            best = wrong, place
    return best[1] if best else None
