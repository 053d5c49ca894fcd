"""The embedded base can be made again: renders, autoencoder, denoiser, each of which goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_base import write_toy_base

from synthgen import resources
from synthgen.conditioners import canny
from synthgen.mini import autoencoder, dataset, denoiser, model_card, models, textures


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
    garments = [number for number, row in enumerate(shard.rows()) if row["kind"] in ("person", "flat")]
    assert shard.masks()[garments].any(1).all()
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
        batch = data.draw(np.random.default_rng(step % 3), 4, ("", *denoiser.CONTROLS)[step % 4])
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


def test_what_labels_speak_of_counts_more_in_the_loss(renders: Path) -> None:
    (shard,) = dataset.shards(renders)
    for row, points, bits in zip(shard.rows(), shard.keypoints(), shard.masks(), strict=True):
        mask = denoiser._white(bits)
        weight = denoiser.importance(row["kind"], points, mask, 16)
        assert weight.mean() == pytest.approx(1, abs=2e-3)
        if row["kind"] == "person":
            x, y, seen = points[1]  # the neck
            assert seen == 0 or weight[int(y) // 16, int(x) // 16] > 1.3
            assert weight.min() < 1
        elif row["kind"] == "smear":
            assert weight[8, 8] > 2 > 1 > weight[0, 0]
        elif row["kind"] == "xray" and mask.any():
            inside = weight[mask[8::16, 8::16] > 0]
            assert inside.size == 0 or inside.min() > 1.3
        else:
            assert (weight == 1).all()


def test_control_pictures_are_what_the_conditioners_make_of_the_renders(renders: Path, tmp_path: Path) -> None:
    parts = models.load_bundle(write_toy_base(tmp_path / "toy"))
    data = denoiser.Latents(renders, parts.vae)
    (shard,) = dataset.shards(renders)
    edges = data._control("canny", 3)
    assert np.array_equal(edges, canny.draw(Path("x.png"), Image.fromarray(shard.pixels()[3]), 256))
    for kind in denoiser.CONTROLS:
        batch = data.draw(np.random.default_rng(1), 4, kind)
        assert batch.control.shape == (4, 3, 256, 256) and batch.control.amax((1, 2, 3)).min() > 0.5
    regions = data.draw(np.random.default_rng(2), 8, "mask").control
    assert set(regions.unique().tolist()) == {0.0, 1.0}


def test_a_refined_autoencoder_keeps_the_latents_that_a_denoiser_knows(renders: Path, tmp_path: Path) -> None:
    start = models.load_bundle(resources.mini_weights()).vae
    budget = autoencoder.Budget(0.1)
    refined = autoencoder.fit(renders, tmp_path / "refined.safetensors", budget, start)
    anew = autoencoder.fit(renders, tmp_path / "anew.safetensors", budget)
    picture = autoencoder._Crops(renders, seed=1).draw(4, 256)
    with torch.no_grad():
        known, near, far = (vae.encode(picture).latent_dist.mean for vae in (start, refined, anew))
    assert (near - known).square().mean() < 0.1 < 0.5 < (far - known).square().mean()
    assert not torch.equal(near, known)


def test_a_bundle_tells_all_that_it_has_behind_it(tmp_path: Path) -> None:
    stages = [
        model_card.Stage("autoencoder", 30.0, 500, "1 CPU core"),
        model_card.Stage("denoiser", 12.0, 500, "cuda", 40, 640, "In two parts."),
    ]
    card = model_card.write(tmp_path, stages).read_text()
    assert model_card.history(tmp_path) == stages
    assert "12 minutes, 40 steps, 640 pictures drawn from 500 renders, cuda. In two parts." in card
    assert model_card.history(tmp_path / "nothing") == []
    shipped = resources.mini_weights()
    written = model_card.write(tmp_path, model_card.history(shipped)).read_text()
    assert written == (shipped / "README.md").read_text()


def test_a_training_that_goes_on_is_told_once(tmp_path: Path) -> None:
    from synthgen.mini import __main__ as commands

    refined = model_card.Stage("autoencoder", 5.0, 500, "1 CPU core")
    model_card.keep(tmp_path / "stages" / "autoencoder", [refined])
    shipped = model_card.history(resources.mini_weights())
    assert commands._before(tmp_path, False) == [*shipped, refined]
    assert commands._before(tmp_path, True) == [refined]  # no denoiser has begun here: it may begin otherwise
    (tmp_path / "denoiser.json").write_text("{}")
    model_card.keep(tmp_path / "stages" / "autoencoder", [])
    assert commands._before(tmp_path, False) == [refined]  # what this one began from, whatever is installed since
