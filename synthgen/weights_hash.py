"""Which weights a safetensors file holds, in four hashes: of the file, of its tensors' bytes, and of its tensors.

Whoever edits the licence in a file's metadata changes the first hash and none of the others.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from synthgen import tensor_file

AUTOV3_DIGITS = 12  # of Civitai, see developer.civitai.com


@dataclass(frozen=True)
class Hashes:
    """Of one file, in hexadecimal digits."""

    sha256: str  # of the whole file
    data_sha256: str  # of all bytes after the header: kohya's `sshs_model_hash`
    fingerprint: str  # of names, dtypes, shapes and values, whatever their order in the file and whatever its metadata

    @property
    def autov3(self) -> str:
        """What Civitai looks a LoRA up by."""
        return self.data_sha256[:AUTOV3_DIGITS]


def of(path: Path) -> Hashes:
    """The hashes of a file, read once. Raises UnfitAdapter for a file that `tensor_file.check` refuses."""
    tensor_file.check(path)
    whole, data = hashlib.sha256(tensor_file.header_bytes(path)), hashlib.sha256()
    rows = []
    for name, dtype, shape, raw in tensor_file.tensors(path):
        whole.update(raw)
        data.update(raw)
        rows.append([name, dtype, list(shape), hashlib.sha256(raw).hexdigest()])
    told = json.dumps(sorted(rows), separators=(",", ":")).encode()
    return Hashes(whole.hexdigest(), data.hexdigest(), hashlib.sha256(told).hexdigest())
