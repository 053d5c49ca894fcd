"""revoke: what came from an adapter, a photo or a licence, and taking it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import as_json, command, echo_json


@command(
    "revoke",
    example="synthgen revoke --adapter shirts\nsynthgen revoke --license CC-BY-NC-4.0 --apply runs exports",
    stopped="What is in quarantine stays there; the same command does the rest.",
)
@click.argument("roots", nargs=-1, type=click.Path(path_type=Path))
@click.option("--adapter", default="", show_default=False, metavar="X", help="Name, folder, or digits of its sha256.")
@click.option("--photo", default="", show_default=False, metavar="SHA", help="A training photo: file or sha256.")
@click.option(
    "--license", default="", show_default=False, metavar="ID", help="Licence of base, adapter, photos, poses."
)
@click.option("--apply", is_flag=True, help="Move it to quarantine/ and take it out of tables and manifests.")
@as_json
def revoke(roots: tuple[Path, ...], apply: bool, as_json: bool, **given: str) -> None:
    """List what came from an adapter, a photo or a licence.

    Looks through runs and exports under ROOTS (this folder where none is named), and through adapters there and where
    `generate` looks. With --apply pictures go into quarantine/ and leave the tables; the run's ledger keeps a line
    about it, and the run cannot be resumed. The adapter itself, or what was trained on the photo, is put away too.
    """
    from synthgen import revoke as revocation

    places = roots or (Path(),)
    asked = revocation.query(places, **given)
    found = revocation.find(asked, places)
    if given["adapter"] and not found:
        revocation.check_adapter(given["adapter"], places)
    if apply:
        revocation.apply(asked, found)
    if as_json:
        echo_json({"why": asked.why, "applied": apply, "found": [_told(place) for place in found]})
        return
    for place in found:
        click.echo(f"{place.folder}  {place.kind}  {_counted(place, apply)}")
        if place.others:
            click.echo(
                f"{place.folder}: {', '.join(place.packed)} {'went' if apply else 'would go'} as a whole, with "
                f"{place.others} other pictures; export again to have those.",
                err=True,
            )
    where = ", ".join(str(place) for place in places)
    if not found:
        click.echo(f"Nothing under {where} came from {asked.why}.", err=True)
    elif not apply:
        click.echo("Nothing was changed. With --apply these go into quarantine.", err=True)


def _counted(place: Any, applied: bool) -> str:
    if place.shipped:
        return "is part of synthgen and stays"
    fresh, what = len(place.rows) - place.already, "the adapter" if place.kind == "adapter" else "pictures"
    number = "" if place.kind == "adapter" else f"{fresh} "
    parts = [f"{number}{what}{' into quarantine' if applied else ''}"] if fresh or not place.already else []
    parts += [f"{'' if place.kind == 'adapter' else f'{place.already} '}in quarantine already"] if place.already else []
    return ", ".join(parts)


def _told(place: Any) -> dict[str, Any]:
    names = [{"file": row.get("file", row.get("file_name")), "lineage_id": row.get("lineage_id")} for row in place.rows]
    return {
        "place": place.folder, "kind": place.kind, "pictures": names, "already": place.already,
        "packed": list(place.packed), "others": place.others, "shipped": place.shipped,
    }  # fmt: skip
