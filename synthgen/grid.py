"""A labelled grid of pictures as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from synthgen.ledger import write_whole

GAP, MARGIN, HEAD, TEXT = 4, 120, 26, 13  # px
MOST_PX = 16_000  # of a side; pictures are made smaller to fit


def write(path: Path, columns: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[Path]]]) -> None:
    """Write the grid: a line of text over each column, lines of text beside each row.

    rows   labels and the picture of each column; pictures are squares of one size
    Raises OSError where it cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    with Image.open(rows[0][1][0]) as first:
        side = min(first.width, (MOST_PX - MARGIN) // len(columns) - GAP, (MOST_PX - HEAD) // len(rows) - GAP)
    sheet = Image.new("RGB", (MARGIN + (side + GAP) * len(columns), HEAD + (side + GAP) * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for number, text in enumerate(columns):
        pen.text((MARGIN + (side + GAP) * number + side / 2, HEAD / 2), text, "black", font, anchor="mm")
    for number, (labels, pictures) in enumerate(rows):
        top = HEAD + (side + GAP) * number
        pen.multiline_text((MARGIN - 8, top + side / 2), "\n".join(labels), "black", font, anchor="rm", align="right")
        for column, picture in enumerate(pictures):
            with Image.open(picture) as image:
                shown = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
                sheet.paste(shown, (MARGIN + (side + GAP) * column, top))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_whole(path, buffer.getvalue())
