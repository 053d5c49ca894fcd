"""How fast `generate` is against a plain loop of diffusers, over the same prompts, skeletons, seeds and scheduler.

    python benchmarks/generation_speed.py --out benchmarks/results/generation_speed.json

The plain loop is what a tutorial does: StableDiffusionControlNetPipeline in float32, a batch a call, each picture saved
as PNG. Ours is the whole `generate`: the models, gates, marks, signatures, records. Each runs in a process of its own,
in rounds; the better round counts. Times are from the first job to the last, without loading.

(a)  both with guidance, at the steps that we ship. The plain loop takes two passes a step, on a UNet without guidance
     built in: of one that has it, a copy without.
(b)  both without guidance, at these steps, on the same UNet; how near the pictures are, as PSNR.
(c)  what we ship, against the plain loop of (a) at 25 steps; how many labels of each the judge reads as asked.

Ours draws first; the plain loop draws the same jobs from the records. Only the embedded base, without an adapter.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

PLAIN_STEPS = 25  # of (c): what the pipelines of diffusers are mostly run with
GUIDED, UNGUIDED = 3.0, 1.0
GOALS = {"a": "at least 2.5", "b": "at least 1.4", "c": "at least 12"}
INSIDE_GOAL = 0.95
DRAWN = ("base", "batch", "threads", "memory", "seed")  # what `generate` is asked for in every arm
CPU = "processor_seconds_per_picture"  # which other programs on the machine do not change much


class Clock:
    """Seconds by the clock and by the processor, from the first call of `start` on; and those spent inside models."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None
        self.inside = 0.0
        self._parts: set[int] = set()

    def start(self) -> None:
        """The first call counts."""
        self.began = self.began or (time.perf_counter(), time.process_time())

    def told(self, pictures: int) -> dict[str, float]:
        """Figures of now; memory is that of the whole process, loading included."""
        assert self.began is not None
        seconds, processor = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        return {
            "seconds": seconds,
            "pictures_per_second": pictures / seconds,
            CPU: processor / pictures,
            "inside_models": self.inside / seconds,
            "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }

    def watch(self, owner: Any, name: str) -> None:
        """Count what a method of a model takes, from now on."""
        if id(owner) in self._parts:
            return
        self._parts.add(id(owner))
        plain: Callable[..., Any] = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*given, **named)
            finally:
                self.inside += time.perf_counter() - began

        setattr(owner, name, timed)

    def watch_parts(self, parts: Any, controlnets: Any) -> None:
        """All that computes in a pipeline."""
        for network in (parts.text_encoder, parts.unet, *controlnets):
            self.watch(network, "forward")
        self.watch(parts.vae, "decode")


def ours(given: argparse.Namespace) -> dict[str, Any]:
    """A run as `synthgen generate` makes it."""
    from synthgen import generate, store
    from synthgen.bases._base import Base

    clock, render, finish = Clock(), Base.render, store.Run.finish
    told: dict[str, float] = {}

    def rendered(base: Base, *jobs: Any) -> Any:
        clock.watch_parts(base.parts, base.controlnets.values())
        clock.start()
        return render(base, *jobs)

    def finished(run: store.Run) -> None:
        told.update(clock.told(given.count))
        finish(run)

    Base.render, store.Run.finish = rendered, finished  # type: ignore[method-assign]
    options: dict[str, Any] = {name: getattr(given, name) for name in (*DRAWN, "guidance", "steps")}
    generate.run(generate.GenerateRequest(given.count, no_adapter=True, out=given.run, device="cpu", **options))
    return told


def plain(given: argparse.Namespace) -> dict[str, Any]:
    """The pipeline's own loop over the jobs of a run."""
    import torch
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
    from PIL import Image

    from synthgen import bases, store
    from synthgen.bases._device import quiet
    from synthgen.conditioners import pose

    quiet()
    torch.set_num_threads(given.threads)
    place, lines = bases.find(given.base)[1].folder, store.read(given.run)
    pipe = StableDiffusionControlNetPipeline.from_pretrained(
        place, controlnet=ControlNetModel.from_pretrained(place / "controlnet"), safety_checker=None
    )
    pipe.set_progress_bar_config(disable=True)
    if given.guidance > 1:
        pipe.unet = unguided(pipe.unet)
    size = int(lines[0]["lineage"]["settings"]["size"])
    given.pictures.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    clock.watch_parts(pipe, [pipe.controlnet])
    clock.start()
    for start in range(0, len(lines), given.batch):
        some = [line["lineage"] for line in lines[start : start + given.batch]]
        drawn = pipe(
            [one["prompt"] for one in some],
            image=[Image.fromarray(pose.again(one["requested"], size)) for one in some],
            num_inference_steps=given.steps,
            guidance_scale=given.guidance,
            generator=[torch.Generator().manual_seed(int(one["seed"])) for one in some],
        ).images
        for picture, one in zip(drawn, some, strict=True):
            picture.save(given.pictures / f"{one['job']['id']}.png")
    return clock.told(len(lines))


def unguided(unet: Any) -> Any:
    """The same UNet without guidance built in; it has learned to predict as before where no scale is told."""
    if not unet.config.time_cond_proj_dim:
        return unet
    copy = type(unet).from_config({**unet.config, "time_cond_proj_dim": None})
    weights = unet.state_dict()
    del weights["time_embedding.cond_proj.weight"]
    copy.load_state_dict(weights)
    return copy.eval()


def agreement(run: Path, pictures: Path) -> list[float]:
    """Of each picture of a run, as it is in a folder: the share of its labels that the judge reads as asked."""
    from PIL import Image

    from synthgen import store
    from synthgen.gates import label
    from synthgen.types import Job, Picture

    shares = []
    for line in store.read(run):
        told = line["lineage"]
        job = Job(line["job_id"], line["index"], told["prompt"], "", 0, told["requested"], told["job"]["category"])
        pixels = np.asarray(Image.open(pictures / Path(line["file_name"]).name).convert("RGB"))
        shares.append(float(label.judge(Picture(job, pixels)).measured["label_agreement"]))
    return shares


def nearness(run: Path, pictures: Path) -> dict[str, Any]:
    """How near the pictures of a run are to those of a folder: PSNR in dB over all of them, and how many are equal."""
    from PIL import Image

    error, equal, most, files = 0.0, 0, 0, sorted((run / "images").glob("*.png"))
    for file in files:
        one, other = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (file, pictures / file.name))
        error += float(np.square(one - other).mean())
        equal, most = equal + int((one == other).all()), max(most, int(np.abs(one - other).max()))
    psnr = round(10 * float(np.log10(255**2 * len(files) / error)), 1) if error else None
    return {"psnr_db": psnr, "equal": equal, "of": len(files), "most_levels": most}


def measured(given: argparse.Namespace, work: Path) -> dict[str, dict[str, Any]]:
    """Every arm, the better of its rounds."""
    steps = given.steps
    guided, without = work / "guided", work / "unguided"
    arms = {
        "ours": ("ours", guided, GUIDED, steps),
        "plain": ("plain", guided, GUIDED, steps),
        f"plain at {PLAIN_STEPS} steps": ("plain", guided, GUIDED, PLAIN_STEPS),
        "ours unguided": ("ours", without, UNGUIDED, steps),
        "plain unguided": ("plain", without, UNGUIDED, steps),
    }
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    for turn in range(given.rounds):
        for name, (arm, run, guidance, count) in arms.items():
            told = {
                "arm": arm, "guidance": guidance, "steps": count, "run": f"{run}-{turn}", "count": given.count,
                "pictures": work / name.replace(" ", "-"), **{key: getattr(given, key) for key in DRAWN},
            }  # fmt: skip
            options = [f"--{key}={value}" for key, value in told.items()]
            done = subprocess.run([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True, check=True)
            rows[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{name}, round {turn + 1}: {rows[name][-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    return {name: best(some) for name, some in rows.items()}


def best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The fastest round; the least processor time and memory of all."""
    found = min(rows, key=lambda row: float(row["seconds"]))
    least = {key: min(row[key] for row in rows) for key in (CPU, "peak_memory_gb")}
    return {key: round(value, 3) for key, value in {**found, **least}.items()}


def figures(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All that is kept."""
    from synthgen import bases

    base = bases.find(given.base)[1]
    config = json.loads((base.folder / "unet" / "config.json").read_text(encoding="utf-8"))
    arms = measured(given, work)
    late = f"plain at {PLAIN_STEPS} steps"
    pairs = {"a": ("ours", "plain"), "b": ("ours unguided", "plain unguided"), "c": ("ours", late)}
    mine = np.array(agreement(work / "guided-0", work / "guided-0" / "images"))
    theirs = np.array(agreement(work / "guided-0", work / late.replace(" ", "-")))
    apart = mine - theirs
    return {
        "command": "python benchmarks/generation_speed.py" + (f" --memory {given.memory}" * (given.memory != "auto")),
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers")},
        "base_sha256": base.sha256,
        "guidance_built_in": bool(config.get("time_cond_proj_dim")),
        "asked": {name: getattr(given, name) for name in (*DRAWN, "count", "steps", "rounds")},
        "arms": arms,
        "times_faster": {
            key: round(arms[other]["seconds"] / arms[one]["seconds"], 2) for key, (one, other) in pairs.items()
        },
        "times_less_processor": {
            key: round(arms[other][CPU] / arms[one][CPU], 2) for key, (one, other) in pairs.items()
        },
        "unguided_pictures": nearness(work / "unguided-0", work / "plain-unguided"),
        "label_agreement": {
            "ours": round(float(mine.mean()), 4),
            late: round(float(theirs.mean()), 4),
            "difference": round(float(apart.mean()), 4),
            "half_width_95": round(float(1.96 * apart.std(ddof=1) / np.sqrt(len(apart))), 4),
        },
    }  # fmt: skip


def table(told: dict[str, Any]) -> str:
    """The same for the eye."""
    lines = [f"{'':22}{'pictures/s':>11}{'CPU s each':>12}{'in models':>11}{'memory GB':>11}"]
    for name, row in told["arms"].items():
        lines.append(
            f"{name:22}{row['pictures_per_second']:11.3f}{row[CPU]:12.3f}"
            f"{row['inside_models']:11.1%}{row['peak_memory_gb']:11.2f}"
        )
    for key, times in told["times_faster"].items():
        processor = told["times_less_processor"][key]
        lines.append(f"({key}) {times:.2f} times faster, {GOALS[key]} wanted; by processor time {processor:.2f}")
    near, read = told["unguided_pictures"], told["label_agreement"]
    psnr = "" if near["psnr_db"] is None else f"; PSNR {near['psnr_db']} dB, {near['most_levels']} levels at most"
    lines.append(f"(b) {near['equal']} of {near['of']} pictures equal{psnr}")
    mine, theirs = (value for key, value in read.items() if key not in ("difference", "half_width_95"))
    apart = f"{read['difference']:+.1%} +-{read['half_width_95']:.1%}"
    lines.append(f"(c) labels as asked: ours {mine:.1%}, theirs {theirs:.1%}; {apart}")
    lines.append(f"inside models: {told['arms']['ours']['inside_models']:.1%}; at least {INSIDE_GOAL:.0%} wanted")
    return "\n".join(lines)


def main() -> None:
    """Run every arm in rounds and print what was found."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--base", default="mini", help="or a folder with weights of its form")
    ask.add_argument("--count", type=int, default=64, help="pictures of each arm")
    ask.add_argument("--steps", type=int, default=0, help="of (a), (b) and ours (default: as shipped)")
    ask.add_argument("--batch", type=int, default=8, help="pictures drawn at once, in every arm")
    ask.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the models, in every arm")
    ask.add_argument("--memory", default="auto", help="how ours holds its weights; the plain loop is always float32")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--rounds", type=int, default=2)
    ask.add_argument("--out", type=Path, help="where the figures go, as JSON")
    for name, kind in (("arm", str), ("guidance", float), ("run", Path), ("pictures", Path)):
        ask.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.arm:
        print(json.dumps({"plain": plain, "ours": ours}[given.arm](given)))
        return
    from synthgen.bases import mini

    given.steps = given.steps or int(mini.FAMILY.SETTINGS["num_inference_steps"])
    with tempfile.TemporaryDirectory() as work:
        os.environ.setdefault("SYNTHGEN_HOME", str(Path(work) / "home"))
        told = figures(given, Path(work))
    print(table(told))
    if given.out:
        given.out.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
