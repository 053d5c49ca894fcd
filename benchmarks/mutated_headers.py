"""500 mutated adapter files: each is refused, or holds tensors equal to the original's; no traceback, little memory.

python benchmarks/mutated_headers.py                 prints a table
python benchmarks/mutated_headers.py --count 500 --out benchmarks/results/mutated_headers.json

The file is one that synthgen wrote, with the fingerprint of its tensors inside. Each mutation goes through
`synthgen adapters inspect` and, where that finds nothing, is compared with the original tensor by tensor.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthgen import cli, lora_claims, tensor_file, weights_hash

HEADER_LIMIT = tensor_file.MAX_HEADER_BYTES
Mutation = Callable[[bytes, bytes, random.Random], bytes]


def original(path: Path) -> Path:
    """A LoRA of twelve pairs in half precision, as our exporter leaves it."""
    rng = random.Random(0)
    found = {}
    for number in range(12):
        for half, shape in (("A", (4, 32)), ("B", (32, 4))):
            name = f"unet.down_blocks.{number}.attn2.to_q.lora_{half}.weight"
            found[name] = ("F16", shape, struct.pack("<128e", *(rng.uniform(-1, 1) for _ in range(128))))
    tensor_file.write(path, found, {"format": "pt", "modelspec.license": "CC-BY-NC-4.0"})
    tensor_file.write_canonical(path, {lora_claims.FINGERPRINT: weights_hash.of(path).fingerprint})
    return path


def _file(header: Any, data: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def _tensor(header: dict[str, Any], rng: random.Random) -> str:
    return rng.choice([name for name in header if name != "__metadata__"])


def flip(head: bytes, data: bytes, rng: random.Random) -> bytes:
    """One to three bytes of length or header take another value."""
    whole = bytearray(struct.pack("<Q", len(head)) + head)
    for _ in range(rng.randint(1, 3)):
        whole[rng.randrange(len(whole))] = rng.randrange(256)
    return bytes(whole) + data


def swap(head: bytes, data: bytes, rng: random.Random) -> bytes:
    """Two tensors of one shape change places."""
    header = json.loads(head)
    half = rng.choice("AB")
    one, other = rng.sample([name for name in header if f"lora_{half}" in name], 2)
    first, second = header[one]["data_offsets"], header[other]["data_offsets"]
    header[one]["data_offsets"], header[other]["data_offsets"] = second, first
    return _file(header, data)


def retype(head: bytes, data: bytes, rng: random.Random) -> bytes:
    """A dtype, a shape, an offset or a name is another."""
    header = json.loads(head)
    name = _tensor(header, rng)
    entry = header[name]
    match rng.randrange(5):
        case 0:
            entry["dtype"] = rng.choice(["BF16", "F32", "I16", "U8", "F64", "", None, ["F16"]])
        case 1:
            entry["shape"] = rng.choice([[2**62, 2**62], [-4, -32], [0], [], [4.0, 32], [128], [32, 4], "4x32"])
        case 2:
            entry["data_offsets"] = rng.choice([[0, 0], [256, 0], [-256, 0], [0, 2**63], [0], [1, 257], None])
        case 3:
            header[rng.choice(["", "a" * 600, "\x1b[2J", "lora_A", name + "x", "../" + name])] = header.pop(name)
        case _:
            entry[rng.choice(["code", "dtype2", "__reduce__"])] = "import os"
    return _file(header, data)


def double(head: bytes, data: bytes, rng: random.Random) -> bytes:
    """A name stands twice."""
    name = _tensor(json.loads(head), rng)
    entry = json.dumps(json.loads(head)[name])
    return _file(head.rstrip()[:-1] + f',"{name}":{entry}}}'.encode(), data)


def metadata(head: bytes, data: bytes, rng: random.Random) -> bytes:
    """Metadata is another: another licence, no text, much too long, or gone."""
    header = json.loads(head)
    told = header["__metadata__"]
    match rng.randrange(4):
        case 0:
            told["modelspec.license"] = "CC0-1.0"
        case 1:
            told["x"] = rng.choice([1, None, [], {}, "y" * 300_000])
        case 2:
            header["__metadata__"] = rng.choice([[], "x", 3, None])
        case _:
            told.clear()
    return _file(header, data)


def bomb(head: bytes, data: bytes, rng: random.Random) -> bytes:
    """A header that would take much memory or a deep stack to parse."""
    size = HEADER_LIMIT - 100
    makers: list[Callable[[], bytes]] = [  # only the one that is chosen is made: this process's memory is measured
        lambda: b'{"a":' + b"[" * (size - 10) + b"}",
        lambda: b'{"a":[' + b"[]," * (size // 3 - 10) + b"0]}",
        lambda: _many(b'{"%d":{}', b',"%d":{}', size // 16) + b"}",
        lambda: _many(b'{"__metadata__":{"%d":""', b',"%d":""', size // 16) + b"}}",
        lambda: b'{"__metadata__":{"a":"' + b"y" * (size - 60) + b'"}}',
        lambda: b'{"a":' + b"9" * (size - 10) + b"}",
        lambda: b'{"a":"' + b"\\\\u0041" * (size // 8),
    ]
    return _file(rng.choice(makers)(), data)


def _many(first: bytes, other: bytes, count: int) -> bytes:
    """`first` and then `other`, each with its number in it, without a list of them all."""
    made = io.BytesIO()
    for number in range(count):
        made.write((other if number else first) % number)
    return made.getvalue()


def length(head: bytes, data: bytes, rng: random.Random) -> bytes:
    """The length of the header is a lie, or the file is cut or goes on."""
    whole = struct.pack("<Q", len(head)) + head + data
    match rng.randrange(4):
        case 0:
            return struct.pack("<Q", rng.choice([0, 1, 2**40, 2**63, 2**64 - 1, len(head) + 8])) + whole[8:]
        case 1:
            return whole[: rng.randrange(len(whole))]
        case 2:
            return whole + rng.randbytes(rng.randint(1, 64))
        case _:
            return rng.choice([b"PK\x03\x04", b"\x80\x04\x95", b"\x1f\x8b\x08", b"7z\xbc\xaf'\x1c", b"BZh9"]) + whole


MUTATIONS: tuple[Mutation, ...] = (flip, flip, swap, retype, double, metadata, bomb, length)


def outcome(file: Path, proof: str) -> str:
    """One of "refused", "equal" (it opens, and its tensors are the original's), or what went wrong."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = cli.run(["adapters", "inspect", str(file)])
    if "Traceback" in said.getvalue() or "bug in synthgen" in said.getvalue():
        return f"bug: {said.getvalue()[-200:]}"
    if code == 0:
        return "equal" if weights_hash.of(file).fingerprint == proof else "opened with other tensors"
    return "refused" if code == 2 and len(said.getvalue()) < 2000 else f"exit code {code}"


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Mutate `count` times and tell what came of it."""
    whole = original(folder / "original.safetensors").read_bytes()
    proof = weights_hash.of(folder / "original.safetensors").fingerprint
    size = int.from_bytes(whole[:8], "little")
    head, data = whole[8 : 8 + size], whole[8 + size :]
    outcomes: Counter[str] = Counter()
    for seed in range(count):
        rng = random.Random(seed)
        file = folder / "mutated.safetensors"
        file.write_bytes(MUTATIONS[seed % len(MUTATIONS)](head, data, rng))
        outcomes[outcome(file, proof)] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)
    return {"mutated": count, "outcomes": dict(outcomes), "peak_memory_mb": round(peak, 1)}


def main() -> None:
    """Measure, print, and fail where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = measure(given.count, Path(folder))
    told |= {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "command": "python benchmarks/mutated_headers.py"}
    print(json.dumps(told, indent=2))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    good = set(told["outcomes"]) <= {"refused", "equal"} and told["peak_memory_mb"] < 200
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
