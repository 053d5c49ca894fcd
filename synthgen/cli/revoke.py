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

    Looks through runs and exports under ROOTS (this folder where none is named). With --apply their pictures go into
    quarantine/, the run's ledger keeps a line about it, and the run cannot be resumed.
    """
    from synthgen import revoke as revocation

    places = roots or (Path(),)
    asked = revocation.query(places, **given)
    if given["adapter"]:
        revocation.check_adapter(given["adapter"], places)
    found = revocation.find(asked, places)
    if apply:
        revocation.apply(asked, found)
    if as_json:
        echo_json({"why": asked.why, "applied": apply, "found": [_told(place) for place in found]})
        return
    for place in found:
        click.echo(f"{place.folder}  {place.kind}  {_counted(place, apply)}")
        for name in place.packed:
            click.echo(f"{name} of {place.folder} is no file of its own; make this export again.", err=True)
    where = ", ".join(str(place) for place in places)
    if not found:
        click.echo(f"Nothing under {where} came from {asked.why}.", err=True)
    elif apply and any(place.kind == "export" for place in found):
        click.echo("Tables inside exports may still name these pictures; make those exports again.", err=True)
    elif not apply:
        click.echo("Nothing was changed. With --apply these go into quarantine.", err=True)


def _counted(place: Any, applied: bool) -> str:
    fresh = len(place.rows) - place.already - len(place.packed)
    parts = [f"{fresh} pictures{' into quarantine' if applied else ''}"] if fresh or not place.already else []
    parts += [f"{place.already} in quarantine already"] if place.already else []
    parts += [f"{len(place.packed)} not to be taken out"] if place.packed else []
    return ", ".join(parts)


def _told(place: Any) -> dict[str, Any]:
    names = [{"file": row.get("file", row.get("file_name")), "lineage_id": row.get("lineage_id")} for row in place.rows]
    return {
        "place": place.folder, "kind": place.kind, "pictures": names, "already": place.already,
        "packed": list(place.packed),
    }  # fmt: skip
