"""What rights come with pictures that leave: the assets in them, a licence expression, and the texts that go along.

Everything is read from the records of the runs; an adapter whose card is still at hand says more, and then the card is
asked, because rights may have been restated or have run out since the pictures were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from synthgen import adapters, licenses
from synthgen.errors import UnknownName
from synthgen.types import Asset, Verdict

UNKNOWN = "unknown"


def assets(lineages: Iterable[Mapping[str, Any]]) -> list[Asset]:
    """Every base, adapter and set of poses behind these lineages, each once."""
    cards = {card.weights_sha256: card for card in adapters.members().values()}
    found: dict[tuple[str, ...], Asset] = {}
    for lineage in lineages:
        base = lineage["base"]
        told = [Asset("base", str(base.get("id", "")), _stated(base), str(base.get("sha256", "")))]
        told.append(Asset("poses", "poses", str(lineage.get("pose_license") or UNKNOWN)))
        for used in lineage.get("adapters", ()):
            sha256 = str(used.get("sha256", ""))
            expires = str(used.get("expires", ""))
            recorded = Asset("adapter", str(used.get("name", "")), _stated(used), sha256, expires=expires)
            told.append(adapters.asset(cards[sha256]) if sha256 in cards else recorded)
        for item in told:
            found.setdefault((item.kind, item.name, item.license, item.sha256), item)
    return list(found.values())


def expression(lineage: Mapping[str, Any]) -> str:
    """The licences of everything in one picture as recorded, as an SPDX expression: all of them apply."""
    stated = {_stated(lineage["base"]), *(_stated(used) for used in lineage.get("adapters", ()))}
    stated.add(str(lineage.get("pose_license") or UNKNOWN))
    return " AND ".join(f"({one})" if " OR " in one else one for one in sorted(stated))


def texts(used: Iterable[Asset], verdict: Verdict) -> dict[str, str]:
    """File name -> text of LICENSE, NOTICE and ATTRIBUTION, from the licence records. Not legal advice, and says so."""
    rows = list(_rows(used))
    licensed = "\n".join(f"- {kind} '{name}': {license_id}{digest}" for kind, name, license_id, digest in rows)
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    conditions = "\n".join(f"- {text}" for text in verdict.conditions) or "- none is recorded"
    license_text = (
        "These pictures are synthetic. synthgen grants no licence to them and claims no rights in them.\n"
        f"What went into them stands under these licences, all of which apply:\n\n{licensed}\n\n"
        f"Asked for the use '{verdict.use}', the licence records answer: {verdict.answer}\n\n{reasons}\n\n"
        f"Conditions of that use:\n\n{conditions}\n\n"
        "For another use, ask again. This is what the licence records say, not legal advice.\n"
    )
    return {"LICENSE": license_text, "NOTICE": _notice(rows), "ATTRIBUTION": _attribution(rows)}


def _notice(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["Notices that the licences of the assets ask for, as the licence records have them.", ""]
    for license_id in sorted({row[2] for row in rows}):
        record = _record(license_id)
        if record is None:
            lines.append(f"{license_id}: no licence record knows what it asks for.")
            continue
        lines.append(f"{record.id} ({record.name}), source: {record.source}; {record.evidence}, {record.verified_on}")
        lines += [f"  notice: {text}" for text in record.notices] or ["  no notice is recorded"]
        lines += [f"  prohibited use: {text} ({record.prohibited_uses_clause})" for text in record.prohibited_uses]
    return "\n".join(lines) + "\n"


def _attribution(rows: list[tuple[str, str, str, str]]) -> str:
    lines = [f"{kind} '{name}', {license_id}{digest}" for kind, name, license_id, digest in rows]
    return "\n".join(["Made with synthgen from:", "", *lines]) + "\n"


def _rows(used: Iterable[Asset]) -> Iterable[tuple[str, str, str, str]]:
    """(kind, name, licence, digest in words) of every asset, those that one was trained on included."""
    for asset in used:
        digest = f", sha256 {asset.sha256}" if asset.sha256 else ""
        yield asset.kind, asset.name, asset.license or UNKNOWN, digest
        yield from _rows(asset.trained_on)


def _record(license_id: str) -> licenses.License | None:
    try:
        return licenses.load(license_id)
    except UnknownName:
        return None


def _stated(item: Mapping[str, Any]) -> str:
    return str(item.get("license") or UNKNOWN)
