"""licenses check: may these assets together serve this use, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import click

from synthgen import rooms
from synthgen.cli.command import as_json, command, echo_json, use, verdict_lines
from synthgen.errors import Refused, RequestError
from synthgen.types import Asset


@click.group(epilog="\b\nExample:\n  synthgen licenses check --base mini --use commercial")
def licenses() -> None:
    """Ask what bases, adapters and photos together allow."""


@command(
    "check",
    example="synthgen licenses check --base mini --use commercial\n"
    "synthgen licenses check --adapter shirts --images shirts/ --use dataset-release",
    stopped="Nothing was changed.",
)
@click.option("--base", default="", show_default=False, help="Base model.")
@click.option("--adapter", "adapters", multiple=True, metavar="NAME", help="Adapter; repeat for more.")
@click.option("--images", type=click.Path(path_type=Path), default=None, help="Folder of photos with a rights.toml.")
@use
@as_json
def check(base: str, adapters: tuple[str, ...], images: Path | None, use: str, as_json: bool) -> None:
    """Say whether these together may serve a use, and why.

    Exits with 3 where the answer is no. This is what the licence records say, not legal advice.
    """
    from synthgen import licenses as records

    assets = [*_base(base), *_adapters(adapters), *_photos(images)]
    if not assets:
        raise click.UsageError("name at least one of --base, --adapter and --images.")
    verdict = records.clear(assets, use)
    permitted = records.permits(verdict)
    if as_json:
        echo_json({"permitted": permitted, **asdict(verdict)})
    else:
        click.echo("\n".join(verdict_lines(verdict)))
    if not permitted:
        click.get_current_context().exit(Refused.exit_code)


def _base(name: str) -> Iterator[Asset]:
    """Weights of the user's own folder may be anybody's: only the family's own have the licence that it states."""
    if name:
        from synthgen.bases import choose

        family, folder = choose(name)
        yield Asset("base", name, family.LICENSE if folder is None else "unknown")


def _adapters(names: tuple[str, ...]) -> Iterator[Asset]:
    """An adapter brings the licences of what it was trained on, told by its card."""
    for name in names:
        from synthgen import adapters

        card = adapters.load_card(adapters.find(name))
        own = adapters.asset(card)
        base = _base(card.base) if card.base in rooms.members("bases") else [Asset("base", card.base, "unknown")]
        yield replace(own, trained_on=(*base, *own.trained_on))


def _photos(folder: Path | None) -> Iterator[Asset]:
    if folder is not None:
        from synthgen.rights_file import rights_beside

        if not folder.is_dir():
            raise RequestError(f"there is no folder '{folder}'. --images wants the folder that holds the photos.")
        rights = rights_beside(folder)
        yield Asset(
            "photos", str(folder), rights.license if rights else "unknown", expires=rights.expires if rights else ""
        )


licenses.add_command(check)
