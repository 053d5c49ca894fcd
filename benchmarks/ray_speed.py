"""How much faster two one-core workers of a Ray cluster draw than one, on this machine.

    python benchmarks/ray_speed.py --count 160 --out benchmarks/results/ray_speed.json

The same plan is drawn by a cluster of one worker and by a cluster of two, each in a process of its own. The rate is of
the second half of a run, when every worker has loaded its base and compiled its kernels; pictures must be equal.
Needs two cores that nothing else uses: the process that judges and signs takes a part of them, too. That a worker which
is killed costs nothing is a test, tests/test_ray_engine.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

GOAL = "at least 1.8"
BATCH = 8


def drawn(given: argparse.Namespace) -> None:
    """A run on a cluster of so many machines of one core."""
    import ray
    from ray.cluster_utils import Cluster

    from synthgen import generate

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(given.workers - 1):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        generate.run(
            generate.GenerateRequest(
                given.count, no_adapter=True, out=given.run, engine="ray", threads=1, batch=BATCH, device="cpu"
            )
        )
    finally:
        ray.shutdown()
        cluster.shutdown()


def rate(run: Path, count: int) -> float:
    """Pictures per second in the second half of a run, from the times of its files."""
    times = sorted(file.stat().st_mtime for file in (run / "images").glob("*.png"))
    half = max(BATCH, count // 2 // BATCH * BATCH)
    return (count - half) / (times[-1] - times[half - 1])


def figures(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All that is kept."""
    from synthgen import store

    rates, digests = {}, []
    for workers in (1, 2):
        run = work / f"run-{workers}"
        options = [f"--count={given.count}", f"--workers={workers}", f"--run={run}"]
        subprocess.run([sys.executable, __file__, *options], check=True)
        rates[workers] = rate(run, given.count)
        digests.append([line["pixel_sha256"] for line in store.read(run)])
    return {
        "command": f"python benchmarks/ray_speed.py --count {given.count}",
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "ray")},
        "pictures_per_second": {str(workers): round(found, 3) for workers, found in rates.items()},
        "times_faster": round(rates[2] / rates[1], 2),
        "same_pictures": digests[0] == digests[1],
    }


def main() -> None:
    """Draw with both clusters and print what was found."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--count", type=int, default=160, help="pictures of each run; at least 32")
    ask.add_argument("--out", type=Path, help="where the figures go, as JSON")
    ask.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    ask.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    given = ask.parse_args()
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")
    if given.workers:
        drawn(given)
        return
    with tempfile.TemporaryDirectory() as work:
        os.environ.setdefault("SYNTHGEN_HOME", str(Path(work) / "home"))
        told = figures(given, Path(work))
    print(json.dumps(told, indent=2))
    print(f"two workers: {told['times_faster']} times one, {GOAL} wanted; same pictures: {told['same_pictures']}")
    if given.out:
        given.out.write_text(json.dumps(told, indent=2) + "\n")
    if not told["same_pictures"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
