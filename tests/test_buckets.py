"""Photos are learned in shapes of about their own proportions, nothing is enlarged, and a batch is of one shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_bases
from PIL import Image

from synthgen import bases, buckets, images, train, training_material
from synthgen.checkpoint import Settings
from synthgen.errors import RequestError
from synthgen.training_loop import Kept, Loop, Material


@pytest.mark.parametrize("side, step", [(1024, 16), (512, 8), (64, 8)])
def test_a_shape_has_the_photos_proportions_and_no_more_pixels_than_base_or_photo(side: int, step: int) -> None:
    rng = np.random.default_rng(0)
    unit = buckets.grid(side, step)
    for wide, high in [*rng.integers(unit, 6000, (300, 2)).tolist(), [side, side], [30, 20]]:
        across, up = buckets.shape((wide, high), side, step)
        assert across % unit == 0 and up % unit == 0 and across * up <= side * side
        if min(wide, high) >= 4 * unit and 0.5 <= wide / high <= 2:
            assert abs(np.log((across / up) / (wide / high))) < 0.5
        if wide >= unit and high >= unit and 0.5 <= wide / high <= 2:
            assert across <= wide and up <= high
    assert buckets.shape((side, side), side, step) == (side, side)


def test_a_photo_that_is_smaller_than_its_shape_lies_in_it_as_it_is() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 200, (20, 30, 3), np.uint8))
    framed = np.asarray(images.framed(photo, (64, 32)))
    assert framed.shape == (32, 64, 3)
    assert np.array_equal(framed[6:26, 17:47], np.asarray(photo))
    layered = photo.copy()
    layered.putalpha(255)
    assert np.array_equal(np.asarray(images.framed(layered, (64, 32)))[..., 3] > 0, (framed != framed[0, 0]).any(2))


def test_rows_of_several_shapes_are_counted_through() -> None:
    import torch

    blocks = [torch.arange(12.0).reshape(3, 4), torch.arange(8.0).reshape(2, 4), torch.arange(4.0).reshape(2, 2)]
    held = buckets.joined(blocks)
    assert [len(one) for one in buckets.ranges(held)] == [5, 2] and len(held) == 7
    assert torch.equal(held[torch.tensor([4, 0])], torch.stack([blocks[1][1], blocks[0][0]]))
    assert torch.equal(held[torch.tensor([6])], blocks[2][1:])
    with pytest.raises(IndexError):
        held[torch.tensor([4, 5])]
    assert buckets.sorted_out(held, [6, 0, 5, 2]) == [[1, 3], [0, 2]]
    assert isinstance(buckets.joined(blocks[:2]), torch.Tensor)


@pytest.fixture(scope="module")
def toy_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bases.write("sdxl", tmp_path_factory.mktemp("buckets") / "toy-sdxl")


def test_each_batch_is_of_one_shape_and_what_the_network_is_told_of_the_size_is_true(toy_sdxl: Path) -> None:
    import torch

    family, identity = bases.find(str(toy_sdxl))
    base = family.load(identity, "cpu")
    rng = torch.Generator().manual_seed(0)
    wide, high = torch.randn(4, 4, 4, 12, generator=rng), torch.randn(2, 4, 8, 8, generator=rng)
    words = base.encode_texts(["a sks shirt"] * 6 + [""])
    own = Kept.ask(base, torch.randn(2, 4, 8, 8, generator=rng), words[:2], 0)
    where = buckets.joined([torch.rand(4, 1, 4, 12, generator=rng), torch.rand(2, 1, 8, 8, generator=rng)])
    latents = buckets.joined([wide, high])
    made = Loop(
        base, Material(latents, words, latents, words[:6], own, (0,) * 6, (0, 5, 4), True, where, where),
        Settings(20, 4, 1e-2, 0, 4, 4.0),
    )  # fmt: skip
    asked: list[tuple[tuple[int, ...], list[float]]] = []
    plain = base.denoiser.forward

    def watched(noisy: torch.Tensor, *told: object, **more: dict[str, torch.Tensor]) -> object:
        asked.append((tuple(noisy.shape), more["added_cond_kwargs"]["time_ids"][0].tolist()))
        return plain(noisy, *told, **more)

    base.denoiser.forward = watched
    before = made.check(0)
    assert len(before.held) == 6 and len(before.learned) == 3
    asked.clear()
    losses = [made.step(number) for number in range(20)]
    shapes = {shape for shape, _ in asked}
    assert shapes == {(2, 4, 4, 12), (2, 4, 8, 8), (4, 4, 8, 8)}  # apart from the class, the class, both in one
    assert all(told == [8 * high, 8 * wide, 0, 0, 8 * high, 8 * wide] for (_, _, high, wide), told in asked)
    assert np.isfinite(losses).all() and made.check(20).loss < before.loss


def test_views_keep_the_shape_of_their_photo_and_squares_only_bases_say_so(toy_sdxl: Path, tmp_path: Path) -> None:
    for number, (wide, high) in enumerate([(120, 60), (60, 120), (80, 80), (40, 40), (118, 60)]):
        pixels = np.full((high, wide, 3), 230, np.uint8)
        pixels[high // 4 : -high // 4, wide // 4 : -wide // 4] = 20 + 30 * number
        Image.fromarray(pixels).save(tmp_path / f"photo-{number}.png")
    ready = train._ready(train.TrainRequest(tmp_path, base=str(toy_sdxl), size=64, category="shirt"))
    lesson, base = ready.lesson(""), ready.load()
    photos = list(ready.photos.photos)
    material = training_material.make(base, photos, photos[:2], lesson, 0)
    shapes = {tuple(part.shape[-2:]) for part in material.latents.parts}
    assert shapes == {(5, 11), (10, 6), (8, 8), (5, 5)}  # high and wide, in steps of eight px
    assert len(material.latents) == 5 * 10 and sorted(material.firsts) == [0, 10, 20, 30, 40]
    assert [part.shape[-2:] for part in material.where.parts] == [part.shape[-2:] for part in material.latents.parts]
    with pytest.raises(RequestError, match="squares"):
        train._ready(train.TrainRequest(tmp_path, buckets="on", category="shirt"))
