"""The permission flags of Civitai as a licence: one record for each set of flags, made from LicenseRef-civitai.toml.

A set of flags is written as an id, LicenseRef-civitai-Image-NoDerivatives-AnyLicense-NoCredit, or as the link that
model cards give (`?allowCommercialUse=Image&allowDerivatives=False&...`). What is allowed commercially is a set without
implications: Sell does not include Rent. A flag that is not stated allows nothing. The licence of the base applies too.
Source: civitai/civitai PermissionIndicator.tsx, as told in the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from synthgen.license_record import ANSWERS, Grant, License

ID = "LicenseRef-civitai"
COMMERCIAL = ("Image", "RentCivit", "Rent", "Sell")
NO_COMMERCIAL = "NoCommercial"
DERIVATIVES = ("NoDerivatives", "Derivatives")
LICENSES = ("SameLicense", "AnyLicense")
CREDIT = ("Credit", "NoCredit")
IN_LINKS = {"allowDerivatives": DERIVATIVES, "allowDifferentLicense": LICENSES, "allowNoCredit": CREDIT}
FLAGS = (*COMMERCIAL, NO_COMMERCIAL, *DERIVATIVES, *LICENSES, *CREDIT)


def flags_of(name: str) -> tuple[str, ...] | None:
    """The flags that an id or a link states, in one order; None for what is neither, or contradicts itself."""
    text = name.strip()
    if text.casefold().startswith(f"{ID.casefold()}-"):
        known = {flag.casefold(): flag for flag in FLAGS}
        stated = [known.get(word.casefold(), "") for word in text[len(ID) + 1 :].split("-")]
    elif text.startswith(("https://", "http://")) and "allowCommercialUse=" in text:
        stated = list(_in_link(text))
    else:
        return None
    flags = tuple(flag for flag in FLAGS if flag in stated)
    pairs = (DERIVATIVES, LICENSES, CREDIT, *((NO_COMMERCIAL, flag) for flag in COMMERCIAL))
    if "" in stated or any(set(pair) <= set(flags) for pair in pairs):
        return None
    return flags


def record(flags: tuple[str, ...], template: License) -> License:
    """The record of a set of flags. What `template` says without flags stays where no flag speaks."""
    rights = dict(template.rights)
    allowed = [flag for flag in COMMERCIAL if flag in flags]
    if allowed or NO_COMMERCIAL in flags:
        rights |= template.flags[NO_COMMERCIAL]
        for flag in allowed:
            for right, grant in template.flags[flag].items():
                rights[right] = max(rights[right], grant, key=_rank)
    for flag in DERIVATIVES:
        rights |= template.flags[flag] if flag in flags else {}
    if "Sell" in flags and "Derivatives" in flags:
        rights |= {"redistribute_adapter": template.flags["Sell"]["redistribute_adapter"]}
    for wish, waived in (LICENSES, CREDIT):
        if waived not in flags:
            for right, grant in template.flags[wish].items():
                rights[right] = _both(rights[right], grant)
    identity = "-".join((ID, *flags))
    alike = () if "AnyLicense" in flags else (identity,)
    return replace(template, id=identity, name=f"{template.name}: {', '.join(flags)}", aliases=(), rights=rights,
                   share_alike=alike, flags={})  # fmt: skip


def _in_link(text: str) -> Iterator[str]:
    """The flags in the query of a link; what stands there and is no flag of Civitai allows nothing."""
    try:
        query = parse_qs(urlsplit(text).query, keep_blank_values=True)
    except ValueError:
        return
    words = set(re.findall(r"[A-Za-z]+", " ".join(query.get("allowCommercialUse", []))))
    yield from [flag for flag in COMMERCIAL if flag in words] or ([NO_COMMERCIAL] if words <= {"None"} else [])
    for key, (no, yes) in IN_LINKS.items():
        said = {value.casefold() for value in query.get(key, [])}
        if said in ({"true"}, {"false"}):
            yield yes if said == {"true"} else no


def _rank(grant: Grant) -> int:
    return ANSWERS.index(grant.answer)


def _both(grant: Grant, more: Grant) -> Grant:
    """Two statements on one right, both of which hold."""
    if grant.answer == more.answer == "conditional":
        together = dict(zip((*grant.tags, *more.tags), (*grant.conditions, *more.conditions), strict=True))
        return Grant("conditional", f"{grant.clause}; {more.clause}", tuple(together.values()), tuple(together))
    return min(grant, more, key=_rank)
