"""What an evaluation shows of itself: results.csv for programs, report.html for people. The page stands alone."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from synthgen.classifiers import decoded
from synthgen.run_report import STYLE

Failure = tuple[Path, str, str, float]  # picture, truth, choice, score of the choice
NOT_MEASURED = (
    "whether the set copies photos: not built yet",
    "whether the photos that the adapters were trained on are among the real test pictures",
)
PER_CELL, MOST, SIDE_PX = 6, 60, 96
COLUMNS = ("classifier", "set", "part", "metric", "value", "low", "high", "n", "units", "null", "null_is", "reason")
MORE_STYLE = """
.answer { font-size: 1.2rem; color: var(--ink); border-left: 6px solid var(--bar); padding-left: 1rem; }
th { text-align: left; padding: .1rem .4rem; } .scroll { overflow-x: auto; } svg { max-width: 30rem; width: 100%; }
svg text { fill: var(--soft); font-size: 11px; } svg .dot { fill: var(--bar); } svg .axis { stroke: var(--line); }
td.beyond { font-weight: 700; } .filter label { margin-right: 1rem; }
@media print { .filter { display: none; } body { max-width: none; } figure, table { break-inside: avoid; } }
"""


def rows(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, Mapping[str, Any]]]:
    """Every estimate with where it belongs: classifier, set, part, metric."""
    for name, found in results["classifiers"].items():
        for side in ("synthetic", "real"):
            for part, metric, estimate in _of_one(found[side]):
                yield name, side, part, metric, estimate
        for key, item in found["difference"].items():
            yield name, "synthetic less real", key, "difference", item["difference"]
    for part, item in ranked_parts(results["ranking"]).items():
        for metric in ("spearman", "kendall", "regret"):
            yield "(ranking)", "synthetic against real", part, metric, item[metric]
    yield from _of_the_set(results)


def _of_the_set(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, Mapping[str, Any]]]:
    """What is said of the set whatever the classifier."""
    for item in (results["utility"] or {"arms": ()})["arms"]:
        yield "(utility)", "trained on", item["arm"], "balanced accuracy gained", item["gain"]
    for found in results["fidelity"]:
        for part, measures in faithful_parts(found).items():
            for metric, item in measures.items():
                yield "(fidelity)", "synthetic against real", part, metric, item["estimate"]


def _of_one(judged: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Part, metric, estimate of one classifier on one set."""
    for metric, estimate in judged["overall"].items():
        yield "all", metric, estimate
    for metric in ("recall", "precision", "auroc"):
        for label, estimate in judged[metric].items():
            yield f"class {label}", metric, estimate
    for axis, cells in judged["subgroups"].items():
        for value, estimate in cells.items():
            yield f"{axis} {value}", "accuracy", estimate
    for axis, gap in judged["gaps"].items():
        yield f"{axis}: {gap['best']} less {gap['worst']}", "accuracy gap", gap["difference"]


def ranked_parts(ranked: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Part -> its ranking: all, each class, each subgroup."""
    parts = {"all": ranked["overall"], **{f"class {name}": item for name, item in ranked["per_class"].items()}}
    for axis, cells in ranked["subgroups"].items():
        parts |= {f"{axis} {value}": item for value, item in cells.items()}
    return parts


def faithful_parts(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Part -> measure -> what was found: all, and each class."""
    return {"all": found["measures"], **{f"class {name}": item for name, item in found["per_class"].items()}}


def table(results: Mapping[str, Any]) -> str:
    """results.csv: one row for each estimate; what was not measured has an empty value and a reason."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for *where, estimate in rows(results):
        writer.writerow([*where, *("" if estimate[key] is None else estimate[key] for key in COLUMNS[4:])])
    return buffer.getvalue()


def page(results: Mapping[str, Any], failures: Mapping[str, Sequence[Failure]]) -> str:
    """report.html, with all its pictures inside."""
    sizes = results["sets"]
    parts = [
        "<h1>Can the synthetic answer be believed?</h1>",
        f'<p class="answer">{escape(results["ranking"]["sentence"])}</p>',
        f"<p>{sizes['synthetic']} synthetic and {sizes['real']} real pictures, label {escape(results['label'])}: "
        f"{escape(', '.join(results['classes']))}. Numbers stand with their 95 % interval and their null: what "
        "the same number is where there is nothing to find.</p>",
        _ranking(results),
        _utility(results["utility"]),
        *(_fidelity(found) for found in results["fidelity"]),
        *(_classifier(name, found, failures.get(name, ())) for name, found in results["classifiers"].items()),
        f"<h2>Assumed</h2>{_list(results['remarks'])}<h2>Not measured</h2>{_list(results['not_measured'])}",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation</title>\n<style>{STYLE}{MORE_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _ranking(results: Mapping[str, Any]) -> str:
    ranked, whole = results["ranking"], results["ranking"]["overall"]
    lines = "".join(
        f"<tr><td>{escape(part)}</td><td>{_number(item['spearman'])}</td><td>{_number(item['kendall'])}</td>"
        f"<td>{_number(item['regret'])}</td><td>{item['p']:.3g}</td>"
        f"<td>{ranked['adjusted'].get(part, item['p']):.3g}</td>"
        "</tr>"
        if not item["reason"]
        else f'<tr><td>{escape(part)}</td><td colspan="5">not judged: {escape(item["reason"])}</td></tr>'
        for part, item in ranked_parts(ranked).items()
    )
    line = whole["line"]
    said = (
        f"<p>Real = {line['intercept']:.3f} + {line['slope']:.2f} x synthetic (slope {line['slope_range'][0]:.2f} to "
        f"{line['slope_range'][1]:.2f} with any one left out). {line['level']:.0%} of classifiers left out lie within "
        f"{line['half_width']:.3f}; the line explains {line['explained']:.0%} of what their mean does not.</p>"
        if line
        else ""
    )
    return (
        f"<h2>Ranking of {whole['models']} classifiers</h2>{_scatter(whole, ranked['names'])}{said}"
        f"<p>Bar for Spearman, exact, two-sided 5 %: {whole['bar']:.3f}. Regret of choosing at random: "
        f"{whole['regret_at_random']:.3f}. Built-in classifiers: {results['candidates']['count']}, "
        f"{results['candidates']['steps']} steps each, trained on {results['candidates']['trained_on']} real pictures, "
        f"tested on {results['candidates']['tested_on']}.</p>"
        '<div class="scroll"><table><tr><th>part</th><th>Spearman</th><th>Kendall</th><th>regret</th><th>p</th>'
        f"<th>p, all parts counted</th></tr>{lines}</table></div>"
    )


def _utility(found: Mapping[str, Any] | None) -> str:
    """The table of arms, and the recommendation above it."""
    if found is None:
        return ""
    names = list(next((item["metrics"] for item in found["arms"] if item["metrics"]), ()))
    heads = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in names)
    lines = "".join(
        f"<tr><td>{escape(item['arm'])}</td><td class=n>{item['real']}</td><td class=n>{item['synthetic']}</td>"
        + "".join(f"<td class=n>{item['metrics'][name]:.3f}</td>" for name in names)
        + f"<td>{_number(item['gain'])}</td></tr>"
        if item["metrics"]
        else f'<tr><td>{escape(item["arm"])}</td><td colspan="{len(names) + 3}">not trained: '
        f"{escape(item['reason'])}</td></tr>"
        for item in found["arms"]
    )
    return (
        f'<h2>Does it help training?</h2><p class="answer">{escape(found["sentence"])}</p>'
        f"<p>{found['seeds']} seeds, {found['steps']} steps each, means over the seeds on the real test part.</p>"
        f'<div class="scroll"><table><tr><th>taught from</th><th>real</th><th>synthetic</th>{heads}'
        f"<th>balanced accuracy gained</th></tr>{lines}</table></div>"
    )


def _fidelity(found: Mapping[str, Any]) -> str:
    """The measures by one extractor, overall and by class."""
    lines = "".join(
        f"<tr><td>{escape(part)}</td><td>{escape(metric)}</td><td>{_number(item['estimate'])}</td>"
        f"<td>{_judged(item)}</td></tr>"
        for part, measures in faithful_parts(found).items()
        for metric, item in measures.items()
    )
    return (
        f"<h2>Faithful and varied, as {escape(found['extractor'])} sees it</h2><p>{found['features']} features, sha256 "
        f"{escape(found['sha256'][:16])}; {found['real']} real and {found['synthetic']} synthetic pictures, "
        f'{found["size"]} in each part.</p><div class="scroll"><table><tr><th>part</th><th>measure</th><th>value</th>'
        f"<th>beside real against real</th></tr>{lines}</table></div>"
    )


def _judged(item: Mapping[str, Any]) -> str:
    if item["estimate"]["value"] is None:
        return ""
    said = f"{item['null_low']:.3f} to {item['null_high']:.3f}, {item['better']} is better: "
    said += "<b>worse than real</b>" if item["beyond_null"] else "within"
    return said + (f" ({escape(item['warning'])})" if item["warning"] else "")


def _scatter(whole: Mapping[str, Any], names: Sequence[str]) -> str:
    """Synthetic score across, real score up; each point tells its name."""
    if not whole["synthetic"]:
        return ""
    dots = "".join(
        f'<circle class="dot" cx="{40 + 300 * b:.1f}" cy="{310 - 300 * a:.1f}" r="5"><title>{escape(name)}: synthetic '
        f"{b:.3f}, real {a:.3f}</title></circle>"
        for name, b, a in zip(names, whole["synthetic"], whole["real"], strict=True)
    )
    return (
        '<svg viewBox="0 0 360 345" role="img" aria-label="Score on synthetic pictures against score on real ones">'
        '<line class="axis" x1="40" y1="310" x2="340" y2="310"/><line class="axis" x1="40" y1="10" x2="40" y2="310"/>'
        '<line class="axis" x1="40" y1="310" x2="340" y2="10" stroke-dasharray="4"/>'
        f'{dots}<text x="150" y="340">synthetic, 0 to 1</text><text x="2" y="8">real, 0 to 1</text></svg>'
    )


def _classifier(name: str, found: Mapping[str, Any], failures: Sequence[Failure]) -> str:
    overall = "".join(
        f"<tr><td>{escape(metric.replace('_', ' '))}</td><td>{_number(found['synthetic']['overall'][metric])}</td>"
        f"<td>{_number(found['real']['overall'][metric])}</td></tr>"
        for metric in found["synthetic"]["overall"]
    )
    apart = "".join(
        f"<tr><td>{escape(key)}</td>"
        f"<td{' class=beyond' if item['beyond_null'] else ''}>{_number(item['difference'])}</td>"
        f"<td>{'beyond' if item['beyond_null'] else 'within'} what real differs from real</td></tr>"
        for key, item in found["difference"].items()
    )
    parts = [
        f"<h2>{escape(name)}</h2><p>{escape(found['kind'])}, sha256 {escape(found['sha256'][:16] or 'none')}</p>",
        f'<div class="scroll"><table><tr><th></th><th>synthetic</th><th>real</th></tr>{overall}</table></div>',
        f"<h3>Synthetic less real</h3><table>{apart}</table>"
        if apart
        else "<p>Too few pictures to compare the sets.</p>",
    ]
    for side in ("synthetic", "real"):
        parts.append(_cells(side, found[side], found["classes"]))
    return "".join([*parts, _gallery(name, failures)])


def _cells(side: str, judged: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Classes, confusion and subgroups of one set."""
    recall = "".join(
        f"<tr><td>{escape(label)}</td><td>{_number(estimate)}</td></tr>" for label, estimate in judged["recall"].items()
    )
    heads = "".join(f"<th>{escape(label)}</th>" for label in classes)
    grid = "".join(
        f"<tr><th>{escape(label)}</th>{''.join(f'<td class=n>{cell}</td>' for cell in row)}</tr>"
        for label, row in zip(classes, judged["confusion"], strict=True)
    )
    text = (
        f'<h3>On {side} pictures</h3><div class="axes"><table><caption>found, by class</caption>{recall}</table></div>'
        f'<div class="scroll"><table><caption>truth down, choice across</caption><tr><th></th>{heads}</tr>'
        f"{grid}</table>"
        '</div><div class="axes">'
    )
    for axis, cells in judged["subgroups"].items():
        lines = "".join(f"<tr><td>{escape(value)}</td><td>{_number(item)}</td></tr>" for value, item in cells.items())
        gap = judged["gaps"].get(axis)
        said = (
            f'<tr><td colspan="2">worst {escape(gap["worst"])}, best {escape(gap["best"])}, apart '
            f"{_number(gap['difference'])}, p {gap['p']:.3g}</td></tr>"
            if gap
            else '<tr><td colspan="2">too few cells to compare</td></tr>'
        )
        text += f"<table><caption>accuracy by {escape(axis)}</caption>{lines}{said}</table>"
    return text + "</div>"


def _gallery(name: str, failures: Sequence[Failure]) -> str:
    """The pictures it got wrong, at most PER_CELL for each truth and choice; radio buttons filter them by CSS alone."""
    taken: Counter[tuple[str, str]] = Counter()
    shown: list[Failure] = []
    for failure in failures:
        cell = failure[1:3]
        if taken[cell] < PER_CELL and len(shown) < MOST:
            taken[cell] += 1
            shown.append(failure)
    if not shown:
        return "<h3>Got wrong</h3><p>No synthetic picture.</p>"
    labels = sorted({truth for _, truth, _, _ in shown})
    group = f"f{base64.b16encode(name.encode()).decode()}"
    buttons = f'<label><input type="radio" name="{group}" id="{group}-all" checked> all</label>'
    rules = ""
    for index, label in enumerate(labels):
        buttons += f'<label><input type="radio" name="{group}" id="{group}-{index}"> {escape(label)}</label>'
        rules += f"#{group}:has(#{group}-{index}:checked) figure:not(.t{index}) {{ display: none; }} "
    figures = "".join(
        f'<figure class="t{labels.index(truth)}"><img src="{_inline(path)}" alt="{escape(truth)}, taken for '
        f'{escape(choice)}"><figcaption>{escape(truth)}, taken for {escape(choice)} ({score:.2f})</figcaption></figure>'
        for path, truth, choice, score in shown
    )
    return (
        f'<section id="{group}"><h3>Got wrong</h3><p>{len(shown)} of {len(failures)} synthetic pictures, the surest '
        f'first.</p><style>{rules}</style><fieldset class="filter"><legend>Truth</legend>{buttons}</fieldset>'
        f'<div class="pictures">{figures}</div></section>'
    )


def _inline(path: Path) -> str:
    buffer = io.BytesIO()
    decoded(path, SIDE_PX).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _number(estimate: Mapping[str, Any]) -> str:
    """0.812 [0.780, 0.840], null 0.125; or why there is none."""
    if estimate["value"] is None:
        return f"not judged: {escape(estimate['reason'])}"
    text = f"{estimate['value']:.3f}"
    if estimate["low"] is not None and estimate["low"] == estimate["low"]:
        text += f" [{estimate['low']:.3f}, {estimate['high']:.3f}]"
    if estimate["null"] is not None:
        text += f', <span title="{escape(estimate["null_is"])}">null {estimate["null"]:.3f}</span>'
    return text


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else "<p>Nothing.</p>"
