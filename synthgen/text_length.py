"""How much text a base reads, told from its folder alone: no tensor is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

Count = Callable[[Sequence[str]], list[int]]


def of(folder: Path) -> tuple[Count | None, int]:
    """(tokens of each text as the encoder counts them, begin and end among them; tokens that it reads).

    (None, 0) for a base whose folder does not tell, such as a single file.
    """
    words, settings = folder / "tokenizer" / "tokenizer.json", folder / "text_encoder" / "config.json"
    if not (words.is_file() and settings.is_file()):
        return None, 0
    limit = json.loads(settings.read_text(encoding="utf-8")).get("max_position_embeddings", 0)
    return (lambda texts: _count(words, texts)), int(limit)


def _count(words: Path, texts: Sequence[str]) -> list[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [len(found.ids) for found in tokenizer.encode_batch(list(texts))]
