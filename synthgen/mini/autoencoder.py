"""Trains mini's autoencoder on renders and procedural textures. No photo is seen.

What a prototype taught: without the latent anchor chroma collapses to grey; small crops give more steps per minute;
the last part must be at full size, for a network trained on crops alone loses up to 3 dB there.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.mini.dataset import shards
from synthgen.mini.models import LATENT_CHANNELS, LATENT_NOISE, LATENT_SCALE, build_vae
from synthgen.mini.textures import texture
from synthgen.precision import autocast

TEXTURE_SHARE = 0.35
PHASES = ((0.45, 64, 8), (0.8, 128, 4), (1.0, 256, 2))  # until this share of the time: crop px, batch
REFINING = ((0.6, 128, 4), (1.0, 256, 2))  # the same for an autoencoder that has learned before
REFINING_RATE = 0.5  # of the learning rate
REMEMBERING = 0.1  # weight of staying near the latents that a denoiser knows


@dataclass(frozen=True)
class Budget:
    """How long to train, and how fast."""

    minutes: float
    learning_rate: float = 1.2e-3
    device: str = "cpu"
    batch_factor: int = 1  # on an accelerator, steps of many pictures cost hardly more than steps of few


class _Crops:
    """Draws batches of crops, (b, 3, s, s) float32 in [-1, 1], from renders and textures."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.folder = folder
        self.textures = np.stack([texture(number) for number in range(400)])
        self.next_texture = 400
        self.renders: list[np.ndarray] = []
        self.looked = 0.0

    def _refresh(self) -> None:
        if time.monotonic() - self.looked > 60:
            self.renders = [shard.pixels() for shard in shards(self.folder)]
            self.looked = time.monotonic()

    def _picture(self) -> np.ndarray:
        if not self.renders or self.rng.random() < TEXTURE_SHARE:
            slot = int(self.rng.integers(len(self.textures)))
            if self.rng.random() < 0.02:  # the pool is renewed slowly: drawing a texture costs 10 ms
                self.textures[slot] = texture(self.next_texture)
                self.next_texture += 1
            return self.textures[slot]
        shard = self.renders[int(self.rng.integers(len(self.renders)))]
        return shard[int(self.rng.integers(len(shard)))]

    def draw(self, count: int, size: int) -> Any:
        import cv2
        import torch

        self._refresh()
        out = np.empty((count, size, size, 3), np.uint8)
        for row in range(count):
            picture = self._picture()
            if size == 64 and self.rng.random() < 0.5:
                picture = cv2.resize(np.ascontiguousarray(picture), (128, 128), interpolation=cv2.INTER_AREA)
            y, x = (int(self.rng.integers(0, picture.shape[0] - size + 1)) for _ in range(2))
            piece = picture[y : y + size, x : x + size]
            out[row] = piece[:, ::-1] if self.rng.random() < 0.5 else piece
        return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 127.5 - 1


def _opponent(pixels: Any) -> Any:
    """(b, 3, h, w) RGB -> lightness, red-green, blue-yellow."""
    import torch

    red, green, blue = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    return torch.stack([0.3 * red + 0.59 * green + 0.11 * blue, red - green, blue - (red + green) / 2], 1)


def _loss(out: Any, real: Any) -> Any:
    """Colour, chroma, pooled colour and edges at three scales; weights from the prototype."""
    import torch.nn.functional as F

    difference = out - real
    loss = difference.abs().mean() + 2 * difference.square().mean()
    chroma = _opponent(difference)[:, 1:]
    loss = loss + 1.0 * chroma.abs().mean() + 3 * chroma.square().mean()
    pooled = F.avg_pool2d(difference, 8)
    loss = loss + pooled.abs().mean() + 2 * pooled.square().mean()
    for scale in (1, 2, 4):
        small = F.avg_pool2d(difference, scale) if scale > 1 else difference
        edges = (small[..., 1:] - small[..., :-1]).abs().mean() + (small[..., 1:, :] - small[..., :-1, :]).abs().mean()
        loss = loss + 0.5 * edges
    return loss + 0.5 * (_sharpness(out) - _sharpness(real)).abs().mean()


def _sharpness(pixels: Any) -> Any:
    """How much edge there is around each place, wherever exactly: a blur loses it, a shifted texture does not."""
    import torch.nn.functional as F

    across = (pixels[..., :-1, 1:] - pixels[..., :-1, :-1]).abs()
    down = (pixels[..., 1:, :-1] - pixels[..., :-1, :-1]).abs()
    return F.avg_pool2d(across + down, 5, 2)


def _anchor(latents: Any, real: Any) -> Any:
    """How far the first twelve channels are from a thumbnail of two by two places each.

    Keeps colour alive, and says it four times over, which a denoiser finds early.
    """
    import torch
    import torch.nn.functional as F

    strength = torch.tensor([1.5, 3.0, 3.0], device=real.device).view(1, 3, 1, 1)
    wanted = F.pixel_unshuffle(F.avg_pool2d(_opponent(real), LATENT_SCALE // 2) * strength, 2)
    return F.mse_loss(latents[:, :12].float(), wanted)


def fit(folder: Path, state: Path, budget: Budget, start: Any = None) -> Any:
    """Train for the budget, resuming from `state`; returns the autoencoder with normalised latents.

    folder  finished render shards; more may arrive while this runs
    state   checkpoint, written every minute, removed by nobody
    start   an autoencoder that this made before. It is refined: its latents stay near what they were, so that a
            denoiser that knows them need not begin anew
    """
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    vae = copy.deepcopy(start) if start is not None else build_vae()
    vae.requires_grad_(True)
    if start is None:
        with torch.no_grad():  # the posterior's width is fixed: left in the loss, KL drives it to 1
            vae.quant_conv.weight[LATENT_CHANNELS:] = 0
            vae.quant_conv.bias[LATENT_CHANNELS:] = 2 * float(np.log(LATENT_NOISE))
    phases, full_rate = (PHASES, 1.0) if start is None else (REFINING, REFINING_RATE)
    spent = 0.0
    if state.exists():
        tensors = load_file(state)
        spent = float(tensors.pop("spent"))
        vae.load_state_dict(tensors)
    vae.to(budget.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=budget.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    crops = _Crops(folder, seed=int(spent))
    total = budget.minutes * 60
    began, saved, step, shown = time.monotonic() - spent, time.monotonic(), 0, 0.0
    while (now := time.monotonic() - began) < total:
        done = now / total
        crop, batch = next((size, count) for until, size, count in phases if done < until)
        decay = 1.0 if done < 0.5 else max(0.02, (1 - done) / 0.5)
        for group in optimizer.param_groups:
            group["lr"] = budget.learning_rate * full_rate * decay * min(1.0, (step + 1) / 100)
        real = crops.draw(batch * budget.batch_factor, crop).to(budget.device)
        with autocast(budget.device):
            latents = vae.quant_conv(vae.encoder(real))[:, :LATENT_CHANNELS]
            out = vae.decode(latents + _noise(vae) * torch.randn_like(latents)).sample
        if start is None:
            held = max(0.1, 1.5 * (1 - done / 0.5)) * _anchor(latents, real)
        else:
            held = REMEMBERING * _moved(latents, start, real)
        loss = _loss(out.float(), real) + held + 2e-3 * latents.float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        vae.quant_conv.weight.grad[LATENT_CHANNELS:] = 0
        vae.quant_conv.bias.grad[LATENT_CHANNELS:] = 0
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            error = float((out.detach().float() - real).square().mean()) / 4
            shown = -10 * np.log10(error) if shown == 0 else 0.8 * shown + 0.2 * -10 * np.log10(error)
            print(
                f"autoencoder {now / 60:5.1f} min  step {step}  {crop} px  {shown:.2f} dB  loss {loss.item():.3f}",
                flush=True,
            )
        if time.monotonic() - saved > 60:
            _save(vae, state, now, save_file)
            saved = time.monotonic()
    _save(vae, state, total, save_file)
    return normalised(vae.to("cpu"), crops)


def _noise(vae: Any) -> Any:
    """The posterior's width, a number for each channel, (1, c, 1, 1)."""
    return (vae.quant_conv.bias.detach()[LATENT_CHANNELS:] / 2).exp().view(1, -1, 1, 1)


def _moved(latents: Any, start: Any, real: Any) -> Any:
    """How far the latents have gone from those of the autoencoder that this began from."""
    import torch
    import torch.nn.functional as F

    with torch.no_grad():
        wanted = start.quant_conv(start.encoder(real))[:, :LATENT_CHANNELS]
    return F.mse_loss(latents.float(), wanted.float())


def _save(vae: Any, state: Path, spent: float, save_file: Any) -> None:
    import torch

    tensors = {name: value.cpu().contiguous() for name, value in vae.state_dict().items()}
    part = state.with_suffix(".part")
    save_file({**tensors, "spent": torch.tensor(spent)}, part)
    part.replace(state)


def normalised(vae: Any, crops: _Crops) -> Any:
    """The same autoencoder with zero-mean, unit-variance latent channels.

    Pipelines scale latents by one number; the channels differ threefold. So the scales are folded into the quantising
    convolutions: what decodes is the same picture.
    """
    import torch

    with torch.no_grad():
        means = torch.cat([vae.quant_conv(vae.encoder(crops.draw(8, 256)))[:, :LATENT_CHANNELS] for _ in range(16)])
        mean, std = means.mean((0, 2, 3)), means.std((0, 2, 3))
        vae.quant_conv.weight[:LATENT_CHANNELS] /= std.view(-1, 1, 1, 1)
        vae.quant_conv.bias[:LATENT_CHANNELS] = (vae.quant_conv.bias[:LATENT_CHANNELS] - mean) / std
        vae.quant_conv.bias[LATENT_CHANNELS:] -= 2 * torch.log(std)
        inner = vae.post_quant_conv
        inner.bias += (inner.weight[:, :, 0, 0] * mean).sum(1)
        inner.weight *= std.view(1, -1, 1, 1)
    return vae
