"""The embedded base can be made again: renders, autoencoder, denoiser, each of which goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_base import write_toy_base

from synthgen.mini import autoencoder, dataset, denoiser, models, textures


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small shard, as `render_shard` writes it."""
    folder = tmp_path_factory.mktemp("renders")
    before = dataset.SHARD
    dataset.SHARD = 24
    try:
        dataset.render_shard(folder, 0)
    finally:
        dataset.SHARD = before
    return folder


def test_a_shard_is_finished_or_absent(renders: Path) -> None:
    (shard,) = dataset.shards(renders)
    assert shard.count == 24
    assert shard.pixels().shape == (24, 256, 256, 3)
    people = [number for number, row in enumerate(shard.rows()) if row["kind"] == "person"]
    assert people
    assert (shard.keypoints()[people, :, 2].sum(axis=1) > 4).all()
    assert not list(renders.glob("*.part"))


def test_textures_are_seeded_and_some_are_grey() -> None:
    assert (textures.texture(5) == textures.texture(5)).all()
    made = [textures.texture(seed) for seed in range(30)]
    grey = sum(int((picture.max(axis=2) == picture.min(axis=2)).all()) for picture in made)
    assert 3 <= grey <= 20


def test_normalised_latents_have_unit_variance_and_decode_to_the_same_picture(renders: Path) -> None:
    torch.manual_seed(0)
    vae = models.build_vae()
    crops = autoencoder._Crops(renders, seed=0)
    picture = crops.draw(1, 256)
    with torch.no_grad():
        before = vae.decode(vae.quant_conv(vae.encoder(picture))[:, : models.LATENT_CHANNELS]).sample
        autoencoder.normalised(vae, crops)
        after = vae.decode(vae.encode(picture).latent_dist.mean).sample
        latents = torch.cat([vae.encode(crops.draw(4, 256)).latent_dist.mean for _ in range(8)])
    assert torch.allclose(before, after, atol=1e-3)
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.3


def test_the_denoiser_learns_and_a_stopped_training_goes_on(renders: Path, tmp_path: Path) -> None:
    parts = models.load_bundle(write_toy_base(tmp_path / "toy"))
    parts.vae.requires_grad_(False)
    data = denoiser.Latents(renders, parts.vae)
    trainer = denoiser.Trainer(parts, tmp_path / "state.safetensors", 3e-3)
    losses = []
    for step in range(60):
        torch.manual_seed(step % 3)
        batch = data.draw(np.random.default_rng(step % 3), 4, control=step % 2 == 0)
        loss = denoiser.loss_of(parts, batch, denoiser.stratified(np.random.default_rng(step % 3), 4))
        trainer.optimizer.zero_grad()
        loss.backward()
        trainer.optimizer.step()
        trainer.step += 1
        trainer.follow()
        losses.append(loss.item())
    assert np.mean(losses[-12:]) < 0.9 * np.mean(losses[:12])
    trainer.save(spent=7.0)
    again = denoiser.Trainer(models.load_bundle(tmp_path / "toy"), tmp_path / "state.safetensors", 3e-3)
    assert (again.step, again.spent) == (60, 7.0)
    for (name, mine), theirs in zip(trainer.modules.named_parameters(), again.modules.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
        assert torch.equal(trainer.optimizer.state[mine]["exp_avg_sq"], again.optimizer.state[theirs]["exp_avg_sq"]), (
            name
        )


def test_timesteps_are_spread_and_reach_the_very_end() -> None:
    drawn = torch.cat([denoiser.stratified(np.random.default_rng(seed), 12) for seed in range(60)])
    assert 0 <= int(drawn.min()) < 100
    assert (drawn == 999).float().mean() > 0.02
    counts = torch.histc(drawn[drawn < 999].float(), 10, 0, 1000)
    assert counts.min() > 0.6 * counts.float().mean()
