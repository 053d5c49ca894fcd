"""How fast and in how much memory a run goes out in every format, beside a plain copy of its files.

    python benchmarks/export_speed.py --count 10000

A run of small pictures is drawn from seeds through the store's own interface (no model is needed). Each format is then
written by a process of its own, which tells its time and its peak of memory; so is a run of a tenth as many pictures,
so that what grows with the number is seen. Figures go to benchmarks/results/export_speed.json. MB/s counts the bytes of
the pictures once, whatever a format writes beside them, and starts after the libraries are loaded.

In pieces, on a machine that is wanted for other things: `--place DIR` keeps the runs, `--only coco csv` measures these
formats and leaves the figures of the others; each format is written down as it is done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthgen import plan, poses, provenance, rooms, store
from synthgen.types import Asset, Job, Picture, Recipe, Verdict

RESULTS = (Path(__file__).parent / "results" / "export_speed.json").resolve()
SIDE_PX = 64
COPY = "plain copy"
RECIPE = Recipe(
    "export-speed", "apparel", "x", "",
    {"pose_name": tuple(poses.library())[:40], "place": ("beach", "office", "street")}, {}, {},
)  # fmt: skip
BASE = {"id": "mini", "sha256": "ab" * 32, "license": "Apache-2.0"}
CONTEXT = provenance.Context(
    base=BASE,
    adapters=({"name": "shirts", "sha256": "cd" * 32, "weight": 0.8, "license": "CC0-1.0"},),
    verdict=Verdict(
        "internal", "allow", ("made to measure with",),
        assets=(Asset("base", "mini", "Apache-2.0", "ab" * 32), Asset("adapter", "shirts", "CC0-1.0", "cd" * 32)),
    ),
    pipeline="export-speed",
    settings={"size": SIDE_PX},
    versions={"numpy": np.__version__},
)  # fmt: skip
CHILD = """
import json, shutil, sys, time
from pathlib import Path
from synthgen import export
import numpy, PIL.Image, pyarrow.parquet
run, name, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
def peak():  # of this program alone: getrusage would count what the one that started it held
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
before = peak()
wall, cpu = time.perf_counter(), time.process_time()
if name == "plain copy":
    shutil.copytree(run / "images", out)
else:
    export.run(export.ExportRequest((run,), (name,), out))
told = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu,
        "peak_mb": peak(), "loaded_mb": before}
print(json.dumps(told))
"""


def drawn(job: Job) -> Picture:
    """Soft patches of colour: like a picture, no two alike."""
    rng = np.random.default_rng(job.seed)
    patches = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), "RGB")
    return Picture(job, np.asarray(patches.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)))


def skeleton(requested: Mapping[str, str]) -> dict[str, str]:
    """The keypoints of the pose asked for, as `generate` records them."""
    points = poses.fit(poses.library()[requested["pose_name"]], "straight", "full", SIDE_PX)
    return {"keypoints": json.dumps([[round(float(value), 1) for value in point] for point in points])}


def make_run(folder: Path, count: int) -> None:
    """A finished run, each picture with its record inside it."""
    asked = plan.Request(RECIPE, count, 0, (), category="shirt")
    with store.Run.open(folder, plan.described(asked)) as run:
        for job in run.pending(plan.jobs(asked, lambda wanted: f"a shirt, {wanted['place']}", skeleton)):
            picture = drawn(job)
            record = provenance.record(picture, CONTEXT)
            run.add(picture, record, provenance.encoded(picture.pixels, record, "PNG"))
        run.finish()


def measured(run: Path, name: str, place: Path) -> dict[str, float]:
    """One export by a process of its own; what it wrote is removed."""
    with tempfile.TemporaryDirectory(dir=place) as out:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, run, name, Path(out) / "out"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def kept(path: Path, count: int) -> dict[str, Any]:
    """The figures of a file that were taken with as many pictures."""
    told: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return dict(told["formats"]) if told.get("pictures") == count else {}


def main() -> None:
    """Parse, run, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="pictures in the run")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--only", nargs="*", default=(), help="these formats; figures of the others stay as they are")
    parser.add_argument("--place", type=Path, help="where the runs are drawn, and found again by the next command")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        place = given.place or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["SYNTHGEN_HOME"] = str(place / "home")
        few = max(10, given.count // 10)
        for name, count in (("few", few), ("many", given.count)):
            make_run(place / name, count)
        size = sum(path.stat().st_size for path in (place / "many" / "images").iterdir())
        figures: dict[str, Any] = {
            "command": f"python benchmarks/export_speed.py --count {given.count}",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}",
            "pictures": given.count,
            "megabytes": round(size / 1e6, 1),
            "formats": kept(given.out, given.count) if given.only else {},
        }
        for name in given.only or (COPY, *rooms.members("exporters")):
            small, large = (measured(place / run, name, place) for run in ("few", "many"))
            figures["formats"][name] = {
                "mb_per_s": round(size / 1e6 / large["seconds"], 1),
                "mb_per_cpu_s": round(size / 1e6 / large["cpu_seconds"], 1),
                "loaded_mb": round(large["loaded_mb"]),
                "peak_mb": round(large["peak_mb"]),
                f"peak_mb_of_{few}": round(small["peak_mb"]),
                "kb_a_picture": round(1024 * (large["peak_mb"] - small["peak_mb"]) / (given.count - few), 1),
            }
            print(f"{name:12} {figures['formats'][name]}", file=sys.stderr)
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
