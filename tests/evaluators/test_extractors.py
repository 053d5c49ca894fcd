"""What sees pictures: named and hashed, the same twice, and never a stranger's code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthgen.errors import RequestError, SynthgenError
from synthgen.evaluators import _extractors
from synthgen.types import LabelledPicture


@pytest.fixture
def pictures(tmp_path: Path) -> list[LabelledPicture]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(6):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path)
        made.append(LabelledPicture(path, "ab"[number % 2], "", str(number), {}))
    return made


def test_the_judge_gives_features_and_its_digest(pictures: list[LabelledPicture]) -> None:
    one = _extractors.judge()
    seen = one.features(pictures)
    assert seen.shape == (6, 160) and len(one.sha256) == 64
    assert np.array_equal(seen, one.features(pictures))
    assert np.abs(seen[0] - seen[1]).max() > 1e-3


def test_the_network_of_the_real_set_is_the_same_twice_and_hashed_by_its_weights() -> None:
    rng = np.random.default_rng(1)
    pixels, labels = rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8), np.arange(40) % 2
    one, again, other = (_extractors.trained(pixels, labels, 2, steps) for steps in (3, 3, 4))
    image = [Image.fromarray(pixels[0])]
    assert one.sha256 == again.sha256 != other.sha256 and one.learnt
    assert one.ask(image).shape == (1, 32)
    assert np.array_equal(one.ask(image), again.ask(image))


def test_models_of_the_user_are_opened_onnx_and_hugging_face(tmp_path: Path, pictures: list[LabelledPicture]) -> None:
    import torch
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 8, 8), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()).eval()
    torch.onnx.export(module, (torch.zeros(1, 3, 32, 32),), tmp_path / "seer.onnx", dynamo=True, verbose=False)
    (tmp_path / "seer.onnx.toml").write_text("mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n")
    seen = _extractors.open_extractor(str(tmp_path / "seer.onnx")).features(pictures)
    array = np.asarray(Image.open(pictures[0].path).convert("RGB").resize((32, 32))) / 127.5 - 1
    assert seen.shape == (6, 20) and np.isfinite(array).all()
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    Dinov2Model(Dinov2Config(**size)).save_pretrained(tmp_path / "dino")
    edge = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    BitImageProcessor(**edge).save_pretrained(tmp_path / "dino")
    own = _extractors.open_extractor(str(tmp_path / "dino"))
    assert own.features(pictures).shape == (6, 16) and own.name == "dino" and len(own.sha256) == 64


def test_what_is_no_extractor_is_told(tmp_path: Path) -> None:
    (tmp_path / "pt_inception.pth").write_bytes(b"something else")
    (tmp_path / "x.pt").write_bytes(b"code")
    (tmp_path / "x.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("none.onnx", "there is no extractor"),
        ("pt_inception.pth", "Only with these may a distance be called FID"),
        ("x.pt", "--trust-code"),
        ("x.txt", "is no extractor"),
        ("empty", "no model of Hugging Face"),
    ):
        with pytest.raises(RequestError, match=words):
            _extractors.open_extractor(str(tmp_path / name))


def test_features_that_are_no_numbers_are_refused(pictures: list[LabelledPicture]) -> None:
    bad = _extractors.Extractor("bad", "", lambda batch: np.full((len(batch), 3), np.nan))
    with pytest.raises(SynthgenError, match="finite"):
        bad.features(pictures)
