"""The gate knows one character from another, whatever they do and wherever they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthgen import images, private_photos
from synthgen.gates import identity
from synthgen.mini.world import render
from synthgen.types import AdapterUse, Job, Picture, RunFacts

CHANGES = ("pose", "view", "place")


def pictures(who: int, count: int, start: int = 0) -> list[np.ndarray]:
    """One made-up person in many poses and places."""
    fixed = {key: value for key, value in render("person", who).labels.items() if key not in CHANGES}
    return [render("person", who + 1000 * (1 + start + number), fixed, product=who).pixels for number in range(count)]


def made(pixels: np.ndarray) -> Picture:
    return Picture(Job("0", 0, "", "", 0, {}), pixels)


@pytest.fixture(scope="module")
def known() -> identity.Character:
    return identity.Character(pictures(1, 12), [])


def test_the_same_character_elsewhere_is_more_alike_than_any_other(known: identity.Character) -> None:
    same = [known.judge(made(one)).measured["identity"] for one in pictures(1, 10, start=12)]
    others = [known.judge(made(pictures(who, 1)[0])).measured["identity"] for who in range(2, 22)]
    above = np.mean([[float(one) > float(other) for other in others] for one in same])
    assert above > 0.95
    assert np.mean(np.array(same, float) >= known.null) > 0.7
    refused = [not known.judge(made(pictures(who, 1)[0])).accepted for who in range(2, 22)]
    assert np.mean(refused) > 0.8


def test_likeness_across_the_run_counts_the_pictures_that_were_kept() -> None:
    gate = identity.Character(pictures(1, 3), [])
    first, second, stranger = *pictures(1, 2, start=3), pictures(7, 1)[0]
    assert "identity_across" not in gate.judge(made(first)).measured
    gate.kept(made(first))
    alike = gate.judge(made(second)).measured["identity_across"]
    assert float(alike) > float(gate.judge(made(stranger)).measured["identity_across"])
    again = identity.Character(pictures(1, 3), [first])
    assert again.judge(made(second)).measured["identity_across"] == alike


def test_the_photos_of_an_adapter_are_those_it_was_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "mascot"
    folder.mkdir()
    for number, pixels in enumerate(pictures(1, 3)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    photos = list(images.read(folder).photos)
    private_photos.remember(tmp_path / "adapter", photos[:2], photos[2:])
    run = RunFacts(tmp_path / "run", (AdapterUse("mascot", tmp_path / "adapter"),), {})
    gate = identity.open(run)
    assert gate is not None and len(gate.photos) == 2
    assert float(gate.judge(made(pictures(1, 1)[0])).measured["identity"]) > gate.null - 0.05
    assert identity.open(RunFacts(tmp_path / "run", (), {})) is None
