"""Trains an adapter on each single photo of a set of products and asks how much of it people in pictures wear.

    python benchmarks/products.py --products products/ --count 24

`products/` holds a folder with one photo for each product. For each: CIEDE2000 between the garment in the pictures and
the product (`gates/fidelity.py`), and the share of pictures that the judge's features give to the right product, each
set centred on its own mean, for a garment worn lies far from one laid flat. Beside both stands the same run with the
adapter at strength 0: the same words, poses and seeds without what was learned. Pictures are taken as they come, blank
and broken ones left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthgen.gates import fidelity
from synthgen.intervals import wilson
from synthgen.mini import judge as judges
from synthgen.types import Picture

RESULTS = Path(__file__).parent / "results" / "products.json"
SYNTHGEN = [sys.executable, "-m", "synthgen"]
STRENGTHS = {"with": 1.0, "without": 0.0}
GOAL, GOAL_TOLD = 12.0, 0.8


def run(*words: object, folder: Path) -> None:
    """A command of ours; ends this one where it fails."""
    done = subprocess.run([*SYNTHGEN, *map(str, words)], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"synthgen {words[0]} ended with status {done.returncode}:\n{done.stderr}")


def pixels_of(folder: Path) -> list[Any]:
    """(h, w, 3) uint8 of every picture, in the order of their names."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


def told_apart(photos: dict[str, Any], pictures: dict[str, Any]) -> dict[str, int]:
    """How many pictures of each product lie nearest, by cosine, to the photo of that product."""
    photo_mean, mean = np.mean(list(photos.values()), 0), np.mean([some.mean(0) for some in pictures.values()], 0)
    wanted = np.stack([photo - photo_mean for photo in photos.values()])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = {}
    for place, (name, some) in enumerate(pictures.items()):
        apart = some - mean
        found[name] = int(
            (((apart / np.linalg.norm(apart, axis=1, keepdims=True)) @ wanted.T).argmax(1) == place).sum()
        )
    return found


def main() -> None:
    """Parse, run, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=Path, required=True, help="a folder of folders, one photo in each")
    parser.add_argument("--category", default="shirt", help="of all of them")
    parser.add_argument("--count", type=int, default=24, help="pictures for each product and strength")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures go")
    given = parser.parse_args()
    reader = judges.load()
    names = sorted(folder.name for folder in given.products.iterdir() if folder.is_dir())
    photos: dict[str, Any] = {}
    pictures: dict[str, dict[str, Any]] = {kind: {} for kind in STRENGTHS}
    rows: list[dict[str, Any]] = []
    print("product                   with the adapter   without    (median CIEDE2000)", flush=True)
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        for name in names:
            source = (given.products / name).resolve()
            run("train-product", "--images", source, "--name", name, "--category", given.category, folder=work)
            of_photo = pixels_of(source)
            product = fidelity.Product(of_photo)
            photos[name] = reader.features(of_photo).mean(0)
            row: dict[str, Any] = {"product": name}
            for kind, strength in STRENGTHS.items():
                out = work / f"{name}-{kind}"
                run("generate", "--adapter", f"{name}:{strength}", "--count", given.count, "--out", out,
                    folder=work)  # fmt: skip
                drawn = pixels_of(out / "images")
                judged = [product.judge(Picture(None, one)).measured for one in drawn]  # type: ignore[arg-type]
                seen = [told["colour_difference"] for told in judged if told]
                row[kind] = round(float(np.median(seen)), 2) if seen else None
                row[f"{kind}_seen"] = len(seen)
                pictures[kind][name] = reader.features(drawn)
            rows.append(row)
            print(f"{name:<26}{row['with']!s:>12}{row['without']!s:>15}", flush=True)
    told = {}
    for kind in STRENGTHS:
        hits, count = sum(told_apart(photos, pictures[kind]).values()), given.count * len(names)
        low, high = wilson(hits, count)
        told[kind] = {"share": round(hits / count, 3), "low": round(low, 3), "high": round(high, 3), "n": count}
        print(
            f"told apart {kind} the adapter: {hits / count:.3f} ({low:.3f} to {high:.3f}); chance {1 / len(names):.3f}"
        )
    figures = {
        "command": f"python benchmarks/products.py --products DIR --count {given.count}",
        "date": datetime.now(UTC).date().isoformat(),
        "goal": {"colour_difference": GOAL, "told_apart": GOAL_TOLD},
        "products": rows,
        "told_apart": told,
    }
    given.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
