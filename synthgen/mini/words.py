"""Teaches the text encoder what captions say before it steers pictures: labels must be readable from its pooled output.

Learned from pictures alone, a word that colours a small part of a picture is found late: after 39,000 pictures places
were obeyed and colours of garments not at all. So the encoder first learns to read captions by themselves: what it
pools into the UNet's time embedding must tell every label that the caption names. Reading a caption costs a hundredth
of drawing a picture.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import poses, vocabulary

_SKIN = {
    label: tuple(int(code[i : i + 2], 16) for i in (0, 2, 4)) for label, (code, _) in vocabulary.SKIN_TONES.items()
}
COLOURS: dict[str, Mapping[str, tuple[int, ...]]] = {  # label -> its values as sRGB: alike colours must read alike
    "colour": vocabulary.COLOURS,
    "other_colour": vocabulary.COLOURS,
    "skin_tone": _SKIN,
    "hair_colour": vocabulary.HAIR_COLOURS,
}
CHOICES: dict[str, tuple[str, ...]] = {  # label -> its values
    "category": tuple(vocabulary.CATEGORIES),
    "other_category": tuple(vocabulary.CATEGORIES),
    "colour": tuple(vocabulary.COLOURS),
    "other_colour": tuple(vocabulary.COLOURS),
    "pattern": vocabulary.PATTERNS,
    "skin_tone": tuple(vocabulary.SKIN_TONES),
    "body_type": tuple(vocabulary.BODY_TYPES),
    "age": tuple(vocabulary.AGE_BANDS),
    "hair_style": vocabulary.HAIR_STYLES,
    "hair_colour": tuple(vocabulary.HAIR_COLOURS),
    "pose": tuple(poses.groups()),
    "place": tuple(vocabulary.PLACES),
    "view": tuple(vocabulary.VIEWS),
    "finding": tuple(vocabulary.FINDINGS),
    "side": ("left", "right"),
    "severity": ("mild", "moderate", "severe"),
    "cell": vocabulary.WHITE_CELLS,
    "stain": vocabulary.STAINS,
}
BATCH = 64
LEARNING_RATE = 1.5e-3


class Reader:
    """Text encoder, the UNet's pooling of it, and one linear reading for each label."""

    def __init__(self, text_encoder: Any, pooling: Any, tokenizer: Any) -> None:
        import torch

        self.text_encoder, self.pooling, self.tokenizer = text_encoder, pooling, tokenizer
        width = pooling.proj.out_features
        sizes = {**{f"rgb {key}": 3 for key in COLOURS}, **{key: len(values) for key, values in CHOICES.items()}}
        self.heads = torch.nn.ModuleDict({key: torch.nn.Linear(width, size) for key, size in sizes.items()})
        self.parameters = [*text_encoder.parameters(), *pooling.parameters(), *self.heads.parameters()]

    def read(self, chosen: list[dict[str, str]], texts: list[str]) -> tuple[Any, float, int]:
        """(loss, labels read rightly, labels that the captions name)."""
        import torch
        import torch.nn.functional as F

        tokens = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        )  # fmt: skip
        pooled = self.pooling(self.text_encoder(tokens.input_ids).last_hidden_state)
        named = [told(labels, text) for labels, text in zip(chosen, texts, strict=True)]
        loss, hits, asked = torch.zeros(()), 0.0, 0
        for key, choices in CHOICES.items():
            said = [row for row, keys in enumerate(named) if key in keys]
            if not said:
                continue
            wanted = torch.tensor([choices.index(chosen[row][key]) for row in said])
            guess = self.heads[key](pooled[said])
            loss = loss + F.cross_entropy(guess, wanted, reduction="sum") / len(chosen)
            hits += float((guess.argmax(-1) == wanted).sum())
            asked += len(said)
            if key in COLOURS:
                values = torch.tensor([COLOURS[key][chosen[row][key]] for row in said]).float() / 127.5 - 1
                loss = loss + 3 * F.mse_loss(self.heads[f"rgb {key}"](pooled[said]), values)
        return loss, hits, asked


def told(labels: Mapping[str, str], text: str) -> set[str]:
    """The labels that this caption names."""
    from synthgen.mini.world.captions import garment_words

    if "finding" in labels:
        words = {
            "finding": vocabulary.FINDINGS[labels["finding"]],
            "side": f", {labels['side']}" if labels["side"] else "",
            "severity": labels["severity"],
        }
        return {key for key, phrase in words.items() if phrase and phrase in text}
    if "cell" in labels:
        cell = "no white cell" if labels["cell"] == "none" else labels["cell"]
        words = {"cell": cell, "stain": f"{labels['stain']} stain"}
        return {key for key, phrase in words.items() if phrase in text}
    noun = vocabulary.CATEGORIES[labels["category"]]
    found = {"category"} if noun in text else set()
    if garment_words(labels) in text:
        found |= {"category", "colour", "pattern"}
    if "skin_tone" not in labels:
        return found
    if labels["other_category"]:
        other = f"{labels['other_colour']} {vocabulary.CATEGORIES[labels['other_category']]}"
        found |= {"other_colour", "other_category"} if f"and {other}" in text or f"a {other}" in text else set()
    if f"{labels['hair_style']} {labels['hair_colour']} hair" in text:
        found |= {"hair_style", "hair_colour"}
    words = {
        "skin_tone": vocabulary.SKIN_TONES[labels["skin_tone"]][1],
        "body_type": vocabulary.BODY_TYPES[labels["body_type"]],
        "age": vocabulary.AGE_BANDS[labels["age"]],
        "place": vocabulary.PLACES[labels["place"]],
        "view": vocabulary.VIEWS[labels["view"]],
        "pose": ", " + labels["pose"].replace("-", " "),
    }
    return found | {key for key, phrase in words.items() if phrase in text}


def save(reader: Reader, path: Path) -> None:
    """Write what has been learned, the linear readings left out."""
    from safetensors.torch import save_file

    parts = {"text_encoder": reader.text_encoder, "pooling": reader.pooling}
    tensors = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    part = path.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in tensors.items()}, part)
    part.replace(path)


def load(path: Path, text_encoder: Any, pooling: Any) -> None:
    """Put what was saved into a text encoder and a pooling of the same size."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    for name, part in (("text_encoder", text_encoder), ("pooling", pooling)):
        part.load_state_dict({key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name)})


def fit(reader: Reader, rows: list[dict[str, Any]], seconds: float, seed: int = 0) -> float:
    """Train for so many seconds; the share of named labels read rightly on the last batches comes back.

    rows  {"labels": {...}} as the renders have them; captions are drawn anew each time
    """
    import torch

    from synthgen.mini.world import caption

    optimizer = torch.optim.AdamW(reader.parameters, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    rng = np.random.default_rng(seed)
    began, step, right = time.monotonic(), 0, 0.0
    while (spent := time.monotonic() - began) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 100) * max(0.03, 1 - spent / seconds)
        chosen = [rows[int(number)]["labels"] for number in rng.integers(len(rows), size=BATCH)]
        loss, hits, asked = reader.read(chosen, [caption(labels, rng) for labels in chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters, 1.0)
        optimizer.step()
        step += 1
        right = 0.95 * right + 0.05 * hits / max(asked, 1)
        if step % 25 == 0:
            print(f"words {spent:5.1f} s  step {step}  loss {loss.item():.3f}  read rightly {right:.3f}", flush=True)
    return right
