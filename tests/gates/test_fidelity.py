"""Whether the garment in a picture is the product of the photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from synthgen.gates import fidelity
from synthgen.mini.world import render
from synthgen.types import AdapterUse, Job, Picture, RunFacts

SHIRT = {"category": "shirt", "colour": "red", "pattern": "plain"}


def thumbnails(count: int, **labels: str) -> list[np.ndarray]:
    """Photos of one product, flat, as an adapter keeps them."""
    made = [render("flat", 100 + number, {**SHIRT, **labels}, product=3).pixels for number in range(count)]
    return [cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA) for pixels in made]


def worn(number: int, **labels: str) -> Picture:
    return Picture(
        Job("0" * 16, 0, "", "", 1, {}), render("person", 900 + number, {**SHIRT, "view": "close", **labels}).pixels
    )


def facts(*uses: AdapterUse) -> RunFacts:
    return RunFacts(Path("run"), uses, {})


@pytest.fixture(scope="module")
def product() -> fidelity.Product:
    return fidelity.Product(thumbnails(6))


def test_people_in_the_product_pass_and_people_in_another_colour_do_not(product: fidelity.Product) -> None:
    own = [product.judge(worn(number)) for number in range(6)]
    others = [product.judge(worn(number, colour=colour)) for number, colour in enumerate(("blue", "green", "yellow"))]
    assert [said.accepted for said in own] == [True] * 6
    assert [said.accepted for said in others] == [False] * 3
    for said in (*own, *others):
        assert float(said.measured["colour_difference"]) > 0
        assert float(said.measured["colour_difference_null"]) == round(product.null[0], 2)
    assert "colour" in others[0].reason and "wanted" in others[0].reason


def test_colours_differ_as_ciede2000_says() -> None:
    """The first pair of the test data of Sharma, Wu and Dalal 2005: 2.0425."""

    def plain(lab: list[float]) -> Any:
        return fidelity.Look(np.tile(np.array(lab), (3, 1)), None)

    apart = fidelity.colour_difference(plain([50, 2.6772, -79.7751]), plain([50, 0, -82.7485]))
    assert apart == pytest.approx(2.0425, abs=1e-4)


def test_stripes_are_another_texture_than_plain_cloth_of_the_same_colour() -> None:
    plain, more, striped = (
        fidelity.look(photo, fidelity._mask(photo)) for photo in (*thumbnails(2), thumbnails(1, pattern="checked")[0])
    )
    same = np.abs(plain.texture - more.texture).sum()
    assert np.abs(plain.texture - striped.texture).sum() > 3 * same


def test_the_photos_come_from_the_one_adapter_of_the_run(tmp_path: Path) -> None:
    private = tmp_path / "a" / "private"
    private.mkdir(parents=True)
    np.savez_compressed(private / "thumbnails.npz", pixels=np.stack(thumbnails(3)))
    uses = [AdapterUse("a", tmp_path / "a")]
    opened = fidelity.open(facts(*uses))
    assert opened is not None and opened.judge(worn(1)).accepted
    assert fidelity.open(facts(*uses, AdapterUse("b", tmp_path / "b"))) is None
    assert fidelity.open(facts()) is None
    assert fidelity.judge(worn(1)).accepted
