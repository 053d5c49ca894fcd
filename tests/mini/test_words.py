"""Captions are read before they steer: what a caption names is known, and the reading is learned and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers.models.embeddings import TextTimeEmbedding
from transformers import CLIPTextConfig, CLIPTextModel

from synthgen.mini import models, words
from synthgen.mini.world import caption, full_caption, render

LABELS = [render(("person", "flat", "xray", "smear")[seed % 4], seed).labels for seed in range(12)]


def reader(folder: Path, seed: int = 0) -> words.Reader:
    torch.manual_seed(seed)
    rng = np.random.default_rng(0)
    tokenizer = models.build_tokenizer([caption(labels, rng) for labels in LABELS * 30], folder / "words")
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=models.TEXT_LENGTH, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return words.Reader(CLIPTextModel(config), TextTimeEmbedding(64, 48, num_heads=16), tokenizer)


def test_a_full_caption_names_every_label_and_a_bare_one_names_few() -> None:
    for labels in LABELS:
        named = words.told(labels, full_caption(labels))
        if "finding" in labels:
            assert "finding" in named
        elif "cell" in labels:
            assert named == {"cell", "stain"}
        elif "skin_tone" in labels:
            assert {"category", "colour", "pattern", "skin_tone", "place", "view", "pose", "hair_style"} <= named
        else:
            assert named == {"category", "colour", "pattern"}
        assert words.told(labels, "a photo") == set()


def test_a_colour_of_hair_is_not_taken_for_the_colour_of_the_garment() -> None:
    labels = next(labels for labels in LABELS if "skin_tone" in labels) | {"colour": "red", "hair_colour": "red"}
    text = f"a person with {labels['hair_style']} red hair wearing a sks shirt"
    assert "colour" not in words.told(labels, text)
    assert "hair_colour" in words.told(labels, text)


def test_reading_is_learned_and_comes_back_from_the_file(tmp_path: Path) -> None:
    pupil = reader(tmp_path)
    texts = [full_caption(labels) for labels in LABELS]
    optimizer = torch.optim.Adam(pupil.parameters, lr=3e-3)
    first = pupil.read(LABELS, texts)[0].item()
    for _ in range(40):
        loss, hits, asked = pupil.read(LABELS, texts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first
    assert asked > 45 and 0 < hits <= asked
    words.save(pupil, tmp_path / "words.safetensors")
    other = reader(tmp_path, seed=1)
    words.load(tmp_path / "words.safetensors", other.text_encoder, other.pooling)
    tokens = pupil.tokenizer(texts, padding=True, return_tensors="pt").input_ids
    with torch.no_grad():
        mine = pupil.pooling(pupil.text_encoder(tokens).last_hidden_state)
        theirs = other.pooling(other.text_encoder(tokens).last_hidden_state)
    assert torch.equal(mine, theirs)
