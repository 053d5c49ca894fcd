"""What runs say of themselves, as parts of a page: validity, labels, coverage, copies, rights, origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from synthgen.report import figures
from synthgen.report.gallery import Shown, gallery
from synthgen.report.wording import bullets, fold, number, section, table

_Facts = Mapping[str, Any]
MARKS = {True: "passed", False: "FAILED", None: "not known"}


def validity(runs: Sequence[_Facts]) -> str:
    """Every check of every run; passed or failed, and no score."""
    inner = ""
    for facts in runs:
        rows = [
            (escape(check["name"]), f'<span class="{MARKS[check["passed"]].lower().replace(" ", "-")}">'
             f"{MARKS[check['passed']]}</span>", escape(check["detail"]))
            for check in facts["checks"]
        ]  # fmt: skip
        passed = sum(check["passed"] is True for check in facts["checks"])
        told = table(
            f"{facts['name']}: {facts['made']} of {facts['count']} pictures, plan {facts['plan']}, "
            f"{facts['rejected']} tries rejected by gates",
            ("check", "result", "detail"), rows,
        )  # fmt: skip
        if facts["rejections"]:
            told += bullets(f"{reason} ({times})" for reason, times in facts["rejections"].items())
        inner += fold(f"{facts['name']}: {passed} of {len(rows)} checks passed", told, passed < len(rows))
    return section("validity", "Is it valid?", inner, "Passed or failed; how good the pictures are stands below.")


def labels(runs: Sequence[_Facts]) -> str:
    """What was asked for beside what was read, axis by axis."""
    axes = sorted({axis for facts in runs for axis in facts["agreement"]})
    if not axes:
        return section("labels", "Labels as asked?", "<p>Not measured: no gate read labels from these pictures.</p>")
    rows = [
        (escape(axis), *(number(facts["agreement"][axis]) if axis in facts["agreement"] else "" for facts in runs))
        for axis in axes
    ]
    readers = ", ".join(sorted({facts["read_by"] for facts in runs if facts["read_by"]}))
    return section(
        "labels", "Labels as asked?",
        table(
            f"Share of pictures in which the label that was asked for is read by {readers}",
            ("label", *(escape(facts["name"]) for facts in runs)), rows,
        ),
        "The null is the share that would agree if the readings were dealt out anew.",
    )  # fmt: skip


def coverage(runs: Sequence[_Facts]) -> str:
    """How many pictures stand in every cell of the labels asked for."""
    inner = ""
    for facts in runs:
        maps = ""
        for item in facts["coverage"]:
            maps += figures.heat(
                f"{facts['name']}: {item['rows']} down, {item['columns']} across", item["row_values"],
                item["column_values"], item["cells"],
            )  # fmt: skip
        inner += fold(f"{facts['name']}: pictures in every cell of two labels", maps, facts is runs[0])
        told = [
            (escape(axis), ", ".join(f"{escape(value) or 'none'} {times}" for value, times in values.items()))
            for axis, values in facts["labels"].items()
        ]
        told += [(escape(axis), f"{several} different values") for axis, several in facts["many_valued"].items()]
        every = f"{facts['name']}: every label asked for"
        inner += fold(every, table(every, ("label", "pictures"), told))
    return section("coverage", "What is covered?", inner)


def copies(runs: Sequence[_Facts], folders: Mapping[str, Path]) -> str:
    """The copy gate's summary, and the pictures nearest to a photo that taught the adapter."""
    inner = ""
    for place, facts in enumerate(runs):
        found = facts["copies"]
        if found is None:
            continue
        rows: list[tuple[str, ...]] = [
            (escape(key), "", "", "", ", ".join(f"{escape(value)} {times}" for value, times in values.items()))
            for key, values in found["said"].items()
        ]
        rows += [(escape(key), *(f"{value:.3g}" for value in three), "") for key, three in found["numbers"].items()]
        inner += table(f"{facts['name']}: the copy gate", ("measured", "least", "median", "most", "pictures"), rows)
        folder = folders.get(facts["name"])
        if folder is not None and found["closest"]:
            nearest = [
                Shown(folder / file, f"{found['closest_by']} {value:.3g}", {}) for file, value in found["closest"]
            ]
            inner += "<h3>Closest to a photo</h3>" + gallery(f"closest-{place}", nearest)
    inner = inner or "<p>Not measured: the copy gate wrote nothing into these records.</p>"
    return section(
        "copies", "Copies?", inner,
        "The photos themselves are private and not shown; copies are looked for by the gate when pictures are made.",
    )  # fmt: skip


def rights(runs: Sequence[_Facts]) -> str:
    """The verdict that is stamped on the pictures, and what went into them."""
    inner = ""
    for facts in runs:
        said = facts["rights"]
        inner += (
            f"<h3>{escape(facts['name'])}</h3><p><strong>{escape(said['verdict'])}</strong> for use "
            f"<strong>{escape(said['use'])}</strong>, {escape(said['reading'])} reading</p>{bullets(said['reasons'])}"
        )
        if said["conditions"]:
            inner += f"<p>On condition:</p>{bullets(said['conditions'])}"
        inner += table(
            "What went into the pictures", ("kind", "name", "licence", "owner", "source", "sha256"),
            [(*(escape(asset[key]) for key in ("kind", "name", "license", "owner", "source")),
              f"<code>{escape(asset['sha256'][:16])}</code>") for asset in said["assets"]],
        )  # fmt: skip
    return section(
        "rights", "Rights", inner, "What licence records say, not legal advice. <code>synthgen licenses notice</code> "
        "writes what has to go along with the pictures.",
    )  # fmt: skip


def origin(runs: Sequence[_Facts]) -> str:
    """What drew the pictures."""
    inner = ""
    for facts in runs:
        rows = [(escape(key), _told(value)) for key, value in facts["origin"].items()]
        made = f"{facts['name']}, made {facts['created']}"
        inner += fold(made, table(made, ("what", "which"), rows))
    return section(
        "origin", "Origin", inner,
        "The same stands in every picture and in records.jsonl; <code>synthgen verify</code> checks it.",
    )  # fmt: skip


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return "<br>".join(f"{escape(str(key))}: {_told(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "<hr>".join(_told(item) for item in value)
    return escape(str(value))
