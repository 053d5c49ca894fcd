"""metadata.csv and metadata.jsonl beside a folder of photos: one row per picture, as the imagefolder format has it."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path

from synthgen.errors import RequestError
from synthgen.ledger import write_whole

NAMES = ("metadata.csv", "metadata.jsonl")
KEY = "file_name"
MAX_BYTES = 64 * 2**20


def drop(path: Path, jobs: Collection[str]) -> None:
    """Write a table of synthgen's own anew without the rows of these job_ids; the others keep their bytes."""
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            kept = [line for line in file if json.loads(line).get("job_id") not in jobs]
            write_whole(path, "".join(kept).encode("utf-8"))
            return
        head, *found = csv.reader(file)
    buffer = io.StringIO(newline="")
    column = head.index("job_id")
    csv.writer(buffer, lineterminator="\n").writerows([head, *(row for row in found if row[column] not in jobs)])
    write_whole(path, buffer.getvalue().encode("utf-8"))


def read(folder: Path) -> dict[str, dict[str, str]]:
    """file name (as `key` spells it) -> its row, from both tables; where both have a cell, metadata.csv wins.

    Raises RequestError, with the file and the line, for what is not UTF-8, not such a table, names a picture twice,
    or names one that is not in the folder.
    """
    table: dict[str, dict[str, str]] = {}
    present = {key(entry.name) for entry in folder.iterdir() if entry.is_file()}
    for name in reversed(NAMES):
        path = folder / name
        if not path.is_file():
            continue
        seen: dict[str, int] = {}
        for line, row in rows(path):
            named = _named(path, line, row, present)
            if named in seen:
                raise RequestError(f"{path} line {line}: '{named}' has a row already, in line {seen[named]}. Keep one.")
            seen[named] = line
            table[named] = {**table.get(named, {}), **{cell: text for cell, text in row.items() if text}}
    return table


def key(file_name: str) -> str:
    """One spelling for a name that a Mac stores decomposed and an editor writes composed."""
    return unicodedata.normalize("NFC", file_name)


def _named(path: Path, line: int, row: dict[str, str], present: set[str]) -> str:
    """The picture that this row is about."""
    named = key(row.get(KEY, "").removeprefix("./"))
    if not named:
        raise RequestError(f"{path} line {line}: the '{KEY}' cell is empty. Every row names one picture.")
    if "/" in named or "\\" in named:
        raise RequestError(f"{path} line {line}: '{named}' is not directly in {path.parent}; others are not read.")
    if named not in present:
        raise RequestError(f"{path} line {line}: there is no '{named}' in {path.parent}. Remove the row or add it.")
    return named


def read_text(path: Path, limit: int) -> str:
    """A text file that a person wrote, of at most `limit` bytes. Raises RequestError."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise RequestError(f"{path} has {size} bytes; at most {limit} are read. Shorten or remove it.")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}.") from error


def rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells) of one table, cells as stripped text. Raises RequestError for what is no such table."""
    yield from (_csv_rows if path.suffix == ".csv" else _jsonl_rows)(path, read_text(path, MAX_BYTES))


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        if KEY not in columns:
            found = ", ".join(columns)[:200] or "none"
            raise RequestError(f"{path} has no '{KEY}' column; it has: {found}. Columns are separated by commas.")
        reader.fieldnames = columns
        for row in reader:
            if None in row:
                raise RequestError(f"{path} line {reader.line_num}: more cells than columns. Quote texts with commas.")
            yield reader.line_num, {column: (cell or "").strip() for column, cell in row.items()}
    except csv.Error as error:
        raise RequestError(f"{path} line {reader.line_num}: not CSV ({error}).") from error


def _jsonl_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        try:
            row = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{path} line {line}: not JSON ({str(error)[:80]}). One object per line.") from error
        if not isinstance(row, dict) or not isinstance(row.get(KEY), str):
            raise RequestError(f"{path} line {line}: wanted an object with a text '{KEY}', found {source.strip()[:60]}")
        yield line, {str(column): told for column, cell in row.items() if (told := _text(cell)) is not None}


def _text(value: object) -> str | None:
    """A text or a number of a JSON row as text; None for what is neither."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
