"""One picture of a run, for the README: its first pictures side by side.

python benchmarks/grid.py RUN docs/grid.jpg --columns 8 --rows 3
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from PIL import Image

TILE_PX = 160


def main() -> None:
    """Read metadata.csv, paste, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--rows", type=int, default=3)
    given = parser.parse_args()
    with (given.run / "metadata.csv").open(newline="", encoding="utf-8") as file:
        names = [row["file_name"] for row in csv.DictReader(file)][: given.columns * given.rows]
    sheet = Image.new("RGB", (given.columns * TILE_PX, given.rows * TILE_PX), "white")
    for number, name in enumerate(names):
        row, column = divmod(number, given.columns)
        with Image.open(given.run / name) as picture:
            sheet.paste(picture.resize((TILE_PX, TILE_PX)), (column * TILE_PX, row * TILE_PX))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(given.out, quality=88)


if __name__ == "__main__":
    main()
