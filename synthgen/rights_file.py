"""rights.toml with photos, poses or weights: who owns them and what they may be used for."""

from __future__ import annotations

import datetime
from dataclasses import asdict, fields
from pathlib import Path

from synthgen import toml_file
from synthgen.errors import RequestError
from synthgen.types import Asset, Rights

NAME = "rights.toml"
KEYS = tuple(field.name for field in fields(Rights))


def rights_beside(folder: Path) -> Rights | None:
    """What FOLDER/rights.toml states, or None where there is no such file. Raises RequestError as `read` does."""
    return read(folder / NAME)


def place_of(weights: Path) -> Path:
    """The file that states the rights in weights: FOLDER/rights.toml, or STEM.rights.toml beside a single file."""
    return weights / NAME if weights.is_dir() else weights.with_suffix(f".{NAME}")


def read(path: Path) -> Rights | None:
    """What a file states, or None where there is none.

    Raises RequestError that names every problem at once: an unknown key with the nearest one, a value that is no
    text, an `expires` that is no date. Nothing is granted by a file that cannot be read.
    """
    if not path.is_file():
        return None
    stated = toml_file.read(path)
    problems = [problem for key, value in stated.items() if (problem := _problem(key, value))]
    if problems:
        raise RequestError(f"{path}: {' '.join(problems)} Nothing was changed.")
    return Rights(**{key: _text(value) for key, value in stated.items() if _text(value) or key != "license"})


def photos(name: str, rights: Rights, digest: str = "") -> Asset:
    """Photos with these rights as something that goes into a picture.

    digest  sha256 over the photos' own, see ImageSet.digest
    """
    return asset("photos", name, rights, digest)


def asset(kind: str, name: str, rights: Rights, digest: str = "") -> Asset:
    """Something with these rights that goes into a picture."""
    return Asset(
        kind, name, rights.license, digest, expires=rights.expires, owner=rights.owner, credit=rights.credit,
        source=rights.source, consent=rights.consent or rights.ethics,
    )  # fmt: skip


def told(rights: Rights | None) -> dict[str, str]:
    """What is stated, as a table: keys that say nothing are left out."""
    return {key: value for key, value in asdict(rights).items() if value} if rights else {}


def _problem(key: str, value: object) -> str:
    """What is wrong with one line, or ""."""
    if key not in KEYS:
        return f"unknown key '{key}'.{toml_file.suggestion(key, KEYS)}"
    if key == "expires":
        try:
            datetime.date.fromisoformat(_text(value)[:10])
        except ValueError:
            return f"expires is '{value}', wanted a date such as 2027-12-31." if value != "" else ""
        return ""
    return "" if isinstance(value, str) else f"{key} is {value!r}, wanted text in quotes."


def _text(value: object) -> str:
    """TOML has dates of its own; the record keeps them as ISO text."""
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    return value.strip() if isinstance(value, str) else ""
