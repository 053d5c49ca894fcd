"""A network of the user's that compares pictures with sentences, CLIP or SigLIP, and reads labels with it.

FOLDER/config.json, *.safetensors       of CLIPModel, SiglipModel or Siglip2Model, as transformers saves them
FOLDER/preprocessor_config.json         and the tokenizer's files
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthgen import file_hash, label_words, model_file
from synthgen.errors import RequestError

KINDS = ("clip", "siglip", "siglip2")


def digest(folder: Path) -> str:
    """Of the weights, file by file. Raises RequestError for a folder that has none."""
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise RequestError(
            f"--label-judge {folder} is no model of Hugging Face: config.json and a .safetensors file are wanted, and "
            "other weights are not opened. Nothing was drawn."
        )
    return hashlib.sha256("".join(map(file_hash.remembered, weights)).encode()).hexdigest()


class Reader:
    """Reads labels: of the sentences for a label's values, the one that is nearest to the picture."""

    def __init__(self, folder: Path) -> None:
        """Raises RequestError for what cannot be opened or is another kind of network."""
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self.name = f"{folder.resolve().name}@{digest(folder)[:12]}"
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._model = AutoModel.from_pretrained(folder, use_safetensors=True, **local).eval()
            self._see = AutoImageProcessor.from_pretrained(folder, **local)
            self._read = AutoTokenizer.from_pretrained(folder, **local)
        except Exception as error:
            raise RequestError(
                f"--label-judge {folder} cannot be opened: {model_file.first_line(error)}. Nothing was drawn."
            ) from error
        if self._model.config.model_type not in KINDS:
            raise RequestError(
                f"--label-judge {folder} is '{self._model.config.model_type}'; wanted {', '.join(KINDS)}. Nothing was "
                "drawn."
            )
        self._known: dict[tuple[str, bool], Any] = {}  # label, whether worn -> (values, d) of its sentences

    def labels(self, pixels: Any, keys: Mapping[str, bool]) -> dict[str, str]:
        """The value of each of these labels as it is seen in a picture, (h, w, 3) uint8.

        keys  label -> whether what it names is worn
        """
        import torch
        from PIL import Image

        with torch.inference_mode():
            given = self._see(images=[Image.fromarray(pixels)], return_tensors="pt")["pixel_values"]
            seen = _unit(self._model.get_image_features(pixel_values=given))[0]
            found = {key: int((self._sentences(key, worn) @ seen).argmax()) for key, worn in keys.items()}
        return {key: list(label_words.sentences(key, keys[key]))[at] for key, at in found.items()}

    def _sentences(self, key: str, worn: bool) -> Any:
        if (key, worn) not in self._known:
            length = self._model.config.text_config.max_position_embeddings
            said = list(label_words.sentences(key, worn).values())
            given = self._read(said, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
            mask = {"attention_mask": given["attention_mask"]} if self._model.config.model_type == "clip" else {}
            self._known[key, worn] = _unit(self._model.get_text_features(input_ids=given["input_ids"], **mask))
        return self._known[key, worn]


def _unit(said: Any) -> Any:
    features = said if hasattr(said, "shape") else said.pooler_output
    return features / features.norm(dim=-1, keepdim=True).clamp(min=1e-12)
