"""What came from an adapter, a photo or a licence: found in runs and in exports, and taken out of them on demand.

A run takes pictures out by its ledger, see `store.revoke`. An export is a folder with a manifest.json whose `pictures`
are a list of {file, lineage_id, sha256}; its pictures go into quarantine/ and their rows into `revoked`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import adapters, file_hash, licenses, provenance, resources, store
from synthgen.card import NAME as CARD
from synthgen.errors import RequestError, SynthgenError, UnknownName
from synthgen.ledger import Ledger, write_whole

MANIFEST, PICTURES, REVOKED = "manifest.json", "pictures", "revoked"
PHOTOS = "private/photos.json"  # in an adapter's folder: which photos it was trained on
DIGEST = re.compile(r"[0-9a-f]{8,64}\Z")
LIMIT_BYTES = 1 << 30
Lineage = Mapping[str, Any]


@dataclass(frozen=True)
class Query:
    """What is taken back, in words and as a question to a lineage."""

    why: str
    matches: Callable[[Lineage], bool]


@dataclass(frozen=True)
class Place:
    """A run or an export, and what in it came from what is taken back."""

    folder: Path
    kind: str  # "run" or "export"
    rows: tuple[Mapping[str, Any], ...]  # ledger lines, or rows of the manifest
    already: int = 0  # of them in quarantine before
    packed: tuple[str, ...] = ()  # files of an export that are no files of their own, inside an archive, say


def query(roots: Sequence[Path], adapter: str = "", photo: str = "", license: str = "") -> Query:
    """Raises RequestError where not exactly one is given, UnknownName for a licence that no record has."""
    if sum(bool(text) for text in (adapter, photo, license)) != 1:
        raise RequestError("name exactly one of --adapter, --photo and --license. Nothing was changed.")
    if adapter:
        return _of_adapter(adapter)
    return _of_photo(photo, roots) if photo else _of_license(license)


def find(asked: Query, roots: Sequence[Path]) -> list[Place]:
    """Runs and exports under the roots that hold something that matches; exports by their runs or their own marks.

    Raises RequestError for a root that is no folder.
    """
    runs, exports = _places(roots)
    found, lineages = [], set()
    for run in runs:
        lines, _ = Ledger(run / store.RECORDS).read()
        hit = [line for line in lines if asked.matches(line.get("lineage") or {})]
        lineages |= {str(line.get("lineage_id")) for line in hit}
        if hit:
            gone = store.revocations(run).keys()
            found.append(Place(run, "run", tuple(hit), sum(line.get("job_id") in gone for line in hit)))
    for folder, manifest in exports:
        place = _in_export(asked, folder, manifest, lineages)
        if place:
            found.append(place)
    return found


def apply(asked: Query, places: Sequence[Place]) -> None:
    """Put all of it into quarantine; what a killed process left half done is finished.

    Raises SynthgenError where one cannot be written, RequestError where a run is in use; those before it are done.
    """
    for place in places:
        if place.kind == "run":
            store.revoke(place.folder, place.rows, asked.why)
        else:
            _quarantine(asked, place)


def _of_adapter(text: str) -> Query:
    """An adapter by its folder, its name, or the first 8 or more digits of its weights' sha256."""
    folder = Path(text)
    exact = adapters.load_card(folder).weights_sha256 if (folder / CARD).is_file() else ""

    def matches(lineage: Lineage) -> bool:
        return any(
            str(used.get("sha256")) == exact
            if exact
            else used.get("name") == text or bool(DIGEST.match(text) and str(used.get("sha256")).startswith(text))
            for used in lineage.get("adapters", ())
        )

    return Query(f"adapter {folder.name if exact else text}" + (f" ({exact[:12]})" if exact else ""), matches)


def _of_license(text: str) -> Query:
    """Everything into which something under this licence went: base, adapter, photos or poses."""
    record = licenses.load(text)
    names = {name.casefold() for name in (record.id, *record.aliases)}

    def matches(lineage: Lineage) -> bool:
        used = [lineage.get("base") or {}, *lineage.get("adapters", ())]
        said = [lineage.get("pose_license"), *(part.get(key) for part in used for key in ("license", "photos_license"))]
        return any(str(name).casefold() in names for name in said if name)

    return Query(f"licence {record.id}", matches)


def _of_photo(text: str, roots: Sequence[Path]) -> Query:
    """Everything drawn with an adapter that was trained on a photo: its file, or 8 or more digits of its sha256."""
    file = Path(text)
    digest = file_hash.sha256(file) if file.is_file() else text.lower()
    if not DIGEST.match(digest):
        raise RequestError(
            f"--photo wants the photo's file or 8 to 64 digits of its sha256, and found '{text}'. Nothing was changed."
        )
    trained = {sha for folder in _adapter_folders(roots) if (sha := _trained_on(folder, digest))}
    if not trained:
        looked = ", ".join(str(place) for place in (*resources.search("adapters"), *roots))
        raise RequestError(
            f"no adapter here was trained on photo {digest[:12]} (looked for {PHOTOS} of adapters under {looked}). "
            "Name the place that holds the adapter, or give --adapter. Nothing was changed."
        )

    def matches(lineage: Lineage) -> bool:
        return any(used.get("sha256") in trained for used in lineage.get("adapters", ()))

    return Query(f"photo {digest[:12]}", matches)


def _adapter_folders(roots: Sequence[Path]) -> Iterator[Path]:
    for place in dict.fromkeys((*resources.search("adapters"), *roots)):
        for folder, _, files in _walk(place):
            if CARD in files:
                yield folder


def _trained_on(folder: Path, digest: str) -> str:
    """sha256 of the weights of an adapter that was trained on this photo, else ""."""
    try:
        rows = json.loads((folder / PHOTOS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    if any(isinstance(row, dict) and str(row.get("sha256", "")).startswith(digest) for row in rows):
        return adapters.load_card(folder).weights_sha256
    return ""


def _places(roots: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, dict[str, Any]]]]:
    """The runs and the exports under some folders, each once."""
    runs, exports = {}, {}
    for root in roots:
        if not root.is_dir():
            raise RequestError(f"there is no folder '{root}'. Name folders that hold runs or exports.")
        for folder, folders, files in _walk(root):
            if store.ABOUT in files and store.RECORDS in files:
                runs[folder.resolve()] = folder
                folders.clear()
            elif MANIFEST in files and (manifest := _manifest(folder / MANIFEST)):
                exports[folder.resolve()] = folder, manifest
    return list(runs.values()), list(exports.values())


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Like os.walk, without links and without folders whose name begins with a dot."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), folders, files


def _manifest(path: Path) -> dict[str, Any]:
    """A manifest.json with a list of pictures; {} for somebody else's file of that name."""
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < LIMIT_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(told, dict) or not isinstance(rows := told.get(PICTURES), list):
        return {}
    return told if all(isinstance(row, dict) and isinstance(row.get("file"), str) for row in rows) else {}


def _in_export(asked: Query, folder: Path, manifest: Mapping[str, Any], lineages: set[str]) -> Place | None:
    rows = [
        row for row in manifest[PICTURES]
        if str(row.get("lineage_id")) in lineages or _says(asked, _inside(folder, row["file"]))
    ]  # fmt: skip
    before = [row for row in manifest.get(REVOKED, ()) if isinstance(row, dict) and row.get("why") == asked.why]
    packed = [row["file"] for row in rows if not _there(folder, row["file"])]
    return Place(folder, "export", (*rows, *before), len(before), tuple(packed)) if rows or before else None


def _says(asked: Query, file: Path | None) -> bool:
    """Whether the picture itself says that it came from there; for exports whose run is gone."""
    if file is None or not file.is_file():
        return False
    try:
        return asked.matches(provenance.read(file))
    except RequestError:
        return False


def _inside(folder: Path, name: str) -> Path | None:
    """A file of the export. None for a name that leads out of it."""
    path = folder / name
    return path if path.resolve().is_relative_to(folder.resolve()) else None


def _there(folder: Path, name: str) -> bool:
    """Whether a picture is a file of its own, still in its place or in quarantine already."""
    return any((file := _inside(place, name)) and file.is_file() for place in (folder, folder / store.QUARANTINE))


def _quarantine(asked: Query, place: Place) -> None:
    """Files first, then the manifest: where this is killed between the two, the next time does the rest."""
    manifest = _manifest(place.folder / MANIFEST)
    taken = [row for row in place.rows if row.get("why") is None and row["file"] not in place.packed]
    try:
        for row in taken:
            here, there = _inside(place.folder, row["file"]), place.folder / store.QUARANTINE / row["file"]
            if here and here.is_file():
                there.parent.mkdir(parents=True, exist_ok=True)
                os.replace(here, there)
        manifest[PICTURES] = [row for row in manifest[PICTURES] if row not in taken]
        manifest[REVOKED] = [*manifest.get(REVOKED, []), *({**row, "why": asked.why} for row in taken)]
        text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
        write_whole(place.folder / MANIFEST, text.encode("utf-8") + b"\n")
    except OSError as error:
        raise SynthgenError(
            f"{place.folder} could not be written ({error.strerror or error}). Give the same command again once it can."
        ) from error


def known_adapters(roots: Sequence[Path]) -> set[str]:
    """The names of adapters that are here or that pictures here were drawn with."""
    seen = set(adapters.members())
    for run in _places(roots)[0]:
        for line in Ledger(run / store.RECORDS).read()[0][:1]:
            seen |= {str(used.get("name")) for used in (line.get("lineage") or {}).get("adapters", ())}
    return seen


def check_adapter(text: str, roots: Sequence[Path]) -> None:
    """A name with a slip in it must not pass for "nothing came from it". Raises UnknownName."""
    seen = known_adapters(roots)
    if text not in seen and not DIGEST.match(text) and not (Path(text) / CARD).is_file():
        raise UnknownName("adapters", text, seen)
