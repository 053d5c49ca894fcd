"""Times one `synthgen evaluate` of finished runs against a real set, and keeps what it found.

    python benchmarks/evaluate.py runs/dress runs/shirt --real photos/ --name apparel

The adapters and pictures are made before; the photos that taught the adapters are not to be among the real ones.
Figures go to benchmarks/results/evaluate_NAME.json: seconds of the wall and of the processor, peak memory, the budget,
the three answers, and what each measure of fidelity says beside real against real. The goal is 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthgen.report import RESULTS as DOCUMENT

FOLDER = Path(__file__).parent / "results"
GOAL_S = 900


def told(found: dict[str, Any]) -> dict[str, Any]:
    """What an evaluation came to, short."""
    whole = found["ranking"]["overall"]
    return {
        "sets": found["sets"],
        "classes": found["classes"],
        "budget": {
            "candidates": found["candidates"]["count"],
            "steps_each": found["candidates"]["steps"],
            "trained_on": found["candidates"]["trained_on"],
            "tested_on": found["candidates"]["tested_on"],
            "arms": sum(bool(item["metrics"]) for item in (found["utility"] or {"arms": []})["arms"]),
            "seeds": (found["utility"] or {}).get("seeds", 0),
        },
        "ranking": found["ranking"]["sentence"],
        "spearman": {key: whole["spearman"][key] for key in ("value", "low", "high", "null")},
        "bar": whole["bar"],
        "p": whole["p"],
        "regret": {key: whole["regret"][key] for key in ("value", "null")},
        "parts_judged": found["ranking"]["adjusted"],
        "utility": found["utility"] and found["utility"]["sentence"],
        "arms": {item["arm"]: item["metrics"].get("balanced_accuracy") or item["reason"]
                 for item in (found["utility"] or {"arms": []})["arms"]},
        "auroc": {item["arm"]: [item["area"][key] for key in ("value", "low", "high")]
                  for item in (found["utility"] or {"arms": []})["arms"] if item["area"]["value"] is not None},
        "fidelity": {
            name: {
                "value": item["estimate"]["value"],
                "null": item["estimate"]["null"],
                "worse_than_real": item["beyond_null"],
                "warning": item["warning"] or item["estimate"]["reason"],
            }
            for one in found["fidelity"]
            for name, item in one["measures"].items()
        },
    }  # fmt: skip


def main() -> None:
    """Parse, run, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="finished runs")
    parser.add_argument("--real", type=Path, required=True, help="labelled real pictures")
    parser.add_argument("--name", required=True, help="what the file of figures is called")
    parser.add_argument("--keep", type=Path, help="folder that keeps the report (default: it is thrown away)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.keep or Path(place) / "evaluation"
        command = [sys.executable, "-m", "synthgen", "evaluate", *map(str, given.runs), "--real", str(given.real)]
        began = time.monotonic()
        process = subprocess.Popen([*command, "--out", str(folder)], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        if status:
            sys.exit(f"evaluate ended with status {status}")
        found = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))["evaluation"]
    figures = {
        "command": f"python benchmarks/evaluate.py RUN... --real FOLDER --name {given.name}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}",
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "goal_seconds": GOAL_S,
        "peak_memory_gb": round(usage.ru_maxrss / 2**20, 2),
        **told(found),
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"evaluate_{given.name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
