"""Is a picture, a folder of them, or a whole run, what was made here? Nothing is rendered and nothing is changed.

ok             signed under the pinned authority, and the store has this lineage, these pixels and this very file
altered        ours, and no longer what was written
stripped       the pixels, or at least the looks, of one of ours, without its manifest
re-signed      ours or said to be, signed by somebody else
revoked        ours, and taken back with `synthgen revoke`
missing        the store has its line, and the file is gone
unknown        nothing here ties it to a picture of ours
store missing  signed under the pinned authority and whole, and there is no store here to ask
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import image_file, marks, png_file, provenance, signing, store, watermark
from synthgen.errors import RequestError, UnreadableImage
from synthgen.ledger import EVENT, UNFINISHED, Ledger
from synthgen.perceptual_hash import NEAR, distance, perceptual_hash
from synthgen.progress import Progress

STATUSES = ("ok", "altered", "stripped", "re-signed", "revoked", "missing", "unknown", "store missing")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")  # of pictures in a folder
TRACES = (marks.LINEAGE.encode("ascii"), b"<synthgen:lineage>")


@dataclass(frozen=True)
class Finding:
    """What is to be said of one file."""

    file: str
    status: str  # one of STATUSES
    reason: str
    lineage_id: str = ""
    run: str = ""  # the run that has the picture


@dataclass(frozen=True)
class Report:
    """What is to be said of a path."""

    path: Path
    findings: tuple[Finding, ...]
    elsewhere: bool = False  # checked against an authority that was named, so a store is not expected

    @property
    def good(self) -> bool:
        """Whether all is as it was made."""
        return all(item.status == "ok" or (self.elsewhere and item.status == "store missing") for item in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """Files by status, in the order of STATUSES."""
        counted = Counter(item.status for item in self.findings)
        return {status: counted[status] for status in STATUSES if counted[status]}


@dataclass(frozen=True)
class _Entry:
    """A line of a run's ledger."""

    run: Path
    line: Mapping[str, Any]
    revoked: str = ""  # why

    def text(self, key: str) -> str:
        return str(self.line.get(key, ""))


@dataclass(frozen=True)
class _File:
    """A file and what it shows."""

    name: str
    sha256: str
    found: marks.Found
    fault: str  # why it cannot be what was written, whatever it shows
    traces: bool  # whether it has words that only our marks have
    pixels: Any  # (h, w, 3) uint8, or None where they cannot be read
    pixel_sha256: str = ""

    @property
    def lineage_id(self) -> str:
        return str((self.found.lineage or {}).get("id", ""))


class _Known:
    """The lines of some runs, found by what a picture still has."""

    def __init__(self, runs: Sequence[Path]) -> None:
        self.entries = [entry for run in runs for entry in _entries(run)]
        self.lineages = {entry.text("lineage_id"): entry for entry in self.entries}
        self.pixels = {entry.text("pixel_sha256"): entry for entry in self.entries}

    def match(self, file: _File) -> tuple[_Entry | None, str]:
        """The line of a picture, and by what it was found: lineage, pixels, watermark, or looks."""
        if file.pixel_sha256 in self.pixels:
            return self.pixels[file.pixel_sha256], "pixels"
        if file.lineage_id in self.lineages:
            return self.lineages[file.lineage_id], "lineage"
        if marked := self._marked(file.pixels):
            return marked, "watermark"
        near = self._nearest(file.pixels)
        return near, "looks" if near else ""

    def _marked(self, pixels: Any) -> _Entry | None:
        """The line whose invisible mark a picture holds."""
        told = [entry for entry in self.entries if (entry.line.get("lineage") or {}).get("watermark")]
        place = (
            watermark.named(pixels, [entry.line["lineage"] for entry in told]) if told and pixels is not None else None
        )
        return None if place is None else told[place]

    def _nearest(self, pixels: Any) -> _Entry | None:
        if pixels is None:
            return None
        seen = perceptual_hash(pixels)
        hashed = [entry for entry in self.entries if len(entry.text("perceptual_hash")) == len(seen)]
        best = min(hashed, key=lambda entry: distance(seen, entry.text("perceptual_hash")), default=None)
        return best if best and distance(seen, best.text("perceptual_hash")) <= NEAR else None


def path(where: Path, trust: tuple[Path, ...] = (), stores: tuple[Path, ...] = ()) -> Report:
    """Verify a picture file, a run folder, or a folder of pictures such as an export.

    trust   certificates of authorities to believe, in place of the local one and the user's own
    stores  runs to ask about pictures; else the run one lies in, else those in ./runs
    Raises RequestError where there is nothing to verify or a certificate cannot be read.
    """
    anchors = signing.anchors(trust)
    if where.is_dir() and ((where / store.ABOUT).is_file() or (where / store.RECORDS).is_file()):
        return Report(where, tuple(_run(where, anchors)), bool(trust))
    lies = where if where.is_dir() else where.parent
    lies = lies if lies.name else lies.resolve()  # "." has no parent
    home = next((place for place in lies.parents[:2] if (place / store.ABOUT).is_file()), None)
    for run in stores:
        store.about(run)
    runs = stores or ((home,) if home else tuple(sorted(file.parent for file in Path("runs").glob(f"*/{store.ABOUT}"))))
    known = _Known(runs) if runs else None
    alone = bool(trust) and not stores and home is None  # runs that happen to be here are not asked
    if where.is_dir():
        return Report(where, tuple(_folder(where, known, anchors, alone)), bool(trust))
    inside = home in runs and lies.name == store.IMAGES and lies.parent == home
    expected = _expected(known, home, where.name) if known and home and inside else None
    if not where.is_file():
        if expected:
            return Report(where, (_missing(expected),))
        raise RequestError(f"there is no file or folder '{where}'. Name a picture, a folder of them, or a run.")
    said = _one(_look(where, str(where), anchors), known, expected, anchors, alone)
    return Report(where, (said,), bool(trust))


def _one(file: _File, known: _Known | None, expected: _Entry | None, anchors: bytes, alone: bool) -> Finding:
    """What is to be said of a picture outside its run; `alone` where no store need have it."""
    said = _judge(file, known, expected, anchors)
    return _judge(file, None, None, anchors) if said.status == "unknown" and alone else said


def _folder(folder: Path, known: _Known | None, anchors: bytes, alone: bool) -> Iterator[Finding]:
    """Every picture in a folder that is no run, without its quarantine. Raises RequestError where there is none."""
    inside = (file for file in sorted(folder.rglob("*")) if file.suffix.lower() in ENDINGS and file.is_file())
    files = [file for file in inside if store.QUARANTINE not in file.relative_to(folder).parts[:-1]]
    if not files:
        raise RequestError(
            f"{folder} is no run, and no PNG, JPEG or WebP stands in it as a file of its own. Name a picture, a folder "
            "of them, or a run that `generate` made."
        )
    with Progress(len(files), f"verify {folder.name}", "pictures") as progress:
        for file in files:
            name = file.relative_to(folder).as_posix()
            yield _one(_look(file, name, anchors), known, None, anchors, alone)
            progress.step()


def _run(folder: Path, anchors: bytes) -> Iterator[Finding]:
    """The ledger, then every line's picture, then what stands beside them."""
    store.about(folder)
    known = _Known((folder,))
    yield _ledger(folder, known)
    named = set()
    with Progress(len(known.entries), f"verify {folder.name}", "pictures") as progress:
        for entry in known.entries:
            name = Path(entry.text("file_name")).name
            named.add(name)
            yield _line(folder / store.IMAGES / name, entry, known, anchors)
            progress.step()
    images = folder / store.IMAGES
    for extra in sorted(images.iterdir()) if images.is_dir() else ():
        if extra.name not in named and not extra.name.endswith(UNFINISHED) and extra.is_file():
            said = _judge(_look(extra, f"{store.IMAGES}/{extra.name}", anchors), known, None, anchors)
            twin = "a copy of a picture of this run under a name that no line has"
            yield said if said.status != "ok" else Finding(said.file, "unknown", twin, said.lineage_id, said.run)


def _line(file: Path, entry: _Entry, known: _Known, anchors: bytes) -> Finding:
    """What is to be said of the picture of one line."""
    name = f"{store.IMAGES}/{file.name}"
    if entry.revoked:
        if file.is_file():
            return _said(name, "revoked", f"{entry.revoked}; it still stands here: give the revoke again", entry)
        return _said(name, "ok", f"revoked and gone: {entry.revoked}", entry)
    if not file.is_file():
        return _missing(entry)
    return _judge(_look(file, name, anchors), known, entry, anchors)


def _ledger(folder: Path, known: _Known) -> Finding:
    """Whether the chain holds and is as long as it was when the run was finished."""
    ledger, told = Ledger(folder / store.RECORDS), store.about(folder)
    broken = ledger.broken()
    if not broken and told.get("finished") and told.get("ledger_sha256") != ledger.head():
        broken = f"its last line is not the one that {store.ABOUT} names"
    if broken:
        return Finding(store.RECORDS, "altered", broken, run=str(folder))
    again = sum(event[EVENT] == "rechained" for event in ledger.events())
    more = f"; begun anew {again} times after pictures or lines were lost" if again else ""
    short = "" if told.get("finished") else f"; the run is not finished, {told.get('count')} are wanted"
    return Finding(store.RECORDS, "ok", f"{len(known.entries)} lines, each following the one before{more}{short}")


def _look(file: Path, name: str, anchors: bytes) -> _File:
    """Read a file whole. What cannot be read as a picture is a finding, not an error."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise RequestError(f"{file} cannot be read ({error.strerror}). Nothing was verified.") from error
    found = marks.examine(data, anchors)
    fault = png_file.fault(data) if found.kind == "PNG" else ""
    pixels, pixel_sha256 = None, ""
    try:
        import numpy as np

        pixels = np.asarray(image_file.decode(file).image)
        pixel_sha256 = provenance.pixel_sha256(pixels)
    except UnreadableImage as error:
        fault = fault or str(error)
    traces = any(trace in data for trace in TRACES)
    return _File(name, hashlib.sha256(data).hexdigest(), found, fault, traces, pixels, pixel_sha256)


def _judge(file: _File, known: _Known | None, expected: _Entry | None, anchors: bytes) -> Finding:
    """The first that fits, from what no signature can mend to what only the store can tell."""
    entry, how = known.match(file) if known else (None, "")
    entry = entry or expected
    state = file.found.state
    if entry is None and file.found.lineage is None and not file.traces:
        return _said(file.name, "unknown", _foreign(file, known), None)
    if file.fault:
        return _said(file.name, "altered", file.fault, entry)
    if state == "Invalid":
        return _said(file.name, "altered", file.found.problem or "its manifest does not fit", entry)
    if state == "":
        return _unsigned(file, entry, how, expected)
    if state != "Trusted":
        if not anchors:
            why = f"signed by {file.found.signer}, and no authority is known here to check it: give --trust CA.pem"
            return _said(file.name, "unknown", why, entry)
        why = f"signed by {file.found.signer}, whom the pinned authority does not vouch for"
        return _said(file.name, "re-signed", why, entry)
    return _trusted(file, known, expected)


def _foreign(file: _File, known: _Known | None) -> str:
    asked = "no run here has its pixels" if known else "there is no store here to ask (--store RUN)"
    if not file.found.kind or file.pixels is None:
        return f"it cannot be read as a picture ({file.fault})" if file.fault else "it is no PNG, JPEG or WebP"
    return f"it holds no mark of synthgen, and {asked}"


def _unsigned(file: _File, entry: _Entry | None, how: str, expected: _Entry | None) -> Finding:
    """A sound picture file without a manifest."""
    if how == "pixels":
        return _said(file.name, "stripped", "its manifest is gone; the store has its pixels", entry)
    if how == "watermark":
        why = "its manifest is gone and its pixels differ; the invisible mark in them names one of the store"
        return _said(file.name, "stripped", why, entry)
    if how == "looks" and entry:
        apart = distance(perceptual_hash(file.pixels), entry.text("perceptual_hash"))
        why = f"its manifest is gone and its pixels differ; it looks like one of the store ({apart} of 256 bits apart)"
        return _said(file.name, "stripped", why, entry)
    if expected:
        return _said(file.name, "altered", "another picture stands in its place", expected)
    return _said(file.name, "stripped", "its manifest is gone; its metadata says synthgen, which proves nothing", None)


def _trusted(file: _File, known: _Known | None, expected: _Entry | None) -> Finding:
    """A picture whose signature is good: what remains is whether the store knows it, and as what."""
    if file.found.pixel_sha256 != file.pixel_sha256:
        return _said(file.name, "altered", "its pixels are not those that were signed", expected)
    if known is None:
        why = f"signed by {file.found.signer} and whole; there is no store here to ask (--store RUN)"
        return Finding(file.name, "store missing", why, file.lineage_id)
    entry = known.lineages.get(file.lineage_id)
    if entry is None:
        return Finding(file.name, "unknown", "its signature is good, and no run here has its lineage", file.lineage_id)
    if entry.revoked:
        return _said(file.name, "revoked", entry.revoked, entry)
    if expected and expected.text("lineage_id") != file.lineage_id:
        return _said(file.name, "altered", "another picture of the store stands in its place", expected)
    if file.found.kind != "PNG" and not expected:
        return _said(file.name, "ok", f"a signed copy as {file.found.kind}; the ledger has the PNG", entry)
    if entry.text("pixel_sha256") != file.pixel_sha256 or entry.text("file_sha256") != file.sha256:
        return _said(file.name, "altered", "it is not, byte for byte, the file in the ledger", entry)
    return _said(file.name, "ok", "signature, lineage, pixels and file are those of the ledger", entry)


def _said(name: str, status: str, reason: str, entry: _Entry | None) -> Finding:
    if entry is None:
        return Finding(name, status, reason)
    if entry.revoked and status not in ("ok", "revoked"):
        reason = f"{reason}; that one was revoked: {entry.revoked}"
    return Finding(name, status, reason, entry.text("lineage_id"), str(entry.run))


def _missing(entry: _Entry) -> Finding:
    return _said(entry.text("file_name"), "missing", "the ledger has its line, and the file is gone", entry)


def _expected(known: _Known, run: Path, name: str) -> _Entry | None:
    """The line that names a file of a run."""
    wanted = f"{store.IMAGES}/{name}"
    return next((item for item in known.entries if item.run == run and item.text("file_name") == wanted), None)


def _entries(run: Path) -> Iterator[_Entry]:
    revoked = store.revocations(run)
    for line in Ledger(run / store.RECORDS).read()[0]:
        yield _Entry(run, line, revoked.get(str(line.get("job_id", "")), ""))
