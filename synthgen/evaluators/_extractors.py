"""What sees pictures for a measure of fidelity: a network, its name and the digest of its weights.

judge             the embedded judge: 160 features, trained on renders of its own
real              a small network trained here, on the training part of the real set alone: 32 features
FOLDER            a Hugging Face image model (DINOv2, CLIP, RadDINO) with safetensors
FILE              .onnx; .pt2 and TorchScript with --trust-code. FILE.toml beside it may say size, mean, std, fit
FILE.pth          weights-inception-2015-12-05-6726825d.pth, known by its digest: the only one that makes an FID
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import candidates, class_file, classifiers, file_hash, image_file, images, model_file
from synthgen.candidates import Candidate
from synthgen.errors import RequestError, SynthgenError
from synthgen.types import LabelledPicture

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

JUDGE, REAL, INCEPTION = "mini-judge", "real-alone", "inception-2015"
NAMES = ("judge", "real")
BATCH = 32
LONGEST_PX = 1024  # what pictures are decoded to before they are fitted
SMALL = Candidate("extractor", "residual", width=8, side=candidates.SIDE_PX, seed=11)
# torch-fidelity's release names the file by the first eight digits of its sha256.
INCEPTION_SHA256 = "6726825d"


@dataclass(frozen=True)
class Extractor:
    """A network that gives features."""

    name: str
    sha256: str
    ask: Callable[[Sequence[Image.Image]], np.ndarray]  # RGB pictures -> (n, d)
    remarks: tuple[str, ...] = ()
    learnt: bool = False  # from the real training part, which it may therefore not be asked about

    def features(self, pictures: Sequence[LabelledPicture], step: Callable[[int], None] = lambda n: None) -> np.ndarray:
        """(n, d) float64. Raises RequestError for a picture that cannot be read, SynthgenError for a wrong answer."""
        import numpy as np

        parts: list[np.ndarray] = []
        for start in range(0, len(pictures), BATCH):
            batch = [classifiers.decoded(item.path, LONGEST_PX) for item in pictures[start : start + BATCH]]
            said = np.asarray(self.ask(batch), dtype=np.float64)
            said = said.reshape(len(said), -1) if said.ndim > 2 else said
            if said.ndim != 2 or len(said) != len(batch) or not np.isfinite(said).all():
                raise SynthgenError(
                    f"{self.name} gave features of shape {said.shape} for {len(batch)} pictures; wanted one row of "
                    "finite numbers for each. Nothing was measured."
                )
            parts.append(said)
            step(len(batch))
        return np.concatenate(parts)


def judge() -> Extractor:
    """The embedded judge: the mean over the picture of its deepest maps."""
    import numpy as np
    import torch

    from synthgen.mini.judge import load
    from synthgen.mini.judge.network import INPUT_PX

    reader = load()
    network = reader.network

    def ask(batch: Sequence[Image.Image]) -> np.ndarray:
        stacked = np.stack([np.asarray(images.square(image, INPUT_PX)) for image in batch])
        pixels = torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            deep = network.coarse(network.middle(network.fine(network.stem(pixels))))
            return np.asarray(deep.mean((2, 3)).double().numpy())

    return Extractor(JUDGE, reader.sha256, ask)


def trained(pixels: np.ndarray, labels: np.ndarray, classes: int, steps: int) -> Extractor:
    """A small network that learnt the classes of the real training part; its features are what its last layer sees.

    pixels   (n, SIDE_PX, SIDE_PX, 3) uint8
    labels   (n,) int in [0, classes)
    """
    import numpy as np
    import torch

    module = candidates.train(SMALL, pixels, labels, classes, steps)
    digest = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(key.encode() + tensor.numpy().tobytes())
    body = module[:-1]

    def ask(batch: Sequence[Image.Image]) -> np.ndarray:
        side = candidates.SIDE_PX
        stacked = np.stack([np.asarray(images.square(image, side)) for image in batch])
        with torch.inference_mode():
            return np.asarray(body(candidates.prepared(SMALL, stacked)).double().numpy())

    return Extractor(REAL, digest.hexdigest(), ask, learnt=True)


def open_extractor(spec: str, trust_code: bool = False) -> Extractor:
    """The extractor in a file or folder. Raises RequestError for what cannot be opened, or is code not trusted."""
    path = Path(spec).expanduser()
    if path.is_dir():
        return _hugging_face(path)
    if not path.is_file():
        raise RequestError(
            f"there is no extractor '{spec}'. --extractor wants {' or '.join(NAMES)}, a Hugging Face folder, or an "
            f"{', '.join(model_file.SUFFIXES)} file. Nothing was evaluated."
        )
    digest = file_hash.sha256(path)
    if path.suffix.lower() == ".pth":
        return _inception(path, digest)
    if path.suffix.lower() not in model_file.SUFFIXES:
        raise RequestError(f"{path} is no extractor: wanted one of {', '.join(model_file.SUFFIXES)}.")
    beside = path.with_name(f"{path.name}.toml")
    given = class_file.read(beside) if beside.is_file() else class_file.Input()
    model = model_file.open_model(path, given, trust_code)
    return Extractor(path.stem, digest, model.ask, model.remarks)


def _hugging_face(folder: Path) -> Extractor:
    """The pooled features of an image model, or of the first token; for CLIP, the projected ones."""
    import torch
    from transformers import AutoImageProcessor, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # of weights that are read in no time
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise RequestError(
            f"{folder} is no model of Hugging Face: config.json and a .safetensors file are wanted, and other weights "
            "are not opened. Nothing was evaluated."
        )
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = AutoModel.from_pretrained(folder, use_safetensors=True, **local).eval()
        processor = AutoImageProcessor.from_pretrained(folder, **local)
    except Exception as error:
        raise RequestError(
            f"{folder} cannot be opened: {model_file.first_line(error)}. Nothing was evaluated."
        ) from error

    def ask(batch: Sequence[Image.Image]) -> np.ndarray:
        with torch.inference_mode():
            pixels = processor(images=list(batch), return_tensors="pt")["pixel_values"]
            return model_file.as_array(_pooled(model, pixels))

    digest = hashlib.sha256("".join(file_hash.sha256(path) for path in weights).encode()).hexdigest()
    return Extractor(folder.resolve().name, digest, ask)


def _pooled(model: Any, pixels: Any) -> Any:
    if hasattr(model, "get_image_features"):
        said = model.get_image_features(pixel_values=pixels)
        return said if hasattr(said, "shape") else said.pooler_output
    said = model(pixel_values=pixels)
    pooled = getattr(said, "pooler_output", None)
    return said.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)


def _inception(path: Path, digest: str) -> Extractor:
    """Inception-2015 as torch-fidelity builds it; the file is read as plain tensors, never as code."""
    if not digest.startswith(INCEPTION_SHA256):
        raise RequestError(
            f"{path} has the sha256 {digest[:8]}..., and the Inception weights of 2015 begin with {INCEPTION_SHA256}. "
            "Only with these may a distance be called FID. Give other networks as ONNX or a Hugging Face folder."
        )
    import numpy as np
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    plain = io.BytesIO()
    torch.save(torch.load(path, map_location="cpu", weights_only=True), plain)
    plain.seek(0)
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=plain)

    def ask(batch: Sequence[Image.Image]) -> np.ndarray:
        said = []
        for image in batch:  # one by one: the network scales each picture itself, whatever its size
            pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None]
            with torch.inference_mode():
                said.append(network(pixels)[0].double().numpy())
        return np.concatenate(said)

    return Extractor(INCEPTION, digest, ask)


def kinds(pictures: Sequence[LabelledPicture]) -> set[str]:
    """The file formats of a set, by suffix: another codec on one side is a difference that features see."""
    same = {"JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}
    return {
        next((name for name, suffixes in same.items() if suffix in suffixes), suffix.lstrip(".").upper())
        for suffix in {item.path.suffix.lower() for item in pictures} & {*image_file.SUFFIXES}
    }
