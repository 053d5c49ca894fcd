"""How fast SDXL's architecture is trained on an accelerator, against what diffusers' own SDXL script does per step.

    python benchmarks/training_gpu.py --out benchmarks/results/training_gpu.json    1024 px, rank 32, bfloat16
    python benchmarks/training_gpu.py --toy                                         the same on a processor, in a minute

Weights are random, so nothing is fetched; speed and memory do not depend on them. Both arms run in processes of their
own, one after the other, in rounds; the better round counts. The plain loop does per step what
train_text_to_image_lora_sdxl.py does with --mixed_precision bf16: encode the photos in float32 as it does, encode the
captions with both text encoders, the UNet under autocast, AdamW. Ours is synthgen.training_loop on the same network,
batch, rank and modules, with what it needs encoded before, as it does.

Model FLOP utilisation is the arithmetic of the UNet's forward and backward pass of a step, counted by PyTorch and
without what --gradient-checkpointing computes again, by the time of the step and by the matrix speed of the card: that
of its data sheet where it is known (dense bfloat16), and that which is measured here.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import full_size
import numpy as np
from training_speed import Peak

WARM = 4  # steps that are not timed
GOALS = {"per_s": "at least 1.5", "utilisation": "at least 0.45"}
SHEETS = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12}  # dense bfloat16 FLOP/s, NVIDIA's data sheets (SXM)
TEXT = "a photo of a sks shirt, flat lay, number {}"


def opened(given: argparse.Namespace) -> Any:
    """The base that both arms train: SDXL's networks with random weights, or a toy of its family."""
    import torch

    torch.set_float32_matmul_precision("high")  # both arms
    toy = full_size.toy_of("sdxl") if given.toy else None
    base = full_size.opened("sdxl", "full" if toy else "half", toy)
    base.size = given.size
    return base


def ours(given: argparse.Namespace) -> dict[str, float]:
    """The steps of synthgen.training_loop, all that it reads encoded before."""
    import torch

    from synthgen.checkpoint import Settings
    from synthgen.training_loop import Kept, Loop, Material

    base = opened(given)
    places, texts = given.size // 8, [TEXT.format(number) for number in range(16)]
    drawn = torch.Generator().manual_seed(0)
    latents = torch.randn(16, 4, places, places, generator=drawn).to(given.device)
    words = base.encode_texts([*texts, ""])
    kept = Kept.ask(base, latents[:4], words[:4], 0)
    material = Material(latents, words, latents[:2], words[:2], kept, (0, 1), (0, 1), True)
    if given.gradient_checkpointing:
        base.denoiser.enable_gradient_checkpointing()
        base.denoiser.train()
    for part in (base.parts.vae, base.parts.text_encoder, base.parts.text_encoder_2):
        part.to("cpu" if given.offload else given.device)
    loop = Loop(base, material, Settings(10**6, given.batch, 1e-4, 0, given.rank, float(given.rank)))
    number = iter(range(10**6))
    return {**timed(lambda: loop.step(next(number)), given), **arithmetic(base, loop, given)}


def plain(given: argparse.Namespace) -> dict[str, float]:
    """diffusers' own loop for SDXL, step by step."""
    import torch
    from diffusers import DDPMScheduler
    from torch.nn import functional

    base = opened(given)
    parts, size = base.parts, given.size
    for part in (parts.vae, parts.text_encoder, parts.text_encoder_2, parts.unet):
        part.requires_grad_(False)
    parameters = list(base.add_adapter(given.rank, float(given.rank)).values())
    parts.unet.train()
    if given.gradient_checkpointing:
        parts.unet.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-2)
    scheduler = DDPMScheduler.from_config(parts.scheduler.config)
    rng = torch.Generator().manual_seed(0)
    photos = torch.rand(16, 3, size, size, generator=rng) * 2 - 1
    low = given.device != "cpu"
    frame = torch.tensor([[size, size, 0, 0, size, size]], device=given.device)

    def step() -> None:
        chosen = torch.randint(0, len(photos), (given.batch,))
        pixels = photos[chosen].to(given.device, parts.vae.dtype)
        with torch.no_grad():
            latents = parts.vae.encode(pixels).latent_dist.sample() * parts.vae.config.scaling_factor
            said = [TEXT.format(int(row)) for row in chosen]
            states, _, pooled, _ = parts.encode_prompt(said, device=given.device, do_classifier_free_guidance=False)
        latents = latents.to(torch.bfloat16 if low else torch.float32)
        noise = torch.randn_like(latents)
        moments = torch.randint(0, 1000, (given.batch,), device=given.device)
        noisy = scheduler.add_noise(latents, noise, moments)
        told = {"time_ids": frame.repeat(given.batch, 1).to(latents.dtype), "text_embeds": pooled}
        with torch.autocast(given.device, torch.bfloat16, enabled=low):
            found = parts.unet(noisy, moments, states, added_cond_kwargs=told, return_dict=False)[0]
        loss = functional.mse_loss(found.float(), noise.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return timed(step, given)


def timed(step: Any, given: argparse.Namespace) -> dict[str, float]:
    """Pictures per second of the steps after the first few; memory that the steps took, and in all."""
    import torch

    cuda = given.device.startswith("cuda")
    level = 0
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        level = torch.cuda.memory_allocated()
    watch = None if cuda else Peak()
    for _ in range(WARM):
        step()
    if cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(given.steps):
        step()
    if cuda:
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - began) / given.steps
    taken = torch.cuda.max_memory_allocated() - level if cuda else watch.stop()  # type: ignore[union-attr]
    whole = torch.cuda.max_memory_allocated() if cuda else taken + watch.before  # type: ignore[union-attr]
    return {
        "per_s": given.batch / seconds, "step_s": seconds, "memory_mb": taken / 2**20, "whole_mb": whole / 2**20,
    }  # fmt: skip


def arithmetic(base: Any, loop: Any, given: argparse.Namespace) -> dict[str, float]:
    """FLOP of a step: the network's two passes over the pictures of a batch; and how fast the device multiplies."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    if given.gradient_checkpointing:
        base.denoiser.disable_gradient_checkpointing()
    one = loop.material
    rows = torch.arange(1)
    words, noise = loop.words[rows], torch.randn_like(one.latents[:1])
    with FlopCounterMode(display=False) as counter:
        base.loss(one.latents[:1], words, torch.tensor([500], device=given.device), noise).sum().backward()
    side, kind = (8192, torch.bfloat16) if given.device.startswith("cuda") else (768, torch.float32)
    matrix = torch.randn(side, side, device=given.device, dtype=kind)
    best = float("inf")
    for _ in range(10):
        if given.device.startswith("cuda"):
            torch.cuda.synchronize()
        began = time.perf_counter()
        matrix @ matrix
        if given.device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return {"flop_per_picture": float(counter.get_total_flops()), "measured_flop_per_s": 2 * side**3 / best}


def name_of(device: str) -> str:
    """What the device is called."""
    import torch

    return torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()


def main() -> None:
    """Run both arms in rounds and print what was found."""
    import torch

    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--toy", action="store_true", help="a toy on a processor, to prove that all of this runs")
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ask.add_argument("--size", type=int, default=0, help="px; 1024, or 64 with --toy")
    ask.add_argument("--steps", type=int, default=20)
    ask.add_argument("--batch", type=int, default=4)
    ask.add_argument("--rank", type=int, default=32)
    ask.add_argument("--rounds", type=int, default=1)
    ask.add_argument("--gradient-checkpointing", action="store_true", help="in both arms")
    ask.add_argument("--offload", action="store_true", help="ours: what is not needed any more goes to main memory")
    ask.add_argument("--peak", type=float, default=0.0, help="FLOP/s of the card's data sheet, where not known here")
    ask.add_argument("--out", type=Path, help="where the figures go, as JSON")
    ask.add_argument("--arm", choices=["plain", "ours"], help="run one arm here, and print its figures")
    given = ask.parse_args()
    given.size = given.size or (64 if given.toy else 1024)
    if given.toy:
        given.device = "cpu"
    elif given.device == "cpu":
        ask.error("SDXL at 1024 px takes hours on a processor; say --toy, or --device cuda where there is one")
    if given.arm:
        print(json.dumps({"plain": plain, "ours": ours}[given.arm](given)))
        return
    rows: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
    for _ in range(given.rounds):
        for arm, found in rows.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--arm", arm]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    figures = summed(rows, given)
    print(table(figures))
    if given.out:
        given.out.write_text(json.dumps(figures, indent=2) + "\n")


def summed(rows: dict[str, list[dict[str, float]]], given: argparse.Namespace) -> dict[str, Any]:
    """The fastest round of each arm, and utilisation by the data sheet and by what was measured."""
    best = {arm: max(found, key=lambda row: row["per_s"]) for arm, found in rows.items()}
    device = name_of(given.device)
    sheet = given.peak or next((value for name, value in SHEETS.items() if name in device), 0.0)
    of_ours = best["ours"]
    flop, measured = of_ours.pop("flop_per_picture"), of_ours.pop("measured_flop_per_s")
    for row in best.values():
        row["flop_per_s"] = flop * row["per_s"]
        row["of_measured"] = row["flop_per_s"] / measured
        row["utilisation"] = row["flop_per_s"] / sheet if sheet else float("nan")
    told = {key: {name: float(np.format_float_positional(value, 5, fractional=False)) if value == value else None
                  for name, value in row.items()} for key, row in best.items()}  # fmt: skip
    return {
        "command": "python benchmarks/training_gpu.py" + (" --toy" if given.toy else ""),
        "date": datetime.now(UTC).date().isoformat(),
        "device": device,
        "flop_per_picture": flop,
        "data_sheet_flop_per_s": sheet or None,
        "measured_flop_per_s": measured,
        "asked": {key: getattr(given, key) for key in ("toy", "size", "steps", "batch", "rank", "rounds")},
        "gradient_checkpointing": given.gradient_checkpointing,
        "versions": {name: version(name) for name in ("torch", "diffusers", "peft")},
        **told,
    }


def table(figures: dict[str, Any]) -> str:
    """What both came to, and ours against the plain loop's."""
    lines = [f"{figures['device']}: {figures['flop_per_picture'] / 1e12:.3g} TFLOP a picture"]
    lines.append(f"{'':14}{'plain':>12}{'ours':>12}{'ratio':>8}  goal")
    for key, value in figures["plain"].items():
        own = figures["ours"][key]
        if value is None:
            lines.append(f"{key:14}{'the data sheet of this device is not known: --peak':>12}")
            continue
        goal = GOALS.get(key, "")
        lines.append(f"{key:14}{value:12.4g}{own:12.4g}{own / value:8.2f}  {goal}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
