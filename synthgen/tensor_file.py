"""The header of a safetensors file, read strictly and without loading a tensor.

The safetensors library accepts duplicate names, extra fields and huge metadata; two readers can then see two files.
What passes here means one thing to every reader.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthgen.errors import UnfitAdapter

Tensors = dict[str, tuple[str, tuple[int, ...]]]  # name -> (dtype, shape)

ITEM_BYTES = {
    "F32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1,
    "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
}  # fmt: skip
FLOATS = ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
PICKLES = (".ckpt", ".pt", ".bin", ".pth", ".pkl", ".pickle", ".joblib", ".dill")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
ARCHIVE_MAGIC = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
    b"7z\xbc\xaf",
    b"Rar!",
)
MAX_HEADER_BYTES = 8 * 2**20
MAX_KEYS = 20_000
MAX_NAME = 512  # characters
MAX_DIMENSIONS = 4
MAX_METADATA_BYTES = 2**20
MAX_METADATA_VALUE_BYTES = 256 * 2**10
MAX_COMMAS = 10 * MAX_KEYS  # of a header's JSON outside its texts: what is parsed takes about 100 times their number
MAX_QUOTES = 2 * MAX_COMMAS
TEXT = re.compile(rb'"[^"]*+"')  # of JSON whose escapes were taken out
DOWN_UP = (  # how peft, kohya, and older and oldest diffusers name the two halves of a LoRA pair
    (".lora_A.", ".lora_B."),
    (".lora_down.", ".lora_up."),
    (".lora.down.", ".lora.up."),
    (".lora_linear_layer.down.", ".lora_linear_layer.up."),
    ("_lora.down.", "_lora.up."),
)


def check(path: Path) -> tuple[Tensors, dict[str, str]]:
    """(tensors, metadata) of a safetensors file, from its first 8 + n bytes.

    Raises UnfitAdapter, naming the file and what was found, for a pickle or an archive, and for every header that
    breaks a rule: at most 8 MiB, one JSON object without a duplicate key at any level, known dtypes, at most 4
    dimensions, offsets that cover the rest of the file exactly, without hole or overlap.
    """
    header, data_bytes = _header(path)
    _want(
        not _ends_as_zip(path), path, "it can be opened as a ZIP archive as well, so two readers see two things in it"
    )
    metadata = _metadata(path, header.pop("__metadata__", {}))
    _want(len(header) <= MAX_KEYS, path, f"{len(header)} tensors; at most {MAX_KEYS}")
    spans: list[tuple[int, int, str]] = []
    tensors: Tensors = {}
    for name, entry in header.items():
        dtype, shape, start, end = _entry(path, name, entry)
        tensors[name] = (dtype, shape)
        spans.append((start, end, name))
    reached = 0
    for start, end, name in sorted(spans):
        found = "overlaps another" if start < reached else f"leaves a hole of {start - reached} bytes before it"
        _want(start == reached, path, f"tensor '{name}' {found}")
        reached = end
    _want(reached == data_bytes, path, f"its tensors take {reached} bytes and {data_bytes} follow the header")
    return tensors, metadata


def not_finite(path: Path, tensors: Tensors) -> str:
    """The name of the first float tensor that holds NaN or infinity, or "". Call it on a file that passed `check`."""
    import numpy as np

    # A float is not finite when all bits of its exponent are set; so no bfloat16 type is needed to see it.
    exponents = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}
    header, _ = _header(path)
    with path.open("rb") as file:
        data = 8 + int.from_bytes(file.read(8), "little")
        for name, (dtype, _) in tensors.items():
            if dtype not in exponents:
                continue
            kind, mask = exponents[dtype]
            start, end = header[name]["data_offsets"]
            file.seek(data + start)
            bits = np.frombuffer(file.read(end - start), dtype=np.dtype(kind))
            if bool(np.any((bits & mask) == mask)):
                return name
    return ""


def header_bytes(path: Path) -> bytes:
    """The length and the header as they stand in a file that passed `check`."""
    with path.open("rb") as file:
        length = file.read(8)
        return length + file.read(int.from_bytes(length, "little"))


def tensors(path: Path) -> Iterator[tuple[str, str, tuple[int, ...], bytes]]:
    """(name, dtype, shape, raw bytes) of each tensor in the order of the file, which `check` looks through first."""
    check(path)
    header, data_bytes = _header(path)
    header.pop("__metadata__", None)
    with path.open("rb") as file:
        file.seek(-data_bytes, os.SEEK_END)
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            start, end = entry["data_offsets"]
            yield name, entry["dtype"], tuple(entry["shape"]), file.read(end - start)


def write(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file of name -> (dtype, shape, raw bytes), whole or not at all.

    The order is that of the library, widest items first and then by name; metadata is sorted. So the same content
    gives the same bytes.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    order = sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name][0]], name))
    end = 0
    for name in order:
        dtype, shape, raw = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + len(raw)]}
        end += len(raw)
    _replace(path, _header_of(header), (tensors[name][2] for name in order))


def _header_of(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _replace(path: Path, head: bytes, data: Iterator[bytes]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(head)
            file.writelines(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _want(good: bool, path: Path, found: str) -> None:
    if not good:
        raise UnfitAdapter(f"{path} is not a sound adapter file: {found}. Nothing was loaded.")


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """(the header as JSON, bytes of tensor data that follow it)."""
    if path.suffix.lower() in PICKLES:
        raise _pickle(path, f"'{path.suffix}' files are pickles")
    if path.suffix.lower() in ARCHIVES:
        raise _archive(path, f"'{path.suffix}' files are archives")
    try:
        about = path.stat()
        size = about.st_size
        _want(stat.S_ISREG(about.st_mode), path, "it is no plain file")  # reading a pipe would wait for ever
        with path.open("rb") as file:
            head = file.read(9)
            length = int.from_bytes(head[:8], "little")
            if not (len(head) == 9 and 2 <= length <= min(MAX_HEADER_BYTES, size - 8) and head[8:] == b"{"):
                raise _no_header(path, head, length, size)
            raw = head[8:] + file.read(length - 1)
    except FileNotFoundError as error:
        raise UnfitAdapter(f"{path}: there is no such file.") from error
    except OSError as error:
        raise UnfitAdapter(f"{path} cannot be read: {error.strerror}.") from error
    _want(len(raw) == length, path, "it ends inside its header")
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    quotes = bare.count(b'"')
    _want(quotes <= MAX_QUOTES, path, f"its header has {quotes // 2} texts; at most {MAX_QUOTES // 2}")
    commas = TEXT.sub(b"", bare).count(b",")
    del bare
    _want(commas <= MAX_COMMAS, path, f"its header has {commas} commas outside texts; at most {MAX_COMMAS}")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UnfitAdapter(f"{path}: its header is not sound: {str(error)[:160]}. Nothing was loaded.") from error
    return header, size - 8 - length


def _no_header(path: Path, head: bytes, length: int, size: int) -> UnfitAdapter:
    """Which of the ways it has of not being a safetensors file."""
    # A header may be 0x0280 bytes long and so begin as a pickle does; it is only asked here, where no header follows.
    if head[:4] == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
        return _pickle(path, "its first bytes are a pickle's or a ZIP's, whatever its name says")
    if head.startswith(ARCHIVE_MAGIC) or _is_tar(path):
        return _archive(path, "its first bytes are an archive's, whatever its name says")
    if len(head) < 9:
        found = f"it has {size} bytes"
    elif 2 <= length <= MAX_HEADER_BYTES:
        found = "it ends inside its header" if length > size - 8 else f"its header begins with {head[8:]!r}, not '{{'"
    else:
        found = f"its header claims {length} bytes (2 to {MAX_HEADER_BYTES} are read)"
    return UnfitAdapter(f"{path} is not a sound adapter file: {found}. Nothing was loaded.")


def _pickle(path: Path, found: str) -> UnfitAdapter:
    return UnfitAdapter(
        f"{path}: {found}, and loading a pickle runs whatever code is in it. "
        "Only safetensors is read: ask its maker for that format. Nothing was loaded."
    )


def _archive(path: Path, found: str) -> UnfitAdapter:
    return UnfitAdapter(
        f"{path}: {found}. Only a safetensors file is read: unpack it yourself, where you trust it, and name the file "
        "inside. Nothing was loaded."
    )


def _is_tar(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(257)
        return file.read(5) == b"ustar"


def _ends_as_zip(path: Path) -> bool:
    """Whether a ZIP reader would find its directory at the end of this file: a signature whose comment ends with it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 22 - 0xFFFF))
        end = file.read()
    found = end.rfind(b"PK\x05\x06")
    while found >= 0:
        comment = int.from_bytes(end[found + 20 : found + 22], "little")
        if len(end) - found >= 22 and comment == len(end) - found - 22:
            return True
        found = end.rfind(b"PK\x05\x06", 0, found)
    return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which each key stands once: of two, one reader takes the first and another the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key[:80]}' stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def json_object(text: str) -> dict[str, Any] | None:
    """A text of metadata as the JSON object that it is, with the caution of a header; None where it is none."""
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _metadata(path: Path, metadata: Any) -> dict[str, str]:
    _want(isinstance(metadata, dict), path, "its metadata is no object")
    total = 0
    for key, value in metadata.items():
        _want(isinstance(value, str), path, f"its metadata '{key[:80]}' is no text")
        length = len(value.encode("utf-8", "surrogatepass"))
        limit = MAX_METADATA_VALUE_BYTES
        _want(length <= limit, path, f"its metadata '{key[:80]}' has {length} bytes; at most {limit}")
        total += length + len(key.encode("utf-8", "surrogatepass"))
    _want(total <= MAX_METADATA_BYTES, path, f"its metadata has {total} bytes; at most {MAX_METADATA_BYTES}")
    return metadata


def _entry(path: Path, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """(dtype, shape, start, end) of one tensor."""
    printable = 0 < len(name) <= MAX_NAME and name.isascii() and name.isprintable()
    _want(printable, path, f"the tensor name {name[:60]!r} is not 1 to {MAX_NAME} printable ASCII characters")
    exact = isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}
    _want(exact, path, f"tensor '{name}' has other fields than dtype, shape, data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    _want(isinstance(dtype, str) and dtype in ITEM_BYTES, path, f"tensor '{name}' has the dtype {str(dtype)[:20]!r}")
    sound = _whole_numbers(shape, 1) and len(shape) <= MAX_DIMENSIONS
    _want(sound, path, f"tensor '{name}' has the shape {str(shape)[:60]}; at most {MAX_DIMENSIONS} sides of 1 or more")
    sound = _whole_numbers(offsets, 0) and len(offsets) == 2
    _want(sound, path, f"tensor '{name}' has the offsets {str(offsets)[:60]}")
    start, end = offsets
    needed = math.prod(shape) * ITEM_BYTES[dtype]
    _want(end - start == needed, path, f"tensor '{name}' has {end - start} bytes where its shape needs {needed}")
    return dtype, tuple(shape), start, end


def _whole_numbers(found: Any, least: int) -> bool:
    return isinstance(found, list) and all(type(number) is int and number >= least for number in found)


def write_canonical(path: Path, more: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file's header anew, metadata sorted and with `more`: the writer's order changes each run.

    The tensors are untouched, so the same weights and metadata give the same bytes and the same sha256.
    """
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    claimed = {**header.pop("__metadata__", {}), **(more or {})}
    told = {name: _sorted(text) for name, text in sorted(claimed.items())}
    _replace(path, _header_of({"__metadata__": told, **header}), iter((data[8 + length :],)))


def _sorted(text: str) -> str:
    """The same JSON with its lists of names in order: peft keeps them as sets, whose order changes with the process."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if not isinstance(value, dict):
        return text
    names = {key: sorted(item) for key, item in value.items() if isinstance(item, list) and _is_names(item)}
    return json.dumps({**value, **names}, indent=2, sort_keys=True)


def _is_names(items: list[Any]) -> bool:
    return all(isinstance(item, str) for item in items)


def lora_ranks(path: Path, tensors: Tensors) -> dict[str, int]:
    """The first half of each LoRA pair -> its rank.

    The first (A, down) has the shape (rank, in, ...), the other (B, up) (out, rank, ...). Raises UnfitAdapter for half
    a pair, for halves of different rank, and where there is no pair.
    """
    ranks: dict[str, int] = {}
    for name, (dtype, shape) in tensors.items():
        twin, leads = _twin(name)
        if not twin:
            continue
        _want(twin in tensors, path, f"the LoRA tensor '{name}' has no '{twin}'")
        other = tensors[twin][1]
        fits = len(shape) >= 2 and len(other) >= 2 and (not leads or shape[0] == other[1])
        _want(fits, path, f"the LoRA pair '{name}' {shape} and '{twin}' {other} do not fit one another")
        _want(dtype in FLOATS, path, f"the LoRA tensor '{name}' is of {dtype}, which is no kind of float")
        if leads:
            ranks[name] = shape[0]
    _want(bool(ranks), path, "it holds no LoRA pair (lora_A and lora_B, or lora_down and lora_up)")
    return ranks


def _twin(name: str) -> tuple[str, bool]:
    """(name of the other half of a LoRA pair or "", whether this is the first half)."""
    for first, second in DOWN_UP:
        if first in name:
            return name.replace(first, second), True
        if second in name:
            return name.replace(second, first), False
    return "", False
