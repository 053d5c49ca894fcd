"""bases pull: weights from the Hub, pinned, checked and kept."""

from __future__ import annotations

import click

from synthgen.cli.command import as_json, command, echo_json, reading, use, verdict_lines
from synthgen.types import Rights


@click.group(epilog="\b\nExample:\n  synthgen bases pull sdxl")
def bases() -> None:
    """Fetch base models."""


@command(
    "pull",
    example="synthgen bases pull sdxl\nsynthgen bases pull qwen-image --use commercial",
    stopped="What came is kept; the same command goes on.",
)
@click.argument("name", metavar="NAME|ORG/NAME[@REVISION]")
@click.option("--revision", default="", show_default="the newest", help="Commit, tag or branch to pin.")
@click.option("--license", default="", show_default="the record's, else unknown",
              help="Licence that its owner gives you: an SPDX id or LicenseRef-.")  # fmt: skip
@click.option("--owner", default="", show_default=False, help="Who owns it.")
@click.option("--source", default="", show_default=False, help="Where that is said.")
@use
@reading
@as_json
def pull(name: str, revision: str, use: str, reading: str, as_json: bool, **stated: str) -> None:
    """Fetch a base's weights from the Hugging Face Hub.

    The Hub is asked which commit the name means; the licence verdict is told and has to be passed; then the files come
    into huggingface_hub's cache, every one checked by its hash. The commit is pinned in SYNTHGEN_HOME: after that the
    base works without a network. Fetched again, the pin is asked for anew. A ControlNet is pulled the same way. What a
    repository says of its licence grants nothing; what you state by --license is kept with the pin.
    """
    from synthgen import base_pull

    if (stated["owner"] or stated["source"]) and not stated["license"]:
        raise click.UsageError("--owner and --source go with --license.")
    rights = Rights(**stated) if stated["license"] else None
    told = base_pull.pull(name, revision, use, reading, lambda text: click.echo(text, err=True), rights)
    verdict, pin, folder = told
    for line in verdict_lines(verdict):
        click.echo(line, err=True)
    if as_json:
        echo_json({"name": name, "repo": pin.repo, "revision": pin.revision, "folder": folder, "bytes": pin.bytes})
    else:
        click.echo(folder)


bases.add_command(pull)
