"""How numbers and lists are said on a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


def number(estimate: Mapping[str, Any]) -> str:
    """0.812 [0.780, 0.840], null 0.125; or why there is none."""
    if estimate["value"] is None:
        return f"not judged: {escape(estimate['reason'])}"
    text = f"{estimate['value']:.3f}"
    if estimate["low"] is not None:
        text += f" [{estimate['low']:.3f}, {estimate['high']:.3f}]"
    if estimate["null"] is not None:
        text += f', <abbr title="null: {escape(estimate["null_is"])}">null</abbr> {estimate["null"]:.3f}'
    return text


def bullets(items: Iterable[str]) -> str:
    """A list, or the word that there is nothing in it."""
    told = "".join(f"<li>{escape(str(item))}</li>" for item in items)
    return f"<ul>{told}</ul>" if told else "<p>Nothing.</p>"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table that scrolls by itself where the page is narrow; its cells are HTML, the first of a row its name."""
    told = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    names = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table class="{kind}">'
        f"<caption>{escape(caption)}</caption><thead><tr>{names}</tr></thead><tbody>{told}</tbody></table></div>"
    )


def fold(summary: str, inner: str, unfolded: bool = False) -> str:
    """What is looked up and not read through: folded on the screen, whole on paper."""
    return (
        f"<details{' open' if unfolded else ''}><summary>{escape(summary)}</summary>{inner}</details>" if inner else ""
    )


def section(name: str, title: str, inner: str, lead: str = "") -> str:
    """A part of the page under its own heading; `name` is what the contents point at."""
    lead = f"<p>{lead}</p>" if lead else ""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{lead}{inner}</section>'
    )
