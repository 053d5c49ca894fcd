"""verify: is a picture, or a whole run, what was made here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from synthgen.cli.command import as_json, command, echo_json, stores
from synthgen.errors import Refused

PATH = click.Path(path_type=Path)


@command(
    "verify",
    example="synthgen verify runs/shirts-1a2b\nsynthgen verify found.png --store runs/shirts-1a2b --json",
    stopped="Nothing was changed.",
)
@click.argument("path", type=PATH)
@click.option(
    "--trust",
    multiple=True,
    type=PATH,
    metavar="CA.pem",
    show_default="the local authority and SYNTHGEN_CERTIFICATE",
    help="Believe only these authorities; repeat for more. Then no store is expected.",
)
@stores
@as_json
def verify(path: Path, trust: tuple[Path, ...], stores: tuple[Path, ...], as_json: bool) -> None:
    """Say whether a picture or a run is what was made here.

    A picture is ok when it is signed under the trusted authority and its run has this lineage, these pixels and this
    file. Otherwise it is altered, stripped, re-signed, revoked, missing, unknown, or there is no store to ask. Exits
    with 3 where anything is not ok. Nothing is rendered or changed.
    """
    from synthgen import verify as verification

    report = verification.path(path, trust, stores)
    if as_json:
        findings = [asdict(finding) for finding in report.findings]
        echo_json({"path": path, "good": report.good, "counts": report.counts, "findings": findings})
    else:
        whole = len(report.findings) == 1
        for finding in report.findings:
            if whole or finding.status != "ok":
                click.echo(f"{finding.status}  {finding.file}: {finding.reason}")
        if not whole:
            click.echo(f"{path}: " + ", ".join(f"{count} {status}" for status, count in report.counts.items()))
    if not report.good:
        click.get_current_context().exit(Refused.exit_code)
