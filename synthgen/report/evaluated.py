"""What an evaluation found, as parts of a page: ranking, utility, fidelity, and each classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from synthgen.evaluators.accuracy import GRID
from synthgen.evaluators.utility import AREA
from synthgen.report import figures
from synthgen.report.gallery import Shown, gallery
from synthgen.report.table import faithful_parts, ranked_parts
from synthgen.report.wording import fold, number, section, table

_Found = Mapping[str, Any]


def ranking(results: _Found) -> str:
    """Whether the set ranks classifiers as reality does."""
    ranked, whole = results["ranking"], results["ranking"]["overall"]
    rows = [
        (escape(part), number(item["spearman"]), number(item["kendall"]), number(item["regret"]), f"{item['p']:.3g}",
         f"{ranked['adjusted'].get(part, item['p']):.3g}")
        if not item["reason"]
        else (escape(part), f"not judged: {escape(item['reason'])}", "", "", "", "")
        for part, item in ranked_parts(ranked).items()
    ]  # fmt: skip
    line = whole["line"]
    said = (
        f"<p>Real = {line['intercept']:.3f} + {line['slope']:.2f} x synthetic (slope {line['slope_range'][0]:.2f} to "
        f"{line['slope_range'][1]:.2f} with any one left out). {line['level']:.0%} of classifiers left out lie within "
        f"{line['half_width']:.3f}; the line explains {line['explained']:.0%} of what their mean does not.</p>"
        if line
        else ""
    )
    trained = results["candidates"]
    drawn = (
        figures.scatter(
            "Score on synthetic pictures against score on real ones, a point for each classifier", "synthetic", "real",
            list(zip(ranked["names"], whole["synthetic"], whole["real"], strict=True)),
        )
        if whole["synthetic"]
        else ""
    )  # fmt: skip
    return section(
        "ranking", f"Ranking of {whole['models']} classifiers",
        f"{drawn}{said}"
        f"<p>The bar that Spearman has to reach, exact, two-sided 5 %: {whole['bar']:.3f}. Choosing at random loses "
        f"{whole['regret_at_random']:.3f}. Classifiers trained here: {trained['count']}, {trained['steps']} steps each "
        f"on {trained['trained_on']} real pictures, tested on {trained['tested_on']}.</p>"
        + table(
            "Rank agreement of synthetic and real accuracy",
            ("part", "Spearman", "Kendall", "regret", "p", "p, all parts counted"), rows,
        ),
        f'<span class="answer">{escape(ranked["sentence"])}</span>',
    )  # fmt: skip


def utility(found: _Found | None) -> str:
    """Whether the set helps training; "" where that was left out."""
    if found is None:
        return ""
    names = [name for name in next((item["metrics"] for item in found["arms"] if item["metrics"]), ()) if name != AREA]
    rows = [
        (escape(item["arm"]), str(item["real"]), str(item["synthetic"]),
         *(f"{item['metrics'][name]:.3f}" for name in names), number(item["area"]), number(item["gain"]))
        if item["metrics"]
        else (escape(item["arm"]), f"not trained: {escape(item['reason'])}", "", *("" for _ in names), "", "")
        for item in found["arms"]
    ]  # fmt: skip
    gains = [(item["arm"], *(item["gain"][key] for key in ("value", "low", "high")))
             for item in found["arms"] if item["gain"]["value"] is not None]  # fmt: skip
    return section(
        "utility", "Does it help training?",
        (figures.forest("Balanced accuracy gained over the real pictures alone", gains) if gains else "")
        + table(
            f"The same classifier taught from different mixes: {found['seeds']} seeds, {found['steps']} steps each, "
            "means over the seeds on the real test part",
            ("taught from", "real", "synthetic", *(escape(name.replace("_", " ")) for name in names), "AUROC", "gain"),
            rows,
        ),
        f'<span class="answer">{escape(found["sentence"])}</span>',
    )  # fmt: skip


def fidelity(several: Sequence[_Found]) -> str:
    """How faithful and varied the set is, by every extractor."""
    if not several:
        return ""
    inner = ""
    for found in several:
        rows = {
            part: [
                (escape(part), escape(metric), number(item["estimate"]), _beside(item))
                for metric, item in measures.items()
            ]
            for part, measures in faithful_parts(found).items()
        }
        heads, whole = ("part", "measure", "value", "real against real"), rows.pop("all")
        inner += f"<h3>As {escape(found['extractor'])} sees it</h3>" + table(
            f"{found['features']} features, {found['real']} real and {found['synthetic']} synthetic pictures, "
            f"{found['size']} in each part",
            heads, whole,
        )  # fmt: skip
        classes = [row for several in rows.values() for row in several]
        if classes:
            inner += fold("Class by class", table(f"Class by class, as {found['extractor']} sees it", heads, classes))
    return section(
        "fidelity", "Faithful and varied?", inner,
        "Distances are better when lower, the rest when higher; a value is called worse than real only where real "
        "pictures against real pictures, at the same number, rarely come to it.",
    )  # fmt: skip


def leakage(told: _Found, folders: Mapping[str, Path]) -> str:
    """Whether real pictures of the evaluation are among the synthetic ones; the real ones are named and not shown."""
    found = told["found"]
    if not found:
        return section("leakage", "Real pictures among them?", f"<p>Not measured: {escape(told['reason'])}.</p>")
    verdict = "more than real pictures are" if found["beyond_null"] else "no more than real pictures are"
    rows = [
        ("close to a real picture", number(found["close"]), f"<b>{verdict}</b>" if found["beyond_null"] else verdict),
        ("a real picture over again", str(found["same"]), "pictures"),
        ("median distance to a real picture", f"{found['median']:.3f}", "grey levels"),
        ("the same between real pictures", f"{found['median_real']:.3f}", "grey levels"),
    ]
    nearest = [
        Shown(folders[item["run"]] / item["file"], f"{item['distance']:.3f} from {item['real']}", {})
        for item in told["closest"]
        if item["run"] in folders and (folders[item["run"]] / item["file"]).is_file()
    ]
    return section(
        "leakage", "Real pictures among them?",
        table(f"At 64 px; close means within {found['near']:.3f} grey levels", ("what", "found", ""), rows)
        + f"<h3>Closest pairs</h3>{gallery('closest-real', nearest)}",
        "Of the real pictures given to this evaluation. Far is not private: whether the photos that taught an adapter "
        "come back is for the copy gate.",
    )  # fmt: skip


def classifier(place: int, name: str, found: _Found, wrong: Sequence[Shown], of: int) -> str:
    """One classifier: how good it is on both sides, where they differ, and what it got wrong."""
    sides = {side: found[side] for side in ("synthetic", "real")}
    overall = [
        (escape(metric.replace("_", " ")), *(number(judged["overall"][metric]) for judged in sides.values()))
        for metric in found["synthetic"]["overall"]
    ]
    apart = [
        (_plain(key), number(item["difference"]), "<b>beyond</b>" if item["beyond_null"] else "within")
        for key, item in found["difference"].items()
    ]
    parts = [
        f"<p>{escape(found['kind'])}, sha256 {escape(found['sha256'][:16] or 'none')}</p>",
        table("Overall", ("measure", "synthetic", "real"), overall),
        table("Synthetic less real", ("measure", "difference", "what real differs from real"), apart)
        if apart
        else "<p>Too few pictures to compare the sets.</p>",
        _curves(sides),
        *(_cells(side, judged, found["classes"]) for side, judged in sides.items()),
        f"<h3>Got wrong</h3><p>{len(wrong)} of {of} synthetic pictures that it got wrong, the surest first.</p>",
        gallery(f"wrong-{place}", wrong, ("truth", "taken for", *_widest(found["synthetic"]))),
    ]
    return section(f"classifier-{place}", escape(name), "".join(parts))


def _curves(sides: Mapping[str, _Found]) -> str:
    """Receiver curves, the mean over classes, and reliability; nothing where only choices are known."""
    curves = {
        side: [
            (at, sum(curve[place] for curve in judged["curves"].values()) / len(judged["curves"]))
            for place, at in enumerate(GRID)
        ]
        for side, judged in sides.items()
        if judged["curves"]
    }
    bins = {side: judged["reliability"] for side, judged in sides.items() if judged["reliability"]}
    if not curves and not bins:
        return "<p>It gives no scores, only classes: no curve and no calibration can be drawn.</p>"
    return (
        '<div class="pair">'
        + (
            figures.lines("Receiver curve, mean over classes of one against the rest", "false alarms", "found", curves)
            if curves
            else ""
        )
        + figures.reliability("Confidence against accuracy", bins)
        + "</div>"
    )


def _cells(side: str, judged: _Found, classes: Sequence[str]) -> str:
    """Classes, confusion and subgroups of one set."""
    recall = [(escape(label), number(judged["recall"][label]), number(judged["precision"][label])) for label in classes]
    text = (
        f"<h3>On {side} pictures</h3>"
        + table("By class", ("class", "found (recall)", "right when said (precision)"), recall)
        + figures.heat("Truth down, choice across", classes, classes, judged["confusion"])
    )
    rows = []
    for axis in _widest(judged):
        cells, gap = judged["subgroups"][axis], judged["gaps"].get(axis)
        if gap:
            rows.append((f"{_plain(axis)}: worst {escape(gap['worst'])}, best {escape(gap['best'])}",
                         number(gap["difference"]), f"{gap['p']:.3g}"))  # fmt: skip
        rows += [(f"{_plain(axis)} {escape(value)}", number(item), "") for value, item in cells.items()
                 if item["value"] is not None]  # fmt: skip
        if few := {value: item for value, item in cells.items() if item["value"] is None}:
            rows.append((f"{_plain(axis)} {', '.join(escape(value) for value in few)}", _refused(few), ""))
    if rows:
        caption = f"Accuracy by subgroup on {side} pictures, the widest gaps from best to worst first"
        text += fold(
            f"Accuracy by subgroup: {len(judged['gaps'])} of {len(judged['subgroups'])} labels have cells to compare",
            table(caption, ("cell", "accuracy, or apart", "p"), rows),
            bool(judged["gaps"]),
        )
    return text


def _widest(judged: _Found) -> list[str]:
    """The axes, those with the widest gap first, and then those that have none."""
    gaps = judged["gaps"]
    return sorted(
        judged["subgroups"],
        key=lambda axis: (axis not in gaps, -gaps[axis]["difference"]["value"] if axis in gaps else 0, axis),
    )


def _refused(cells: _Found) -> str:
    """Why none of these cells is judged, in few words."""
    if len(cells) == 1:
        return number(next(iter(cells.values())))
    sizes = sorted(item["n"] for item in cells.values())
    why = sorted({item["reason"].rpartition("; ")[2] for item in cells.values()})
    return f"not judged: {sizes[0]} to {sizes[-1]} pictures in each; {escape('; '.join(why))}"


def _plain(name: str) -> str:
    return escape(name.replace("_", " "))


def _beside(item: _Found) -> str:
    if item["estimate"]["value"] is None:
        return ""
    said = f"{item['null_low']:.3f} to {item['null_high']:.3f}, {item['better']} is better: "
    said += "<b>worse than real</b>" if item["beyond_null"] else "within"
    return said + (f" ({escape(item['warning'])})" if item["warning"] else "")
