"""Taking pictures out of an export: files into quarantine/, tables, README and checksums without them.

A picture that is packed into a file with others takes that file along; the rows of the others say so. Everything here
can be done again, so that what was killed half way is finished by the next time.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthgen import file_hash, provenance, rooms, store
from synthgen.errors import RequestError, SynthgenError, UnknownName
from synthgen.ledger import write_whole

MANIFEST, PICTURES, REVOKED, CHECKSUMS = "manifest.json", "pictures", "revoked", "checksums.sha256"
IDENTITY = "revoked:"  # put before the identity of an export that is not what it was
LIMIT_BYTES = 1 << 30
SECTION = re.compile(r"\n## Taken back\n.*?(?=\n## |\Z)", re.DOTALL)
Row = Mapping[str, Any]


def manifest(path: Path) -> dict[str, Any]:
    """A manifest.json with a list of pictures; {} for somebody else's file of that name."""
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < LIMIT_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(told, dict) or not isinstance(rows := told.get(PICTURES), list):
        return {}
    return told if all(isinstance(row, dict) and isinstance(row.get("file"), str) for row in rows) else {}


def inside(folder: Path, name: str) -> Path | None:
    """A file of the export. None for a name that leads out of it."""
    path = folder / name
    return path if path.resolve().is_relative_to(folder.resolve()) else None


def beside(told: Mapping[str, Any], rows: Sequence[Row]) -> list[Row]:
    """The pictures that are packed into one file with these and go with it."""
    files = {row["file"] for row in rows if row.get("member")}
    gone = [id(row) for row in rows]
    return [row for row in told.get(PICTURES, ()) if row["file"] in files and id(row) not in gone]


def packed(folder: Path, told: Mapping[str, Any]) -> Iterator[tuple[Row, bytes]]:
    """Pictures that lie inside other files, each with its row; what cannot be read is passed over."""
    rows = {str(row["member"]): row for row in told.get(PICTURES, ()) if row.get("member")}
    form = str(told.get("format", ""))
    try:
        if form == "zip":
            for name, row in rows.items():
                with zipfile.ZipFile(folder / row["file"]) as archive:
                    yield row, archive.read(name)
        elif rows and form in rooms.members("exporters"):
            for found in rooms.member("exporters", form).read(folder):
                if found.name in rows and isinstance(found.content, bytes):
                    yield rows[found.name], found.content
    except (OSError, KeyError, zipfile.BadZipFile, RequestError):
        return


def lineage(form: str, file: Path) -> Mapping[str, Any]:
    """What a file of an export tells of its origin; {} where it tells nothing that is whole."""
    if hasattr(member := _member(form), "lineage"):
        told: Mapping[str, Any] = member.lineage(file)
        return told
    try:
        return provenance.read(file)
    except RequestError:
        return {}


def take_out(folder: Path, rows: Sequence[Row], why: str) -> None:
    """Take these pictures of a manifest out; the same again finishes what was begun.

    Raises SynthgenError where the disk refuses.
    """
    told = manifest(folder / MANIFEST)
    fresh = [row for row in told[PICTURES] if row in rows]
    others = beside(told, fresh)
    gone = [*told.get(REVOKED, ()), *({**row, "why": why} for row in fresh)]
    gone += [{**row, "why": f"packed into one file with others: {why}"} for row in others]
    try:
        names = {str(row["file"]) for row in gone}
        if told.get("format") == "zip":  # each holds all pictures, and a row names one of them
            names |= {path.name for path in folder.glob("*.zip")}
        for name in sorted(names):
            here, there = inside(folder, name), folder / store.QUARANTINE / name
            if here and here.is_file():
                there.parent.mkdir(parents=True, exist_ok=True)
                os.replace(here, there)
        jobs = {str(row.get("job_id", "")) for row in gone} - {""}
        _mend_tables(folder, str(told.get("format", "")), jobs)
        told[PICTURES] = [row for row in told[PICTURES] if row not in fresh and row not in others]
        told[REVOKED] = gone
        if identity := str(told.get("identity", "")):
            told["identity"] = f"{IDENTITY}{identity.removeprefix(IDENTITY)}"
        _tell(folder / "README.md", len(gone))
        write_whole(folder / MANIFEST, json.dumps(told, indent=1, ensure_ascii=False).encode("utf-8") + b"\n")
        _sum_anew(folder, told[PICTURES])
    except OSError as error:
        raise SynthgenError(
            f"{folder} could not be written ({error.strerror or error}). Give the same command again once it can."
        ) from error


def _mend_tables(folder: Path, form: str, jobs: Collection[str]) -> None:
    """Rows of what is gone leave the format's own tables."""
    if hasattr(member := _member(form), "without"):
        member.without(folder, jobs)


def _member(form: str) -> Any:
    """The exporter of a format; None for one that is not known here."""
    try:
        return rooms.member("exporters", form) if form else None
    except UnknownName:
        return None


def _tell(path: Path, count: int) -> None:
    if path.is_file():
        text = SECTION.sub("", path.read_text(encoding="utf-8"))
        text += f"\n## Taken back\n\n{count} pictures of this set were revoked after it was made; see {MANIFEST}.\n"
        write_whole(path, text.encode("utf-8"))


def _sum_anew(folder: Path, pictures: Sequence[Row]) -> None:
    """checksums.sha256 of what is left; those of pictures that are files of their own are known."""
    if not (folder / CHECKSUMS).is_file():
        return
    known = {line[66:]: line[:64] for line in (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()}
    kept = {row["file"] for row in pictures}
    lines = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != CHECKSUMS and not name.startswith(f"{store.QUARANTINE}/"):
            lines.append(f"{(name in kept and known.get(name)) or file_hash.sha256(path)}  {name}\n")
    write_whole(folder / CHECKSUMS, "".join(lines).encode("utf-8"))
