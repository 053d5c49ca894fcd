"""replay: make a picture again from its record."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import as_json, command, echo_json, stores
from synthgen.errors import Refused

PATH = click.Path(path_type=Path)
SAID = {
    "same": "same: drawn again, it is the same to the last bit",
    "close": "close: drawn again, it differs by at most {levels} of 255 levels in {share:.2%} of its values, within "
    "the {tolerance} that its record states between batch sizes",
    "different": "different: drawn again, it differs by up to {levels} of 255 levels in {share:.2%} of its values; "
    "its record states {tolerance}",
}


@command(
    "replay",
    example="synthgen replay runs/shirts-1a2b/images/0123456789abcdef.png",
    stopped="Nothing was changed.",
)
@click.argument("picture", type=PATH)
@stores
@click.option("--base", default="", show_default="as its record says", help="Where its base is, if it was a folder.")
@click.option(
    "--adapter", multiple=True, metavar="FOLDER", show_default="found by name", help="One of its adapters; repeat."
)
@click.option(
    "--controlnet",
    multiple=True,
    metavar="[KIND=]FOLDER",
    show_default="the base's own",
    help="Folder of a ControlNet it was steered by; repeat.",
)
@click.option(
    "--reference", multiple=True, type=PATH, show_default=False, help="Where the photos are that it was drawn along."
)
@click.option("--device", default="", show_default="as its record says", help="cuda, mps or cpu.")
@as_json
def replay(picture: Path, device: str, as_json: bool, **given: Any) -> None:
    """Make a picture again from its record and say whether it matches.

    It is the same, close (within the tolerance that its record states between batch sizes), or different; different
    exits with 3. Base and adapters must be those of the record, by their hashes. Nothing is written.
    """
    from synthgen import replay as journey

    found = journey.picture(picture, journey.Places(**given), device)
    if as_json:
        echo_json(asdict(found))
    else:
        click.echo(f"{SAID[found.status].format(**asdict(found))}  {picture}")
        for remark in found.remarks:
            click.echo(remark, err=True)
    if found.status == journey.DIFFERENT:
        click.get_current_context().exit(Refused.exit_code)
