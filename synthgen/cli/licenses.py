"""licenses check and notice: what assets together allow, and what must go along with a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli.command import Whole, as_json, command, echo_json, reading, use, verdict_lines
from synthgen.errors import Refused, RequestError
from synthgen.types import Asset, Rights

if TYPE_CHECKING:
    from synthgen.licenses import Circumstances


@click.group(epilog="\b\nExample:\n  synthgen licenses check --base mini --use commercial")
def licenses() -> None:
    """Ask what bases, adapters and photos together allow."""


class Day(click.ParamType):
    """A day such as 2027-03-31."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"found '{value}', wanted a day such as 2027-03-31. Nothing was done.", param, ctx)


class Numbered(click.ParamType):
    """LICENSE=NUMBER."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        license, _, number = str(value).rpartition("=")
        if not license.strip() or not number.strip():
            self.fail(f"found '{value}', wanted LICENSE=NUMBER. Nothing was done.", param, ctx)
        return license.strip(), number.strip()


@command(
    "check",
    example="synthgen licenses check --base mini --use commercial\n"
    "synthgen licenses check --adapter shirts --images shirts/ --use dataset-release",
    stopped="Nothing was changed.",
)
@click.option("--base", default="", show_default=False, help="Base model: a name, folder, file or repository's id.")
@click.option("--adapter", "adapters", multiple=True, metavar="NAME", help="Adapter; repeat for more.")
@click.option("--images", type=click.Path(path_type=Path), default=None, help="Folder of photos with a rights.toml.")
@use
@reading
@click.option("--on", "today", type=Day(), default=None, show_default="today", help="Day to ask for: grants end.")
@click.option(
    "--trains",
    default="",
    show_default=False,
    help="What is to be trained on the pictures, where licences tell them apart: classifier or generator.",
)
@click.option(
    "--revenue",
    "revenue_usd",
    type=Whole(0, "dollars"),
    default=None,
    show_default="of licensee.toml",
    help="Yearly revenue in US dollars.",
)
@click.option(
    "--registration",
    "registrations",
    type=Numbered(),
    multiple=True,
    metavar="LICENSE=NUMBER",
    help="Your registration with a licensor; repeat for more.",
)
@click.option(
    "--waiver",
    "waivers",
    type=Numbered(),
    multiple=True,
    metavar="LICENSE=NUMBER",
    help="A licensor's signed waiver of a prohibited use; repeat for more.",
)
@as_json
def check(use: str, today: date | None, as_json: bool, **given: Any) -> None:
    """Say whether these together may serve a use, and why.

    Exits with 3 where the answer is no. What is not said of who asks is taken from a licensee.toml in the current
    folder or in SYNTHGEN_HOME. This is what the licence records say, not legal advice.
    """
    from synthgen import licenses as records

    assets = [*_base(given.pop("base")), *_adapters(given.pop("adapters")), *_photos(given.pop("images"))]
    if not assets:
        raise click.UsageError("name at least one of --base, --adapter and --images.")
    about = _circumstances(given)
    verdict = records.clear(assets, use, today, about)
    permitted = records.permits(verdict)
    if as_json:
        steps = [asdict(step) for step in records.findings(assets, use, today, about)]
        rights = {right: found.answer for right, found in records.rights(assets, today, about).items()}
        echo_json({"permitted": permitted, **asdict(verdict), "steps": steps, "rights": rights})
    else:
        click.echo("\n".join(verdict_lines(verdict)))
    if not permitted:
        click.get_current_context().exit(Refused.exit_code)


@command(
    "notice",
    example="synthgen licenses notice runs/shirts-1a2b3c4d",
    stopped="The files that are written are whole; the same command writes the others.",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, show_default="RUN/rights", help="Folder for the files."
)
@as_json
def notice(run: Path, out: Path | None, as_json: bool) -> None:
    """Write what must go along with a run's pictures.

    RIGHTS.md says what may be done with them and why; NOTICE and ATTRIBUTION.md hold the texts that the licences of
    everything that went in want passed on; bom.json is a bill of materials, CycloneDX 1.6.
    """
    from synthgen import rights_report

    written = rights_report.rights_files(run, out)
    for remark in written.remarks:
        click.echo(remark, err=True)
    if as_json:
        echo_json(asdict(written))
    else:
        click.echo(written.folder)


def _circumstances(given: dict[str, Any]) -> Circumstances:
    """Who asks: what was said, then licensee.toml."""
    from synthgen import licensee
    from synthgen.licenses import Circumstances

    return licensee.circumstances(Circumstances(**given))


def _base(name: str) -> Iterator[Asset]:
    """A base that is known by name need not be here; of another what its owner states counts."""
    if name:
        from synthgen import bases, hub, rights_file

        if name in bases.names():
            yield rights_file.asset("base", name, bases.rights_of(name, hub.pinned(name)))
        else:
            yield from bases.find(name)[1].assets()


def _adapters(names: tuple[str, ...]) -> Iterator[Asset]:
    """An adapter brings the licences of what it was trained on, told by its card."""
    for name in names:
        from synthgen import adapter_choice, adapters

        yield adapter_choice.asset(adapters.load_card(adapters.find(name)))


def _photos(folder: Path | None) -> Iterator[Asset]:
    if folder is not None:
        from synthgen.rights_file import photos, rights_beside

        if not folder.is_dir():
            raise RequestError(f"there is no folder '{folder}'. --images wants the folder that holds the photos.")
        yield photos(str(folder), rights_beside(folder) or Rights())


licenses.add_command(check)
licenses.add_command(notice)
