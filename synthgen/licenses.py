"""The one question to the licence records: may these assets together serve this use, and why.

Of all assets in a picture (those that an adapter was trained on included) the most restrictive answer wins, so adding
an asset never widens what is allowed; conditions unite, thresholds and terms take the least, and licences that each
want to be the only one clash. What no record knows is `unknown`. This is not legal advice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from synthgen.errors import Refused, UnknownName
from synthgen.license_expressions import chosen, resolve
from synthgen.license_reading import READINGS, Circumstances, Finding, Node, grant, shown, stated
from synthgen.license_record import ANSWERS, EVIDENCE, RIGHTS, TRAINED, Grant, License, known, load, names
from synthgen.share_alike import SHARING, clashes
from synthgen.types import Asset, Verdict

__all__ = ["ANSWERS", "EVIDENCE", "READINGS", "RIGHTS", "TRAINED", "USES", "Circumstances", "Finding", "License",
           "clear", "findings", "known", "licenses_of", "load", "names", "own", "permits", "remark", "require",
           "rights", "shown", "walk"]  # fmt: skip

NEEDED: Mapping[str, tuple[str, ...]] = {  # use -> rights that every asset must give
    "internal": ("run",),
    "research": ("run", "output_publish"),
    "commercial": ("run_commercial", "output_commercial"),
    "dataset-release": ("output_publish", "output_train_ml"),
    "service": ("run_commercial", "hosted_service"),
    "medical-evaluation": ("run", "output_train_ml"),
}
USES = tuple(NEEDED)
OWN = "LicenseRef-own"
STATED = ("photos", "reference", "base", "control", "poses")  # by the user: a statement of nobody's grants nothing
CONTESTED: Mapping[str, frozenset[str]] = {  # use -> tags of prohibited uses that make it a case for review
    "medical-evaluation": frozenset({"medical_advice"}),
}


_STATE_PHOTOS = "your photos (rights.toml, or --owner and --license)"
_STATE_WEIGHTS = (
    "your own weights (rights.toml in their folder, NAME.rights.toml beside a file, or bases pull --license)"
)


@dataclass(frozen=True)
class _Ask:
    """One question, with all that its answer depends on apart from the assets."""

    label: str
    rights: tuple[str, ...]
    day: date
    about: Circumstances
    records: Mapping[str, License]  # by name in small letters


def clear(assets: Sequence[Asset], use: str, today: date | None = None, about: Circumstances | None = None) -> Verdict:
    """May these assets together serve this use, and why. A "no" is an answer, not an error: see `require`.

    today    decides whether a grant has expired; the current day where it is not given
    about    who asks, and which reading; strict, with nothing stated, where it is not given
    Returns the most restrictive answer with all reasons, worst first, and the union of the conditions. No assets at all
    is `unknown`. Raises UnknownName for a use that is none of USES, RequestError for a broken licence record.
    """
    return _verdict(assets, _ask(use, today, about))


def rights(
    assets: Sequence[Asset], today: date | None = None, about: Circumstances | None = None
) -> dict[str, Verdict]:
    """Each of RIGHTS asked for by itself, such as `derive_adapter` for merging; the verdict's use is the right."""
    ask = _ask("internal", today, about)
    return {right: _verdict(assets, replace(ask, label=right, rights=(right,))) for right in RIGHTS}


def findings(
    assets: Sequence[Asset], use: str, today: date | None = None, about: Circumstances | None = None
) -> list[Finding]:
    """Every step to the verdict of `clear`, worst first."""
    return _findings(assets, _ask(use, today, about))[1]


def permits(verdict: Verdict) -> bool:
    """Whether the work may go on: `internal` accepts what is unknown or under review, every other use refuses it."""
    return verdict.answer in ("allow", "conditional") or (
        verdict.use == "internal" and verdict.answer in ("unknown", "review")
    )


def require(
    assets: Sequence[Asset], use: str, today: date | None = None, about: Circumstances | None = None, *,
    also: tuple[str, ...] = (),
) -> Verdict:  # fmt: skip
    """The verdict of `clear`; raises Refused with the path of every blocking reason where the answer is no.

    also  of RIGHTS, what is needed beside those of the use: derive_adapter to train one
    """
    ask = _ask(use, today, about)
    verdict = _verdict(assets, replace(ask, rights=tuple(dict.fromkeys((*ask.rights, *also)))))
    if permits(verdict):
        return verdict
    blocking = [reason for reason in verdict.reasons if _says(reason, verdict.answer)] or [verdict.reasons[0]]
    advice = "Choose other assets"
    if verdict.answer == "unknown":  # what is known and says no is not mended by saying it again
        weights = [reason.startswith(("base ", "control ")) for reason in blocking]
        kinds = [_STATE_PHOTOS] * (not all(weights)) + [_STATE_WEIGHTS] * any(weights)
        advice += f", or state the licence of {', and of '.join(kinds)}"
    other = "." if use == "internal" else ", or say --use internal."
    raise Refused(
        f"Licence refused for --use {use} ({verdict.answer}): {'; '.join(blocking)}. {advice}{other} Nothing was made."
    )


def decisive(verdict: Verdict) -> tuple[tuple[str, ...], int]:
    """(the reasons that the answer rests on, how many more say nothing against it).

    Of a no that is every reason that has to go, not the worst alone.
    """
    fine = verdict.answer in ("allow", "conditional")
    against = (verdict.answer,) if fine else ANSWERS[: ANSWERS.index("conditional")]
    told = tuple(reason for reason in verdict.reasons if any(_says(reason, answer) for answer in against))
    return told or verdict.reasons, len(verdict.reasons) - len(told) if told else 0


def _says(reason: str, answer: str) -> bool:
    return f" -> {answer} (" in reason


def remark(verdict: Verdict) -> str:
    """What must be said once when `internal` accepts what is not settled; "" where nothing need be said."""
    if not permits(verdict) or verdict.answer in ("allow", "conditional"):
        return ""
    return (
        f"licence {verdict.answer}: {verdict.reasons[0]}. Accepted for --use internal only; "
        "commercial use, publication and release of these pictures would be refused."
    )


def walk(assets: Sequence[Asset], via: str = "") -> Iterator[tuple[str, Asset]]:
    """Every asset with its path, those that an asset was trained on included."""
    for asset in assets:
        path = f"{via}{asset.kind} '{shown(asset.name)}'"
        yield path, asset
        yield from walk(asset.trained_on, f"{path} > ")


def licenses_of(asset: Asset, use: str = "internal", about: Circumstances | None = None) -> list[License]:
    """The records that apply to one asset, every OR decided as for this use. What no record knows is left out."""
    nodes = _nodes("", asset, _ask(use, None, about))
    return [node.record for node in nodes if node.record is not None]


def own(license: str) -> bool:
    """Whether a licence is, by any of its names, the statement that something is the user's own."""
    record = resolve(license, names())
    return record is not None and record.id == OWN


def _ask(use: str, today: date | None, about: Circumstances | None) -> _Ask:
    about = about or Circumstances()
    for option, value, allowed in (("--use", use, USES), ("--reading", about.reading, READINGS),
                                   ("--trains", about.trains, ("", *TRAINED))):  # fmt: skip
        if value not in allowed:
            raise UnknownName(option, value, [name for name in allowed if name])
    return _Ask(use, NEEDED[use], today or date.today(), about, names())


def _verdict(assets: Sequence[Asset], ask: _Ask) -> Verdict:
    nodes, found = _findings(assets, ask)
    if not found:
        nothing = "no asset was named, so nothing is known of the rights"
        return Verdict(ask.label, "unknown", (nothing,), reading=ask.about.reading)
    records = [node.record for node in nodes if node.record]
    limits = [record.revenue_threshold_usd for record in records if record.revenue_threshold_usd is not None]
    return Verdict(
        use=ask.label,
        answer=found[0].answer,
        reasons=tuple(dict.fromkeys(item.reason for item in found)),
        conditions=tuple(sorted({text for item in found for text in item.conditions})),
        reading=ask.about.reading,
        assets=tuple(sorted(assets, key=repr)),  # the same verdict whatever their order
        share_alike=tuple(sorted({record.id for record in records if record.share_alike})),
        prohibited_uses=tuple(sorted({tag for record in records for tag in record.prohibited_uses})),
        revenue_limit_usd=min(limits, default=None),
        expires=min((asset.expires for _, asset in walk(assets) if _date(asset.expires)), default=""),
    )


def _findings(assets: Sequence[Asset], ask: _Ask) -> tuple[list[Node], list[Finding]]:
    """The licences that apply, and what they say, worst first."""
    found: set[Finding] = set()
    nodes: dict[tuple[str, str], Node] = {}
    for path, asset in walk(assets):
        for node in _nodes(path, asset, ask):
            nodes[node.path, node.license] = node
            found.update(_judge(node, asset, ask))
    found.update(clashes(list(nodes.values()), ask.rights, ask.about))
    return list(nodes.values()), sorted(found, key=lambda item: (ANSWERS.index(item.answer), item.reason))


def _nodes(path: str, asset: Asset, ask: _Ask) -> list[Node]:
    """The licences of one asset, each OR decided for what is asked: the best answer, then the fewest conditions, then
    the least share-alike.
    """

    def known(name: str) -> bool:
        return resolve(name, ask.records) is not None

    def rank(names: tuple[str, ...]) -> tuple[int, int, int]:
        nodes = [Node("", asset.kind, name, resolve(name, ask.records)) for name in names]
        said = [grant(node, right, ask.about) for node in nodes for right in ask.rights]
        worst = min(ANSWERS.index(item.answer) for item in said)
        conditions = {text for item in said for text in item.conditions}
        return worst, -len(conditions), -sum(bool(node.record and node.record.share_alike) for node in nodes)

    names = chosen(asset.license, rank, known)
    whole = asset.license.strip()
    nodes = []
    for name in names:
        record = resolve(name, ask.records)
        told = record.id if record else shown(name) or "unknown"
        if name != whole and (len(names) == 1 or " OR " in whole.upper()):  # of what is joined by AND all hold anyway
            told += f", {'part of' if len(names) > 1 else 'chosen from'} '{shown(whole)}'"
        nodes.append(Node(path, asset.kind, told, record))
    return nodes


def _judge(node: Node, asset: Asset, ask: _Ask) -> Iterator[Finding]:
    """What this licence and the asset's own term and consent say of each right that is asked for."""
    for right in ask.rights:
        said = grant(node, right, ask.about)
        conditions = tuple(f"{node.record.id}: {text}" for text in said.conditions) if node.record else ()
        yield Finding(node.path, node.license, right, said.answer, said.clause, conditions)
        ended = _term(asset.expires, right, ask.day)
        if ended:
            yield Finding(node.path, node.license, right, ended.answer, ended.clause)
        if node.record and node.record.id == OWN and right != "run" and asset.kind in STATED and not asset.owner:
            yield Finding(
                node.path,
                node.license,
                right,
                "review",
                "nobody is named whose own it is: --owner, or owner in rights.toml",
            )
        if asset.kind == "reference" and right in SHARING and not asset.consent:
            yield Finding(node.path, node.license, right, "review", "no consent of who is pictured is stated")
    if ask.label == "medical-evaluation" and asset.kind == "photos" and not asset.consent:
        yield Finding(node.path, node.license, "consent", "review", "no consent or ethics reference is stated")
    for tag in sorted(CONTESTED.get(ask.label, frozenset()) & set(node.record.prohibited_uses if node.record else ())):
        yield _contested(node, tag, ask)


def _contested(node: Node, tag: str, ask: _Ask) -> Finding:
    """A prohibited use that the use at hand may be; a signed waiver turns the doubt into a condition."""
    assert node.record is not None
    waiver = stated(ask.about.waivers, node.record)
    if not waiver:
        return Finding(node.path, node.license, f"prohibits {tag}", "review", node.record.prohibited_uses_clause)
    text = f"{node.record.id}: keep the licensor's waiver {shown(waiver)} of '{tag}' with the pictures"
    clause = f"{node.record.prohibited_uses_clause}; waived by {shown(waiver)}"
    return Finding(node.path, node.license, f"prohibits {tag}", "conditional", clause, (text,))


def _term(expires: str, right: str, day: date) -> Grant | None:
    """The answer that an ended grant gives. What is already here may be looked at after review; nothing may go out."""
    if not expires:
        return None
    last = _date(expires)
    if last is None:
        return Grant("unknown", f"its term '{shown(expires)}' is no ISO date")
    if day <= last:
        return None
    return Grant("review" if right == "run" else "deny", f"the grant ended on {last.isoformat()}")


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
