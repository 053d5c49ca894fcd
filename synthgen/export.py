"""Runs in, data sets in standard formats out, each whole or not there.

export_set.sources -> licenses.require -> export_set.collect -> exporters.check -> exporters.write
  -> README, LICENSE, NOTICE, ATTRIBUTION, bom.json -> manifest.json -> checksums.sha256 -> rename
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthgen import (
    __version__,
    copy_report,
    export_card,
    export_encoding,
    export_manifest,
    export_rights,
    export_set,
    file_hash,
    licensee,
    licenses,
    materials,
    rooms,
    run_lock,
    splits,
    store,
)
from synthgen.errors import RequestError
from synthgen.export_pictures import ExportPicture, Place
from synthgen.export_quarantine import CHECKSUMS, MANIFEST
from synthgen.export_set import ExportSet
from synthgen.gates import safety
from synthgen.ledger import UNFINISHED
from synthgen.progress import Progress
from synthgen.provenance import canonical_json
from synthgen.types import Verdict

SCHEMA = "synthgen.export/1"
ZIP = "zip"


@dataclass(frozen=True)
class ExportRequest:
    """What to hand on, and how."""

    runs: tuple[Path, ...]
    formats: tuple[str, ...]
    out: Path | None = None  # RUN-export where there is one run
    use: str = "internal"
    reading: str = "strict"
    split: str = ""  # "80/10/10"; "" is one split, train
    label: str = ""  # "" is category or finding
    encoding: str = export_encoding.PNG  # or one of export_encoding.KINDS


@dataclass(frozen=True)
class Exported:
    """One format as it stands on the disk."""

    format: str
    folder: Path
    already: bool  # it was there before this command


@dataclass(frozen=True)
class ExportResult:
    """What an export came to."""

    folder: Path
    exports: tuple[Exported, ...]
    pictures: int
    splits: Mapping[str, int]
    shared: Mapping[str, int]  # what stands in several splits: key -> number of its values
    verdict: Verdict


def run(request: ExportRequest) -> ExportResult:
    """Write every format that is not there yet.

    Raises RequestError or Refused before anything is written, SynthgenError where a picture was changed; a format that
    failed leaves nothing behind, and those before it stay.
    """
    formats = tuple(dict.fromkeys(request.formats))
    export_encoding.check(request.encoding, formats)
    members = {name: rooms.member("exporters", name) for name in formats}
    shares = splits.parse(request.split) if request.split else splits.Shares()
    sources = export_set.sources(request.runs)
    out = _out(request, sources)
    about = licensee.circumstances(licenses.Circumstances(request.reading))
    verdict = licenses.require(export_set.assets(sources), request.use, about=about)
    for source in sources:
        copy_report.require(source.folder, (line["lineage"] for line in source.lines), request.use)
        safety.require(source.folder, (line["lineage"] for line in source.lines), request.use)
    export = export_set.collect(sources, verdict, request.label, shares)
    if ZIP in formats and len(formats) == 1:
        members = {members[ZIP].PACKED: rooms.member("exporters", members[ZIP].PACKED), **members}
    for name, member in members.items():
        if name != ZIP:
            member.check(export)
    _say_remarks(export)
    identity = _identity(export, shares, request.encoding)
    with run_lock.hold(out):
        already = {name: _check_place(out / name, identity) for name in formats}
        with _encoded(export, request.encoding, out, all(already.values())) as ready:
            exports = [_export(ready, out, name, identity, already[name]) for name in formats if name != ZIP]
            if ZIP in formats:
                packed = [name for name in formats if name != ZIP] or [members[ZIP].PACKED]
                exports.append(_export_zip(ready, out, packed, identity, already[ZIP]))
    return ExportResult(out, tuple(exports), len(export.pictures), export.splits, export.shared, verdict)


def _out(request: ExportRequest, sources: list[export_set.Source]) -> Path:
    if request.out is None and len(sources) > 1:
        raise RequestError("several runs make one set: say where it goes with --out DIR. Nothing was written.")
    first = sources[0].folder
    out = request.out or first.resolve().with_name(f"{first.resolve().name}-export")
    if (out / store.ABOUT).exists():
        raise RequestError(f"{out} is a run; an export would mix with it. Choose another --out. Nothing was written.")
    if request.out is None and not first.is_absolute():
        return first.with_name(out.name) if first.name not in ("", ".", "..") else out
    return out


def _say_remarks(export: ExportSet) -> None:
    if remark := licenses.remark(export.verdict):
        _say(remark)
    for made in export.runs:
        if made["made"] < made["count"]:
            _say(f"{made['name']} is not finished: {made['made']} of {made['count']} pictures are exported.")
    if len(export.splits) > 1:
        told = ", ".join(f"{count} {key}{'s' if count > 1 else ''}" for key, count in export.shared.items())
        sizes = ", ".join(f"{name} {count}" for name, count in export.splits.items())
        _say(f"splits: {sizes}; still shared between splits: {told or 'nothing that is recorded'}")


@contextlib.contextmanager
def _encoded(export: ExportSet, encoding: str, out: Path, done: bool) -> Iterator[ExportSet]:
    """The set with its pictures in this encoding; copies are kept as long as they are needed."""
    if encoding == export_encoding.PNG or done:
        yield export
        return
    place, new = out / f".{encoding}{UNFINISHED}", not out.exists()
    shutil.rmtree(place, ignore_errors=True)
    try:
        with Progress(len(export.pictures), f"encode as {encoding}", "pictures") as progress:
            ready = export_encoding.copies(export, encoding, place, progress.step)
        yield ready
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if new and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def _identity(export: ExportSet, shares: splits.Shares, encoding: str) -> str:
    """sha256 over what makes an export the same one, whatever its format."""
    told = {
        "schema": SCHEMA,
        "use": export.verdict.use,
        "reading": export.verdict.reading,
        "label": export.label,
        "shares": shares.wanted,
        "pictures": [],
        **({"encoding": encoding} if encoding != export_encoding.PNG else {}),
    }
    before, after = canonical_json(told).split('"pictures":[]')  # quotes within texts have a backslash before them
    digest = hashlib.sha256(f'{before}"pictures":['.encode())
    for number, split in enumerate(export.pictures.splits):
        row = canonical_json([*export.pictures.digests[number], split])
        digest.update(f"{',' if number else ''}{row}".encode())
    digest.update(f"]{after}".encode())
    return digest.hexdigest()


def _check_place(folder: Path, identity: str) -> bool:
    """Whether this very export is there, whole. Raises RequestError where something else is."""
    if not folder.exists() and not folder.is_symlink():
        return False
    try:
        found = export_manifest.head(folder / MANIFEST)["identity"]
    except (OSError, ValueError, KeyError):
        found = ""
    if found != identity:
        what = "another export" if found else "something that is no export of synthgen"
        raise RequestError(f"{folder} holds {what}. Choose another --out, or remove it. Nothing was written.")
    changed = _first_change(folder)
    if changed:
        raise RequestError(
            f"{folder} was changed since it was exported: {changed}. Remove the folder to export again. "
            "Nothing was written."
        )
    return True


def _first_change(folder: Path) -> str:
    """The first file that is not as checksums.sha256 has it, or ""."""
    if not (folder / CHECKSUMS).is_file():
        return f"{CHECKSUMS} is missing"
    with (folder / CHECKSUMS).open(encoding="utf-8") as lines:
        for line in lines:
            digest, _, name = line.rstrip("\n").partition("  ")
            path = folder / name
            if not path.is_file() or file_hash.sha256(path) != digest:
                return f"{name} is not what it was"
    return ""


def _export(export: ExportSet, out: Path, name: str, identity: str, already: bool) -> Exported:
    """One format: into a hidden folder, renamed when all of it is there."""
    if already:
        _say(f"{out / name} is done: {len(export.pictures)} pictures.")
        return Exported(name, out / name, True)
    member = rooms.member("exporters", name)
    with _Unfinished(out, name) as part, Progress(len(export.pictures), f"export {name}", "pictures") as progress:
        place = member.write(replace(export, on_read=progress.step), part)
        _finish(export, part, name, place, identity)
    return Exported(name, out / name, False)


def _export_zip(export: ExportSet, out: Path, packed: list[str], identity: str, already: bool) -> Exported:
    """A zip of each of the other formats; of one that was not asked for itself, which then goes again."""
    if already:
        _say(f"{out / ZIP} is done: {len(export.pictures)} pictures.")
        return Exported(ZIP, out / ZIP, True)
    member = rooms.member("exporters", ZIP)
    target, files = "", list[str]()  # of the last zip, and where in it each picture is
    with _Unfinished(out, ZIP) as part:
        for name in packed:
            source = out / name
            if not source.is_dir():
                source = part / name
                source.mkdir()
                written = rooms.member("exporters", name).write(export, source)
                _finish(export, source, name, written, identity)
            target = f"{export.name}-{name}.zip"
            member.pack(source, part / target)
            files = [str(row["file"]) for row in export_manifest.pictures(source / MANIFEST)]
            if source.parent == part:
                shutil.rmtree(source)
        _finish(export, part, ZIP, lambda picture: (target, files[picture.number]), identity)
    return Exported(ZIP, out / ZIP, False)


class _Unfinished:
    """A hidden folder beside its later self. Leaving it renames it; an error, or a kill and a next try, removes it."""

    def __init__(self, out: Path, name: str) -> None:
        self.target = out / name
        self.part = out / f".{name}{UNFINISHED}"

    def __enter__(self) -> Path:
        if self.part.exists():
            shutil.rmtree(self.part)
        self.new = not self.target.parent.exists()
        self.part.mkdir(parents=True)
        return self.part

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None:
                os.rename(self.part, self.target)
        finally:
            self._clear()

    def _clear(self) -> None:
        """Remove what was not renamed, and the folder around it if this export made it."""
        shutil.rmtree(self.part, ignore_errors=True)
        if self.new and self.part.parent.is_dir() and not any(self.part.parent.iterdir()):
            self.part.parent.rmdir()


def _finish(export: ExportSet, folder: Path, name: str, place: Place, identity: str) -> None:
    """What every format has beside its pictures; the checksums last, for they are over all the rest."""
    load = str(rooms.member("exporters", name).LOAD).replace('["png"]', f'["{export.ending[1:]}"]')
    texts = {"README.md": export_card.readme(export, name, load)}
    texts |= export_rights.texts(export.name, export.assets, export.verdict)
    texts[materials.FILE] = _bill(export, identity)
    for file_name, text in texts.items():
        (folder / file_name).write_text(text, encoding="utf-8")
    known: dict[
        str, bytes
    ] = {}  # of pictures that went out as they are; one inside another file, or another, is read again

    def rows() -> Iterator[dict[str, str]]:
        for picture in export.pictures:
            file, inside = place(picture)
            if not inside and file.endswith(export.ending):
                known[file] = bytes.fromhex(picture.sha256)
            yield _row(picture, file, inside)

    export_manifest.write(folder / MANIFEST, _manifest(export, name, identity), rows())
    with (folder / CHECKSUMS).open("w", encoding="utf-8") as lines:
        for file in _files(folder):
            if file != CHECKSUMS:
                digest = known[file].hex() if file in known else file_hash.sha256(folder / file)
                lines.write(f"{digest}  {file}\n")


def _files(folder: Path, inside: str = "") -> Iterator[str]:
    """All files by their path from the folder, in order."""
    with os.scandir(folder / inside) as found:
        names = sorted((item.name, item.is_dir()) for item in found)
    for name, more in names:
        yield from _files(folder, f"{inside}{name}/") if more else (f"{inside}{name}",)


def _bill(export: ExportSet, identity: str) -> str:
    """The bill of materials of all that is in an export."""
    verdict = export.verdict
    facts = {"use": verdict.use, "verdict": verdict.answer, "reading": verdict.reading}
    return materials.bill(materials.Made(export.name, identity, export.created, export.versions, facts), export.assets)


def _manifest(export: ExportSet, name: str, identity: str) -> dict[str, Any]:
    """All but the pictures."""
    verdict = export.verdict
    return {
        "schema": SCHEMA,
        "identity": identity,
        "synthgen": __version__,
        "format": name,
        "label": export.label,
        "runs": list(export.runs),
        "splits": export.splits,
        "shared": dict(export.shared),
        "license": {
            "use": verdict.use,
            "reading": verdict.reading,
            "verdict": verdict.answer,
            "reasons": list(verdict.reasons),
            "conditions": list(verdict.conditions),
        },
    }


def _row(picture: ExportPicture, file: str, inside: str) -> dict[str, str]:
    return {
        "file": file,
        **({"member": inside} if inside else {}),
        "job_id": picture.job_id,
        "lineage_id": picture.lineage_id,
        "sha256": picture.sha256,
        "pixel_sha256": picture.pixel_sha256,
        "split": picture.split,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
