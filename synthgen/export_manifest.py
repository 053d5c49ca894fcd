"""manifest.json of an export, one picture a line, written and read without holding all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

OPEN, CLOSE = ' "pictures": [', " ]"  # lines of their own


def write(path: Path, head: Mapping[str, Any], pictures: Iterable[Mapping[str, Any]]) -> None:
    """The head's keys, then "pictures" with these rows."""
    before = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{before},\n{OPEN}")
        for number, row in enumerate(pictures):
            file.write(f"{',' if number else ''}\n  {json.dumps(row, ensure_ascii=False)}")
        file.write(f"\n{CLOSE}\n}}\n")


def head(path: Path) -> dict[str, Any]:
    """What stands before the pictures. Raises OSError, ValueError."""
    text = ""
    with path.open(encoding="utf-8") as file:
        for line in file:
            text += line
            if line.rstrip("\n") == OPEN:
                text += "]}"
                break
    told = json.loads(text)
    return told if isinstance(told, dict) else {}


def pictures(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the pictures in their order. Raises OSError, ValueError."""
    with path.open(encoding="utf-8") as file:
        while (line := file.readline()) and line.rstrip("\n") != OPEN:
            pass
        while (line := file.readline()) and line.rstrip("\n") != CLOSE:
            try:
                yield json.loads(line.rstrip(",\n"))
            except ValueError:  # an earlier synthgen wrote a row over several lines
                yield from json.loads(path.read_bytes())["pictures"]
                return
