"""Licence records: one TOML file each in licenses/, checked whole, a user's own before the shipped ones.

A record says for each right `deny`, `unknown`, `review`, `conditional` or `allow`, with the clause. What its source
does not say is `unknown`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from synthgen import resources, toml_file
from synthgen.errors import RequestError, UnknownName

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
# What is trained on outputs can decide: these rows, where a record has them, stand in for output_train_ml.
TRAINED = ("classifier", "generator")
ROWS = (*RIGHTS, *(f"output_train_{what}" for what in TRAINED))
LISTS = ("aliases", "notices", "prohibited_uses", "share_alike")
EVIDENCE = ("primary", "second-hand")
BINDS = ("contract", "copyright")
TEXTS = ("id", "name", "version", "source", "link", "evidence", "verified_on", "text_sha256", "text_source", "binds",
         "notice_text", "prohibited_uses_clause", "revenue_clause")  # fmt: skip
KEYS = (*TEXTS, *LISTS, "revenue_threshold_usd", "conditions", "rights", "flags")


_DIGEST = re.compile(r"([0-9a-f]{64})?\Z")


@dataclass(frozen=True)
class Grant:
    """What a licence says of one right."""

    answer: str  # one of ANSWERS
    clause: str
    conditions: tuple[str, ...] = ()  # sentences
    tags: tuple[str, ...] = ()  # the conditions' short names, in the same order


@dataclass(frozen=True)
class License:
    """One licence record. Empty means: the named source does not say."""

    id: str
    name: str
    version: str
    aliases: tuple[str, ...]
    source: str  # where what stands here was read
    link: str
    evidence: str  # "primary": the text itself was read; "second-hand": somebody's account of it
    verified_on: str  # ISO date
    text_sha256: str  # of the licence's text, where the text may be handed on and was at hand
    text_source: str  # which file that is
    binds: str  # "copyright": its conditions reach no further than copyright does; "contract": they bind who accepts
    revenue_threshold_usd: int | None
    revenue_clause: str
    notices: tuple[str, ...]
    notice_text: str  # verbatim, to be passed on
    prohibited_uses: tuple[str, ...]
    prohibited_uses_clause: str
    share_alike: tuple[str, ...]  # licences under which what is adapted from it may go out; empty: any
    rights: Mapping[str, Grant]
    flags: Mapping[str, Mapping[str, Grant]] = field(default_factory=dict)  # flag -> what it does to the rights
    own: bool = False  # from a user's folder, not from the shipped one


def known() -> dict[str, License]:
    """All licence records by id; a user's own ./licenses comes before the shipped ones."""
    return dict(_known(_files())[0])


def names() -> Mapping[str, License]:
    """All licence records by every name that they have, in small letters; that of `unknown` also for the empty name."""
    return _known(_files())[1]


def load(name: str) -> License:
    """The record with this id or alias, in any case of letters. Raises UnknownName with the nearest id."""
    record = names().get(name.strip().casefold())
    if record is None:
        raise UnknownName("licenses", name, known())
    return record


def _files() -> tuple[tuple[str, bool, int, int], ...]:
    """The record files in their order, with what tells whether one has changed since it was read."""
    shipped = resources.shipped("licenses")
    found: list[tuple[str, bool, int, int]] = []
    for folder in resources.search("licenses"):
        own = folder != shipped
        with os.scandir(folder) as entries:
            here = [(entry.path, entry.stat()) for entry in entries if entry.name.endswith(".toml")]
        found += sorted((path, own, stat.st_mtime_ns, stat.st_size) for path, stat in here)
    return tuple(found)


@lru_cache(maxsize=8)
def _known(files: tuple[tuple[str, bool, int, int], ...]) -> tuple[dict[str, License], dict[str, License]]:
    """Records by id, and by every name in small letters."""
    records: dict[str, License] = {}
    by_name: dict[str, License] = {}
    for path, own, _, _ in files:
        record = _record(Path(path), own)
        records.setdefault(record.id, record)
        for name in (record.id, *record.aliases):
            by_name.setdefault(name.casefold(), records[record.id])
    if "unknown" in by_name:
        by_name[""] = by_name["unknown"]
    return records, by_name


def _record(path: Path, own: bool) -> License:
    """A record from its file; raises RequestError with all that is wrong in it."""
    table = toml_file.read(path)
    problems = toml_file.unknown_keys(table, KEYS, str(path))
    texts = {key: table.get(key, "") for key in TEXTS}
    texts["binds"] = table.get("binds", "contract")
    problems += [f"{path}: {key} must be text." for key, value in texts.items() if not isinstance(value, str)]
    problems += [f"{path}: {key} is missing." for key in ("id", "name", "source") if not table.get(key)]
    for key, wanted in (("evidence", EVIDENCE), ("binds", BINDS)):
        if texts[key] not in wanted:
            problems.append(f"{path}: {key} is {table.get(key)!r}; wanted {' or '.join(map(repr, wanted))}.")
    if bool(texts["text_sha256"]) != bool(texts["text_source"]) or not _DIGEST.match(str(texts["text_sha256"])):
        problems.append(f"{path}: text_sha256 wants 64 hexadecimal digits, and text_source the file that they are of.")
    threshold = table.get("revenue_threshold_usd")
    if threshold is not None and (not isinstance(threshold, int) or isinstance(threshold, bool) or threshold < 0):
        problems.append(f"{path}: revenue_threshold_usd is {threshold!r}; wanted a whole number.")
    lists = {key: _strings(table.get(key, []), f"{path}: {key}", problems) for key in LISTS}
    grants = _Rows(table, str(path), problems)
    rights = grants.rights()
    flags = grants.flags()
    if problems:
        raise RequestError("\n".join(problems))
    return License(**{**texts, **lists}, revenue_threshold_usd=threshold, rights=rights, flags=flags, own=own)


class _Rows:
    """The tables [rights], [flags] and [conditions] of one file; what is wrong is added to `problems`."""

    def __init__(self, table: Mapping[str, Any], where: str, problems: list[str]) -> None:
        self.where, self.problems = where, problems
        self.sentences = self._table(table, "conditions")
        self.rows, self.flag_rows = self._table(table, "rights"), self._table(table, "flags")

    def rights(self) -> dict[str, Grant]:
        """A right that is not mentioned is unknown."""
        place = f"{self.where} [rights]"
        self.problems += toml_file.unknown_keys(self.rows, ROWS, place)
        wanted = (*RIGHTS, *(row for row in ROWS if row in self.rows and row not in RIGHTS))
        return {right: self._grant(self.rows.get(right, {}), f"{place} {right}") for right in wanted}

    def flags(self) -> dict[str, dict[str, Grant]]:
        """What a flag does to the rights that it names."""
        found = {}
        for flag in self.flag_rows:
            rows, place = self._table(self.flag_rows, flag), f"{self.where} [flags.{flag}]"
            self.problems += toml_file.unknown_keys(rows, ROWS, place)
            found[flag] = {right: self._grant(row, f"{place} {right}") for right, row in rows.items()}
        return found

    def _table(self, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = table.get(key, {})
        if isinstance(value, dict):
            return value
        self.problems.append(f"{self.where}: [{key}] must be a table.")
        return {}

    def _grant(self, row: Any, place: str) -> Grant:
        """One row, its conditions looked up by their tags."""
        if not isinstance(row, dict):
            self.problems.append(f"{place}: wanted a table with answer and clause.")
            return Grant("unknown", "")
        self.problems += toml_file.unknown_keys(row, ("answer", "clause", "conditions"), place)
        answer = row.get("answer", "unknown")
        if answer not in ANSWERS:
            self.problems.append(f"{place}: answer is {answer!r}; wanted one of {', '.join(ANSWERS)}.")
        tags = _strings(row.get("conditions", []), f"{place}: conditions", self.problems)
        missing = [tag for tag in tags if tag not in self.sentences]
        self.problems += [f"{place}: no condition '{tag}' in [conditions]." for tag in missing]
        if (answer == "conditional") != bool(tags):
            self.problems.append(f"{place}: 'conditional' needs conditions, and no other answer may have them.")
        clause = str(row.get("clause", "")) or "the source does not say"
        return Grant(str(answer), clause, tuple(str(self.sentences.get(tag, "")) for tag in tags), tags)


def _strings(value: Any, where: str, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        problems.append(f"{where} must be a list of texts.")
        return ()
    return tuple(value)
