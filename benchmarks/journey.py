"""Times the two commands of the README on a folder of photos, as a user would run them, and keeps the figures.

    python benchmarks/journey.py --images shirts/ --count 500

Seconds, speed and peak memory of each command's process go to benchmarks/results/journey.json with the date, the number
of cores and the versions. Without --images the photos are rendered by `synthgen samples`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "journey.json"
SYNTHGEN = [sys.executable, "-m", "synthgen"]


def timed(command: list[str], folder: Path) -> tuple[str, str, float, float]:
    """stdout, stderr, seconds, and peak resident memory in GB of the command's own process."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as result:
        process = subprocess.Popen(command, cwd=folder, stdout=result, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        result.seek(0)
        said.seek(0)
        out, err = result.read(), said.read()
    if status:
        sys.exit(f"{' '.join(command)} ended with status {status}:\n{err}")
    return out, err, seconds, usage.ru_maxrss / 2**20


def main() -> None:
    """Parse, run, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="photos of one product (default: 100 rendered ones)")
    parser.add_argument("--count", type=int, default=500, help="pictures to generate")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--keep", type=Path, help="a new folder that photos, adapter and run stay in")
    given = parser.parse_args()
    with contextlib.ExitStack() as held:
        folder = given.keep or Path(held.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if given.images:
            shutil.copytree(given.images, folder / "shirts")
        else:
            sample = ["samples", "--kind", "shirt", "--one-product", "--count", "100", "--out", "shirts"]
            timed([*SYNTHGEN, *sample], folder)
        photos = sum(1 for file in (folder / "shirts").iterdir() if file.suffix in (".jpg", ".png", ".jpeg", ".webp"))
        _, told, train_s, train_gb = timed([*SYNTHGEN, "train-product", "--images", "shirts/"], folder)
        steps, batch = map(int, re.findall(r"(\d+) steps of (\d+)", told)[0])
        run, _, draw_s, draw_gb = timed([*SYNTHGEN, "generate", "--count", str(given.count)], folder)
        made = len(list((folder / run.strip() / "images").glob("*.png")))
    figures = {
        "command": "python benchmarks/journey.py"
        + (" --images DIR" if given.images else "")
        + f" --count {given.count}",
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "peft", "transformers")},
        "photos": photos,
        "train": {
            "seconds": round(train_s, 1),
            "steps": steps,
            "samples_per_second": round(steps * batch / train_s, 2),
            "peak_memory_gb": round(train_gb, 2),
        },
        "generate": {
            "seconds": round(draw_s, 1),
            "pictures": made,
            "pictures_per_second": round(made / draw_s, 2),
            "peak_memory_gb": round(draw_gb, 2),
        },
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
