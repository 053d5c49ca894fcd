"""What each measure for speed gives a step of training on mini: processor seconds with it and without, one at a time.

    python benchmarks/training_costs.py [--out FILE] [--compile]

The least of several steps counts, on one thread, so that other programs on the machine change little. Material is
random: what is learned does not matter here. docs/training-speed.md says what was taken and why.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 6
BATCH, KEPT = 8, 2


def seconds(step: Callable[[int], None], steps: int = STEPS) -> float:
    """Least processor seconds of a step; the first is not counted."""
    step(0)
    best = float("inf")
    for number in range(1, steps + 1):
        began = time.process_time()
        step(number)
        best = min(best, time.process_time() - began)
    return best


class Bench:
    """mini with an adapter in training, and what was measured of it."""

    def __init__(self) -> None:
        import torch

        from synthgen import bases
        from synthgen.bases._device import quiet
        from synthgen.checkpoint import Settings
        from synthgen.training_loop import Kept, Loop, Material

        quiet()
        module, identity = bases.find("mini")
        self.base = base = module.load(identity, "cpu")
        torch.set_num_threads(1)
        self.pixels = np.random.default_rng(0).integers(0, 255, (BATCH, base.size, base.size, 3), dtype=np.uint8)
        self.texts = ["a photo of a sks blue shirt, flat lay"] * BATCH
        self.latents, self.words = base.encode_pixels(self.pixels), base.encode_texts([*self.texts, ""])
        self.kept = Kept.ask(base, self.latents[:KEPT], self.words[:KEPT], 0)
        held = (self.latents[:2], self.words[:2], self.kept, (0, 1), (0, 1), True)
        self.loop = Loop(
            base, Material(self.latents, self.words, *held), Settings(10**6, BATCH, 1e-3, 0, 16, 16.0)
        )  # fmt: skip
        self.rows: dict[str, float] = {}

    def note(self, name: str, step: Callable[[int], Any] | None = None) -> None:
        """Time a step, the loop's own where none is given."""
        self.rows[name] = round(seconds(step or self.loop.step), 4)
        print(f"{self.rows[name]:8.3f} s  {name}", flush=True)

    def asked(self, number: int) -> None:
        """What each step cost when the base was asked about its class then, without the adapter."""
        self.base.use_adapter(False)
        self.base.prediction(self.kept.latents, self.kept.words, self.kept.moments[:KEPT], self.kept.noise[:KEPT])
        self.base.use_adapter(True)

    def apart(self, number: int) -> None:
        """A step that asks the network about the product and then about its class."""
        import torch

        one, two, base = torch.arange(BATCH - KEPT), torch.arange(KEPT), self.base
        noise, moments = torch.randn(self.latents.shape), torch.randint(0, base.train_steps, (BATCH,))
        loss = base.loss(self.latents[one], self.words[one], moments[one], noise[one]).mean()
        target = self.kept.target[two]
        loss = loss + base.loss(self.latents[two], self.words[two], moments[two], noise[two], None, target).mean()
        self.loop.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.loop.parameters.values(), 1.0)
        self.loop.optimizer.step()

    def measure(self, compiled: bool) -> None:
        """All of them, one after the other."""
        import torch

        base, network = self.base, self.base.denoiser
        self.note("a step as it is")
        self.note("more: photos encoded at each step", lambda number: base.encode_pixels(self.pixels))
        self.note("more: captions encoded at each step", lambda number: base.encode_texts(self.texts))
        self.note("more: the base asked about its class at each step", self.asked)
        self.note("instead: product and class in two passes", self.apart)
        base.precision = "bf16"
        self.note("instead: bfloat16")
        base.precision = "auto"
        network.to(memory_format=torch.channels_last)
        self.note("instead: channels last")
        network.to(memory_format=torch.contiguous_format)
        usual = self.loop.optimizer
        self.loop.optimizer = torch.optim.AdamW(self.loop.parameters.values(), lr=1e-3, fused=True)
        self.note("instead: fused AdamW")
        self.loop.optimizer = usual
        network.enable_gradient_checkpointing()
        network.train()
        self.note("instead: gradient checkpointing")
        network.disable_gradient_checkpointing()
        network.eval()
        if compiled:
            network.compile()
            began = time.perf_counter()
            self.loop.step(0)
            self.rows["torch.compile: seconds by the clock before its first step"] = time.perf_counter() - began
            self.note("instead: torch.compile")


def main() -> None:
    """Measure, print, keep."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--compile", action="store_true", help="try torch.compile too; it takes minutes before its step")
    ask.add_argument("--out", type=Path, help="where the figures go, as JSON")
    given = ask.parse_args()
    bench = Bench()
    bench.measure(given.compile)
    if given.out:
        told: dict[str, Any] = {
            "command": "python benchmarks/training_costs.py", "date": datetime.now(UTC).date().isoformat(),
            "machine": platform.machine(), "threads": 1, "batch": BATCH,
            "versions": {name: version(name) for name in ("torch", "diffusers", "peft")},
            "processor_seconds": bench.rows,
        }  # fmt: skip
        given.out.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
