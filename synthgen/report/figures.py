"""Drawings for a page: SVG that needs nothing beside it, each with a title for who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

SIDE, EDGE = 300, 40  # of the square that is drawn in, and what is left around it
COLOURS = ("var(--one)", "var(--two)")


def square(title: str, across: str, up: str, inner: str, low: float = 0.0) -> str:
    """A square from `low` to 1 both ways, with its diagonal."""
    return (
        f'<svg viewBox="0 -4 {SIDE + EDGE + 20} {SIDE + EDGE + 9}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>"
        f'<path class="axis" d="M{EDGE} 10V{SIDE + 10}H{EDGE + SIDE}"/>'
        f'<path class="axis" stroke-dasharray="4" d="M{EDGE} {SIDE + 10}L{EDGE + SIDE} 10"/>{inner}'
        + "".join(
            f'<text x="{EDGE + SIDE * at:.0f}" y="{SIDE + 24}" text-anchor="middle">{low + at * (1 - low):g}</text>'
            f'<text x="{EDGE - 6}" y="{SIDE + 14 - SIDE * at:.0f}" text-anchor="end">{low + at * (1 - low):g}</text>'
            for at in (0, 0.5, 1)
        )
        + f'<text x="{EDGE + SIDE / 2:.0f}" y="{SIDE + 40}" text-anchor="middle">{escape(across)}</text>'
        f'<text transform="translate(12 {SIDE / 2 + 10:.0f}) rotate(-90)" text-anchor="middle">{escape(up)}</text>'
        "</svg>"
    )


def scatter(title: str, across: str, up: str, points: Sequence[tuple[str, float, float]]) -> str:
    """Named points; each tells its name and numbers where the pointer rests."""
    low = min(0.9, max(0.0, int(10 * min((min(x, y) for _, x, y in points), default=0)) / 10))
    dots = "".join(
        f'<circle class="dot" cx="{_x((x - low) / (1 - low)):.1f}" cy="{_y((y - low) / (1 - low)):.1f}" r="5">'
        f"<title>{escape(name)}: {across} {x:.3f}, {up} "
        f"{y:.3f}</title></circle>"
        for name, x, y in points
    )
    return square(title, across, up, dots, low)


def lines(title: str, across: str, up: str, several: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """One line for each name, told apart by colour and dashes."""
    drawn = "".join(
        f'<polyline class="curve" style="stroke:{COLOURS[place % 2]}"'
        f'{" stroke-dasharray=6,3" if place else ""} points="'
        + " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
        + f'"><title>{escape(name)}</title></polyline>'
        f'<text x="{EDGE + SIDE - 4}" y="{SIDE - 6 - 14 * place}" text-anchor="end" style="fill:{COLOURS[place % 2]}">'
        f"{escape(name)}{' (dashed)' if place else ''}</text>"
        for place, (name, points) in enumerate(several.items())
    )
    return square(title, across, up, drawn)


def reliability(title: str, several: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Bins of confidence against accuracy; a circle's area is its share of the pictures."""
    drawn = ""
    for place, (name, bins) in enumerate(several.items()):
        most = max((item["n"] for item in bins), default=1)
        drawn += "".join(
            f'<circle class="{"bin" if place else "bin full"}" style="stroke:{COLOURS[place % 2]};fill:'
            f'{COLOURS[place % 2] if not place else "none"}" cx="{_x(item["confidence"]):.1f}" '
            f'cy="{_y(item["accuracy"]):.1f}" r="{2 + 8 * (item["n"] / most) ** 0.5:.1f}"><title>{escape(name)}: '
            f"confidence {item['confidence']:.3f}, accuracy {item['accuracy']:.3f}, {item['n']} pictures</title>"
            "</circle>"
            for item in bins
        )
        shape = "rings" if place else "discs"
        drawn += (
            f'<text x="{EDGE + SIDE - 4}" y="{SIDE - 6 - 14 * place}" text-anchor="end" '
            f'style="fill:{COLOURS[place % 2]}">{escape(name)} ({shape})</text>'
        )
    return square(title, "confidence", "accuracy", drawn)


def forest(title: str, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Values with their intervals around 0, a row for each name."""
    reach = max((max(abs(low), abs(high)) for _, _, low, high in rows), default=0) or 1
    wide, left, step = 620, 230, 24

    def at(value: float) -> float:
        return left + (value / reach + 1) / 2 * (wide - left - 20)

    drawn = "".join(
        f'<text x="{left - 10}" y="{step * row + 25}" text-anchor="end">{escape(name)}</text>'
        f'<path class="span" d="M{at(low):.1f} {step * row + 21}H{at(high):.1f}"/>'
        f'<circle class="dot" cx="{at(value):.1f}" cy="{step * row + 21}" r="5"><title>{escape(name)}: {value:+.3f} '
        f"[{low:+.3f}, {high:+.3f}]</title></circle>"
        for row, (name, value, low, high) in enumerate(rows)
    )
    tall = step * len(rows) + 34
    return (
        f'<svg class="wide" viewBox="0 0 {wide} {tall}" role="img" aria-label="{escape(title)}"><title>{escape(title)}'
        f'</title><path class="axis" d="M{at(0):.1f} 8V{tall - 18}"/>{drawn}'
        + "".join(
            f'<text x="{at(value):.1f}" y="{tall - 3}" text-anchor="middle">{value:+.2f}</text>'
            for value in (-reach, 0, reach)
        )
        + "</svg>"
    )


def heat(caption: str, down: Sequence[str], across: Sequence[str], cells: Sequence[Sequence[int]]) -> str:
    """A table whose cells are darker the more there is in them; the number stands in each."""
    most = max((cell for row in cells for cell in row), default=0) or 1
    heads = "".join(f'<th scope="col">{escape(name) or "none"}</th>' for name in across)
    rows = "".join(
        f'<tr><th scope="row">{escape(name) or "none"}</th>'
        + "".join(f'<td class="heat" style="--share:{100 * cell / most:.0f}%"><span>{cell}</span></td>' for cell in row)
        + "</tr>"
        for name, row in zip(down, cells, strict=True)
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table><caption>'
        f"{escape(caption)}</caption><tr><td></td>{heads}</tr>{rows}</table></div>"
    )


def _x(value: float) -> float:
    return EDGE + SIDE * value


def _y(value: float) -> float:
    return 10 + SIDE * (1 - value)
