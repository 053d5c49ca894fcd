"""Teaches the text encoder what captions say before it steers pictures: labels must be readable from its output.

Learned from pictures alone, a word that colours a small part of a picture is found late: after 39,000 pictures places
were obeyed and colours of garments not at all. A minute of reading captions makes every label linearly readable at the
padding, where the UNet finds it without having to search the sentence.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from synthgen import vocabulary

_SKIN = {
    label: tuple(int(code[i : i + 2], 16) for i in (0, 2, 4)) for label, (code, _) in vocabulary.SKIN_TONES.items()
}
COLOURS = {  # label -> its values as sRGB
    "colour": vocabulary.COLOURS,
    "other_colour": vocabulary.COLOURS,
    "skin_tone": _SKIN,
    "hair_colour": vocabulary.HAIR_COLOURS,
}
CHOICES = {  # label -> its values with the words that a caption has for them
    "colour": {name: name for name in vocabulary.COLOURS},
    "category": vocabulary.CATEGORIES,
    "pattern": {name: name for name in vocabulary.PATTERNS},
    "place": vocabulary.PLACES,
    "view": vocabulary.VIEWS,
    "body_type": vocabulary.BODY_TYPES,
    "age": vocabulary.AGE_BANDS,
    "hair_style": {name: name for name in vocabulary.HAIR_STYLES},
    "finding": vocabulary.FINDINGS,
    "side": {"left": "left", "right": "right"},
}
BATCH = 96
LEARNING_RATE = 1e-3
PLACES_READ = 6  # positions of the padding that are asked, drawn anew for each batch


def fit(text_encoder: Any, tokenizer: Any, rows: list[dict[str, Any]], seconds: float, seed: int = 0) -> float:
    """Train for so many seconds; the share of choices read rightly on the last batches comes back.

    rows  {"labels": {...}} as the renders have them; captions are drawn anew each time
    """
    import torch
    import torch.nn.functional as F

    from synthgen.mini.world import caption

    width = text_encoder.config.hidden_size
    sizes = {**{f"rgb {key}": 3 for key in COLOURS}, **{key: len(values) for key, values in CHOICES.items()}}
    heads = torch.nn.ModuleDict({key: torch.nn.Linear(width, size) for key, size in sizes.items()})
    parameters = [*text_encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    rng = np.random.default_rng(seed)
    began, step, right = time.monotonic(), 0, 0.0
    while (spent := time.monotonic() - began) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 30) * max(0.05, 1 - spent / seconds)
        chosen = [rows[int(number)]["labels"] for number in rng.integers(len(rows), size=BATCH)]
        texts = [caption(labels, rng) for labels in chosen]
        tokens = tokenizer(
            texts, padding="max_length", truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt"
        )
        out = text_encoder(tokens.input_ids).last_hidden_state
        last = tokens.attention_mask.sum(1)
        where = (last[:, None] + torch.from_numpy(rng.integers(0, 64, (BATCH, PLACES_READ)))).clamp(
            max=out.shape[1] - 1
        )
        where[:, 0] = last - 1  # the end of the text itself
        read = torch.gather(out, 1, where[..., None].expand(-1, -1, width))
        loss, hits, asked = torch.zeros(()), 0.0, 0
        for key, values in COLOURS.items():
            said = [number for number, labels in enumerate(chosen) if _told(key, labels, texts[number])]
            if said:
                wanted = torch.tensor([values[chosen[number][key]] for number in said]).float() / 127.5 - 1
                loss = loss + 3 * F.mse_loss(
                    heads[f"rgb {key}"](read[said]), wanted[:, None].expand(-1, PLACES_READ, -1)
                )
        for key, choices in CHOICES.items():
            names = list(choices)
            said = [number for number, labels in enumerate(chosen) if _told(key, labels, texts[number])]
            if said:
                index = torch.tensor([names.index(chosen[number][key]) for number in said])
                guess = heads[key](read[said])
                loss = loss + F.cross_entropy(guess.flatten(0, 1), index[:, None].expand(-1, PLACES_READ).flatten())
                hits += float((guess.argmax(-1) == index[:, None]).float().mean(1).sum())
                asked += len(said)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        right = 0.95 * right + 0.05 * hits / max(asked, 1)
        if step % 25 == 0:
            print(f"words {spent:5.1f} s  step {step}  loss {loss.item():.3f}  read rightly {right:.3f}", flush=True)
    return right


def _told(key: str, labels: dict[str, str], text: str) -> bool:
    """Whether the caption says this label, as far as its words show."""
    value = labels.get(key, "")
    if not value:
        return False
    if key == "skin_tone":
        return vocabulary.SKIN_TONES[value][1] in text
    words = CHOICES[key].get(value) if key in CHOICES else value  # an X-ray's view is none of a person's
    return words is not None and words in text
