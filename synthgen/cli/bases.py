"""bases pull: weights from the Hub, pinned, checked and kept."""

from __future__ import annotations

import click

from synthgen.cli.command import as_json, command, echo_json, reading, use, verdict_lines


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
@use
@reading
@as_json
def pull(name: str, revision: str, use: str, reading: str, as_json: bool) -> None:
    """Fetch a base's weights from the Hugging Face Hub.

    The Hub is asked which commit the name means; the licence verdict is told and has to be passed; then the files come
    into huggingface_hub's cache, every one checked by its hash. The commit is pinned in SYNTHGEN_HOME: after that the
    base works without a network. Fetched again, the pin is asked for anew. A ControlNet is pulled the same way.
    """
    from synthgen import base_pull

    verdict, pin, folder = base_pull.pull(name, revision, use, reading, lambda text: click.echo(text, err=True))
    for line in verdict_lines(verdict):
        click.echo(line, err=True)
    if as_json:
        echo_json({"name": name, "repo": pin.repo, "revision": pin.revision, "folder": folder, "bytes": pin.bytes})
    else:
        click.echo(folder)


bases.add_command(pull)
