"""Pictures inside the page, with filters by label that work with mouse, keyboard and screen reader, and offline."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from synthgen.classifiers import decoded
from synthgen.report.wording import fold

SIDE_PX, MOST, PER_CELL = 112, 120, 6
MOST_AXES, MOST_VALUES = 14, 12
IN_SIGHT = 3  # filters that are not folded
SCRIPT = """
for (const gallery of document.querySelectorAll('.gallery')) {
  const told = gallery.querySelector('output'), shown = [...gallery.querySelectorAll('figure')];
  const filter = () => {
    const wanted = [...gallery.querySelectorAll('input:checked')].filter(input => input.value);
    let count = 0;
    for (const figure of shown) {
      figure.hidden = wanted.some(input => figure.dataset[input.dataset.axis] !== input.value);
      count += !figure.hidden;
    }
    told.textContent = `${count} of ${shown.length} pictures`;
  };
  gallery.addEventListener('change', filter);
  gallery.querySelector('.filters').hidden = false;
  filter();
}
let folded = [];
addEventListener('beforeprint', () => {
  folded = [...document.querySelectorAll('details:not([open])')];
  for (const part of folded) part.open = true;
});
addEventListener('afterprint', () => { for (const part of folded) part.open = false; });
"""


@dataclass(frozen=True)
class Shown:
    """A picture with what is said of it."""

    path: Path
    caption: str
    labels: Mapping[str, str]


def chosen(pictures: Sequence[Shown], by: str, most: int = MOST) -> list[Shown]:
    """At most so many, as evenly over the values of `by` as there are pictures."""
    cells: dict[str, list[Shown]] = {}
    for picture in pictures:
        cells.setdefault(picture.labels.get(by, ""), []).append(picture)
    taken: list[Shown] = []
    turn = 0
    while len(taken) < most and any(len(cell) > turn for cell in cells.values()):
        taken += [cell[turn] for cell in cells.values() if len(cell) > turn]
        turn += 1
    return sorted(taken[:most], key=lambda picture: picture.labels.get(by, ""))


def gallery(name: str, pictures: Sequence[Shown], axes: Iterable[str] = ()) -> str:
    """The pictures with a group of filters for every axis; the first is the one that matters most.

    axes  which labels may be filtered by, in their order; by default all that divide these pictures into few groups
    """
    if not pictures:
        return "<p>No picture.</p>"
    values = {axis: Counter(item.labels.get(axis, "") for item in pictures) for axis in axes or _axes(pictures)}
    useful = [axis for axis, found in values.items() if 1 < len(found) <= MOST_VALUES][:MOST_AXES]
    filters = [_filter(f"{name}-{place}", place, axis, values[axis]) for place, axis in enumerate(useful)]
    fields = "".join(filters[:IN_SIGHT]) + fold("More filters", "".join(filters[IN_SIGHT:]))
    figures = "".join(_figure(item, useful) for item in pictures)
    return (
        f'<div class="gallery" id="{name}"><div class="filters" hidden>{fields}'
        f'<output aria-live="polite">{len(pictures)} pictures</output></div><div class="pictures">{figures}</div></div>'
    )


def inline(path: Path, side: int = SIDE_PX) -> str:
    """A small JPEG as an address that holds it whole."""
    buffer = io.BytesIO()
    decoded(path, side).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _axes(pictures: Sequence[Shown]) -> list[str]:
    return list(dict.fromkeys(axis for item in pictures for axis in item.labels))


def _filter(group: str, place: int, axis: str, values: Mapping[str, int]) -> str:
    """Radio buttons: one value of the axis, or all."""
    told = f'<label><input type="radio" name="{group}" value="" data-axis="a{place}" checked> all</label>'
    for value in sorted(values):
        told += (
            f'<label><input type="radio" name="{group}" value="{escape(value) or "-"}" data-axis="a{place}"> '
            f"{escape(value) or 'none'} ({values[value]})</label>"
        )
    return f"<fieldset><legend>{escape(axis.replace('_', ' '))}</legend>{told}</fieldset>"


def _figure(item: Shown, axes: Sequence[str]) -> str:
    data = "".join(f' data-a{place}="{escape(item.labels.get(axis, "")) or "-"}"' for place, axis in enumerate(axes))
    said = escape(item.caption)
    return (
        f'<figure{data}><img src="{inline(item.path)}" alt="{said}">'
        f'<figcaption title="{said}">{said}</figcaption></figure>'
    )
