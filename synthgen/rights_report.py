"""RUN/rights/: what may be done with a run's pictures and what must go along, from the run's own records.

RIGHTS.md for people, NOTICE and ATTRIBUTION.md with the texts that licences want passed on, bom.json for programs.
Exporters take the assets from `assets_of` to ask again for another use, and copy the files that `rights_files` wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from synthgen import __version__, licensee, licenses, materials, notices, store
from synthgen.errors import RequestError, SynthgenError
from synthgen.ledger import write_whole
from synthgen.licenses import Circumstances
from synthgen.notices import markdown
from synthgen.provenance import canonical_json, lineage_id
from synthgen.types import Asset, Verdict

FOLDER = "rights"
TEXTS = tuple(field.name for field in fields(Asset) if field.name != "trained_on")
DEEPEST = 8  # assets learned from within assets; a record that goes deeper was not written by synthgen


@dataclass(frozen=True)
class RightsFiles:
    """What was written, and what to know of it."""

    folder: Path
    files: tuple[Path, ...]
    verdict: Verdict  # asked anew, for the use that the run was made for
    uncredited: tuple[str, ...]  # paths of assets that must be credited and name nobody

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should mend."""
        return tuple(
            f"{path} must be credited, and nobody is named: state `credit` in its rights.toml."
            for path in self.uncredited
        )


@dataclass(frozen=True)
class _Told:
    """What all records of a run say alike."""

    made: materials.Made
    pictures: int
    reasons: tuple[str, ...]  # of the verdict that is stamped on the pictures
    assets: tuple[Asset, ...]
    parts: notices.Parts


def rights_files(run: Path, out: Path | None = None, today: date | None = None) -> RightsFiles:
    """Write RIGHTS.md, NOTICE, ATTRIBUTION.md and bom.json of a run, each whole or not at all, in this order.

    out    RUN/rights/ where nothing is said
    today  decides in RIGHTS.md what has expired; no other file depends on it
    Who asks is told by licensee.toml, the reading is that of the run.
    Raises RequestError for what is no run, has no pictures, or has records that were changed; SynthgenError where the
    disk refuses. The run itself is never changed.
    """
    told, about = _told(run)
    day = today or date.today()
    texts = {
        "RIGHTS.md": _page(told, day, about),
        "NOTICE": notices.notice(told.made.name, told.parts),
        "ATTRIBUTION.md": notices.attribution(told.made.name, told.parts),
        materials.FILE: materials.bill(told.made, told.assets),
    }
    folder = out or run / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_whole(folder / name, text.encode("utf-8"))
    except OSError as error:
        raise SynthgenError(
            f"{folder} cannot be written ({error.strerror or error}). Choose another place with --out. "
            "The run is untouched."
        ) from error
    verdict = licenses.clear(told.assets, told.made.facts["use"], day, about)
    return RightsFiles(folder, tuple(folder / name for name in texts), verdict, tuple(notices.uncredited(told.parts)))


def complete(run: Path) -> tuple[str, ...]:
    """Write RUN/rights/ where it is not whole yet, and give what the user should mend."""
    return () if (run / FOLDER / materials.FILE).is_file() else rights_files(run).remarks


def assets_of(lines: Iterable[Mapping[str, Any]], where: Path) -> tuple[Asset, ...]:
    """Everything that went into the pictures of these records (store.read), each once, in one order.

    Raises RequestError where a record was changed since it was written, or does not tell its assets.
    """
    found: dict[str, Asset] = {}
    for number, line in enumerate(lines, 1):
        place = f"{where}: record {number}"
        lineage = line.get("lineage")
        if not isinstance(lineage, dict) or line.get("lineage_id") != lineage_id(lineage):
            raise RequestError(f"{place} was changed: its id does not fit its content. Nothing was written.")
        told = lineage.get("license", {}).get("assets")
        if not isinstance(told, list) or not told:
            raise RequestError(
                f"{place} does not tell what went into its picture; an older synthgen made it. Make the run again. "
                "Nothing was written."
            )
        for item in told:
            found.setdefault(canonical_json(item), _asset(item, place))
    return tuple(found[key] for key in sorted(found))


def _told(run: Path) -> tuple[_Told, Circumstances]:
    """What the records tell, and who asks in the reading that they were made in."""
    first, pictures = next(store.lines(run), None), 0

    def counted() -> Iterator[Mapping[str, Any]]:
        nonlocal pictures
        for line in store.lines(run):
            pictures += 1
            yield line

    if not first:
        raise RequestError(f"{run} has no pictures yet, so there is nothing to give notice of. Nothing was written.")
    assets = assets_of(counted(), run / store.RECORDS)
    lineage, created = first["lineage"], str(store.about(run).get("created", ""))
    frozen = lineage["license"]
    facts = {key: str(frozen[key]) for key in ("use", "verdict", "reading")}
    about = licensee.circumstances(Circumstances(facts["reading"]))
    parts = [(path, asset, licenses.licenses_of(asset, facts["use"], about)) for path, asset in licenses.walk(assets)]
    try:
        datetime.fromisoformat(created)
    except ValueError:
        where = run / store.ABOUT
        raise RequestError(f"{where}: created is '{created[:40]}'; wanted a time. Nothing was written.") from None
    made = materials.Made(run.resolve().name, str(lineage["plan"]), created, lineage["versions"], facts)
    return _Told(made, pictures, tuple(map(str, frozen["reasons"])), assets, parts), about


def _asset(told: Any, where: str, depth: int = 0) -> Asset:
    """An asset as its record tells it."""
    sound = isinstance(told, dict) and set(told) <= {*TEXTS, "trained_on"} and depth < DEEPEST
    if not sound or not all(isinstance(told.get(key, ""), str) for key in TEXTS):
        raise RequestError(f"{where} tells an asset that is none: {str(told)[:80]}. Nothing was written.")
    learned = tuple(_asset(item, where, depth + 1) for item in told.get("trained_on", ()))
    stated = {key: told[key] for key in TEXTS if key in told}
    return Asset(**{"kind": "", "name": "", "license": "", **stated, "trained_on": learned})


def _page(told: _Told, day: date, about: Circumstances) -> str:
    facts = told.made.facts
    heads = ("asset", "licence", "how the licence is known", "owner", "source", "ends", "digest")
    lines = [
        f"# Rights in {markdown(told.made.name)}",
        "",
        f"{told.pictures} pictures, made with synthgen {__version__} for the use `{facts['use']}`. The verdict that is "
        f"stamped on them, in the {facts['reading']} reading of the licences: **{facts['verdict']}**.",
        "",
        "This is what the licence records say. It is not legal advice.",
        "",
        "## What went into them",
        "",
        *_table(heads, _ingredients(told)),
        "",
        f"## What may be done with them, asked on {day.isoformat()}",
        "",
        *_table(("use", "answer", "permitted", "because"), _uses(told, day, about)),
        "",
        *_table(("right", "answer", "because"), _rights(told, day, about)),
        "",
    ]
    return "\n".join([*lines, *_terms(told, day, about)])


def _terms(told: _Told, day: date, about: Circumstances) -> Iterator[str]:
    """Everything that holds whatever the use: conditions, prohibited uses, share-alike, threshold, term, reasons."""
    asked = [licenses.clear(told.assets, use, day, about) for use in licenses.USES]
    conditions = sorted({text for verdict in asked for text in verdict.conditions})
    yield from _list("Conditions of some use", conditions)
    clauses = sorted(
        {
            f"{record.id}: {', '.join(record.prohibited_uses)} ({record.prohibited_uses_clause})"
            for _, _, applying in told.parts
            for record in applying
            if record.prohibited_uses
        }
    )
    yield from _list("Not for", clauses)
    yield from _list("Licences that what is shared must stay under", asked[0].share_alike)
    limit, ends = asked[0].revenue_limit_usd, asked[0].expires
    yield from _list("Only up to a revenue of", [f"USD {limit:,}"] if limit is not None else [])
    yield from _list("Only until", [ends] if ends else [])
    yield from _list("Why, as stamped on the pictures", told.reasons)


def _ingredients(told: _Told) -> Iterator[tuple[str, ...]]:
    for path, asset, applying in told.parts:
        known = "; ".join(f"{record.id}: {record.evidence}" for record in applying) or "no record knows it"
        yield path, asset.license or "unknown", known, asset.owner, asset.source, asset.expires, asset.sha256[:12]


def _uses(told: _Told, day: date, about: Circumstances) -> Iterator[tuple[str, ...]]:
    for use in licenses.USES:
        verdict = licenses.clear(told.assets, use, day, about)
        yield use, verdict.answer, "yes" if licenses.permits(verdict) else "no", verdict.reasons[0]


def _rights(told: _Told, day: date, about: Circumstances) -> Iterator[tuple[str, ...]]:
    for right, verdict in licenses.rights(told.assets, day, about).items():
        yield right, verdict.answer, verdict.reasons[0]


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(markdown(cell) for cell in row)} |"


def _list(title: str, items: Sequence[str]) -> Iterator[str]:
    """A section, or nothing where there is nothing to say."""
    if items:
        yield from (f"## {title}", "", *(f"- {markdown(item)}" for item in items), "")
