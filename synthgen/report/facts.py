"""What a run says of itself: is it valid, what was asked for and what was found, where it comes from, who has rights.

Validity is passed or failed, and apart from quality: a run may be whole, signed and lawful, and its pictures poor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthgen import file_hash, store
from synthgen.gates.label import agrees
from synthgen.intervals import Estimate, proportion
from synthgen.labelled_set import NO_LABELS
from synthgen.ledger import Ledger
from synthgen.provenance import lineage_id

MOST_VALUES = 24  # an axis with more is a name or a measurement
MAPS = 3  # coverage maps at most
COPY = "copy"  # what the copy gate measures begins with this
CLOSEST = 16
LABELS_ANEW = "readings dealt out anew"
_Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Check:
    """One thing that is so or is not. None: it could not be told."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True)
class Coverage:
    """How many pictures stand in every cell of two axes."""

    rows: str
    columns: str
    row_values: tuple[str, ...]
    column_values: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Copies:
    """The copy gate's summary, as it stands in the records."""

    said: Mapping[str, Mapping[str, int]]  # measured text -> value -> pictures
    numbers: Mapping[str, tuple[float, float, float]]  # measured number -> least, median, most
    closest_by: str  # the number that `closest` is sorted by
    closest: tuple[tuple[str, float], ...]  # file, number; the nearest first


@dataclass(frozen=True)
class RunFacts:
    """Everything that the records of one run tell."""

    name: str
    plan: str
    created: str
    count: int
    made: int
    rejected: int
    rejections: Mapping[str, int]
    checks: tuple[Check, ...]
    labels: Mapping[str, Mapping[str, int]]  # axis -> value -> pictures
    many_valued: Mapping[str, int]  # axis -> how many values, too many to list
    agreement: Mapping[str, Estimate]  # axis -> share of pictures read as asked
    read_by: str
    coverage: tuple[Coverage, ...]
    copies: Copies | None
    rights: Mapping[str, Any]
    origin: Mapping[str, Any]


def of_run(folder: Path) -> RunFacts:
    """The facts of one run. Raises RequestError for a folder that is no run."""
    about, lines = store.about(folder), store.read(folder)
    rejections, _ = Ledger(folder / store.REJECTED / store.REJECTIONS).read()
    asked = [{"category": str(line["lineage"]["job"].get("category", "")), **line["lineage"]["requested"]}
             for line in lines]  # fmt: skip
    axes = {
        axis: Counter(str(row.get(axis, "")) for row in asked)
        for axis in sorted({key for row in asked for key, value in row.items() if value and key not in NO_LABELS})
    }
    few = {axis: dict(sorted(values.items())) for axis, values in axes.items() if len(values) <= MOST_VALUES}
    reasons = Counter(f"{gate}: {why}" for line in rejections for gate, why in line.get("reasons", {}).items())
    return RunFacts(
        folder.resolve().name, str(about.get("plan", {}).get("digest", "")), str(about.get("created", "")),
        int(about.get("count", len(lines))), len(lines), len(rejections), dict(reasons.most_common()),
        tuple(checks(folder, about, lines)), few,
        {axis: len(values) for axis, values in axes.items() if axis not in few},
        agreement(asked, lines), _first(lines, ("measured", "label_judge")),
        tuple(_coverage(asked, {axis: values for axis, values in few.items() if len(values) > 1})),
        copies(lines), _rights(lines), _origin(lines),
    )  # fmt: skip


def checks(folder: Path, about: Mapping[str, Any], lines: _Lines) -> Iterator[Check]:
    """What has to be so for the numbers below to mean what they say."""
    count = int(about.get("count", 0))
    whole = about.get("finished") is True and len(lines) >= count
    yield Check("the run is finished", whole, f"{len(lines)} of {count} pictures")
    broken = Ledger(folder / store.RECORDS).broken()
    yield Check("the ledger is unbroken", not broken, broken or f"{len(lines)} lines, each with the digest of the last")
    bad = [line["file_name"] for line in lines if lineage_id(line["lineage"]) != line.get("lineage_id")]
    yield Check("every record is as it was written", not bad, _first_of(bad, "changed") or "ids fit their content")
    wrong = [str(line["file_name"]) for line in lines if not _same_bytes(folder, line)]
    yield Check("every picture is as it was written", not wrong, _first_of(wrong, "missing or changed") or "by sha256")
    twice = [sha for sha, times in Counter(line["pixel_sha256"] for line in lines).items() if times > 1]
    yield Check(
        "no two pictures are the same", not twice, f"{len(twice)} pictures occur again" if twice else "by pixel"
    )
    named = sum(map(_labelled, lines))
    yield Check(
        "every picture has a category or a finding", named == len(lines) if named else None, f"{named} of {len(lines)}"
    )
    verdicts = Counter(line["lineage"]["license"]["verdict"] for line in lines)
    lawful = not {"deny"} & verdicts.keys() if lines else None
    told = ", ".join(f"{answer} for {number}" for answer, number in verdicts.items())
    yield Check("no licence forbids the use stated", lawful, told or "no picture")
    unknown = verdicts.keys() & {"unknown", "review"}
    known = f"{', '.join(sorted(unknown))}: for internal use alone" if unknown else told
    yield Check("the rights in all that went in are known", (not unknown) if lines else None, known or "no picture")


def agreement(asked: Sequence[Mapping[str, Any]], lines: _Lines) -> dict[str, Estimate]:
    """Axis -> the share of pictures in which the judge reads what was asked for, beside that of readings dealt anew."""
    import numpy as np

    found = {}
    measured = [line["lineage"]["measured"] for line in lines]
    for axis in sorted({key for row in asked for key in row} & {key for row in measured for key in row}):
        pairs = [
            (str(row[axis]), str(read[axis]))
            for row, read in zip(asked, measured, strict=True)
            if row.get(axis) and axis in read
        ]
        if not pairs:
            continue
        hits = np.array([agrees(axis, *pair) for pair in pairs])
        wanted, read = (Counter(side) for side in zip(*pairs, strict=True))
        chance = sum(
            times * others
            for one, times in wanted.items()
            for other, others in read.items()
            if agrees(axis, one, other)
        )
        estimate = proportion(hits, np.arange(len(hits)))
        null = chance / len(pairs) ** 2
        found[axis] = replace(estimate, null=null, null_is=LABELS_ANEW) if estimate.value is not None else estimate
    return found


def copies(lines: _Lines) -> Copies | None:
    """What the copy gate wrote into the records; None where it measured nothing."""
    import statistics

    rows = [
        (str(line["file_name"]), {key: value for key, value in line["lineage"]["measured"].items() if key[:4] == COPY})
        for line in lines
    ]
    keys = sorted({key for _, row in rows for key in row})
    if not keys:
        return None
    said, numbers = {}, {}
    for key in keys:
        values = [row[key] for _, row in rows if key in row]
        if all(isinstance(value, int | float) for value in values):
            numbers[key] = (float(min(values)), float(statistics.median(values)), float(max(values)))
        elif len(set(values)) <= MOST_VALUES:
            said[key] = dict(Counter(map(str, values)))
    order = next((key for key in ("copy_p", "copy_score", "copy_distance", *numbers) if key in numbers), "")
    nearest = sorted(((name, float(row[order])) for name, row in rows if order in row), key=lambda item: item[1])
    return Copies(said, numbers, order, tuple(nearest[:CLOSEST]))


def _coverage(asked: Sequence[Mapping[str, Any]], axes: Mapping[str, Mapping[str, int]]) -> Iterator[Coverage]:
    """The pairs of axes with the most cells that a page can show."""
    names = sorted(
        (axis for axis in axes if "_name" not in axis), key=lambda axis: (axis != "category", -len(axes[axis]), axis)
    )
    pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    for rows, columns in pairs[:MAPS]:
        counts = Counter((str(row.get(rows, "")), str(row.get(columns, ""))) for row in asked)
        down, across = tuple(axes[rows]), tuple(axes[columns])
        cells = tuple(tuple(counts[one, other] for other in across) for one in down)
        yield Coverage(rows, columns, down, across, cells)


def _rights(lines: _Lines) -> dict[str, Any]:
    """The verdict stamped on the pictures and what went into them."""
    if not lines:
        return {"use": "", "verdict": "", "reading": "", "reasons": [], "conditions": [], "assets": []}
    said = lines[0]["lineage"]["license"]
    return {
        "use": said["use"],
        "verdict": said["verdict"],
        "reading": said.get("reading", ""),
        "reasons": list(said["reasons"]),
        "conditions": list(said["conditions"]),
        "assets": [
            {key: str(asset.get(key, "")) for key in ("kind", "name", "license", "owner", "source", "sha256")}
            for asset in _walk(said.get("assets", ()))
        ],
    }


def _walk(assets: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for asset in assets:
        yield asset
        yield from _walk(asset.get("trained_on", ()))


def _origin(lines: _Lines) -> dict[str, Any]:
    """What drew the pictures."""
    if not lines:
        return {}
    first = lines[0]["lineage"]
    kept = ("pipeline", "base", "adapters", "versions", "system", "settings", "digital_source_type", "notice")
    return {key: first[key] for key in kept if key in first}


def _labelled(line: Mapping[str, Any]) -> bool:
    return bool(line["lineage"]["job"].get("category") or line["lineage"]["requested"].get("finding"))


def _same_bytes(folder: Path, line: Mapping[str, Any]) -> bool:
    try:
        return file_hash.sha256(folder / str(line["file_name"])) == line.get("file_sha256")
    except OSError:
        return False


def _first_of(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}, the first is {names[0]}" if names else ""


def _first(lines: _Lines, path: tuple[str, str]) -> str:
    return next((str(line["lineage"][path[0]][path[1]]) for line in lines if path[1] in line["lineage"][path[0]]), "")
