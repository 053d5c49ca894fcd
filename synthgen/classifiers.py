"""A classifier that somebody else trained: how it is opened, and how it is asked.

  model.onnx           onnxruntime
  model.pt2, model.pt  torch.export and TorchScript files; they run code, so only where the user says --trust-code
  FOLDER               a Hugging Face image classifier with config.json and safetensors; no code of its own is run
  module:function      a Python callable, only with --trust-code: a list of PIL pictures in, (n, c) scores out
  answers.csv          predictions made elsewhere: file_name, and a column for each class or one named `predicted`

All see the same pixels: decoded by image_file, fitted to the input size, scaled to [0, 1], then mean and std.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthgen import class_file, file_hash, image_file, model_file, predictions_file
from synthgen.class_file import Input
from synthgen.errors import RequestError, SynthgenError, UnreadableImage
from synthgen.model_file import BATCH, Ask, as_array, first_line, pixels
from synthgen.types import LabelledSet

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

KINDS = "an .onnx, .pt2 or .pt file, a Hugging Face folder, module:function, or a .csv of predictions"


@dataclass(frozen=True)
class Options:
    """How classifiers are opened."""

    classes_file: Path | None = None
    trust_code: bool = False
    likely_classes: tuple[str, ...] = ()  # of the real set, in order of name: taken where the file names none


@dataclass(frozen=True)
class Classifier:
    """An opened classifier."""

    name: str
    kind: str
    sha256: str  # of its file, or of its folder's weights; "" for a callable
    classes: tuple[str, ...]
    remarks: tuple[str, ...]  # what was assumed, for the report
    ask: Ask | None = None
    table: predictions_file.Table | None = None

    @property
    def scored(self) -> bool:
        """Whether it gives scores, or only the class that it chooses."""
        return self.table is None or self.table.scored

    def scores(self, pictures: LabelledSet, step: Callable[[int], None] = lambda n: None) -> np.ndarray:
        """(n, c) float64 in [0, 1], each row with sum 1, in the order of the set.

        step   told how many more pictures are done
        Raises RequestError for a picture that cannot be read or has no row, SynthgenError for answers of a wrong form
        and for a classifier that fails.
        """
        import numpy as np

        if self.table is not None:
            step(len(pictures.pictures))
            return self.table.scores(pictures)
        assert self.ask is not None
        parts = []
        for batch in _batches(pictures):
            try:
                said = np.asarray(self.ask(batch), dtype=np.float64)
            except Exception as error:  # the user's own code or network may raise anything
                raise SynthgenError(
                    f"{self.name} failed on {len(batch)} pictures: {type(error).__name__}: {first_line(error)}. It "
                    f"should give a score for each of its {len(self.classes)} classes to each. Nothing was judged."
                ) from error
            parts.append(two_dimensional(said, len(batch), len(self.classes), self.name))
            step(len(batch))
        return probabilities(np.concatenate(parts))  # of all at once: a batch of logits may look like probabilities


def open_classifier(spec: str, options: Options) -> Classifier:
    """The classifier that a path or `module:function` names.

    Raises RequestError for what is none, for code that is not trusted, and for classes or sizes that nobody states.
    """
    given = class_file.read(options.classes_file) if options.classes_file else Input()
    path = Path(spec).expanduser()
    suffix = path.suffix.lower()
    if path.is_dir():
        return _hugging_face(path, given)
    if not path.is_file():
        if ":" in spec:
            return _callable(spec, given, options)
        raise RequestError(f"there is no classifier '{spec}'. --classifier wants {KINDS}. Nothing was evaluated.")
    if suffix == ".csv":
        table = predictions_file.read(path)
        return Classifier(path.stem, "predictions", file_hash.sha256(path), table.classes, (), table=table)
    if suffix in model_file.SUFFIXES:
        return _of_file(path, given, options)
    raise RequestError(
        f"{path} is no classifier that can be opened. --classifier wants {KINDS}. Nothing was evaluated."
    )


def two_dimensional(said: np.ndarray, n: int, c: int, name: str) -> np.ndarray:
    """(n, c) as a model gave it, or (n, 1) for two classes. Raises SynthgenError for any other shape, and for NaN."""
    import numpy as np

    said = said.reshape(n, -1) if said.size and len(said) == n else said
    if said.shape != (n, c) and not (said.shape == (n, 1) and c == 2):
        raise SynthgenError(
            f"{name} gave an answer of shape {said.shape} to {n} pictures; wanted ({n}, {c}) for {c} classes. "
            "Name its classes, in its order, with --classes."
        )
    if not np.isfinite(said).all():
        raise SynthgenError(f"{name} gave scores that are no numbers (NaN or infinite). Nothing was judged.")
    return said


def probabilities(said: np.ndarray) -> np.ndarray:
    """(n, c) probabilities from what a model gives: probabilities as they are, anything else through a softmax.

    One column is the second of two classes: a probability where all lie in [0, 1], else a logit.
    """
    import numpy as np
    from scipy.special import expit, softmax

    if said.shape[1] == 1:
        second = said if said.min() >= 0 and said.max() <= 1 else expit(said)
        said = np.concatenate([1 - second, second], axis=1)
    if said.min() >= 0 and np.allclose(said.sum(axis=1), 1, atol=1e-3):
        return np.asarray(said / said.sum(axis=1, keepdims=True))
    return np.asarray(softmax(said, axis=1))


def _batches(pictures: LabelledSet) -> Iterator[list[Image.Image]]:
    for start in range(0, len(pictures.pictures), BATCH):
        yield [decoded(item.path) for item in pictures.pictures[start : start + BATCH]]


def decoded(path: Path, longest: int | None = None) -> Image.Image:
    """A picture that has to be readable: a blank in its place would be judged as if it were one."""
    try:
        return image_file.decode(path, longest).image
    except UnreadableImage as error:
        raise RequestError(f"{path}: {error}. Remove it from the set or mend it. Nothing was judged.") from error


def _classes(given: Input, stated: Sequence[str], options: Options, count: int, name: str) -> tuple[list[str], str]:
    """The classes in the model's order, and a remark where they were assumed."""
    for classes, where in ((given.classes, "--classes"), (stated, "its own file")):
        if classes:
            if count and len(classes) != count and not (count == 1 and len(classes) == 2):
                raise RequestError(
                    f"{name} has {count} outputs and {where} names {len(classes)} classes. Name each output once, in "
                    "its order, with --classes. Nothing was evaluated."
                )
            return list(classes), ""
    if count and count != len(options.likely_classes) and not (count == 1 and len(options.likely_classes) == 2):
        raise RequestError(
            f"{name} has {count} outputs, names no classes, and the labels are {len(options.likely_classes)}: "
            f"{', '.join(options.likely_classes)}. Name its classes, in its order, with --classes. Nothing was "
            "evaluated."
        )
    return list(options.likely_classes), f"{name} names no classes: the labels in order of name were taken for them"


def _of_file(path: Path, given: Input, options: Options) -> Classifier:
    """An ONNX or torch file; ONNX may name its classes in its metadata, as a list or a mapping by index."""
    import ast

    model = model_file.open_model(path, given, options.trust_code)
    said = model.stated or {}
    try:
        named = ast.literal_eval(said.get("classes") or said.get("names") or "()")
    except (ValueError, SyntaxError):
        named = ()
    listed = [str(item) for item in (named.values() if isinstance(named, dict) else named)]
    classes, remark = _classes(given, listed, options, model.outputs, path.name)
    remarks = tuple(filter(None, (*model.remarks, remark)))
    return Classifier(path.stem, model.kind, _sha256(path), tuple(classes), remarks, model.ask)


def _sha256(path: Path) -> str:
    """Of the file; of an ONNX graph whose weights lie beside it, as torch writes them, of both digests."""
    weights = path.with_name(f"{path.name}.data")
    if path.suffix.lower() != ".onnx" or not weights.is_file():
        return file_hash.sha256(path)
    return hashlib.sha256(f"{file_hash.sha256(path)}{file_hash.sha256(weights)}".encode()).hexdigest()


def _hugging_face(folder: Path, given: Input) -> Classifier:
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise RequestError(
            f"{folder} is no image classifier of Hugging Face: config.json and a .safetensors file are wanted, and "
            "other weights are not opened. Nothing was evaluated."
        )
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageClassification
    from transformers.utils import logging

    logging.disable_progress_bar()  # of weights that are read in no time
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = AutoModelForImageClassification.from_pretrained(folder, use_safetensors=True, **local).eval()
        own = (folder / "preprocessor_config.json").is_file() and not given.size
        processor = AutoImageProcessor.from_pretrained(folder, **local) if own else None
    except Exception as error:
        raise RequestError(f"{folder} cannot be opened: {first_line(error)}. Nothing was evaluated.") from error
    remarks: list[str] = []
    asked = given
    if processor is None:
        side = getattr(model.config, "image_size", None)
        asked, remarks = class_file.settled(given, (side, side) if isinstance(side, int) else None, folder.name)
    stated = [str(model.config.id2label[index]) for index in range(model.config.num_labels)]
    classes, _ = _classes(given, stated, Options(), len(stated), folder.name)

    def ask(batch: Sequence[Image.Image]) -> np.ndarray:
        with torch.inference_mode():
            if processor is not None:
                return as_array(model(**processor(images=list(batch), return_tensors="pt")).logits)
            return as_array(model(pixel_values=torch.from_numpy(pixels(batch, asked))).logits)

    digest = hashlib.sha256("".join(file_hash.sha256(path) for path in weights).encode()).hexdigest()
    return Classifier(folder.resolve().name, "hugging-face", digest, tuple(classes), tuple(remarks), ask)


def _callable(spec: str, given: Input, options: Options) -> Classifier:
    if not options.trust_code:
        raise RequestError(f"'{spec}' is code. Say --trust-code if you trust it. Nothing was imported.")
    import importlib
    import sys

    module, _, attribute = spec.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(f"'{spec}' cannot be imported: {first_line(error)}. Nothing was evaluated.") from error
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise RequestError(f"'{spec}' is no function. It gets a list of PIL pictures and gives (n, c) scores.")
    classes, remark = _classes(given, getattr(function, "classes", ()), options, 0, spec)
    return Classifier(
        spec.replace(":", "."), "callable", "", tuple(classes), tuple(filter(None, (remark,))),
        lambda batch: as_array(function(list(batch))),
    )  # fmt: skip
