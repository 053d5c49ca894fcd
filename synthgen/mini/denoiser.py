"""Trains mini's UNet, text encoder and ControlNet together, on latents of renders.

The ControlNet learns from the first step on, in some of the batches: the skeleton then carries the body's layout, and
what is left for the text is colour, garment and place. It is shown three kinds of picture, which look nothing alike:
skeletons, edges, and regions (where the garment or the finding is). The text encoder has learned to read before
(words.py) and goes on learning at a fraction of the rate.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.mini.dataset import Shard, shards
from synthgen.mini.models import IMAGE_PX, LATENT_NOISE, Parts
from synthgen.precision import autocast

CAPTION_DROPOUT = 0.1
CONTROL_SHARE = 0.45  # of the batches
CONTROLS = {"pose": 0.64, "canny": 0.18, "mask": 0.18}  # of those
TEXT_RATE = 0.2  # of the learning rate, for what was taught to read before
PLAIN_MIX = {"person": 0.38, "flat": 0.26, "xray": 0.2, "smear": 0.16}  # of the others: people have those too
EMA_DECAY = 0.998
SUBJECT_WEIGHT = 4.0  # of a place that shows what the labels tell of, beside one that does not
SUBJECT_REACH = 0.11  # of the picture: how far a body goes round its skeleton
FINDING_REACH = 17  # px: the width of a finding's seam, which counts as it does
CELL = (80, 176)  # px, both ways: where a smear has its white cell, if it has one


@dataclass(frozen=True)
class Budget:
    """How long to train, and how fast."""

    minutes: float
    learning_rate: float = 8e-4
    batch: int = 16
    sheet_minutes: float = 8.0  # between test sheets; 0 for none
    device: str = "cpu"


@dataclass(frozen=True)
class Batch:
    """What a step learns from."""

    latents: Any  # (b, c, h, w)
    texts: list[str]
    weights: Any  # (b, 1, h, w), mean 1: see `importance`
    control: Any = None  # (b, 3, 256, 256) in [0, 1]; a skeleton, edges or a region

    def to(self, device: str) -> Batch:
        """The same on a device."""
        control = None if self.control is None else self.control.to(device)
        return Batch(self.latents.to(device), self.texts, self.weights.to(device), control)


Objective = Callable[[Parts, Batch, Any], Any]  # parts, batch and moments -> loss


class Latents:
    """Latents, keypoints, masks and captions of all finished shards; their pixels stay on the disk."""

    def __init__(self, folder: Path, vae: Any) -> None:
        import torch

        code = _code(vae)
        vae.to(memory_format=torch.channels_last)  # encodes three times as fast on a CPU
        latents: list[np.ndarray] = []
        points: list[np.ndarray] = []
        masks: list[np.ndarray] = []
        self.pixels: list[np.ndarray] = []
        self.rows: list[dict] = []
        for shard in shards(folder):
            latents.append(encoded(shard, vae, code))
            points.append(shard.keypoints())
            masks.append(shard.masks())
            self.pixels.append(shard.pixels())
            self.rows += shard.rows()
        self.all_latents = np.concatenate(latents)
        self.all_points = np.concatenate(points)
        self.all_masks = np.concatenate(masks)
        self.firsts = np.cumsum([0, *map(len, self.pixels)])
        places = self.all_latents.shape[-1]
        about = zip(self.rows, self.all_points, self.all_masks, strict=True)
        self.weights = np.stack([importance(row["kind"], points, _white(bits), places) for row, points, bits in about])
        self.of_kind = {kind: np.flatnonzero([row["kind"] == kind for row in self.rows]) for kind in PLAIN_MIX}
        self.shown = {
            "pose": self.of_kind["person"],
            "canny": np.arange(len(self.rows)),
            "mask": np.flatnonzero(self.all_masks.any(1)),
        }
        self.kinds = [kind for kind, places in self.of_kind.items() if len(places)]
        shares = np.array([PLAIN_MIX[kind] for kind in self.kinds])
        self.shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator, count: int, control: str = "") -> Batch:
        """Some of them, by their kinds' shares; or such as have a control picture of this kind, with it."""
        import torch

        from synthgen.mini.world import caption

        if control:
            chosen = rng.choice(self.shown[control], count)
        else:
            kinds = rng.choice(self.kinds, count, p=self.shares)
            chosen = np.array([rng.choice(self.of_kind[kind]) for kind in kinds])
        latents = torch.from_numpy(self.all_latents[chosen].astype(np.float32))
        latents = latents + LATENT_NOISE * torch.randn_like(latents)
        texts = ["" if rng.random() < CAPTION_DROPOUT else caption(self.rows[row]["labels"], rng) for row in chosen]
        weights = torch.from_numpy(self.weights[chosen].astype(np.float32))[:, None]
        if not control:
            return Batch(latents, texts, weights)
        drawn = np.stack([self._control(control, row) for row in chosen])
        return Batch(latents, texts, weights, torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)

    def _control(self, kind: str, row: int) -> np.ndarray:
        """(256, 256, 3) uint8: what the conditioner of this kind makes of a render."""
        from synthgen import images
        from synthgen.poses import draw_skeleton

        if kind == "pose":
            return draw_skeleton(self.all_points[row], IMAGE_PX)
        if kind == "canny":
            shard = int(np.searchsorted(self.firsts, row, "right")) - 1
            return images.edges(self.pixels[shard][row - self.firsts[shard]])
        return np.repeat(_white(self.all_masks[row])[..., None], 3, axis=2)


def _white(bits: np.ndarray) -> np.ndarray:
    """(256, 256) uint8, 0 or 255, of a shard's mask."""
    return np.unpackbits(bits).reshape(IMAGE_PX, IMAGE_PX) * 255


def importance(kind: str, points: np.ndarray, mask: np.ndarray, places: int) -> np.ndarray:
    """(places, places) float16, mean 1: how much each place of the latents counts in the loss.

    Backgrounds fill most of a picture and are learned soon; limbs, garments, findings and white cells are what labels
    speak of. `points` are the (18, 3) keypoints, all zero without a person; `mask` is white on garment or finding.
    """
    import cv2

    from synthgen.poses import draw_skeleton

    weight = np.ones((IMAGE_PX, IMAGE_PX), np.float32)
    if kind == "person":
        reach = round(SUBJECT_REACH * IMAGE_PX)
        body = (draw_skeleton(points, IMAGE_PX).max(2) > 0).astype(np.uint8)
        weight[cv2.dilate(body, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0] = SUBJECT_WEIGHT
    elif kind == "xray":
        weight[cv2.dilate(mask, np.ones((FINDING_REACH, FINDING_REACH), np.uint8)) > 0] = SUBJECT_WEIGHT
    elif kind == "smear":
        weight[CELL[0] : CELL[1], CELL[0] : CELL[1]] = SUBJECT_WEIGHT
    small = cv2.resize(weight, (places, places), interpolation=cv2.INTER_AREA)
    return (small / small.mean()).astype(np.float16)


def _code(vae: Any) -> str:
    """Eight letters that tell one autoencoder from another: latents of one are noise to the next."""
    whole = hashlib.sha256()
    for tensor in vae.encoder.state_dict().values():
        whole.update(tensor.detach().float().cpu().numpy().tobytes())
    return whole.hexdigest()[:8]


def encoded(shard: Shard, vae: Any, code: str) -> np.ndarray:
    """Mean latents of a shard, (n, c, h, w) float16, made once and kept beside it."""
    import torch

    target = shard.stem.with_suffix(f".latents-{code}.npy")
    if not target.exists():
        pixels, parts = shard.pixels(), []
        for start in range(0, len(pixels), 20):
            block = np.array(pixels[start : start + 20])  # a copy: the file is mapped read-only
            batch = torch.from_numpy(block).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.no_grad(), autocast("cpu"):
                parts.append(vae.encode(batch).latent_dist.mean.float().numpy().astype(np.float16))
        part = target.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, np.concatenate(parts))
        part.replace(target)
    return np.load(target)


class Trainer:
    """Parameters, averages and optimizer of one training, saved and resumed as a whole."""

    def __init__(self, parts: Parts, state: Path, learning_rate: float) -> None:
        import torch

        self.parts, self.state, self.learning_rate = parts, state, learning_rate
        self.modules = torch.nn.ModuleDict(
            {"unet": parts.unet, "text_encoder": parts.text_encoder, "controlnet": parts.controlnet}
        )
        self.average = copy.deepcopy(self.modules).requires_grad_(False)
        words = set(parts.text_encoder.parameters())
        for network in (parts.unet, parts.controlnet):
            if getattr(network.config, "addition_embed_type", None):
                words |= set(network.add_embedding.parameters())
        groups = [
            {"params": [value for value in self.modules.parameters() if value not in words], "share": 1.0},
            {"params": [value for value in self.modules.parameters() if value in words], "share": TEXT_RATE},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        self.step, self.seen, self.spent = 0, 0, 0.0
        if state.exists():
            self._load()

    def _load(self) -> None:
        from safetensors.torch import load_file

        tensors = load_file(self.state)
        told = json.loads(self.state.with_suffix(".json").read_text())
        self.step, self.seen, self.spent = told["step"], told["seen"], told["spent"]

        def under(prefix: str) -> dict:
            return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}

        self.modules.load_state_dict(under("now."))
        self.average.load_state_dict(under("average."))
        first, second = under("first."), under("second.")
        for name, parameter in self.modules.named_parameters():
            if name in first:
                import torch

                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": first[name].to(parameter.device),
                    "exp_avg_sq": second[name].to(parameter.device),
                }

    def save(self, spent: float) -> None:
        """Write everything; the JSON that names the step is written last."""
        from safetensors.torch import save_file

        tensors = {f"now.{key}": value for key, value in self.modules.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for name, parameter in self.modules.named_parameters():
            kept = self.optimizer.state.get(parameter)
            if kept:
                tensors[f"first.{name}"], tensors[f"second.{name}"] = kept["exp_avg"], kept["exp_avg_sq"]
        part = self.state.with_suffix(".part")
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, part)
        part.replace(self.state)
        told = {"step": self.step, "seen": self.seen, "spent": spent}
        part.write_text(json.dumps(told))
        part.replace(self.state.with_suffix(".json"))

    def follow(self) -> None:
        """Move the average towards the present weights."""
        import torch

        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.modules.parameters(), strict=True)
            averages, values = zip(*pairs, strict=True)
            torch._foreach_lerp_(list(averages), list(values), 1 - decay)

    def averaged(self) -> Parts:
        """The averaged networks with the parts that were not trained here."""
        told = self.average
        return Parts(
            self.parts.vae,
            told["unet"],
            told["text_encoder"],
            self.parts.tokenizer,
            told["controlnet"],
            self.parts.scheduler,
        )


def loss_of(parts: Parts, batch: Batch, timesteps: Any) -> Any:
    """v-prediction error of one batch, weighted by moment and place."""
    noisy, noise = noised(parts.scheduler, batch.latents, timesteps)
    target = parts.scheduler.get_velocity(batch.latents, noise, timesteps)
    guess = predicted(parts, noisy, batch.texts, timesteps, batch.control)
    return weighted(parts.scheduler, guess, target, timesteps, batch.weights)


def noised(scheduler: Any, latents: Any, timesteps: Any) -> tuple[Any, Any]:
    """The latents at these moments, and the noise in them."""
    import torch

    noise = torch.randn_like(latents)
    return scheduler.add_noise(latents, noise, timesteps), noise


def predicted(
    parts: Parts, noisy: Any, texts: list[str], timesteps: Any, control: Any = None, scale: Any = None
) -> Any:
    """What the networks make of noisy latents, (b, c, h, w) float32. `scale`: see guided.py; None: no guidance."""
    tokens = parts.tokenizer(
        texts,
        padding="max_length",
        truncation=True,
        max_length=parts.tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids.to(noisy.device)
    with autocast(noisy.device):
        words = parts.text_encoder(tokens).last_hidden_state
        extra = {}
        if control is not None:
            down, middle = parts.controlnet(noisy, timesteps, words, controlnet_cond=control, return_dict=False)
            extra = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return parts.unet(noisy, timesteps, words, timestep_cond=scale, **extra).sample.float()


def weighted(scheduler: Any, guess: Any, target: Any, timesteps: Any, places: Any) -> Any:
    """Mean squared error, each moment by (min(SNR, 5) + 1) / (SNR + 1), each place by its weight.

    The weight is not zero at the last step, where the signal is: with zero terminal SNR the plain min-SNR weight would
    leave the very first sampling step untrained.
    """
    alpha = scheduler.alphas_cumprod.to(guess.device)[timesteps]
    snr = alpha / (1 - alpha)
    weight = (snr.clamp(max=5) + 1) / (snr + 1)
    return (weight.view(-1, 1, 1, 1) * places * (guess - target).square()).mean()


def stratified(rng: np.random.Generator, count: int) -> Any:
    """Timesteps spread evenly over the schedule; a few at the very end, where sampling starts."""
    import torch

    steps = ((np.arange(count) + rng.random(count)) / count * 1000).astype(np.int64)
    steps[rng.random(count) < 0.06] = 999
    return torch.from_numpy(rng.permutation(np.clip(steps, 0, 999)))


def fit(folder: Path, parts: Parts, state: Path, budget: Budget, objective: Objective = loss_of) -> Parts:
    """Train for the budget, resuming from `state` (checkpoint every two minutes); returns the averaged parts."""
    import torch

    device = budget.device
    data = Latents(folder, parts.vae)
    print(f"denoiser: {len(data.rows)} renders", flush=True)
    for part in (parts.unet, parts.text_encoder, parts.controlnet):
        part.to(device)
    for network in (parts.unet, parts.controlnet):
        network.to(memory_format=torch.channels_last)
    trainer = Trainer(parts, state, budget.learning_rate)
    torch.manual_seed(trainer.step)
    rng = np.random.default_rng(trainer.step)
    total = budget.minutes * 60
    began = time.monotonic() - trainer.spent
    saved = sheeted = time.monotonic()
    smooth: dict[str, float] = {}
    while (spent := time.monotonic() - began) < total:
        done = spent / total
        rate = budget.learning_rate * min(1.0, (trainer.step + 1) / 200) * min(1.0, max(0.02, (1 - done) / 0.5))
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        control = str(rng.choice(list(CONTROLS), p=list(CONTROLS.values()))) if rng.random() < CONTROL_SHARE else ""
        batch = data.draw(rng, budget.batch, control).to(device)
        loss = objective(parts, batch, stratified(rng, budget.batch).to(device))
        trainer.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainer.modules.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.step += 1
        trainer.seen += budget.batch
        trainer.follow()
        value = loss.item()
        smooth[control] = value if control not in smooth else 0.97 * smooth[control] + 0.03 * value
        if trainer.step % 50 == 0:
            told = "  ".join(f"{kind or 'plain'} {smooth.get(kind, 0):.4f}" for kind in ("", *CONTROLS))
            print(f"denoiser {spent / 60:5.1f} min  step {trainer.step}  {trainer.seen} seen  {told}", flush=True)
        if time.monotonic() - saved > 120:
            trainer.save(spent)
            saved = time.monotonic()
        if budget.sheet_minutes and time.monotonic() - sheeted > 60 * budget.sheet_minutes:
            from synthgen.mini.sheet import write_sheet

            parts.vae.to(device)
            write_sheet(trainer.averaged(), state.with_name(f"sheet-{trainer.step:06d}.png"))
            parts.vae.to("cpu")
            sheeted = time.monotonic()
    trainer.save(total)
    trainer.average.to("cpu")
    return trainer.averaged()
