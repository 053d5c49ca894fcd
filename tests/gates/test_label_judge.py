"""Labels read by a CLIP or SigLIP of the user's: what the network says of the sentences, its name and its hash."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen import generate, label_words, replay, store, vocabulary
from synthgen.errors import RequestError
from synthgen.gates import label
from synthgen.gates._sentences import Reader
from synthgen.types import Job, Picture, RunFacts

SIDE = 32


def write_judge(folder: Path, kind: str) -> Path:
    """A network of the real class at toy size, with the files that transformers puts beside it."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, SiglipConfig, SiglipModel

    from synthgen.mini import models

    texts = [text for values in label_words.SENTENCES.values() for text in values.values()] * 3
    tokenizer = models.build_tokenizer(texts, folder)
    body = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {**body, "vocab_size": len(tokenizer), "max_position_embeddings": models.TEXT_LENGTH,
             "bos_token_id": tokenizer.bos_token_id,
             "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    sight = {**body, "image_size": SIDE, "patch_size": 8}
    torch.manual_seed(3)
    model: Any
    if kind == "clip":
        model = CLIPModel(CLIPConfig(text_config=words, vision_config=sight, projection_dim=16))
    else:
        model = SiglipModel(SiglipConfig(text_config={**words, "projection_size": 32}, vision_config=sight))
    for parameter in model.parameters():
        if parameter.ndim > 1:  # as they are made they hardly tell one picture from another
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_judge(tmp_path_factory.mktemp("judges") / "clip", "clip")


def noise(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((12, 12, 1))).astype(np.uint8)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_what_is_read_is_what_the_whole_network_says_of_picture_and_sentences(kind: str, tmp_path: Path) -> None:
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder = write_judge(tmp_path / kind, kind)
    reader, model = Reader(folder), AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    see, words = AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    seen = set()
    for seed in range(4):
        for key, worn in (("place", True), ("category", True), ("category", False), ("skin_tone", True)):
            sentences = label_words.sentences(key, worn)
            length = model.config.text_config.max_position_embeddings
            given = words(list(sentences.values()), padding="max_length", max_length=length, return_tensors="pt")
            if kind == "siglip":
                given.pop("attention_mask")
            pixels = see(images=Image.fromarray(noise(seed)), return_tensors="pt")["pixel_values"]
            with torch.inference_mode():
                best = int(model(pixel_values=pixels, **given).logits_per_image[0].argmax())
            assert reader.labels(noise(seed), {key: worn}) == {key: list(sentences)[best]}
            seen.add((key, best))
    assert len(seen) > 4  # pictures are told apart


def test_the_gate_measures_what_was_asked_for_and_names_the_network(clip: Path) -> None:
    gate = label.open(RunFacts(Path(), (), {}, label_judge=clip))
    assert gate is not None and label.open(RunFacts(Path(), (), {})) is None
    read = Reader(clip).labels(noise(1), {"place": True, "category": True})
    other = next(name for name in vocabulary.PLACES if name != read["place"])
    asked = {"pose": "standing", "place": read["place"], "mood": "calm"}
    good = gate.judge(Picture(Job("a", 0, "", "", 1, asked, read["category"]), noise(1)))
    assert good.accepted and good.measured["label_agreement"] == 1.0 and good.measured["place"] == read["place"]
    assert "mood" not in good.measured and "pose" not in good.measured
    digest = hashlib.sha256((clip / "model.safetensors").read_bytes()).hexdigest()
    name = f"clip@{hashlib.sha256(digest.encode()).hexdigest()[:12]}"
    assert good.measured["label_judge"] == name
    bad = gate.judge(Picture(Job("a", 0, "", "", 1, {**asked, "place": other}, read["category"]), noise(1)))
    assert not bad.accepted and bad.reason == f"label: place is {read['place']}, asked for {other}"
    assert bad.measured["label_agreement"] == 0.5


def test_a_run_of_another_base_has_its_labels_measured_beside_those_asked_for(
    toy: Path, clip: Path, tmp_path: Path
) -> None:
    request = generate.GenerateRequest(
        count=2, base=str(toy), no_adapter=True, size=64, steps=1, batch=2, out=tmp_path / "run", label_judge=clip
    )
    generate.run(request)
    with (tmp_path / "run" / store.TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["requested_place"] and row["measured_place"] in vocabulary.PLACES for row in rows)
    assert {row["measured_label_judge"] for row in rows} == {Reader(clip).name}
    line = store.read(tmp_path / "run")[0]
    assert replay.picture(tmp_path / "run" / line["file_name"], replay.Places(base=str(toy))).status == replay.SAME


def test_what_is_no_such_network_is_refused(tmp_path: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    with pytest.raises(RequestError, match="other weights are not opened"):
        Reader(tmp_path)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPTextModel(CLIPTextConfig(vocab_size=99, **size)).save_pretrained(tmp_path)
    with pytest.raises(RequestError, match="--label-judge"):
        Reader(tmp_path)


def test_every_value_of_the_vocabulary_has_its_own_sentence() -> None:
    for values in (*label_words.SENTENCES.values(), label_words.WORN, label_words.LYING):
        assert len(set(values.values())) == len(values)
    assert label_words.WORN["outwear"] == "a photo of a person wearing a jacket"
    assert label_words.LYING["pants"] == "a photo of trousers"
