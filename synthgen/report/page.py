"""report.html: one page that needs nothing beside it, for screen, paper, keyboard and screen reader."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from synthgen.report import evaluated, runs
from synthgen.report.gallery import SCRIPT, Shown, gallery
from synthgen.report.wording import bullets, section
from synthgen.run_report import STYLE

MORE_STYLE = """
:root { --one: #2f6fd0; --two: #b3541e; --good: #1c7a3d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --one: #8ab4f8; --two: #f0a36b; --good: #7fd49a; --bad: #ff8a80; } }
body { max-width: 76rem; } section { margin-top: 2.5rem; } h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.skip { position: absolute; left: -99rem; } .skip:focus { position: static; }
nav ul { columns: 14rem; padding-left: 1.1rem; } a { color: var(--one); }
.answer { display: block; font-size: 1.1rem; color: var(--ink); border-left: 6px solid var(--bar); padding-left: 1rem; }
table { margin: .6rem 0 1.2rem; } th { text-align: left; padding: .15rem .4rem; font-weight: 500; vertical-align: top; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; } td { vertical-align: top; }
tbody th { border-bottom: 1px solid var(--line); }
.scroll { overflow-x: auto; } :focus-visible { outline: 3px solid var(--one); outline-offset: 2px; }
svg { max-width: 26rem; width: 100%; } svg.wide { max-width: 44rem; } svg text { fill: var(--soft); font-size: 11px; }
svg .dot { fill: var(--one); } svg .axis { stroke: var(--line); fill: none; }
svg .curve { fill: none; stroke-width: 2; } svg .span { stroke: var(--one); stroke-width: 2; }
svg .bin { stroke-width: 2; } svg .full { fill-opacity: .5; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; } .pair svg { flex: 1 1 18rem; }
td.heat { background: color-mix(in srgb, var(--bar) var(--share), transparent); text-align: center; }
.passed { color: var(--good); font-weight: 600; } .failed { color: var(--bad); font-weight: 700; }
fieldset { border: 1px solid var(--line); border-radius: 6px; margin: .3rem 0; padding: .1rem .6rem .3rem; }
fieldset label { margin-right: .9rem; display: inline-block; } legend { font-weight: 600; font-size: .85rem; }
.pictures { grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); margin-top: .6rem; }
[hidden] { display: none; }
.pictures figcaption { white-space: normal; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; }
details { margin: .6rem 0 1.2rem; } summary { cursor: pointer; font-weight: 600; font-size: .9rem; }
abbr { text-decoration: none; border-bottom: 1px dotted var(--soft); }
@media print { nav, .filters, .skip { display: none; } body { max-width: none; margin: 0; font-size: 10pt; color: #000;
  background: #fff; } figure, tr, svg, h2, h3 { break-inside: avoid; } h2, h3, caption { break-after: avoid; }
  .scroll { overflow: visible; } thead { display: table-header-group; } * { print-color-adjust: exact; } }
"""


def page(
    document: Mapping[str, Any],
    shown: Sequence[Shown],
    wrong: Mapping[str, Sequence[Shown]],
    folders: Mapping[str, Path],
) -> str:
    """The whole page. `document` is what the JSON file holds: no number here that is not there.

    shown    the pictures of the gallery
    wrong    classifier -> pictures that it got wrong
    folders  name of a run -> where its pictures are
    """
    told, found = document["runs"], document["evaluation"]
    names = ", ".join(document["names"])
    parts = [
        runs.validity(told) if told else "",
        *(_evaluation(found, wrong, folders) if found else ()),
        *((runs.labels(told), runs.coverage(told), runs.copies(told, folders)) if told else ()),
        section("gallery", "Pictures", gallery("pictures", shown)),
        *((runs.rights(told), runs.origin(told)) if told else ()),
        section("assumed", "Assumed", bullets(found["remarks"])) if found else "",
        section("not-measured", "Not measured", bullets(document["not_measured"])),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Report on {escape(names)}</title>\n<style>{STYLE}{MORE_STYLE}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#main">Skip the contents</a>\n'
        f"<header><h1>{escape(names)}</h1>{_lead(document)}</header>\n"
        f'{_contents(body)}\n<main id="main">\n{body}\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n'
    )


def _evaluation(
    found: Mapping[str, Any], wrong: Mapping[str, Sequence[Shown]], folders: Mapping[str, Path]
) -> list[str]:
    return [
        evaluated.ranking(found),
        evaluated.utility(found["utility"]),
        evaluated.fidelity(found["fidelity"]),
        evaluated.leakage(found["leakage"], folders),
        *(
            evaluated.classifier(place, name, judged, wrong.get(name, ()), judged["wrong"])
            for place, (name, judged) in enumerate(found["classifiers"].items())
        ),
    ]


def _lead(document: Mapping[str, Any]) -> str:
    """What a reader in a hurry has to know: valid or not, then the answers."""
    failed = [check["name"] for facts in document["runs"] for check in facts["checks"] if check["passed"] is False]
    whole = sum(len(facts["checks"]) for facts in document["runs"])
    valid = f"{len(failed)} of {whole} checks failed: {', '.join(failed)}." if failed else f"All {whole} checks passed."
    found = document["evaluation"]
    text = f'<p class="answer">Valid: {escape(valid if whole else "not known, for these are no runs of synthgen.")}</p>'
    if not found:
        return text + "<p>Every picture is synthetic. No evaluation was made yet.</p>"
    sizes = found["sets"]
    text += f'<p class="answer">{escape(found["ranking"]["sentence"])}</p>'
    if found["utility"]:
        text += f'<p class="answer">{escape(found["utility"]["sentence"])}</p>'
    return (
        f"{text}<p>{sizes['synthetic']} synthetic and {sizes['real']} real pictures, label {escape(found['label'])}: "
        f"{escape(', '.join(found['classes']))}. Numbers stand with their 95 % interval and their null: what the same "
        "number is where there is nothing to find.</p>"
    )


def _contents(body: str) -> str:
    """Links to every section, read from the headings themselves."""
    headings = re.findall(r'<h2 id="([^"]+)-title">(.*?)</h2>', body)
    items = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in headings)
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'
