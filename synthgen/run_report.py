"""What a run shows of itself: metadata.csv for programs, report.html for people."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from synthgen.tally import Tally

COLUMNS = ("file_name", "job_id", "split", "label", "sku", "category", "prompt", "seed", "base", "adapters",
           "license_verdict", "license_reason")  # fmt: skip
SPLIT = "train"
THUMBNAILS = 48
MOST_REASONS = 60
MOST_ROWS = 60  # an axis with more values (keypoints, say) is no table to look at
Lines = Iterable[Mapping[str, Any]]  # that can be gone through more than once
STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --soft: #667; --line: #d8dbe2; --bar: #7c9cd6; --paper: #fbfbfd; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e9ef; --soft: #9aa; --line: #3a3f4b; --bar: #5577b5; --paper: #16181d; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; } p { color: var(--soft); }
.axes { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1.5rem; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; } caption { text-align: left; font-weight: 600; }
td { padding: .1rem .4rem; border-bottom: 1px solid var(--line); } td.n { text-align: right; width: 3rem; }
th { text-align: left; font-weight: 600; padding: .1rem .4rem; } .yield td.n { width: 4rem; }
meter { width: 6rem; } .verdict { border-left: 4px solid var(--bar); padding-left: 1rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .6rem; }
figure { margin: 0; } img { width: 100%; border-radius: 4px; display: block; }
figcaption { font-size: .7rem; color: var(--soft); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
"""


def table(lines: Lines) -> Iterator[str]:
    """metadata.csv: one row for each picture in plan order, `file_name` first; \\n line ends. Row by row.

    Requested and measured labels are columns apart; a value that was not measured is an empty cell.
    """
    keys: dict[str, set[str]] = {"requested": set(), "measured": set()}
    for line in lines:
        for part, known in keys.items():
            known.update(line["lineage"][part])
    columns = [(part, key) for part, known in keys.items() for key in sorted(known)]
    yield _row([*COLUMNS, *(f"{part}_{key}" for part, key in columns)])
    for line in lines:
        yield _row([*_fixed(line), *(line["lineage"][part].get(key, "") for part, key in columns)])


def page(
    name: str,
    count: int,
    lines: Lines,
    rejections: Iterable[Mapping[str, Any]],
    copies: Mapping[str, Any] | None = None,
) -> str:
    """report.html: counts per axis, the licence verdict, what was rejected, and the first pictures. Stands alone."""
    kept, first = Tally(), list(itertools.islice(lines, THUMBNAILS))
    made = 0
    for line in lines:
        made += 1
        kept.add((axis, str(value)) for axis, value in line["lineage"]["requested"].items())
    refused = _Refused(rejections)
    state = "finished" if made >= count else "not finished"
    parts = [
        f"<h1>{escape(name)}</h1>",
        f"<p>{made} of {count} pictures, {state}. Every picture is synthetic; its lineage stands inside it and "
        "in records.jsonl, its labels in metadata.csv.</p>",
        _verdict(first),
        "<h2>Labels asked for</h2>",
        f'<div class="axes">{"".join(_axis(key, kept, made) for key in kept.keys())}</div>',  # noqa: SIM118 - a Tally
        _rejected(refused),
        _yields(kept, refused),
        _copies(copies or {}),
        "<h2>Pictures</h2>",
        f'<div class="pictures">{"".join(map(_thumbnail, first))}</div>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


class _Refused:
    """What gates rejected, counted."""

    def __init__(self, rejections: Iterable[Mapping[str, Any]]) -> None:
        self.tries, self.reasons, self.cells, self.gates = 0, Tally(), Tally(), Tally()
        for line in rejections:
            self.tries += 1
            reasons, asked = line.get("reasons", {}), line.get("requested", {})
            self.reasons.add(("", f"{gate}: {reason}") for gate, reason in reasons.items())
            self.cells.add((axis, str(value)) for axis, value in asked.items())
            self.gates.add((f"{axis}={value}", gate) for axis, value in asked.items() for gate in reasons)


def _row(cells: Sequence[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _fixed(line: Mapping[str, Any]) -> list[str]:
    """The cells of COLUMNS."""
    lineage = line["lineage"]
    category, adapters = lineage["job"]["category"], lineage["adapters"]
    return [
        line["file_name"],
        line["job_id"],
        SPLIT,
        category,
        "+".join(str(item["name"]) for item in adapters),  # one adapter is one product, so its name is the SKU
        category,
        lineage["prompt"],
        lineage["seed"],
        lineage["base"].get("id", ""),
        ";".join(f"{item['name']}:{item['weight']:g}" for item in adapters),
        lineage["license"]["verdict"],
        next(iter(lineage["license"]["reasons"]), ""),
    ]


def _verdict(lines: Sequence[Mapping[str, Any]]) -> str:
    if not lines:
        return ""
    said = lines[0]["lineage"]["license"]
    conditions = f"<p>Conditions</p>{_list(said['conditions'])}" if said["conditions"] else ""
    return (
        f'<h2>Licence</h2><div class="verdict"><strong>{escape(said["verdict"])}</strong> for use '
        f"<strong>{escape(said['use'])}</strong>{_list(said['reasons'])}{conditions}</div>"
    )


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(str(item))}</li>' for item in items)}</ul>"


def _axis(axis: str, kept: Tally, made: int) -> str:
    counts = {"": made - kept.total(axis)} if kept.total(axis) < made else {}
    different = kept.different(axis) + len(counts)
    if different > MOST_ROWS:
        return f"<p>{escape(axis)}: {different} different values</p>"
    counts = {value: number + counts.get(value, 0) for value, number in [*counts.items(), *kept.values(axis)]}
    most = max(counts.values())
    rows = "".join(
        f'<tr><td>{escape(value)}</td><td class="n">{number}</td>'
        f'<td><meter max="{most}" value="{number}">{number}</meter></td></tr>'
        for value, number in sorted(counts.items())
    )
    return f"<table><caption>{escape(axis)}</caption>{rows}</table>"


def _rejected(refused: _Refused) -> str:
    if not refused.tries:
        return "<h2>Rejected</h2><p>No picture was rejected by a gate.</p>"
    said = [f"{reason} ({number})" for reason, number in refused.reasons.commonest("", MOST_REASONS)]
    if (left := refused.reasons.different("") - MOST_REASONS) > 0:
        said.append(f"{left} more, each as rare or rarer; all stand in rejected/rejections.jsonl")
    return f"<h2>Rejected</h2><p>{refused.tries} pictures were rejected by a gate and made again.</p>{_list(said)}"


def _copies(told: Mapping[str, Any]) -> str:
    """What the copy gate tested and found; `told` is RUN/copy_gate.json."""
    if not told:
        return ""
    refused = told.get("release", {}).get("refused", [])
    said = f"<p><strong>This set cannot be released.</strong></p>{_list(refused)}" if refused else ""
    drawn, within = told.get("drawn"), told.get("mode_collapse", {})
    if drawn:
        said += (
            f"<p>{drawn['copies']} of {drawn['pictures']} pictures drawn were taken for copies of training images "
            f"({drawn['share']:.1%}, 95 % interval {drawn['low']:.1%} to {drawn['high']:.1%}); of fresh real images "
            f"{told['level']:.1%} at most would be. Near-duplicates within the set: {within['pictures']} of "
            f"{within['of']}. Training images approached: {told['exposure']['approached']} of "
            f"{told['exposure']['of']}, the most approached {told['exposure']['most']} times.</p>"
        )
    rungs = "".join(
        f'<tr><td>{escape(rung["edit"])}</td><td class="n">{rung["found"]} of {rung["planted"]}</td>'
        f"<td>{rung['low']:.1%} to {rung['high']:.1%}</td></tr>"
        for rung in told.get("power", ())
    )
    power = f"<table><caption>Planted copies of training images that the gate finds</caption>{rungs}</table>"
    attacks = [("the set", told.get("membership", {}))]
    attacks += [(f"adapter '{name}'", attack) for name, attack in told.get("adapters", {}).items()]
    return f"<h2>Copies</h2>{said}{power if rungs else ''}{_list(_attack(*item) for item in attacks if item[1])}"


def _attack(what: str, told: Mapping[str, Any]) -> str:
    """One membership attack in words, its intervals and its null beside it."""
    auc, tpr, blind = told["auc"], told["tpr"], told["baseline_auc"]
    null = f"{blind['value']:.2f}" if "value" in blind else "not measured"
    return (
        f"Membership attack on {what}: AUC {auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f}), {null} where "
        f"there is nothing to find; at 1 % false alarms {tpr['value']:.1%} of {told['attacked']} training images are "
        f"told ({tpr['low']:.1%} to {tpr['high']:.1%}), by {told['controls']} images that were never trained on."
    )


def _yields(kept: Tally, refused: _Refused) -> str:
    """For each value of each axis: pictures kept, tries, yield, and the gates that rejected, worst yield first."""
    cells = sorted(
        (kept.times(axis, value) / (kept.times(axis, value) + number), axis, value, number)
        for axis in refused.cells.keys()  # noqa: SIM118 - a Tally
        if kept.different(axis) <= MOST_ROWS and refused.cells.different(axis) <= MOST_ROWS
        for value, number in list(refused.cells.values(axis))
    )
    if not cells:
        return ""
    rows = "".join(
        f"<tr><td>{escape(axis)}</td><td>{escape(value)}</td>"
        f'<td class="n">{kept.times(axis, value)}</td><td class="n">{kept.times(axis, value) + number}</td>'
        f'<td class="n">{share:.0%}</td><td><meter value="{share:.3f}">{share:.0%}</meter></td>'
        f"<td>{escape(', '.join(f'{gate} {times}' for gate, times in refused.gates.commonest(f'{axis}={value}')))}</td>"
        "</tr>"
        for share, axis, value, number in cells
    )
    head = "<tr><th>axis</th><th>value</th><th>kept</th><th>tries</th><th>yield</th><th></th><th>rejected by</th></tr>"
    return f'<h2>Yield of each cell</h2><table class="yield">{head}{rows}</table>'


def _thumbnail(line: Mapping[str, Any]) -> str:
    source, said = escape(str(line["file_name"])), escape(str(line["lineage"]["prompt"]))
    image = f'<img src="{source}" alt="{said}" loading="lazy">'
    return f'<figure>{image}<figcaption title="{said}">{said}</figcaption></figure>'
