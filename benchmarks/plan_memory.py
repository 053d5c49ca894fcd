"""Memory of the process that plans and keeps the books of a run, without the models: few jobs against a million.

    python benchmarks/plan_memory.py                       500 and 1,000,000 planned; 500 and 20,000 recorded
    python benchmarks/plan_memory.py --planned 500 50000   quicker

Each figure is the peak resident memory of a process of its own, and its ratio to that of the smallest count. "planned":
the apparel recipe's jobs, their cells, and a round in which every job is asked for, a tenth are rejected and the rest
entered as done. "recorded": a run folder whose records and pictures are there is opened again, all of it checked, and
its metadata.csv and report.html are written. The pictures are hard links to a few files of 16 px: the store reads and
hashes each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PLANNED, RECORDED = (500, 1_000_000), (500, 20_000)
LINKS = 30_000  # of one file; file systems allow no more than 65,000


def request(count: int) -> Any:
    from synthgen import plan, recipes

    return plan.Request(recipes.load("apparel"), count, subject="a sks shirt", category="shirt")


def jobs_of(asked: Any) -> Any:
    from synthgen import plan
    from synthgen.domains import apparel

    return plan.jobs(asked, lambda wanted: apparel.prompt(asked.recipe, wanted, asked.subject), apparel.labels)


def planned(count: int) -> None:
    """Plan, count the cells, and go through two rounds."""
    from synthgen import plan
    from synthgen.run_index import RunIndex

    jobs = jobs_of(request(count))
    assert sum(plan.cells(jobs)["pose"].values()) == count
    index = RunIndex()
    for place, job in enumerate(jobs):
        assert not index.is_done(job.id) and not index.tries(job.id)
        if place % 10:
            index.add(job.id, place, place)
        else:
            index.refuse(job.id)
    assert sum(index.tries(job.id) == 1 and not index.is_done(job.id) for job in jobs) == index.rejected


def write_run(folder: Path, count: int) -> None:
    """A run folder as `generate` leaves it when it is killed at the end; its lines are written at once."""
    import hashlib

    import numpy as np

    from synthgen import plan, provenance, store
    from synthgen.ledger import Ledger
    from synthgen.perceptual_hash import perceptual_hash
    from synthgen.types import Picture, Verdict

    asked = request(count)
    jobs = jobs_of(asked)
    with store.Run.open(folder, plan.described(asked)):
        pass
    context = provenance.Context({"id": "mini"}, (), Verdict("internal", "allow", ("ours",)), "apparel", {}, {})
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    first = Picture(jobs[0], pixels)
    png = provenance.png_bytes(first, provenance.record(first, context))
    digest, looks = hashlib.sha256(png).hexdigest(), perceptual_hash(pixels)

    def lines() -> Iterator[dict[str, Any]]:
        for job in jobs:
            record, name = provenance.record(Picture(job, pixels), context), f"images/{job.id}.png"
            source = folder.parent / f"{job.index // LINKS}.png"
            if not source.is_file():
                source.write_bytes(png)
            if not (folder / name).is_file():
                os.link(source, folder / name)
            yield {
                "job_id": job.id, "index": job.index, "file_name": name, "file_sha256": digest,
                "lineage_id": record["id"], "pixel_sha256": record["pixel_sha256"], "perceptual_hash": looks,
                "lineage": record,
            }  # fmt: skip

    Ledger(folder / store.RECORDS).rewrite(lines)


def recorded(folder: Path, count: int) -> None:
    """Open the run, see that nothing is wanted, and finish it."""
    from synthgen import plan, store

    asked = request(count)
    with store.Run.open(folder, plan.described(asked)) as run:
        assert run.made == count
        assert not any(map(run.wants, jobs_of(asked)))
        run.finish()


def measured(*part: object) -> dict[str, float]:
    """Peak resident memory in MB, and seconds, of this program's `part` in a process of its own."""
    command = [sys.executable, __file__, "--part", *map(str, part)]
    begin = time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"peak_mb": float(done.stdout), "seconds": round(time.monotonic() - begin, 1)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--planned", type=int, nargs="+", default=PLANNED, help="Jobs that are planned.")
    options.add_argument("--recorded", type=int, nargs="+", default=RECORDED, help="Pictures of a run that is there.")
    options.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.part:
        kind, count, *place = given.part
        if kind == "write":
            write_run(Path(place[0]), int(count))
        elif kind == "recorded":
            recorded(Path(place[0]), int(count))
        else:
            planned(int(count))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
        return
    told: dict[str, dict[str, Any]] = {"planned": {}, "recorded": {}}
    for count in sorted(given.planned):
        told["planned"][str(count)] = measured("planned", count)
    for count in sorted(given.recorded):
        with tempfile.TemporaryDirectory() as place:
            measured("write", count, Path(place) / "run")
            told["recorded"][str(count)] = measured("recorded", count, Path(place) / "run")
    for rows in told.values():
        least = next(iter(rows.values()))["peak_mb"]
        for row in rows.values():
            row |= {"peak_mb": round(row["peak_mb"], 1), "ratio": round(row["peak_mb"] / least, 3)}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
