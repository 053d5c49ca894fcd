"""A TOML file that a person may have written: read whole, checked, its wrong keys named with the nearest right one."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synthgen.errors import RequestError

LIMIT_BYTES = 1 << 20  # a recipe or a licence record is a few kB; what is larger was not written by hand


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises RequestError where it cannot be read, is too large, or is no TOML."""
    try:
        size = path.stat().st_size
        if size > LIMIT_BYTES:
            raise RequestError(f"{path} has {size} bytes; at most {LIMIT_BYTES} are read. Nothing was loaded.")
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror}). Nothing was loaded.") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path} is not valid TOML: {error}. Nothing was loaded.") from error


def unknown_keys(table: Mapping[str, Any], allowed: Iterable[str], where: str) -> list[str]:
    """One sentence for each key of `table` that is not allowed, with the nearest allowed one."""
    names = sorted(allowed)
    return [f"{where}: unknown key '{key}'.{suggestion(key, names)}" for key in table if key not in names]


def suggestion(found: str, names: Iterable[str]) -> str:
    """ " Did you mean 'x'?" for the nearest name, else the list of names; with a leading space."""
    known = sorted(names)
    near = difflib.get_close_matches(found, known, n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(known) or 'none'}."
