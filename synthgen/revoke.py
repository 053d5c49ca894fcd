"""What came from an adapter, a photo or a licence: found in runs, exports and adapters, and taken out of use on demand.

A run takes pictures out by its ledger, see `store.revoke`. An export is a folder with a manifest.json whose `pictures`
are a list of {file, lineage_id, sha256}, see `export_quarantine`. An adapter that learned from what is taken back, or
is taken back itself, goes as a folder into quarantine/ beside it, where no name finds it. The same weights under
another name, in another layout or with another licence are the same adapter.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import (
    adapter_choice,
    adapters,
    export_quarantine,
    file_hash,
    license_expressions,
    licenses,
    provenance,
    resources,
    rights_report,
    store,
)
from synthgen.card import NAME as CARD
from synthgen.card import Card
from synthgen.civitai_flags import ID as CIVITAI
from synthgen.errors import RequestError, SynthgenError, UnfitAdapter, UnknownName
from synthgen.export_quarantine import MANIFEST, PICTURES, REVOKED, inside
from synthgen.ledger import Ledger

PHOTOS = "private/photos.json"  # in an adapter's folder: which photos it was trained on
DIGEST = re.compile(r"[0-9a-f]{8,64}\Z")
RUN, EXPORT, ADAPTER = "run", "export", "adapter"
Lineage = Mapping[str, Any]


@dataclass(frozen=True)
class Query:
    """What is taken back, in words, and as a question to a lineage and to the folder of an adapter."""

    why: str
    matches: Callable[[Lineage], bool]
    made: Callable[[Path, Card], bool]  # whether the adapter is it, or came from it


@dataclass(frozen=True)
class Place:
    """A run, an export or an adapter, and what in it came from what is taken back."""

    folder: Path
    kind: str  # RUN, EXPORT or ADAPTER
    rows: tuple[Mapping[str, Any], ...]  # ledger lines, or rows of the manifest
    already: int = 0  # of them in quarantine before
    packed: tuple[str, ...] = ()  # files of an export that hold several pictures and go as a whole
    others: int = 0  # pictures in them that did not come from it
    shipped: bool = False  # an adapter that is part of synthgen, and stays


def query(roots: Sequence[Path], adapter: str = "", photo: str = "", license: str = "") -> Query:
    """Raises RequestError where not exactly one is given, UnknownName for a licence that no record has."""
    if sum(bool(text) for text in (adapter, photo, license)) != 1:
        raise RequestError("name exactly one of --adapter, --photo and --license. Nothing was changed.")
    if adapter:
        return _of_adapter(adapter, roots)
    return _of_photo(photo, roots) if photo else _of_license(license)


def find(asked: Query, roots: Sequence[Path]) -> list[Place]:
    """Runs, exports and adapters under the roots that hold something that matches; exports by their runs or their own
    marks. Adapters are looked for where `generate` looks, too.

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
            found.append(Place(run, RUN, tuple(hit), sum(line.get("job_id") in gone for line in hit)))
    for folder, manifest in exports:
        place = _in_export(asked, folder, manifest, lineages)
        if place:
            found.append(place)
    return [*found, *_made(asked, roots)]


def apply(asked: Query, places: Sequence[Place]) -> None:
    """Put all of it into quarantine; what a killed process left half done is finished.

    Raises SynthgenError where one cannot be written, RequestError where a run is in use; those before it are done.
    """
    for place in places:
        if place.kind == RUN:
            store.revoke(place.folder, place.rows, asked.why)
            _rights_anew(place.folder)
        elif place.kind == EXPORT:
            export_quarantine.take_out(place.folder, [row for row in place.rows if row.get("why") is None], asked.why)
        elif not place.already and not place.shipped:
            _put_away(place.folder)


def _rights_anew(run: Path) -> None:
    """RUN/rights/, where it is there, of what is left; no pictures, no rights to tell."""
    if not (run / rights_report.FOLDER).is_dir():
        return
    if store.read(run):
        rights_report.rights_files(run)
    else:
        shutil.rmtree(run / rights_report.FOLDER)


def _of_adapter(text: str, roots: Sequence[Path]) -> Query:
    """An adapter by its folder, its name, or the first 8 or more digits of its weights' sha256; and its copies."""
    folder = _folder(text)
    exact = adapters.load_card(folder).weights_sha256 if folder else ""

    def named(name: Any, sha256: Any) -> bool:
        if exact:
            return str(sha256) == exact
        return name == text or bool(DIGEST.match(text) and str(sha256).startswith(text))

    here = [(place.name, card) for place, card in (*_adapters(roots), *_adapters((folder,) if folder else ()))]
    held = {card.weights_fingerprint for name, card in here if named(name, card.weights_sha256)}
    drawn = [used for lineage in _lineages(roots) for used in lineage.get("adapters", ())]
    held |= {str(used.get("fingerprint", "")) for used in drawn if named(used.get("name"), used.get("sha256"))}
    held.discard("")  # of a card from before there were fingerprints

    def matches(lineage: Lineage) -> bool:
        return any(
            named(used.get("name"), used.get("sha256")) or used.get("fingerprint") in held
            for used in lineage.get("adapters", ())
        )

    def made(place: Path, card: Card) -> bool:
        return named(place.name, card.weights_sha256) or card.weights_fingerprint in held

    return Query(f"adapter {folder.name if folder else text}" + (f" ({exact[:12]})" if exact else ""), matches, made)


def _folder(text: str) -> Path | None:
    """The folder of an adapter that is named by its path, where it was or in quarantine."""
    path = Path(text)
    places = (path, path.parent / adapters.QUARANTINE / path.name) if path.name else (path,)
    return next((place for place in places if (place / CARD).is_file()), None)


def _of_license(text: str) -> Query:
    """Everything into which something under this licence went: base, ControlNet, adapter, photos, poses.

    A licence that stands in an expression counts, on either side of an OR. LicenseRef-civitai is every set of flags.
    """
    records = licenses.names()
    record = license_expressions.resolve(text, records) or licenses.load(text)

    def is_it(stated: Any) -> bool:
        for name in license_expressions.mentioned(str(stated or ""), records):
            found = license_expressions.resolve(name, records)
            identity = found.id if found else records["unknown"].id
            if identity == record.id or (record.id == CIVITAI and identity.startswith(f"{CIVITAI}-")):
                return True
        return False

    def matches(lineage: Lineage) -> bool:
        base = lineage.get("base") or {}
        said = [
            base.get("license"),
            base.get("controlnet_license"),
            base.get("parts_license"),
            lineage.get("pose_license"),
        ]
        said += [used.get(key) for used in lineage.get("adapters", ()) for key in ("license", "photos_license")]
        assets = (lineage.get("license") or {}).get("assets", ())
        return any(is_it(stated) for stated in (*(one for one in said if one is not None), *_stated(assets)))

    def made(place: Path, card: Card) -> bool:
        return any(is_it(asset.license) for _, asset in licenses.walk([adapter_choice.asset(card)]))

    return Query(f"licence {record.id}", matches, made)


def _stated(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The licences of assets as a lineage tells them, those of what they learned from included."""
    for item in told:
        yield str(item.get("license") or "")
        yield from _stated(item.get("trained_on", ()))


def _of_photo(text: str, roots: Sequence[Path]) -> Query:
    """Everything drawn along a photo, or with an adapter that learned from it: its file, or digits of its sha256."""
    file = Path(text)
    digest = file_hash.sha256(file) if file.is_file() else text.lower()
    if not DIGEST.match(digest):
        raise RequestError(
            f"--photo wants the photo's file or 8 to 64 digits of its sha256, and found '{text}'. Nothing was changed."
        )
    taught = [card for folder, card in _adapters(roots) if _learned(folder, digest)]
    trained = {mark for card in taught for mark in (card.weights_sha256, card.weights_fingerprint) if mark}
    drawn = any(_along(lineage, digest) for lineage in _lineages(roots))
    if not trained and not drawn:
        looked = ", ".join(str(place) for place in (*resources.search("adapters"), *roots))
        raise RequestError(
            f"no adapter here was trained on photo {digest[:12]} (looked for {PHOTOS} of adapters under {looked}), and "
            "no picture of a run was drawn along it. Name the place that holds the adapter, or give --adapter. Nothing "
            "was changed."
        )

    def matches(lineage: Lineage) -> bool:
        marks = {used.get(key) for used in lineage.get("adapters", ()) for key in ("sha256", "fingerprint")}
        return _along(lineage, digest) or not trained.isdisjoint(marks)

    def made(place: Path, card: Card) -> bool:
        return card.weights_sha256 in trained or card.weights_fingerprint in trained

    return Query(f"photo {digest[:12]}", matches, made)


def _lineages(roots: Sequence[Path]) -> Iterator[Lineage]:
    """Those of every picture in the runs under the roots."""
    for run in _places(roots)[0]:
        for line in Ledger(run / store.RECORDS).read()[0]:
            yield line.get("lineage") or {}


def _along(lineage: Lineage, digest: str) -> bool:
    """Whether a picture was drawn along this photo."""
    return any(str(guide.get("sha256", "")).startswith(digest) for guide in lineage.get("guides", ()))


def _adapters(roots: Sequence[Path]) -> Iterator[tuple[Path, Card]]:
    """Every finished adapter where `generate` looks and under the roots, those in quarantine included."""
    seen = set()
    for place in (*resources.search("adapters"), *roots):
        for folder, _, files in _walk(place):
            if CARD in files and folder.resolve() not in seen:
                seen.add(folder.resolve())
                try:
                    yield folder, adapters.load_card(folder)
                except UnfitAdapter:
                    continue


def _made(asked: Query, roots: Sequence[Path]) -> Iterator[Place]:
    shipped = resources.shipped("adapters").resolve()
    for folder, card in _adapters(roots):
        if asked.made(folder, card):
            row = {"file": adapters.WEIGHTS, "sha256": card.weights_sha256}
            away = folder.resolve().parent.name == adapters.QUARANTINE
            yield Place(folder, ADAPTER, (row,), int(away), shipped=folder.resolve().is_relative_to(shipped))


def _put_away(folder: Path) -> None:
    """Move an adapter's folder into quarantine/ beside it."""
    target = folder.parent / adapters.QUARANTINE / folder.name
    try:
        target.parent.mkdir(exist_ok=True)
        if target.exists():  # another one of that name, taken back before
            target = target.with_name(f"{folder.name}-{adapters.load_card(folder).weights_sha256[:12]}")
        os.rename(folder, target)
    except OSError as error:
        raise SynthgenError(
            f"{folder} could not be moved to {target} ({error.strerror or error}). Give the same command again once it "
            "can be."
        ) from error


def _learned(folder: Path, digest: str) -> bool:
    """Whether an adapter was trained on this photo."""
    try:
        rows = json.loads((folder / PHOTOS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return any(isinstance(row, dict) and str(row.get("sha256", "")).startswith(digest) for row in rows)


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
            elif MANIFEST in files and (manifest := export_quarantine.manifest(folder / MANIFEST)):
                exports[folder.resolve()] = folder, manifest
    return list(runs.values()), list(exports.values())


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Like os.walk, without links and without folders whose name begins with a dot."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), folders, files


def _in_export(asked: Query, folder: Path, manifest: Mapping[str, Any], lineages: set[str]) -> Place | None:
    form = str(manifest.get("format", ""))
    packed_rows = (
        {str(row.get("lineage_id")) for row, data in export_quarantine.packed(folder, manifest) if _says(asked, data)}
        if not lineages & {str(row.get("lineage_id")) for row in manifest[PICTURES]}
        else set()
    )  # a set whose run is here is known by it, and need not be unpacked
    rows = [
        row for row in manifest[PICTURES]
        if str(row.get("lineage_id")) in lineages | packed_rows or _tells(asked, form, inside(folder, row["file"]))
    ]  # fmt: skip
    before = [row for row in manifest.get(REVOKED, ()) if isinstance(row, dict) and row.get("why") == asked.why]
    packed = tuple(dict.fromkeys(row["file"] for row in rows if row.get("member")))
    others = len(export_quarantine.beside(manifest, rows))
    return Place(folder, EXPORT, (*rows, *before), len(before), packed, others) if rows or before else None


def _says(asked: Query, data: bytes) -> bool:
    """Whether a packed picture itself says that it came from there; for exports whose run is gone."""
    try:
        return asked.matches(provenance.read(data))
    except RequestError:
        return False


def _tells(asked: Query, form: str, file: Path | None) -> bool:
    """The same of a file of its own."""
    return file is not None and file.is_file() and asked.matches(export_quarantine.lineage(form, file))


def known_adapters(roots: Sequence[Path]) -> set[str]:
    """The names of adapters that are here, in quarantine too, or that pictures here were drawn with."""
    seen = {folder.name for folder, _ in _adapters(roots)}
    for run in _places(roots)[0]:
        for line in Ledger(run / store.RECORDS).read()[0][:1]:
            seen |= {str(used.get("name")) for used in (line.get("lineage") or {}).get("adapters", ())}
    return seen


def check_adapter(text: str, roots: Sequence[Path]) -> None:
    """A name with a slip in it must not pass for "nothing came from it". Raises UnknownName."""
    seen = known_adapters(roots)
    if text not in seen and not DIGEST.match(text) and not _folder(text):
        raise UnknownName("adapters", text, seen)
