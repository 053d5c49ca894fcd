"""The published bases at full size with random weights, on an accelerator: memory and speed of each mode.

    python benchmarks/full_size.py --base sdxl --base sd35-medium --base flux2-klein-base-4b
    python benchmarks/full_size.py --toy --base sdxl        on a processor, with a toy; nothing is kept
    python benchmarks/full_size.py --page                   benchmarks/full_size.md, from what was measured last

For each base and mode, in a process of its own: 50 steps of training a LoRA at 1024 px and 16 pictures of 4 steps, with
seconds, the peak of torch's allocator and, beside it, what `synthgen show base` estimates. No weight is downloaded: the
networks are built from the configurations below and filled with small random numbers, as the toys of the tests are.
Writes benchmarks/results/full_size.json, dated, and prints each row; without an accelerator it says so and ends with 2.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "full_size.json"
PAGE = ROOT / "benchmarks" / "full_size.md"
BASES = ("sdxl", "sd35-medium", "flux2-klein-base-4b")
MODES = ("half", "lean", "8bit", "4bit", "offload", "group")
STEPS, PICTURES, DRAWING = 50, 16, 4

# Sources: SD 1.5 and XL: the configurations in tests/test_lora_names.py, as diffusers 0.42.1 converts them. FLUX.1,
# Qwen-Image, Z-Image: the defaults of their classes in diffusers 0.42.1. SD 3.5 medium: its transformer/config.json as
# fastvideo/configs/models/dits has it. FLUX.2 klein: invokeai/backend/flux2/model.py. Text encoders: as transformers
# documents CLIP ViT-L/14 and bigG, T5 v1.1 XXL, Qwen3-4B and Qwen2.5-VL-7B.
CLIP_L = ("CLIPTextModel", "CLIPTextConfig", {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "projection_dim": 768, "vocab_size": 49408, "max_position_embeddings": 77,
})  # fmt: skip
CLIP_L_PROJECTED = ("CLIPTextModelWithProjection", *CLIP_L[1:])
CLIP_G = ("CLIPTextModelWithProjection", "CLIPTextConfig", {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
    "projection_dim": 1280, "vocab_size": 49408, "max_position_embeddings": 77, "hidden_act": "gelu",
})  # fmt: skip
T5_XXL = ("T5EncoderModel", "T5Config", {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64,
          "vocab_size": 32128, "feed_forward_proj": "gated-gelu"})  # fmt: skip
QWEN3_4B: dict[str, Any] = {
    "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip
QWEN_VL_7B: dict[str, Any] = {
    "text_config": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
                    "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
                    "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"}},
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
                      "out_hidden_size": 3584},
    "tie_word_embeddings": False,
}  # fmt: skip
KL = {"block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
      "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2}  # fmt: skip
KL_16 = {**KL, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
# name -> part -> (class, its class of configuration, configuration); the denoiser's own stands in its family's file
PARTS: dict[str, dict[str, tuple[str, str, dict[str, Any]]]] = {
    "sd15": {"text_encoder": CLIP_L, "vae": ("AutoencoderKL", "", KL)},
    "sdxl": {"text_encoder": CLIP_L, "text_encoder_2": CLIP_G, "vae": ("AutoencoderKL", "", KL)},
    "sd35-medium": {"text_encoder": CLIP_L_PROJECTED, "text_encoder_2": CLIP_G, "text_encoder_3": T5_XXL,
                    "vae": ("AutoencoderKL", "", KL_16)},
    "flux-dev": {"text_encoder": CLIP_L, "text_encoder_2": T5_XXL, "vae": ("AutoencoderKL", "", KL_16)},
    "flux2-klein-base-4b": {"text_encoder": ("Qwen3ForCausalLM", "Qwen3Config", QWEN3_4B),
                            "vae": ("AutoencoderKLFlux2", "", {})},
    "qwen-image": {"text_encoder": ("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLConfig", QWEN_VL_7B),
                   "vae": ("AutoencoderKLQwenImage", "", {})},
    "z-image": {"text_encoder": ("Qwen3Model", "Qwen3Config", QWEN3_4B), "vae": ("AutoencoderKL", "", KL_16)},
}  # fmt: skip
CLASSES = {
    "sd15": "UNet2DConditionModel", "sdxl": "UNet2DConditionModel", "sd35-medium": "SD3Transformer2DModel",
    "flux-dev": "FluxTransformer2DModel", "flux2-klein-base-4b": "Flux2Transformer2DModel",
    "qwen-image": "QwenImageTransformer2DModel", "z-image": "ZImageTransformer2DModel",
}  # fmt: skip


def built(name: str, device: str = "meta") -> dict[str, Any]:
    """Part -> network of a published base, with numbers that mean nothing; on "meta" they take no memory."""
    import diffusers
    import torch
    import transformers

    from synthgen import bases

    family, weights = bases.names()[name]
    with torch.device(device):
        found = {}
        for part, (kind, config, told) in PARTS[name].items():
            if config:
                found[part] = getattr(transformers, kind)(getattr(transformers, config)(**told))
            else:
                found[part] = getattr(diffusers, kind)(**told)
        found[family.DENOISER] = getattr(diffusers, CLASSES[name])(**weights.size.network)
    return found


def pipeline(name: str) -> Any:
    """The unmodified pipeline of a base in bfloat16, in main memory."""
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    import diffusers
    import toy_bases

    from synthgen import bases

    family, _ = bases.names()[name]
    torch.set_default_dtype(torch.bfloat16)
    parts = built(name, "cpu")
    torch.set_default_dtype(torch.float32)
    with tempfile.TemporaryDirectory() as place:
        clip = toy_bases.clip_tokenizer(Path(place) / "words")
        makers = {"CLIP": lambda: clip, "T5": toy_bases.t5_tokenizer, "Qwen": toy_bases.qwen_tokenizer}
        for part, (kind, _, _) in PARTS[name].items():
            if part.startswith("text_encoder"):
                own = next(make for start, make in makers.items() if kind.startswith(start))()
                parts[part.replace("text_encoder", "tokenizer")] = own
    if family.name in ("sd15", "sdxl"):
        parts["scheduler"] = diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085)
    else:
        parts["scheduler"] = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    more = {"safety_checker": None, "feature_extractor": None} if family.name == "sd15" else {}
    more |= {"add_watermarker": False} if family.name == "sdxl" else {}
    return getattr(diffusers, family.PIPELINE)(**parts, **more)


def opened(name: str, mode: str, toy: Path | None) -> Any:
    """A base in a mode, on the device."""
    from synthgen import bases
    from synthgen.bases._base import Base
    from synthgen.bases._device import quiet
    from synthgen.bases._identity import Identity

    quiet()
    family, _ = bases.names()[name]
    if toy:
        base = family.load(bases.find(str(toy), memory=mode)[1], "cpu")
    else:
        identity = Identity("random", "0" * 64, "Apache-2.0", Path("none"), memory=mode)
        base = Base(family, identity, pipeline(name), {}, "cuda")
    base.size = 64 if toy else family.SIDE
    return base


def measured(name: str, mode: str, toy: Path | None) -> dict[str, Any]:
    """Seconds and peaks of training and of drawing, of one base in one mode."""
    import numpy as np
    import torch

    from synthgen import base_needs, bases
    from synthgen.memory_modes import MODES as KNOWN
    from synthgen.types import Job

    family, weights = bases.names()[name]
    base, cuda = opened(name, mode, toy), toy is None
    need, told = base_needs.published(family, weights.size), {"base": name, "mode": mode}
    job = [Job(f"{number:016x}", number, "a photo of a sks shirt", "", number, {}) for number in range(PICTURES)]
    settings = {**base.settings, "num_inference_steps": 1 if toy else DRAWING}
    base.render(job[:1], [None], settings)  # first calls choose kernels

    def timed(work: Any) -> tuple[float, float]:
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        began = time.monotonic()
        work()
        if cuda:
            torch.cuda.synchronize()
        return time.monotonic() - began, torch.cuda.max_memory_allocated() / 1e9 if cuda else 0.0

    def draw() -> None:
        for number in range(0, PICTURES, settings["batch"]):
            some = job[number : number + settings["batch"]]
            base.render(some, [None] * len(some), settings)

    def train() -> None:
        for _ in range(2 if toy else STEPS):
            base.loss(latents, words, torch.randint(0, 1000, (len(latents),), device=latents.device),
                      torch.randn_like(latents)).mean().backward()  # fmt: skip
            optimizer.step()
            optimizer.zero_grad()

    seconds, peak = timed(draw)
    told |= {"pictures_per_s": PICTURES / seconds, "draw_gb": peak,
             "draw_estimate_gb": need.bytes(mode, base.size, settings["batch"], False) / 1e9}  # fmt: skip
    if KNOWN[mode].offload:
        return told
    batch = family.BATCH
    latents = base.encode_pixels(np.zeros((batch, base.size, base.size, 3), np.uint8))
    words = base.encode_texts(["a photo of a sks shirt"] * batch)
    optimizer = torch.optim.AdamW(base.add_adapter(family.RANK, float(family.RANK)).values(), lr=1e-5)
    seconds, peak = timed(train)
    return {**told, "steps_per_s": (2 if toy else STEPS) / seconds, "batch": batch, "train_gb": peak,
            "train_estimate_gb": need.bytes(mode, base.size, batch, True) / 1e9}  # fmt: skip


def main() -> None:
    """Each base and mode in a process of its own; a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", action="append", choices=sorted(PARTS), help="may repeat")
    parser.add_argument("--mode", action="append", choices=MODES, help="may repeat; all of them where none is named")
    parser.add_argument("--toy", action="store_true", help="on a processor, with toys of the tests")
    parser.add_argument("--page", action="store_true", help="write benchmarks/full_size.md, measure nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # a process for one base and mode writes here
    given = parser.parse_args()
    if given.page:
        PAGE.write_text(page(), encoding="utf-8")
        return
    import torch

    if not given.toy and not torch.cuda.is_available():
        print("there is no accelerator here; --toy shows that the program works", file=sys.stderr)
        sys.exit(2)
    names, modes = given.base or BASES, given.mode or MODES
    if given.one:
        toy = toy_of(names[0]) if given.toy else None
        given.one.write_text(json.dumps(measured(names[0], modes[0], toy)))
        return
    rows = []
    for name in names:
        for mode in modes if not given.toy else [one for one in modes if one not in ("offload", "group")]:
            with tempfile.TemporaryDirectory() as place:
                one = Path(place) / "one.json"
                command = [sys.executable, __file__, "--base", name, "--mode", mode, "--one", str(one)]
                ended = subprocess.run([*command, *(["--toy"] if given.toy else [])], capture_output=True, text=True)
                row = json.loads(one.read_text()) if one.is_file() else {"base": name, "mode": mode}
            rows.append(row if not ended.returncode else {**row, "failed": ended.stderr.strip().splitlines()[-1]})
            print(json.dumps(rows[-1]), flush=True)
    if not given.toy:
        used = {one: version(one) for one in ("torch", "diffusers", "bitsandbytes")}
        kept = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "device": torch.cuda.get_device_name(), "versions": used}
        kept["rows"] = rows
        given.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


NOT_RUN = "not run"
HEAD = """# Bases at full size

Made by `python benchmarks/full_size.py --page`. Random weights, 1024 px, an adapter of the family's own rank and batch;
memory in GB as the formula of `synthgen show base` estimates it and, beside it, the peak of torch's allocator.

| base | mode | training, estimate | peak | steps/s | drawing, estimate | peak | pictures/s |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The table: what is estimated, and what was measured or was not run."""
    from synthgen import base_needs, bases
    from synthgen.memory_modes import MODES as KNOWN

    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"rows": []}
    found = {(row["base"], row["mode"]): row for row in kept["rows"]}
    lines = []
    for name in BASES:
        family, weights = bases.names()[name]
        need = base_needs.published(family, weights.size)
        for mode in MODES:
            row = found.get((name, mode), {})
            trains, draws = (
                need.bytes(mode, family.SIDE, batch, train) / 1e9
                for batch, train in ((family.BATCH, True), (family.SETTINGS["batch"], False))
            )
            measured = {
                key: f"{row[key]:.2f}" if key in row else NOT_RUN
                for key in ("train_gb", "steps_per_s", "draw_gb", "pictures_per_s")
            }
            waits = KNOWN[mode].offload
            train_cells = ["-"] * 3 if waits else [f"{trains:.2f}", measured["train_gb"], measured["steps_per_s"]]
            cells = [name, mode, *train_cells, f"{draws:.2f}", measured["draw_gb"], measured["pictures_per_s"]]
            lines.append(f"| {' | '.join(cells)} |")
    measured_on = f"Measured {kept['date']} on {kept['device']}." if found else "It has not been run on an accelerator."
    return HEAD + "\n".join(lines) + f"\n\n{measured_on}\n"


def toy_of(name: str) -> Path:
    """The toy of a base's family."""
    sys.path.insert(0, str(ROOT / "tests"))
    import toy_bases

    from synthgen import bases

    family = bases.names()[name][0].name
    return Path(toy_bases.write(family, Path(tempfile.mkdtemp()) / f"toy-{family}"))


if __name__ == "__main__":
    main()
