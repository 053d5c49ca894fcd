"""The chunks of a PNG file and their check sums: what is seen of a change when nothing else is known of a picture."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def fault(data: bytes) -> str:
    """Where the file is not what was written: "chunk IDAT at byte 33 has a wrong check sum". "" where all is well."""
    last = b""
    try:
        for name, _, _ in chunks(data):
            last = name
    except ValueError as error:
        return str(error)
    return "" if last == b"IEND" else "it ends without an IEND chunk"


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of the content of each chunk. Raises ValueError at the first that is not sound."""
    if not data.startswith(SIGNATURE):
        raise ValueError("its first 8 bytes are not those of a PNG")
    place = len(SIGNATURE)
    while place < len(data):
        length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        end = place + 12 + length
        shown = name.decode("ascii", "replace") if name.isalpha() else "without a name"
        if end > len(data):
            raise ValueError(f"chunk {shown} at byte {place} reaches beyond the end of the file")
        if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"chunk {shown} at byte {place} has a wrong check sum")
        yield name, place + 8, length
        if name == b"IEND" and end < len(data):
            raise ValueError(f"{len(data) - end} bytes follow its end")
        place = end
