"""Every member of watermarks: invisible, the same each time, and still read after what the web does to pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from marked_run import benchmark
from PIL import Image

from synthgen import rooms, watermark

SIDES = ((256, 256), (301, 255))  # px; odd ones too


@pytest.fixture(params=rooms.members("watermarks"))
def member(request: pytest.FixtureRequest) -> Any:
    return rooms.member("watermarks", request.param)


def photo(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Soft patches with fine grain, a white ground at the left and black at the top: where values cannot go further."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), "RGB")
    pixels = np.asarray(patches.resize(shape[::-1], Image.Resampling.BICUBIC)).astype(int)
    pixels = np.clip(pixels + rng.integers(-9, 10, pixels.shape), 0, 255).astype(np.uint8)
    pixels[:, : shape[1] // 4] = 255
    pixels[: shape[0] // 8] = 0
    return pixels


def payload(member: Any, seed: int) -> Any:
    return watermark.bits(f"{np.random.default_rng(seed).integers(2**63):016x}", member.BITS)


@pytest.mark.parametrize("shape", SIDES)
def test_a_mark_is_read_again_from_what_is_left_of_a_picture(member: Any, shape: tuple[int, int]) -> None:
    for seed in range(4):
        bits = payload(member, seed)
        marked = member.embed(photo(shape, seed), bits)
        assert marked.shape == (*shape, 3) and marked.dtype == np.uint8
        for name, attack in benchmark.WATERMARK_ATTACKS.items():
            wrong = np.mean(member.read(attack(marked)) != bits)
            assert wrong <= watermark.WRONG, (name, seed, wrong)


def test_a_mark_cannot_be_seen_and_depends_on_nothing_but_the_bits(member: Any) -> None:
    pixels = photo(SIDES[0], 1)
    before = pixels.copy()
    one, two = (member.embed(pixels, payload(member, seed)) for seed in (1, 2))
    assert np.array_equal(pixels, before) and not np.array_equal(one, two)
    assert np.array_equal(one, member.embed(pixels, payload(member, 1)))
    error = np.mean((one.astype(float) - pixels) ** 2)
    assert 10 * np.log10(255**2 / error) > 40  # dB


def test_a_grey_picture_stays_grey(member: Any) -> None:
    grey = np.repeat(photo(SIDES[0], 3)[..., :1], 3, axis=2)
    marked = member.embed(grey, payload(member, 3))
    assert np.array_equal(marked[..., 0], marked[..., 1]) and np.array_equal(marked[..., 0], marked[..., 2])


def test_a_picture_without_a_mark_names_none(member: Any) -> None:
    name = member.__name__.rpartition(".")[2]
    payloads = [f"{number:016x}" for number in np.random.default_rng(6).integers(2**63, size=500)]
    lineages = [{"watermark": {"name": name, "payload": one}} for one in payloads]
    assert all(watermark.named(photo(SIDES[0], seed), lineages) is None for seed in range(10))


def test_a_picture_that_is_saved_as_jpeg_names_its_own_lineage(member: Any) -> None:
    name = member.__name__.rpartition(".")[2]
    payloads = [f"{number:016x}" for number in np.random.default_rng(5).integers(2**63, size=50)]
    lineages = [{}, *({"watermark": {"name": name, "payload": one}} for one in payloads)]
    buffer = io.BytesIO()
    Image.fromarray(member.embed(photo(SIDES[0], 4), watermark.bits(payloads[7], member.BITS))).save(
        buffer, "JPEG", quality=80
    )
    assert watermark.named(np.asarray(Image.open(buffer)), lineages) == 8
