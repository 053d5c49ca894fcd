"""A safetensors file that nobody vouches for."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from synthgen import adapters, tensor_file
from synthgen.errors import UnfitAdapter

A, B = "unet.mid.to_q.lora_A.weight", "unet.mid.to_q.lora_B.weight"
Header = dict[str, Any]


def header(rank: int = 4) -> Header:
    """Of one sound pair: A (rank, 8) and B (6, rank), F16."""
    middle = rank * 8 * 2
    return {
        A: {"dtype": "F16", "shape": [rank, 8], "data_offsets": [0, middle]},
        B: {"dtype": "F16", "shape": [6, rank], "data_offsets": [middle, middle + 6 * rank * 2]},
    }


def put(path: Path, head: Header | str | bytes, data: int = 112) -> Path:
    """A file of this header and that many zero bytes behind it; 112 is what the sound pair needs."""
    raw = head if isinstance(head, bytes) else (head if isinstance(head, str) else json.dumps(head)).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + b"\0" * data)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "adapter.safetensors"


def test_a_sound_file_is_told_without_loading_a_tensor(file: Path) -> None:
    put(file, header())
    assert adapters.check_safetensors(file) == {A: ("F16", (4, 8)), B: ("F16", (6, 4))}


def test_what_the_library_writes_passes_and_its_metadata_comes_along(file: Path) -> None:
    tensors = {A: np.ones((4, 8), np.float32), B: np.ones((6, 4), np.float32), "alpha": np.array(8.0, np.float32)}
    save_file(tensors, file, metadata={"format": "pt", "lora_adapter_metadata": '{"r": 4}'})
    found, metadata = tensor_file.check(file)
    assert found == {A: ("F32", (4, 8)), B: ("F32", (6, 4)), "alpha": ("F32", ())}
    assert metadata == {"format": "pt", "lora_adapter_metadata": '{"r": 4}'}
    assert tensor_file.lora_ranks(file, found) == {A: 4}


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])  # 0x0280 to 0x0580: the first two bytes of a pickle
def test_a_header_whose_length_looks_like_a_pickle_is_read(file: Path, length: int) -> None:
    put(file, json.dumps(header()).ljust(length))
    assert file.read_bytes()[:1] == b"\x80"
    assert set(adapters.check_safetensors(file)) == {A, B}


@pytest.mark.parametrize(
    ("down", "up"),
    [("lora_down", "lora_up"), ("lora.down", "lora.up"), ("lora_linear_layer.down", "lora_linear_layer.up")],
)
def test_pairs_are_known_under_each_of_their_names(file: Path, down: str, up: str) -> None:
    head = {name.replace("lora_A", down).replace("lora_B", up): entry for name, entry in header().items()}
    assert list(tensor_file.lora_ranks(file, adapters.check_safetensors(put(file, head)))) == [
        A.replace("lora_A", down)
    ]


def changed(change: Callable[[Header], object]) -> Header:
    head = header()
    change(head)
    return head


TWICE = json.dumps(header())[:-1] + f', "{A}": {json.dumps(header()[A])}}}'
TWICE_BELOW = json.dumps(header()).replace('"dtype": "F16"', '"dtype": "F16", "dtype": "BF16"', 1)
TWICE_META = json.dumps(header())[:-1] + ', "__metadata__": {"license": "MIT", "license": "CC0-1.0"}}'
BAD: dict[str, tuple[Header | str | bytes, int, str]] = {
    "a name twice": (TWICE, 112, "stands twice"),
    "a field twice": (TWICE_BELOW, 112, "'dtype' stands twice"),
    "a metadata key twice": (TWICE_META, 112, "'license' stands twice"),
    "overlap": (changed(lambda h: h[B].update(data_offsets=[60, 108])), 108, "overlaps"),
    "hole": (changed(lambda h: h[B].update(data_offsets=[72, 120])), 120, "hole of 8 bytes"),
    "hole in front": (changed(lambda h: h.pop(A)), 112, "hole of 64 bytes"),
    "trailing bytes": (header(), 113, "take 112 bytes and 113 follow"),
    "cut data": (header(), 111, "take 112 bytes and 111 follow"),
    "offsets backwards": (changed(lambda h: h[A].update(data_offsets=[64, 0])), 112, "has -64 bytes"),
    "negative offsets": (changed(lambda h: h[A].update(data_offsets=[-64, 0])), 112, "has the offsets"),
    "three offsets": (changed(lambda h: h[A].update(data_offsets=[0, 64, 64])), 112, "has the offsets"),
    "a float offset": (changed(lambda h: h[A].update(data_offsets=[0.0, 64])), 112, "has the offsets"),
    "a shape that needs more": (changed(lambda h: h[A].update(shape=[4, 9])), 112, "64 bytes where its shape needs 72"),
    "a huge shape": (changed(lambda h: h[A].update(shape=[2**62, 2**62])), 112, "where its shape needs"),
    "no side": (changed(lambda h: h[A].update(shape=[0, 8], data_offsets=[0, 0])), 112, "has the shape"),
    "true as a side": (changed(lambda h: h[A].update(shape=[True, 32])), 112, "has the shape"),
    "five sides": (changed(lambda h: h[A].update(shape=[4, 8, 1, 1, 1])), 112, "at most 4 sides"),
    "an unknown dtype": (changed(lambda h: h[A].update(dtype="F64")), 112, "dtype 'F64'"),
    "an unhashable dtype": (changed(lambda h: h[A].update(dtype=["F16"])), 112, "has the dtype"),
    "an extra field": (changed(lambda h: h[A].update(code="import os")), 112, "other fields than"),
    "a missing field": (changed(lambda h: h[A].pop("shape")), 112, "other fields than"),
    "a list for a tensor": (changed(lambda h: h.update({A: []})), 112, "other fields than"),
    "a long name": (changed(lambda h: h.update({"n" * 513: h.pop(A)})), 112, "printable ASCII"),
    "a name beyond ASCII": (changed(lambda h: h.update({"unеt": h.pop(A)})), 112, "printable ASCII"),  # noqa: RUF001
    "a name with a control character": (changed(lambda h: h.update({"a\x1b[2J": h.pop(A)})), 112, "printable ASCII"),
    "metadata of numbers": (changed(lambda h: h.update(__metadata__={"rank": 4})), 112, "'rank' is no text"),
    "metadata as text": (changed(lambda h: h.update(__metadata__="x")), 112, "metadata is no object"),
    "one huge metadata value": (changed(lambda h: h.update(__metadata__={"x": "y" * 262_145})), 112, "at most 262144"),
    "much metadata": (
        changed(lambda h: h.update(__metadata__={str(n): "y" * 200_000 for n in range(6)})), 112, "at most 1048576"),
    "NaN": (json.dumps(header())[:-1] + ', "x": NaN}', 112, "NaN is no JSON"),
    "deep nesting": ('{"x": ' + "[" * 100_000 + "}", 0, "header is not sound"),
    "no JSON": ("{nothing of the kind", 0, "header is not sound"),
    "no UTF-8": (b'{"\xff": 1}', 0, "header is not sound"),
    "a list": ("[1, 2]", 0, "begins with b'\\['"),
    "a leading space": (" " + json.dumps(header()), 112, "begins with b' '"),
    "no tensors": ("{}", 0, "no LoRA pair"),
    "half a pair": (changed(lambda h: h.pop(B)), 64, "has no 'unet.mid.to_q.lora_B.weight'"),
    "two ranks": (changed(lambda h: h[B].update(shape=[4, 6])), 112, "do not fit one another"),
    "a pair of vectors": (changed(lambda h: h[B].update(shape=[24])), 112, "do not fit one another"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_an_unsound_header_is_refused_with_its_fault(file: Path, fault: str) -> None:
    head, data, said = BAD[fault]
    with pytest.raises(UnfitAdapter, match=said) as raised:
        adapters.check_safetensors(put(file, head, data))
    assert str(file) in str(raised.value)


def test_too_many_tensors_are_refused(file: Path) -> None:
    head = {f"t{n}": {"dtype": "U8", "shape": [1], "data_offsets": [n, n + 1]} for n in range(tensor_file.MAX_KEYS + 1)}
    with pytest.raises(UnfitAdapter, match="20001 tensors; at most 20000"):
        tensor_file.check(put(file, head, len(head)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has 0 bytes"),
        (b"\x10\0\0", "it has 3 bytes"),
        (struct.pack("<Q", 2**63) + b"{}", "claims 9223372036854775808 bytes"),
        (struct.pack("<Q", 8 * 2**20 + 1) + b"{" * 100, "claims 8388609 bytes"),
        (struct.pack("<Q", 1) + b"{", "claims 1 bytes"),
        (struct.pack("<Q", 500) + b'{"a": 1', "ends inside its header"),
        (b"<html>404 not found</html>", "claims"),
    ],
)
def test_a_wrong_header_length_is_refused_before_it_is_read(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(UnfitAdapter, match=said):
        adapters.check_safetensors(file)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".pth", ".PT"])
def test_a_pickle_is_refused_by_its_name(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UnfitAdapter, match=r"files are pickles.*runs whatever code is in it.*Nothing was loaded"):
        adapters.check_safetensors(put(tmp_path / f"adapter{suffix}", header()))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_renamed_pickle_is_refused_by_its_first_bytes(file: Path, protocol: int) -> None:
    file.write_bytes(pickle.dumps({"weights": list(range(900))}, protocol=protocol))
    with pytest.raises(UnfitAdapter, match="first bytes are a pickle's or a ZIP's"):
        adapters.check_safetensors(file)


def test_a_renamed_torch_archive_is_refused_by_its_first_bytes(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1]))
    with pytest.raises(UnfitAdapter, match="first bytes are a pickle's or a ZIP's"):
        adapters.check_safetensors(file)


def test_a_missing_file_is_an_error_of_its_own(file: Path) -> None:
    with pytest.raises(UnfitAdapter, match="there is no such file"):
        adapters.check_safetensors(file)


@pytest.mark.parametrize("seed", range(40))
def test_a_mutated_file_is_refused_or_means_the_same(file: Path, seed: int) -> None:
    """One byte of the header is changed: what still passes has tensors that fill the file, as the library reads it."""
    from safetensors.numpy import load_file

    random = np.random.default_rng(seed)
    raw = bytearray(put(file, header()).read_bytes())
    raw[int(random.integers(0, len(raw) - 112))] = int(random.integers(0, 256))
    file.write_bytes(raw)
    try:
        found = adapters.check_safetensors(file)
    except UnfitAdapter:
        return
    assert {name: tensor.shape for name, tensor in load_file(file).items()} == {
        n: shape for n, (_, shape) in found.items()
    }


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_tensor_that_is_not_finite_is_found(file: Path, dtype: type, value: float) -> None:
    tensors: dict[str, np.ndarray] = {A: np.full((4, 8), 60_000, dtype), B: np.full((6, 4), -1e-7, dtype)}
    save_file(tensors, file)
    assert tensor_file.not_finite(file, adapters.check_safetensors(file)) == ""
    tensors[B][3, 2] = value
    save_file(tensors, file)
    assert tensor_file.not_finite(file, adapters.check_safetensors(file)) == B


def test_bfloat16_is_looked_through_as_well(file: Path) -> None:
    head = header()
    for entry in head.values():
        entry["dtype"] = "BF16"
    raw = bytearray(put(file, head).read_bytes())
    assert tensor_file.not_finite(file, adapters.check_safetensors(file)) == ""
    raw[-2:] = b"\x80\x7f"  # bfloat16 infinity
    file.write_bytes(raw)
    assert tensor_file.not_finite(file, adapters.check_safetensors(file)) == B


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".7z", ".PTH", ".joblib"])
def test_archives_and_pickles_are_refused_by_their_extension(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UnfitAdapter, match=r"archives|pickles"):
        adapters.check_safetensors(put(tmp_path / f"x{suffix}", header()))


def test_archives_are_refused_by_what_is_inside(tmp_path: Path, file: Path) -> None:
    import gzip
    import io
    import tarfile

    (tmp_path / "a").write_bytes(b"x" * 600)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(tmp_path / "a", "a")
    for content in (gzip.compress(b"x" * 99), packed.getvalue(), b"7z\xbc\xaf\x27\x1c" + bytes(40)):
        file.write_bytes(content)
        with pytest.raises(UnfitAdapter, match="first bytes are an archive's"):
            adapters.check_safetensors(file)


def test_a_zip_hidden_in_a_tensor_is_refused(file: Path) -> None:
    import io

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps([1]))
    raw = packed.getvalue() + b""
    head = {**header(), "z": {"dtype": "U8", "shape": [len(raw)], "data_offsets": [112, 112 + len(raw)]}}
    file.write_bytes(put(file, head).read_bytes() + raw)
    assert zipfile.is_zipfile(file)
    with pytest.raises(UnfitAdapter, match="ZIP archive as well"):
        adapters.check_safetensors(file)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(UnfitAdapter, match="no plain file"):
        adapters.check_safetensors(tmp_path / "x.safetensors")


def test_mutated_files_are_refused_or_hold_the_same_tensors(tmp_path: Path) -> None:
    """The small version of benchmarks/mutated_headers.py; memory is measured there, in a process of its own."""
    import importlib.util

    place = Path(__file__).resolve().parent.parent / "benchmarks" / "mutated_headers.py"
    spec = importlib.util.spec_from_file_location("mutated_headers", place)
    assert spec and spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    told = program.measure(24, tmp_path)
    assert set(told["outcomes"]) == {"refused", "equal"} or set(told["outcomes"]) == {"refused"}
