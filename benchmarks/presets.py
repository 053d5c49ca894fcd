"""Finds what mini should train with by the size of the set, by `synthgen tune`, and writes synthgen/presets.toml.

    python benchmarks/presets.py --images shirt/ --images dress/ --images pants/ --work presets --write

For each size, a set of so many photos is drawn from each folder and tuned within --budget minutes. A row is written
where, in more than half of the folders, the best trial is better beyond chance than the settings that stand (paired,
over held-out views); it takes the middle of these trials. Where it is not, what stands is kept, and the row says so.

It is long. The same command goes on where it was left, --piece SECONDS ends it after about so long, and a larger
--budget adds trials. Without --write the table is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

TABLE = Path(__file__).parents[1] / "synthgen" / "presets.toml"
SIZES = (1, 5, 20, 100)
HEAD = """# Written by benchmarks/presets.py from trials of `synthgen tune`. A row is for sets of at most so many
# photos; what it does not say is the family's own.
"""


def drawn(source: Path, size: int, place: Path) -> Path | None:
    """A folder with so many of the photos, copied once; None where there are fewer."""
    target = place / f"{source.name}-{size}" / source.name
    photos = [file for file in source.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")]
    if len(photos) < size:
        return None
    if not target.is_dir():
        beside = target.with_name("copying")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for file in sorted(photos, key=lambda file: hashlib.sha256(file.read_bytes()).hexdigest())[:size]:
            shutil.copy(file, beside / file.name)
        beside.rename(target)
    return target


def tuned(images: Path, base: str, budget: float, seconds: float) -> bool:
    """Tune a set, or go on with it, for at most so long; whether its budget is spent."""
    words = ["tune", "--images", images, "--base", base, "--out", images.parent / "tuning", "--budget", budget]
    command = [sys.executable, "-m", "synthgen", *map(str, words)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        status = child.wait(seconds if seconds < float("inf") else None)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        child.wait()
        return False
    if status:
        sys.exit(f"{' '.join(command[2:])} ended with status {status}")
    return True


def better(trials: Sequence[Any]) -> tuple[Any, Any, float, float] | None:
    """(the trial of what stands, the best one, interval of how much lower its loss is); None where there is but one."""
    from synthgen import training_check

    own = next((trial for trial in trials if trial.number == 0 and trial.held), None)
    others = [trial for trial in trials if trial.number and trial.held]
    if own is None or not others:
        return None
    best = min(others, key=lambda trial: (trial.loss, trial.number))
    gain = [a - b for a, b in zip(own.held, best.held, strict=True)]
    return own, best, *training_check.interval(gain, range(len(gain)))


def row(size: int, found: dict[str, tuple[Any, Any, float, float]]) -> dict[str, Any]:
    """A row of the table from what the folders gave."""
    from synthgen import bases, presets

    sure = [(own, best) for own, best, low, _ in found.values() if low > 0]
    told = "; ".join(
        f"{name}: {own.loss:.4f} -> {best.loss:.4f} ({low:.4f} to {high:.4f} lower)"
        for name, (own, best, low, high) in found.items()
    )
    if 2 * len(sure) <= len(found):
        stands = next((one for one in presets.rows("mini") if one["photos"] == size), {})
        return {**stands, "photos": size, "source": f"as before: none better beyond chance in most folders. {told}"}
    best = [trial for _, trial in sure]
    rank = sorted(trial.rank for trial in best)[len(best) // 2]
    share = float(np.median([trial.alpha / trial.rank for trial in best]))
    return {
        "photos": size, "rank": rank, "alpha": rank * share,
        "learning_rate": float(f"{np.exp(np.mean([np.log(trial.learning_rate) for trial in best])):.2g}"),
        "steps_share": round(float(np.median([trial.steps for trial in best])) / bases.family("mini").steps(size), 2),
        "source": f"tune, better beyond chance in {len(sure)} of {len(found)}. {told}",
    }  # fmt: skip


def main() -> None:
    """Tune set after set, then print or write the table."""
    import tomli_w

    from synthgen import tuning

    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--images", type=Path, action="append", required=True, help="a folder of photos; repeats")
    ask.add_argument("--work", type=Path, required=True, help="where the studies stand, and go on")
    ask.add_argument("--base", default="mini", help="the base that is tuned, of mini's family")
    ask.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="photos in a set")
    ask.add_argument("--budget", type=float, default=10.0, help="minutes for each set")
    ask.add_argument("--piece", type=float, default=0.0, help="seconds after which this stops; 0: when all is done")
    ask.add_argument("--write", action="store_true", help=f"into synthgen/{TABLE.name}")
    given = ask.parse_args()
    end = time.monotonic() + given.piece if given.piece else float("inf")
    rows = []
    for size in given.sizes:
        found = {}
        for source in given.images:
            images = drawn(source.resolve(), size, given.work.resolve())
            if images is None:
                continue
            left = end - time.monotonic()
            if left < 5 or not tuned(images, given.base, given.budget, left):
                sys.exit("this piece is over; the same command goes on")
            if told := better(tuning.trials(images.parent / "tuning")):
                found[source.resolve().name] = told
        if found:
            rows.append(row(size, found))
            print(rows[-1], flush=True)
    table = HEAD + f"# {datetime.now(UTC).date().isoformat()}, {given.budget:g} minutes for each set.\n\n"
    table += tomli_w.dumps({"mini": rows})
    if given.write:
        TABLE.write_text(table, encoding="utf-8")
    else:
        print(table)


if __name__ == "__main__":
    main()
