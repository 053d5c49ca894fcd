"""licensee.toml: what is true of who uses the assets, where a licence asks. In the current folder, else SYNTHGEN_HOME.

revenue_usd = 400_000
[registrations]                                      # licence -> number under which one is registered
LicenseRef-scancode-stability-ai-community-2024 = "R-123"
[waivers]                                            # licence -> number of a signed waiver of a prohibited use
"LicenseRef-synthgen-OpenRAIL++-M" = "W-7"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthgen import resources, toml_file
from synthgen.errors import RequestError
from synthgen.licenses import Circumstances

NAME = "licensee.toml"
KEYS = ("revenue_usd", "registrations", "waivers")


def circumstances(said: Circumstances) -> Circumstances:
    """What was said, with the rest from licensee.toml. Raises RequestError with all that is wrong in that file."""
    path = next((place / NAME for place in (Path.cwd(), resources.home()) if (place / NAME).is_file()), None)
    if path is None:
        return said
    table = toml_file.read(path)
    problems = toml_file.unknown_keys(table, KEYS, str(path))
    revenue = table.get("revenue_usd")
    if revenue is not None and (not isinstance(revenue, int) or isinstance(revenue, bool) or revenue < 0):
        problems.append(f"{path}: revenue_usd is {revenue!r}; wanted a whole number of US dollars.")
    registrations, waivers = (_pairs(table, key, path, problems) for key in ("registrations", "waivers"))
    if problems:
        raise RequestError(f"{' '.join(problems)} Nothing was changed.")
    return replace(
        said,
        revenue_usd=revenue if said.revenue_usd is None else said.revenue_usd,
        registrations=(*said.registrations, *registrations),
        waivers=(*said.waivers, *waivers),
    )


def _pairs(table: Mapping[str, Any], key: str, path: Path, problems: list[str]) -> tuple[tuple[str, str], ...]:
    rows = table.get(key, {})
    if not isinstance(rows, dict) or not all(isinstance(value, str) and value.strip() for value in rows.values()):
        problems.append(f'{path}: [{key}] wants lines such as "LicenseRef-..." = "number".')
        return ()
    return tuple(rows.items())
