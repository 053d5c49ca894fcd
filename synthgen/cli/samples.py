"""samples: a folder of rendered pictures to try things on, with labels and rights."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import Whole, command
from synthgen.errors import RequestError, UnknownName
from synthgen.vocabulary import CATEGORIES

CHARACTER = "character"
SCENES = {"person": "person", CHARACTER: "person", "xray": "xray", "smear": "smear"}  # kind -> what the world draws
KINDS = (*CATEGORIES, *SCENES)
CHANGES = ("pose", "view", "place")  # labels of a character that are not its own
RIGHTS = {"owner": "synthgen", "license": "CC0-1.0", "source": "rendered by synthgen samples"}


@command(
    "samples",
    example="synthgen samples --kind shirt --one-product --count 12 --out shirts",
    stopped="Nothing is left of the unfinished folder.",
)
@click.option("--kind", default="shirt", help=f"What to draw: {', '.join(KINDS)}.")
@click.option("-n", "--count", type=Whole(1, "pictures"), default=24, help="Pictures to draw.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder, new or empty.")
@click.option("--one-product", is_flag=True, help="Draw one and the same garment in every picture.")
@click.option("--seed", type=Whole(0, "seeds"), default=0, help="Same seed, same pictures.")
def samples(kind: str, count: int, out: Path, one_product: bool, seed: int) -> None:
    """Draw sample pictures with labels, free to use.

    They are renders of a made-up world, not photos: metadata.csv tells their labels, rights.toml their licence.
    Garments lie flat, as in the product photos of a shop. A character is one made-up person in many poses and places.
    """
    if kind not in KINDS:
        raise UnknownName("--kind", kind, KINDS)
    if one_product and kind not in CATEGORIES:
        raise click.UsageError(f"--one-product is for garments; '{kind}' is none.")
    new = _claim(out)
    written: list[Path] = []
    try:
        _fill(out, written, kind, count, seed, one_product)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        if new:
            out.rmdir()
        raise
    click.echo(out)


def _claim(out: Path) -> bool:
    """Makes sure that `out` is an empty folder; True where it had to be made."""
    if out.is_dir():
        if any(out.iterdir()):
            raise RequestError(f"{out} is not empty. --out wants a folder, new or empty. Nothing was changed.")
        return False
    if out.exists():
        raise RequestError(f"{out} is a file; --out wants a folder, new or empty. Nothing was changed.")
    out.mkdir(parents=True)
    return True


def _fill(out: Path, written: list[Path], kind: str, count: int, seed: int, one_product: bool) -> None:
    """Pictures first, the table of labels last: a folder with metadata.csv is whole."""
    import tomli_w

    from synthgen.mini import world
    from synthgen.progress import Progress

    drawn = SCENES.get(kind, "flat")
    same = one_product or kind == CHARACTER
    fixed: Mapping[str, str] = {"category": kind} if drawn == "flat" else {}
    rows: list[dict[str, str]] = []
    with Progress(count, f"samples {kind}", "pictures") as progress:
        for index in range(count):
            render = world.render(drawn, seed + index, fixed or None, product=seed if same else None)
            if same and index == 0:
                fixed = {key: value for key, value in render.labels.items() if key not in CHANGES}
            name = f"{kind}-{index:04d}.png"
            _write(out / name, _png(render.pixels), written)
            rows.append({"file_name": name, **render.labels})
            progress.step()
    _write(out / "rights.toml", tomli_w.dumps(RIGHTS).encode(), written)
    _write(out / "metadata.csv", _table(rows), written)


def _png(pixels: Any) -> bytes:
    """(h, w, 3) uint8 -> the bytes of a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _table(rows: list[dict[str, str]]) -> bytes:
    """CSV with `file_name` first and a column for every label that any row has."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _write(path: Path, content: bytes, written: list[Path]) -> None:
    """Writes under another name first, so that a file is there whole or not at all."""
    unfinished = path.with_name(path.name + ".part")
    written += [unfinished, path]
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
