"""Control pictures from photos: edges and masks without weights; others by real detectors, never unasked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synthgen import detector_file, guides, rooms
from synthgen.conditioners import _detector, segmentation
from synthgen.errors import RequestError

DETECTORS = ("depth", "lineart", "segmentation")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A red box on a light ground, 96 x 64 px."""
    picture = np.full((96, 64, 3), 230, np.uint8)
    picture[24:72, 16:48] = (200, 30, 30)
    Image.fromarray(picture).save(tmp_path / "box.png")
    return tmp_path / "box.png"


def control(kind: str, photo: Path, size: int = 96, weights: Path | None = None) -> Any:
    return rooms.member("conditioners", kind).open(weights)(photo, guides.picture(photo), size)


def trust(home: Path, name: str, tensors: dict[str, Any], how: str = "'{}'") -> Path:
    """Put weights where detectors are looked for, and pin them as the user would."""
    place = home / detector_file.FOLDER / name
    place.parent.mkdir(exist_ok=True)
    torch.save(tensors, place)
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    (home / detector_file.PINS).write_text(f'"{name}" = {how.format(digest)}\n')
    return place


def test_every_kind_but_pose_is_drawn_from_photos() -> None:
    assert guides.kinds() == ("canny", "depth", "lineart", "mask", "segmentation")


def test_edges_lie_on_the_border_of_what_is_in_the_photo(photo: Path) -> None:
    edges = control("canny", photo)
    assert edges.shape == (96, 96, 3) and set(np.unique(edges)) == {0, 255}
    ys, xs = np.nonzero(edges[..., 0])
    assert {ys.min() - 24, ys.max() - 72} <= {-2, -1, 0, 1} and {xs.min() - 32, xs.max() - 64} <= {-2, -1, 0, 1}
    assert not edges[40:60, 45:55].any()


def test_a_mask_is_white_on_the_product_and_one_that_is_not_found_is_asked_for(photo: Path) -> None:
    found = control("mask", photo)
    assert found[48, 48].tolist() == [255] * 3 and not found[5, 5].any() and not found[:, :14].any()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(photo.with_name("noise.png"))
    with pytest.raises(RequestError, match=r"masks/noise\.png"):
        control("mask", photo.with_name("noise.png"))


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_detector_whose_weights_are_not_here_is_refused_with_the_place_to_put_them(
    kind: str, photo: Path, own_home: Path
) -> None:
    name = rooms.member("conditioners", kind).WEIGHTS[0]
    with pytest.raises(RequestError, match=name) as told:
        guides.parse([f"{kind}={photo}"])
    assert str(own_home / "detectors") in str(told.value) and f"--condition-map {kind}=" in str(told.value)


@pytest.mark.parametrize("kind", DETECTORS)
def test_weights_of_another_network_are_refused(kind: str, photo: Path, own_home: Path) -> None:
    member = rooms.member("conditioners", kind)
    place = trust(own_home, member.WEIGHTS[-1], {"conv1.weight": torch.ones(2, 2)})
    condition = guides.parse([f"{kind}={photo}"])[0]
    assert condition.weights == place
    with pytest.raises(RequestError, match="another network"):
        member.open(condition.weights)


def test_lines_are_those_of_controlnet_aux_with_the_same_weights(photo: Path, own_home: Path) -> None:
    with _detector.quiet():
        from controlnet_aux.lineart import Generator, LineartDetector
    torch.manual_seed(0)
    network = Generator(3, 1, 3).eval()
    place = trust(own_home, "sk_model.pth", network.state_dict())
    found = control("lineart", photo, 128, place)
    from synthgen import images

    shown = np.asarray(images.square(guides.picture(photo), 128))
    theirs = LineartDetector(network, network)(shown, detect_resolution=128, image_resolution=128, output_type="np")
    assert (found == theirs).all() and found.std() > 1
    assert control("lineart", photo, 96, place).shape == (96, 96, 3)


def test_depth_is_that_of_controlnet_aux_with_the_same_weights(photo: Path, own_home: Path) -> None:
    with _detector.quiet():
        from controlnet_aux import MidasDetector
        from controlnet_aux.midas.midas.dpt_depth import DPTDepthModel

        torch.manual_seed(0)
        network = DPTDepthModel(path=None, backbone="vitb_rn50_384", non_negative=False).eval()
    place = trust(own_home, "dpt_hybrid-midas-501f0c75.pt", network.state_dict())
    found = control("depth", photo, 64, place)
    assert found.shape == (64, 64, 3) and found.dtype == np.uint8
    from synthgen import images
    from synthgen.conditioners import depth

    shown = np.asarray(images.square(guides.picture(photo), 64))
    with _detector.quiet():
        theirs = MidasDetector(network)(shown, detect_resolution=64, image_resolution=64)
        said = _detector.run(network, _detector.tensor(guides.picture(photo), 64)[0] / 127.5 - 1)
    assert (depth._grey(said) == theirs[..., 0]).all() and theirs.std() > 1
    assert not depth._grey(np.ones((1, 4, 4), np.float32)).any()


def test_regions_have_a_colour_each_the_same_every_time_and_small_ones_lie_on_top() -> None:
    large, small = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    large[:6], small[2:4, 2:4] = True, True
    picture = segmentation.coloured([small, large], 8)
    assert (picture == segmentation.coloured([large, small], 8)).all()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 3 and not picture[6:].any()
    assert (picture[2, 2] != picture[0, 0]).any()


@pytest.mark.slow
def test_segment_anything_runs_from_local_weights(photo: Path, own_home: Path) -> None:
    with _detector.quiet():
        from controlnet_aux.segment_anything import sam_model_registry
    torch.manual_seed(0)
    network = sam_model_registry["vit_t"]()
    place = trust(own_home, "mobile_sam.pt", network.state_dict())
    try:
        assert control("segmentation", photo, 64, place).shape == (64, 64, 3)
    except RequestError as told:  # weights that were drawn at random may see nothing
        assert "sees no region" in str(told)


def test_a_detector_brings_the_licence_that_the_user_states_beside_its_pin(photo: Path, own_home: Path) -> None:
    with _detector.quiet():
        from controlnet_aux.lineart import Generator
    trust(own_home, "sk_model.pth", Generator(3, 1, 3).state_dict(), "{{ sha256 = '{}', license = 'MIT' }}")
    (photo.parent / "rights.toml").write_text('owner = "Acme"\nlicense = "CC0-1.0"\n')
    found = guides.assets(guides.parse([f"lineart={photo}:0.5", "pose:0.8"]))
    assert [(one.kind, one.license) for one in found] == [("reference", "CC0-1.0"), ("control", "MIT")]
    trust(own_home, "sk_model.pth", Generator(3, 1, 3).state_dict())
    assert guides.assets(guides.parse([f"lineart={photo}"]))[1].license == "unknown"
