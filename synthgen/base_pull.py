"""A name in, weights on this machine out: which commit, may it be used so, then the bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from synthgen import bases, hub, licensee, licenses, rights_file
from synthgen.errors import UnknownName
from synthgen.hub import Pin
from synthgen.types import Rights, Verdict


def pull(
    name: str, revision: str, use: str, reading: str, say: Callable[[str], None], stated: Rights | None = None
) -> tuple[Verdict, Pin, Path]:
    """The verdict, the pin and the folder. Not a weight is fetched before the verdict is passed.

    stated  what the user says of the rights in the weights, in place of what was stated before
    Raises UnknownName, RequestError (gated, not there, pickles), Refused (the licence says no), SynthgenError.
    """
    pin = hub.resolve(name, *_where(name, revision))
    said = stated or hub.rights(name)
    license_ = said.license if said else bases.license_of(name, pin)
    say(
        f"{name}: {pin.repo} at {pin.revision}, {len(pin.files)} files, {pin.bytes / 1e9:.2f} GB, licence {license_}"
        f"{', as you state' if said else ''}"
    )
    if pin.license_tag:
        say(f"the repository's card says licence '{pin.license_tag}': a claim of who put it there")
    about = licensee.circumstances(licenses.Circumstances(reading))
    asset = rights_file.asset("base", name, replace(said or Rights(), license=license_), pin.revision)
    verdict = licenses.require([asset], use, about=about)
    if remark := licenses.remark(verdict):
        say(remark)
    return verdict, pin, hub.fetch(pin, stated)


def _where(name: str, revision: str) -> tuple[str, str]:
    """(repository, revision) of a name or an id."""
    known = bases.names()
    weights = known[name][1] if name in known else None
    if weights is not None:
        return weights.repo, revision
    found = hub.ID.match(name)
    if found is None or name in known:
        raise UnknownName("bases to pull", name, [one for one, (_, told) in known.items() if told])
    return found["repo"], revision or found["revision"] or ""
