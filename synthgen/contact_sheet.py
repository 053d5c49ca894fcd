"""A set of photos at one glance: each crop as it is trained, the product outlined, what was found written below."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from synthgen.ledger import write_whole
from synthgen.photo_check import Look, Report

TILE_PX = 160
TEXT_PX = 13
LINES = 3
COLUMNS = 8
MOST = 160  # photos on one sheet
WARNING, BLOCK, PLAIN = (196, 120, 0), (200, 30, 40), (110, 114, 124)


def write(path: Path, report: Report) -> Path:
    """Draw the sheet as PNG, photos with findings first where there are more than MOST."""
    from PIL import Image, ImageDraw

    marks = _marks(report)
    looks = sorted(report.looks, key=lambda one: (-len(marks.get(one.photo.path.name, ())), one.photo.path.name))
    shown = sorted(looks[:MOST], key=lambda one: one.photo.path.name)
    columns = min(COLUMNS, max(1, len(shown)))
    row_px = TILE_PX + LINES * (TEXT_PX + 2) + 10
    sheet = Image.new("RGB", (columns * (TILE_PX + 8) + 8, math.ceil(len(shown) / columns) * row_px + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for number, one in enumerate(shown):
        place = (8 + number % columns * (TILE_PX + 8), 8 + number // columns * row_px)
        _tile(sheet, draw, place, one, marks.get(one.photo.path.name, []))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())
    return path


def _marks(report: Report) -> dict[str, list[tuple[str, str]]]:
    """Photo -> (check, level) of each finding about it."""
    marks: dict[str, list[tuple[str, str]]] = {}
    for finding in report.findings:
        for name in finding.photos:
            marks.setdefault(name, []).append((finding.check, finding.level))
    return marks


def _tile(sheet: Any, draw: Any, place: tuple[int, int], one: Look, marks: list[tuple[str, str]]) -> None:
    from PIL import ImageFont

    x, y = place
    sheet.paste(_outlined(one), place)
    colour = PLAIN if not marks else BLOCK if any(level == "block" for _, level in marks) else WARNING
    if marks:
        draw.rectangle((x - 2, y - 2, x + TILE_PX + 1, y + TILE_PX + 1), outline=colour, width=2)
    font = ImageFont.load_default(size=TEXT_PX)
    checks = ", ".join(dict.fromkeys(check for check, _ in marks))
    told = [one.photo.path.name, f"{one.mask.coverage:.0%} product" if one.mask.source else "no mask", checks]
    for line, text in enumerate(told):
        while text and draw.textlength(text, font=font) > TILE_PX:
            text = text[:-2] + "\N{HORIZONTAL ELLIPSIS}" if not text.endswith("\N{HORIZONTAL ELLIPSIS}") else text[:-2]
        draw.text((x, y + TILE_PX + 3 + line * (TEXT_PX + 2)), text, font=font, fill=colour if line == 2 else PLAIN)


def _outlined(one: Look) -> Any:
    """The crop at TILE_PX with the product's outline."""
    import cv2
    import numpy as np
    from PIL import Image

    tile = cv2.resize(one.crop, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
    if one.mask.source:
        solid = cv2.resize(one.product.astype(np.uint8), (TILE_PX, TILE_PX), interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(solid, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, outlines, -1, (255, 255, 255), 2)
        cv2.drawContours(tile, outlines, -1, (220, 0, 160), 1)
    return Image.fromarray(tile)
