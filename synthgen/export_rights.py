"""What rights come with pictures that leave: the assets in them, a licence expression, and the texts that go along.

Everything is read from the records of the runs, photos and ControlNets included. An adapter whose card is still at hand
is asked anew, because rights may have been restated since, or have run out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthgen import adapters, licenses, notices, rights_report
from synthgen.card import Card
from synthgen.licenses import Circumstances
from synthgen.types import Asset, Verdict

UNKNOWN = "unknown"


def assets(lines: Iterable[Mapping[str, Any]], where: Path) -> list[Asset]:
    """Everything behind the pictures of these records (store.read), which are gone through twice, each once.

    Raises RequestError where a record was changed, or does not tell what went into its picture.
    """
    cards = {card.weights_sha256: card for card in adapters.members().values()}
    found = [
        _as_of_now(item, cards[item.sha256]) if item.kind == "adapter" and item.sha256 in cards else item
        for item in rights_report.assets_of(lines, where)
    ]
    if not any(item.kind == "poses" for item in found):
        found += [Asset("poses", "poses", one) for one in sorted({_poses(line["lineage"]) for line in lines})]
    return list(dict.fromkeys(found))


def _as_of_now(recorded: Asset, card: Card) -> Asset:
    """An adapter as its card tells of it today, on the base that the record says it was trained on."""
    now = adapters.asset(card)
    bases = tuple(item for item in recorded.trained_on if item.kind == "base")
    return replace(now, trained_on=(*bases, *now.trained_on))


def expression(lineage: Mapping[str, Any]) -> str:
    """The licences of everything in one picture as recorded, as an SPDX expression: all of them apply."""
    stated = {_poses(lineage), *_stated(lineage["license"].get("assets", ()))}
    return " AND ".join(f"({one})" if " OR " in one else one for one in sorted(stated))


def texts(name: str, used: Sequence[Asset], verdict: Verdict) -> dict[str, str]:
    """File name -> text of LICENSE, NOTICE and ATTRIBUTION, from the licence records. Not legal advice, and says so."""
    parts = parts_of(used, verdict)
    licensed = "\n".join(f"- {path}: {asset.license or UNKNOWN}{_digest(asset)}" for path, asset, _ in parts)
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    conditions = "\n".join(f"- {text}" for text in verdict.conditions) or "- none is recorded"
    prohibited = "\n".join(f"- {text}" for text in dict.fromkeys(_prohibited(parts))) or "- nothing is recorded"
    license_text = (
        "These pictures are synthetic. synthgen grants no licence to them and claims no rights in them.\n"
        f"What went into them stands under these licences, all of which apply:\n\n{licensed}\n\n"
        f"Asked for the use '{verdict.use}', in the {verdict.reading} reading, the licence records answer: "
        f"{verdict.answer}\n\n{reasons}\n\n"
        f"Conditions of that use:\n\n{conditions}\n\nNot for:\n\n{prohibited}\n\n"
        "For another use, ask again. This is what the licence records say, not legal advice.\n"
    )
    told = {"NOTICE": notices.notice(name, parts), "ATTRIBUTION": notices.attribution(name, parts)}
    return {"LICENSE": license_text, **told}


def parts_of(used: Sequence[Asset], verdict: Verdict) -> notices.Parts:
    """Every asset with its path and the licences that apply to it for this use."""
    about = Circumstances(verdict.reading)
    return [(path, asset, licenses.licenses_of(asset, verdict.use, about)) for path, asset in licenses.walk(used)]


def _prohibited(parts: notices.Parts) -> Iterator[str]:
    for _, _, applying in parts:
        for record in applying:
            if record.prohibited_uses:
                yield f"{record.id}: {', '.join(record.prohibited_uses)} ({record.prohibited_uses_clause})"


def _digest(asset: Asset) -> str:
    return f", sha256 {asset.sha256}" if asset.sha256 else ""


def _poses(lineage: Mapping[str, Any]) -> str:
    return str(lineage.get("pose_license") or UNKNOWN)


def _stated(told: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The licences of assets as a record tells them, those of what they learned from included."""
    for item in told:
        yield str(item.get("license") or UNKNOWN)
        yield from _stated(item.get("trained_on", ()))
