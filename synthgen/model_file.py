"""A model in a file that somebody else made, ONNX or torch: RGB pictures in, an array out.

Torch files run code when they are opened, so only where the user says --trust-code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthgen import class_file
from synthgen.class_file import Input
from synthgen.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

BATCH = 32
TORCH_SUFFIXES = (".pt2", ".pt", ".ts", ".torchscript")
SUFFIXES = (".onnx", *TORCH_SUFFIXES)
Ask = Callable[[Sequence["Image.Image"]], "np.ndarray"]  # RGB pictures -> an array with a row for each


@dataclass(frozen=True)
class Model:
    """An opened file."""

    kind: str  # "onnx" or "torch"
    ask: Ask
    remarks: tuple[str, ...]  # what was assumed, for the report
    outputs: int = 0  # columns of the answer, 0 where the file does not say
    stated: Mapping[str, str] | None = None  # what the file says of itself


def open_model(path: Path, given: Input, trust_code: bool) -> Model:
    """The model in an .onnx, .pt2 or TorchScript file.

    given  how pictures become its input, where the file does not say
    Raises RequestError for what cannot be opened, takes no pictures, or is code that is not trusted.
    """
    return _onnx(path, given) if path.suffix.lower() == ".onnx" else _torch(path, given, trust_code)


def pixels(batch: Sequence[Image.Image], asked: Input) -> np.ndarray:
    """(n, 3, h, w) float32: fitted, in [0, 1], less the mean, by the std."""
    import numpy as np

    stacked = np.stack([np.asarray(class_file.fitted(image, asked)) for image in batch])
    scaled = (stacked.astype(np.float32) / 255 - np.asarray(asked.mean, np.float32)) / np.asarray(asked.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def as_array(said: Any) -> np.ndarray:
    """float64 from what a model gives: an array, a tensor, or a tuple whose first is one."""
    import numpy as np

    if isinstance(said, (tuple, list)) and said and hasattr(said[0], "shape"):
        said = said[0]
    return np.asarray(said.detach().float().numpy() if hasattr(said, "detach") else said, dtype=np.float64)


def first_line(error: Exception) -> str:
    """What a library says of an error, cut to one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _onnx(path: Path, given: Input) -> Model:
    import numpy as np
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors share no public class
        raise RequestError(f"{path} cannot be opened as ONNX: {first_line(error)}. Nothing was evaluated.") from error
    entry, out = session.get_inputs()[0], session.get_outputs()[0]
    if (
        len(session.get_inputs()) != 1
        or len(entry.shape) != 4
        or entry.type not in ("tensor(float)", "tensor(float16)")
    ):
        raise RequestError(
            f"{path} takes {[(item.name, item.shape, item.type) for item in session.get_inputs()]}; wanted one float "
            "input of pictures (n, 3, h, w) or (n, h, w, 3). Nothing was evaluated."
        )
    last = entry.shape[3] == 3 and entry.shape[1] != 3
    height, width = entry.shape[1:3] if last else entry.shape[2:4]
    fixed = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    asked, remarks = class_file.settled(given, fixed, path.name)
    stated = session.get_modelmeta().custom_metadata_map
    outputs = out.shape[-1] if len(out.shape) > 1 and isinstance(out.shape[-1], int) else 0
    kind = np.float16 if entry.type == "tensor(float16)" else np.float32
    size = entry.shape[0] if isinstance(entry.shape[0], int) else BATCH

    def ask(batch: Sequence[Image.Image]) -> np.ndarray:
        array = pixels(batch, asked).astype(kind)
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if last else array
        parts = []
        for start in range(0, len(array), size):
            piece = array[start : start + size]
            short = size - len(piece) if isinstance(entry.shape[0], int) else 0  # a batch of fixed size is filled up
            piece = np.concatenate([piece, np.repeat(piece[-1:], short, axis=0)]) if short else piece
            said = np.asarray(session.run([out.name], {entry.name: piece})[0])
            parts.append(said[: len(said) - short])
        return np.concatenate(parts)

    return Model("onnx", ask, tuple(remarks), outputs, stated)


def _torch(path: Path, given: Input, trust_code: bool) -> Model:
    if not trust_code:
        raise RequestError(
            f"{path} runs code when it is opened. Say --trust-code if you know where it comes from, or export it to "
            "ONNX. Nothing was opened."
        )
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix.lower() == ".pt2":
                module = torch.export.load(path).module()
            else:
                module = torch.jit.load(path, map_location="cpu").eval()
    except Exception as error:
        raise RequestError(
            f"{path} is no torch.export or TorchScript file: {first_line(error)}. Weights alone are no classifier; "
            "export it to ONNX. Nothing was evaluated."
        ) from error
    asked, remarks = class_file.settled(given, None, path.name)

    def ask(batch: Sequence[Image.Image]) -> np.ndarray:
        with torch.inference_mode():
            return as_array(module(torch.from_numpy(pixels(batch, asked))))

    return Model("torch", ask, tuple(remarks))
