"""How fast a training of ours is against a plain loop, on the same base, photos, resolution, batch, rank and steps.

The plain loop does per step what diffusers' train_text_to_image_lora.py does at its defaults: read and encode the
photos, encode the captions, noise them, run the UNet, step AdamW, all in float32. Ours encodes once, and keeps the
class besides: of each batch of eight, two are pictures of the class. Both arms run in processes of their own, one
after the other, in rounds; the better round counts.

    python benchmarks/training_speed.py --images shirts/ --out benchmarks/results/training_speed.json
    python benchmarks/training_speed.py --images shirts/ --script train_text_to_image_lora.py

With --script a third arm is that script itself (examples/text_to_image/ of the release installed), as it is and in a
process of its own: its steps are timed by the line of progress that it prints, its memory is looked at from outside.

Prints a table: pictures per second by the clock and by processor time (which other programs on the machine do not
change much), the seconds that ours spends before its first step, memory above the level before the first step, and the
held-out loss at the end. Both arms keep their photos in memory, and give freed memory back before it is looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HELD = 6  # photos that neither arm learns from
WARM = 3  # steps that are not timed: first calls choose kernels


def memory() -> int:
    """Bytes that this process holds now."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


class Peak:
    """The most memory held between start and stop, looked at every 5 ms."""

    def __init__(self) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        self.before = self.most = memory()
        self.over = threading.Event()
        self.watch = threading.Thread(target=self._look)
        self.watch.start()

    def _look(self) -> None:
        while not self.over.wait(0.005):
            self.most = max(self.most, memory())

    def stop(self) -> int:
        """Bytes above the level at the start."""
        self.over.set()
        self.watch.join()
        return self.most - self.before


def prepared(given: argparse.Namespace) -> tuple[Any, Any, list[Any], list[Any]]:
    """(base, photos with captions, those to learn from, those held out)."""
    from synthgen import bases, captions, images

    module, identity = bases.find(given.base)
    base = module.load(identity, "cpu")
    photos = captions.write(images.read(given.images), "sks")
    kept = [photo for photo in photos.photos if not photo.duplicate_of]
    return base, photos, kept[HELD:], kept[:HELD]


def plain(given: argparse.Namespace) -> dict[str, Any]:
    """diffusers' own loop, step by step."""
    import torch
    from torch.nn import functional

    from synthgen import images

    base, _, learn, held = prepared(given)
    torch.manual_seed(0)
    parts = base.parts
    for part in (parts.vae, parts.text_encoder, parts.unet):
        part.requires_grad_(False)
    parameters = base.add_adapter(given.rank, float(given.rank))
    optimizer = torch.optim.AdamW(parameters.values(), lr=given.rate, weight_decay=1e-2)
    rng = np.random.default_rng(0)
    pixels = [np.asarray(images.square(images.pixels(photo), base.size)) for photo in learn]  # as datasets keeps them
    scheduler = base.process.scheduler

    def step() -> None:
        chosen = rng.integers(len(learn), size=given.batch)
        flipped = [pixels[row][:, ::-1] if rng.random() < 0.5 else pixels[row] for row in chosen]
        batch = torch.from_numpy(np.stack(flipped)).permute(0, 3, 1, 2).float() / 127.5 - 1
        said = [learn[row].caption for row in chosen]
        whole = {"padding": "max_length", "truncation": True, "max_length": parts.tokenizer.model_max_length}
        tokens = parts.tokenizer(said, return_tensors="pt", **whole).input_ids
        latents = parts.vae.encode(batch).latent_dist.sample() * parts.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        moments = torch.randint(0, base.train_steps, (given.batch,))
        words = parts.text_encoder(tokens, return_dict=False)[0]
        found = parts.unet(scheduler.add_noise(latents, noise, moments), moments, words, return_dict=False)[0]
        loss = functional.mse_loss(found.float(), base.process.target(latents, noise, moments).float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    told = timed(step, given)
    return {**told, "preparation_s": 0.0, "held_out_loss": held_loss(base, held)}


def ours(given: argparse.Namespace) -> dict[str, Any]:
    """The steps of synthgen.training_loop, its preparation timed apart."""
    from synthgen import checkpoint, rooms, training_material
    from synthgen.training_loop import Loop
    from synthgen.types import Taught

    base, photos, learn, held = prepared(given)
    domain = rooms.member("domains", "apparel")
    taught = Taught("sks", photos.category)
    began = time.perf_counter()
    lesson = training_material.Lesson(photos, domain, taught, taught, "", {})
    material = training_material.make(base, learn, held, lesson, 0)
    before = time.perf_counter() - began
    loop = Loop(base, material, checkpoint.Settings(given.steps, given.batch, given.rate, 0, given.rank, given.rank))
    number = iter(range(10**9))
    told = timed(lambda: loop.step(next(number)), given)
    return {**told, "preparation_s": round(before, 2), "held_out_loss": held_loss(base, held)}


def script(given: argparse.Namespace) -> dict[str, Any]:
    """diffusers' own script on the same photos, squared and captioned as for the other arms."""
    from PIL import Image

    from synthgen import images
    from synthgen.types import AdapterUse

    base, _, learn, held = prepared(given)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "photos").mkdir()
        lines = []
        for number, photo in enumerate(learn):
            file = f"{number:04d}.png"
            Image.fromarray(np.asarray(images.square(images.pixels(photo), base.size))).save(work / "photos" / file)
            lines.append(json.dumps({"file_name": file, "text": photo.caption}))
        (work / "photos" / "metadata.jsonl").write_text("\n".join(lines) + "\n")
        said = {
            "pretrained_model_name_or_path": base.identity.folder, "train_data_dir": work / "photos",
            "caption_column": "text", "resolution": base.size, "train_batch_size": given.batch,
            "max_train_steps": given.steps, "learning_rate": given.rate, "lr_warmup_steps": 0, "rank": given.rank,
            "seed": 0, "output_dir": work / "out", "cache_dir": work / "cache", "checkpointing_steps": 10**6,
        }  # fmt: skip
        words = [f"--{key}={value}" for key, value in said.items()]
        told = followed([sys.executable, str(given.script), "--random_flip", *words], work, given)
        made = work / "out" / "pytorch_lora_weights.safetensors"
        if not made.is_file():
            sys.exit(f"{given.script} left no {made.name}; its last words:\n{told['said']}")
        made.rename(work / "out" / "adapter.safetensors")
        base.attach([AdapterUse("script", work / "out")])
        return {**told["figures"], "preparation_s": 0.0, "held_out_loss": held_loss(base, held)}


def followed(command: list[str], work: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run a command that shows its steps as tqdm does; its figures, and the end of what it said."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    child = subprocess.Popen(command, cwd=work, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0)
    place, said = Path(f"/proc/{child.pid}"), ""
    at: dict[int, tuple[float, float]] = {}  # step -> seconds by the clock and of the processor
    level = most = 0
    over = threading.Event()

    def held() -> int:
        line = next((line for line in (place / "status").read_text().splitlines() if line.startswith("VmRSS")), "")
        return int(line.split()[1]) * 1024 if line else 0

    def look() -> None:
        nonlocal most
        while not over.wait(0.005):
            with contextlib.suppress(OSError):
                most = max(most, held())

    watch = threading.Thread(target=look)
    watch.start()
    tick = os.sysconf("SC_CLK_TCK")
    while chunk := os.read(child.stderr.fileno(), 65536):  # type: ignore[union-attr]
        said = (said + chunk.decode(errors="replace"))[-4000:]
        for found in re.findall(rf"Steps:[^\r\n]*?\b(\d+)/{given.steps} \[", said):
            if int(found) not in at:
                spent = (place / "stat").read_text().rpartition(")")[2].split()
                at[int(found)] = time.perf_counter(), (int(spent[11]) + int(spent[12])) / tick
                if int(found) == 0:
                    level = most = held()
    child.wait()
    over.set()
    watch.join()
    if child.returncode or {0, given.steps} - set(at):
        sys.exit(f"{command[1]} ended with status {child.returncode} after {len(at)} steps; its last words:\n{said}")
    first = min(step for step in at if step >= WARM)
    clock, processor = (late - early for early, late in zip(at[first], at[given.steps], strict=True))
    seen = given.batch * (given.steps - first)
    figures = {"per_s": seen / clock, "per_processor_s": seen / processor, "memory_mb": (most - level) / 2**20}
    return {"figures": figures, "said": said}


def timed(step: Any, given: argparse.Namespace) -> dict[str, Any]:
    """Pictures per second of the steps after the first few, and the memory that the steps took."""
    peak = Peak()
    for _ in range(WARM):
        step()
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(given.steps - WARM):
        step()
    seen = given.batch * (given.steps - WARM)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return {"per_s": seen / clock, "per_processor_s": seen / processor, "memory_mb": peak.stop() / 2**20}


def held_loss(base: Any, held: list[Any]) -> float:
    """Prediction error on photos that were not learned from: fixed moments, fixed noise, the same for both arms."""
    import torch

    from synthgen import images

    latents = base.encode_pixels(np.stack([np.asarray(images.square(images.pixels(one), base.size)) for one in held]))
    words, rng, total = base.encode_texts([one.caption for one in held]), np.random.default_rng(1), 0.0
    for share in np.linspace(0.05, 0.95, 10):
        noise = torch.from_numpy(rng.standard_normal(tuple(latents.shape), dtype=np.float32))
        moment = torch.full((len(latents),), int(share * base.train_steps))
        with torch.no_grad():
            total += float(base.loss(latents, words, moment, noise).mean())
    return total / 10


def main() -> None:
    """Run both arms in rounds and print what was found."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--images", type=Path, required=True)
    ask.add_argument("--base", default="mini")
    ask.add_argument("--steps", type=int, default=60)
    ask.add_argument("--batch", type=int, default=8)
    ask.add_argument("--rank", type=int, default=16)
    ask.add_argument("--rate", type=float, default=1e-3)
    ask.add_argument("--rounds", type=int, default=2)
    ask.add_argument("--out", type=Path, help="where the figures go, as JSON")
    ask.add_argument("--script", type=Path, help="diffusers' train_text_to_image_lora.py, to be run as a third arm")
    ask.add_argument("--arm", choices=["plain", "ours", "script"], help="run one arm here, and print its figures")
    given = ask.parse_args()
    if given.script:
        given.script = given.script.resolve()
        if not given.script.is_file():
            ask.error(f"--script {given.script} is no file; it is examples/text_to_image/ in diffusers' repository")
    if given.arm:
        print(json.dumps({"plain": plain, "ours": ours, "script": script}[given.arm](given)))
        return
    arms: dict[str, list[dict[str, Any]]] = {"plain": [], "ours": [], **({"script": []} if given.script else {})}
    for _ in range(given.rounds):
        for arm, rows in arms.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--arm", arm]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    figures = {
        "command": "python benchmarks/training_speed.py --images DIR",
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "peft")},
        "asked": {key: getattr(given, key) for key in ("base", "steps", "batch", "rank", "rate", "rounds")},
        **{arm: best(rows) for arm, rows in arms.items()},
    }
    for other in (arm for arm in arms if arm != "ours"):
        print(table(other, figures[other], figures["ours"]))
    if given.out:
        given.out.write_text(json.dumps(figures, indent=2) + "\n")


def best(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Of several rounds: the fastest, and the least memory."""
    found = {key: max(row[key] for row in rows) for key in ("per_s", "per_processor_s")}
    found |= {key: min(row[key] for row in rows) for key in ("memory_mb", "preparation_s", "held_out_loss")}
    return {key: round(value, 4) for key, value in found.items()}


def table(name: str, plain: dict[str, float], ours: dict[str, float]) -> str:
    """What both came to, and ours against the other's."""
    goals = {"per_s": "at least 3", "memory_mb": "at most 0.6"}
    lines = [f"{'':18}{name:>10}{'ours':>10}{'ratio':>8}  goal"]
    for key, value in plain.items():
        ratio = f"{ours[key] / value:.2f}" if value else ""
        lines.append(f"{key:18}{value:10.3f}{ours[key]:10.3f}{ratio:>8}  {goals.get(key, '')}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
