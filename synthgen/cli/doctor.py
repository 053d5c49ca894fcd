"""doctor: what this machine can run; with --images, whether a set of photos is fit to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import as_json, command, echo_json
from synthgen.errors import RequestError

FOLDER = click.Path(path_type=Path)


@command(
    "doctor",
    example="synthgen doctor\nsynthgen doctor --images shirts/",
    stopped="Nothing was changed.",
)
@click.option("--images", type=FOLDER, default=None, show_default=False, help="Check this folder of photos instead.")
@click.option("--base", default="mini", help="Base model that the photos are for: its picture size, its text length.")
@click.option("--trigger", default="sks", help="Word that means the product in the captions.")
@click.option(
    "--sheet", type=FOLDER, default=None, show_default="NAME-photos.png", help="Where the contact sheet goes, a PNG."
)
@as_json
def doctor(images: Path | None, base: str, trigger: str, sheet: Path | None, as_json: bool) -> None:
    """Say what this machine can run, or what is wrong with photos.

    With --images: resolution, blur, exposure, borders, burned-in text, near-duplicates, how much of each photo is
    product, captions and diversity, each a warning or a block with what to do, and a contact sheet with the product
    outlined. Exit code 2 where a finding blocks; training makes the same checks.
    """
    if images is None:
        _machine(as_json)
    else:
        _photos(images, base, trigger, sheet, as_json)


def _machine(as_json: bool) -> None:
    from dataclasses import asdict

    from synthgen import bases, card_preset, machine

    told = machine.describe()
    here = {}
    for name in bases.names():
        try:
            here[name] = f"weights are here ({bases.find(name)[1].sha256[:12]})"
        except RequestError as error:
            here[name] = str(error)
    missing = machine.shortcomings(told)
    card = max((one["memory"] for one in told.devices), default=0) or told.memory_free or told.memory
    can = {name: card_preset.told(name, float(card)) for name in here}
    if as_json:
        echo_json({**asdict(told), "bases": here, "can": can, "missing": missing})
        return
    rows = [("system", f"{told.system}, Python {told.python}"), ("cores", f"{told.cores}"),
            ("memory", f"{machine.size(told.memory_free)} free of {machine.size(told.memory)}"),
            ("disk", f"{machine.size(told.disk_free)} free here")]  # fmt: skip
    rows += [("device", _device(one)) for one in told.devices]
    rows += [("base", f"{name}: {state}") for name, state in here.items()]
    rows += [("can", f"{name}: {state}") for name, state in can.items()]
    rows += [("library", f"{name} {held or 'missing'}") for name, held in told.libraries.items()]
    rows += [("missing", text) for text in missing] or [("missing", "nothing")]
    for key, text in rows:
        click.echo(f"{key:8} {text}")


def _device(one: Any) -> str:
    from synthgen import machine

    memory = f", {machine.size(one['memory'])}" if one["memory"] else ""
    return f"{one['name']}: {one['kind']}{memory}, {'computes' if one['bf16'] else 'does not compute'} in bfloat16"


def _photos(images: Path, base: str, trigger: str, sheet: Path | None, as_json: bool) -> None:
    from synthgen import contact_sheet, photo_check, train
    from synthgen.progress import Progress

    request = train.TrainRequest(images=images, base=base, trigger=trigger)
    with Progress(0, "look at", "photos") as progress:
        report = train.look(request, progress)
    path = contact_sheet.write(sheet or Path(f"{images.resolve().name}-photos.png"), report)
    if as_json:
        echo_json({"photos": len(report.looks), "findings": photo_check.as_rows(report), "sheet": path})
    else:
        for finding in report.findings:
            click.echo(f"{finding.level:8} {finding.line}")
        click.echo(path)
    if report.blocks:
        raise RequestError(
            f"{len(report.blocks)} findings block training on {images}. Do what they say, or train with "
            "--ignore-blocks. Nothing was changed."
        )
