"""Licence records, and the one question: may these assets together serve this use, and why.

A record is a TOML file in licenses/; it says for each right `deny`, `unknown`, `review`, `conditional` or `allow`, with
the clause. Of all assets in a picture (those that an adapter was trained on included) the most restrictive answer wins,
so adding an asset never widens what is allowed. What no record knows is `unknown`. This is not legal advice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from synthgen import resources, toml_file
from synthgen.errors import Refused, RequestError, UnknownName
from synthgen.types import Asset, Verdict

ANSWERS = ("deny", "unknown", "review", "conditional", "allow")  # most restrictive first
RIGHTS = (
    "run",
    "run_commercial",
    "output_publish",
    "output_commercial",
    "output_train_ml",
    "derive_adapter",
    "redistribute_adapter",
    "hosted_service",
)
NEEDED: Mapping[str, tuple[str, ...]] = {  # use -> rights that every asset must give
    "internal": ("run",),
    "research": ("run", "output_publish"),
    "commercial": ("run_commercial", "output_commercial"),
    "dataset-release": ("output_publish", "output_train_ml"),
    "service": ("run_commercial", "hosted_service"),
    "medical-evaluation": ("run", "output_train_ml"),
}
USES = tuple(NEEDED)
CONTESTED: Mapping[str, frozenset[str]] = {  # use -> tags of prohibited uses that make it a case for review
    "medical-evaluation": frozenset({"medical_advice"}),
}
LISTS = ("aliases", "notices", "prohibited_uses")
EVIDENCE = ("primary", "second-hand")
TEXTS = ("id", "name", "version", "source", "evidence", "verified_on", "prohibited_uses_clause")
KEYS = (*TEXTS, *LISTS, "revenue_threshold_usd", "conditions", "rights")


@dataclass(frozen=True)
class Grant:
    """What a licence says of one right."""

    answer: str  # one of ANSWERS
    clause: str
    conditions: tuple[str, ...] = ()  # sentences


@dataclass(frozen=True)
class License:
    """One licence record. Empty means: the named source does not say."""

    id: str
    name: str
    version: str
    aliases: tuple[str, ...]
    source: str
    evidence: str  # "primary": the text itself was read; "second-hand": somebody's account of it
    verified_on: str  # ISO date
    revenue_threshold_usd: int | None
    notices: tuple[str, ...]
    prohibited_uses: tuple[str, ...]
    prohibited_uses_clause: str
    rights: Mapping[str, Grant]


@dataclass(frozen=True)
class _Finding:
    """One asset, one right: the answer and where it comes from."""

    answer: str
    reason: str
    conditions: tuple[str, ...] = ()


def known() -> dict[str, License]:
    """All licence records by id; a user's own ./licenses comes before the shipped ones."""
    records: dict[str, License] = {}
    for folder in resources.search("licenses"):
        for path in sorted(folder.glob("*.toml")):
            record = _record(path)
            records.setdefault(record.id, record)
    return records


def load(name: str) -> License:
    """The record with this id or alias, in any case of letters. Raises UnknownName with the nearest id."""
    records = known()
    record = _resolve(name, records)
    if record is None:
        raise UnknownName("licenses", name, records)
    return record


def clear(assets: Sequence[Asset], use: str, today: date | None = None) -> Verdict:
    """May these assets together serve this use, and why. A "no" is an answer, not an error: see `require`.

    today    decides whether a grant has expired; the current day where it is not given
    Returns the most restrictive answer with all reasons, worst first, and the union of the conditions. No assets at all
    is `unknown`. Raises UnknownName for a use that is none of USES, RequestError for a broken licence record.
    """
    if use not in NEEDED:
        raise UnknownName("--use", use, USES)
    records, day = known(), today or date.today()
    findings = [item for path, asset in _walk(assets) for item in _judge(path, asset, use, records, day)]
    if not findings:
        return Verdict(use, "unknown", ("no asset was named, so nothing is known of the rights",))
    ordered = sorted(set(findings), key=lambda item: (ANSWERS.index(item.answer), item.reason))
    conditions = sorted({text for item in ordered if item.answer == "conditional" for text in item.conditions})
    return Verdict(use, ordered[0].answer, tuple(dict.fromkeys(item.reason for item in ordered)), tuple(conditions))


def permits(verdict: Verdict) -> bool:
    """Whether the work may go on: `internal` accepts what is unknown or under review, every other use refuses it."""
    return verdict.answer in ("allow", "conditional") or (
        verdict.use == "internal" and verdict.answer in ("unknown", "review")
    )


def require(assets: Sequence[Asset], use: str, today: date | None = None) -> Verdict:
    """The verdict of `clear`; raises Refused with the path of every blocking reason where the answer is no."""
    verdict = clear(assets, use, today)
    if permits(verdict):
        return verdict
    blocking = [reason for reason in verdict.reasons if f"-> {verdict.answer} " in reason] or [verdict.reasons[0]]
    advice = "Choose other assets, or state the licence of your photos (rights.toml, or --owner and --license)"
    other = "." if use == "internal" else ", or say --use internal."
    raise Refused(
        f"Licence refused for --use {use} ({verdict.answer}): {'; '.join(blocking)}. {advice}{other} Nothing was made."
    )


def remark(verdict: Verdict) -> str:
    """What must be said once when `internal` accepts what is not settled; "" where nothing need be said."""
    if not permits(verdict) or verdict.answer in ("allow", "conditional"):
        return ""
    return (
        f"licence {verdict.answer}: {verdict.reasons[0]}. Accepted for --use internal only; "
        "commercial use, publication and release of these pictures would be refused."
    )


def _walk(assets: Sequence[Asset], via: str = "") -> Iterator[tuple[str, Asset]]:
    """Every asset with its path, those that an asset was trained on included."""
    for asset in assets:
        path = f"{via}{asset.kind} '{asset.name}'"
        yield path, asset
        yield from _walk(asset.trained_on, f"{path} > ")


def _judge(path: str, asset: Asset, use: str, records: Mapping[str, License], day: date) -> Iterator[_Finding]:
    """What this asset's licence and term say of each right that the use needs."""
    record = _resolve(asset.license, records)
    subject = f"{path} is {record.id if record else asset.license}"
    for right in NEEDED[use]:
        grant = record.rights[right] if record else Grant("unknown", "no record in licenses/ knows it")
        conditions = tuple(f"{record.id}: {text}" for text in grant.conditions) if record else ()
        yield _Finding(grant.answer, f"{subject}: {right} -> {grant.answer} ({_clause(grant, record)})", conditions)
        ended = _term(asset.expires, right, day)
        if ended:
            yield _Finding(ended.answer, f"{subject}: {right} -> {ended.answer} ({ended.clause})")
    for tag in sorted(CONTESTED.get(use, frozenset()) & set(record.prohibited_uses if record else ())):
        clause = record.prohibited_uses_clause if record else ""
        yield _Finding("review", f"{subject}: prohibits {tag} -> review ({clause})")


def _clause(grant: Grant, record: License | None) -> str:
    second_hand = record is not None and record.evidence == "second-hand" and grant.answer != "unknown"
    return f"{grant.clause}; second-hand" if second_hand else grant.clause


def _term(expires: str, right: str, day: date) -> Grant | None:
    """The answer that an ended grant gives. What is already here may be looked at after review; nothing may go out."""
    if not expires:
        return None
    try:
        last = date.fromisoformat(expires[:10])
    except ValueError:
        return Grant("unknown", f"its term '{expires}' is no ISO date")
    if day <= last:
        return None
    return Grant("review" if right == "run" else "deny", f"the grant ended on {last.isoformat()}")


def _resolve(name: str, records: Mapping[str, License]) -> License | None:
    """The record of an id or alias, whatever the case of its letters."""
    wanted = name.strip().casefold() or "unknown"
    for record in records.values():
        if wanted == record.id.casefold() or wanted in (alias.casefold() for alias in record.aliases):
            return record
    return None


def _record(path: Path) -> License:
    """A record from its file; raises RequestError with all that is wrong in it."""
    table = toml_file.read(path)
    problems = toml_file.unknown_keys(table, KEYS, str(path))
    texts = {key: table.get(key, "") for key in TEXTS}
    problems += [f"{path}: {key} must be text." for key, value in texts.items() if not isinstance(value, str)]
    problems += [f"{path}: {key} is missing." for key in ("id", "name", "source") if not table.get(key)]
    if table.get("evidence") not in EVIDENCE:
        problems.append(f"{path}: evidence is {table.get('evidence')!r}; wanted 'primary' or 'second-hand'.")
    threshold = table.get("revenue_threshold_usd")
    if threshold is not None and not isinstance(threshold, int):
        problems.append(f"{path}: revenue_threshold_usd is {threshold!r}; wanted a whole number.")
    lists = {key: _strings(table.get(key, []), f"{path}: {key}", problems) for key in LISTS}
    rights = _rights(table, str(path), problems)
    if problems:
        raise RequestError("\n".join(problems))
    return License(
        id=texts["id"],
        name=texts["name"],
        version=texts["version"],
        aliases=lists["aliases"],
        source=texts["source"],
        evidence=texts["evidence"],
        verified_on=texts["verified_on"],
        revenue_threshold_usd=threshold,
        notices=lists["notices"],
        prohibited_uses=lists["prohibited_uses"],
        prohibited_uses_clause=texts["prohibited_uses_clause"],
        rights=rights,
    )


def _rights(table: Mapping[str, Any], where: str, problems: list[str]) -> dict[str, Grant]:
    """The rights table; a right that is not mentioned is unknown, and its conditions are looked up by their tags."""
    sentences, rows = table.get("conditions", {}), table.get("rights", {})
    if not isinstance(sentences, dict) or not isinstance(rows, dict):
        problems.append(f"{where}: [conditions] and [rights] must be tables.")
        return {}
    problems += toml_file.unknown_keys(rows, RIGHTS, f"{where} [rights]")
    grants = {}
    for right in RIGHTS:
        row, place = rows.get(right, {}), f"{where} [rights] {right}"
        if not isinstance(row, dict):
            problems.append(f"{place}: wanted a table with answer and clause.")
            continue
        problems += toml_file.unknown_keys(row, ("answer", "clause", "conditions"), place)
        answer = row.get("answer", "unknown")
        if answer not in ANSWERS:
            problems.append(f"{place}: answer is {answer!r}; wanted one of {', '.join(ANSWERS)}.")
        tags = _strings(row.get("conditions", []), f"{place}: conditions", problems)
        problems += [f"{place}: no condition '{tag}' in [conditions]." for tag in tags if tag not in sentences]
        if (answer == "conditional") != bool(tags):
            problems.append(f"{place}: 'conditional' needs conditions, and no other answer may have them.")
        clause = str(row.get("clause", "")) or "the source does not say"
        grants[right] = Grant(str(answer), clause, tuple(str(sentences.get(tag, "")) for tag in tags))
    return grants


def _strings(value: Any, where: str, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        problems.append(f"{where} must be a list of texts.")
        return ()
    return tuple(value)
