"""The texts that licences want to go along with a set: NOTICE, and ATTRIBUTION.md with the credits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from synthgen import licenses
from synthgen.license_record import License
from synthgen.types import Asset

Parts = Sequence[tuple[str, Asset, Sequence[License]]]  # path, asset, the licences that apply to it
_MARKS = re.compile(r"([\\`*_{}\[\]<#|!~]|^>)")


def notice(name: str, parts: Parts) -> str:
    """NOTICE: plain text. For each licence that wants one: what is under it, what it wants, and its text to pass on."""
    under: dict[str, list[str]] = {}
    records: dict[str, License] = {}
    for path, _, applying in parts:
        for record in applying:
            if record.notices or record.notice_text:
                records[record.id] = record
                under.setdefault(record.id, []).append(path)
    head = f"NOTICE for the data set '{licenses.shown(name)}', made with synthgen.\n"
    if not records:
        return head + "\nNo licence of what went into it, as far as the licence records tell, wants a notice.\n"
    return head + "".join(_section(records[key], under[key]) for key in sorted(records))


def attribution(name: str, parts: Parts) -> str:
    """ATTRIBUTION.md: who is to be named for what, from where, under which licence, and what was changed."""
    lines = [f"# Attribution for {markdown(name)}", ""]
    credited = [(path, asset, applying) for path, asset, applying in parts if asset.credit or _wants(applying)]
    if not credited:
        return "\n".join([*lines, "Nothing that went into this set asks for a credit, as far as is recorded.", ""])
    for path, asset, applying in credited:
        lines += [f"## {markdown(path)}", ""]
        who = asset.credit or asset.owner
        lines.append(f"- Creator: {markdown(who)}" if who else f"- Creator: **not stated**. {MISSING}")
        lines.append(f"- Source: {markdown(asset.source) or 'not stated'}")
        for record in applying:
            lines.append(f"- Licence: {markdown(record.name)} ({record.id}){_link(record)}")
            lines += [f"- The licence asks: {markdown(text)}" for text in record.notices]
        lines += [f"- Changes: {markdown(_changes(path, asset))}", ""]
    return "\n".join(lines)


MISSING = "Name it before you share the set: `credit` in the rights.toml beside the photos."


def uncredited(parts: Parts) -> list[str]:
    """Paths of what must be credited to somebody and names nobody."""
    return [path for path, asset, applying in parts if _wants(applying) and not (asset.credit or asset.owner)]


def markdown(text: str) -> str:
    """Text that somebody else wrote, as text in Markdown: on one line, no mark, no HTML."""
    return _MARKS.sub(r"\\\1", licenses.shown(text)).replace("\\<", "&lt;").replace("\\>", "&gt;")


def _section(record: License, paths: Sequence[str]) -> str:
    lines = ["", "-" * 79, f"{_titled(record)} ({record.id})"]
    lines += [record.link] if record.link else []
    lines += ["", "Under it:", *(f"  {path}" for path in dict.fromkeys(paths)), "", "It asks for:"]
    lines += [f"  {text}" for text in record.notices]
    lines += ["", record.notice_text.rstrip()] if record.notice_text else []
    return "\n".join(lines) + "\n"


def _titled(record: License) -> str:
    """Its name with its version, where the name does not say that already."""
    return record.name if record.version in record.name else f"{record.name} {record.version}"


def _wants(applying: Sequence[License]) -> bool:
    """Whether a licence makes a credit a condition of some right."""
    return any("credit" in grant.tags for record in applying for grant in _rows(record).values())


def _rows(record: License) -> Mapping[str, licenses.Grant]:
    return record.rights


def _link(record: License) -> str:
    return f", <{record.link}>" if record.link.startswith(("https://", "http://")) else ""


def _changes(path: str, asset: Asset) -> str:
    what = {"photos": "an adapter learned from them", "reference": "pictures were drawn after it",
            "poses": "pictures were drawn in these poses"}  # fmt: skip
    learned = path.rpartition(" > ")[0]
    said = f"{learned} learned from them" if learned and asset.kind == "photos" else what.get(asset.kind, "")
    return f"{said}; the pictures of this set are generated" if said else "it drew the pictures of this set"
