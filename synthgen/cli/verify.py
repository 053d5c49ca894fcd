"""verify: is a picture, a folder of them, or a whole run, what was made here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import as_json, command, echo_json, stores
from synthgen.errors import Refused

PATH = click.Path(path_type=Path)
SHOWN = 5  # files of which the same is to be said


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
    """Say whether a picture, or all in a folder, is what was made here.

    PATH is a picture, a run, or any folder of pictures, such as an export. Pictures in table files are not opened.
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
        click.echo("\n".join(_lines(report)))
    if not report.good:
        click.get_current_context().exit(Refused.exit_code)


def _lines(report: Any) -> Iterator[str]:
    """What is wrong, file by file, the same reasons together; of a run the sum, too."""
    from synthgen.store import RECORDS

    run = report.path.is_dir()
    said: dict[tuple[str, str], list[str]] = {}
    for finding in report.findings:
        if not run or finding.status != "ok":
            said.setdefault((finding.status, finding.reason), []).append(finding.file)
    for (status, reason), files in said.items():
        yield from (f"{status}  {file}: {reason}" for file in files[:SHOWN])
        if len(files) > SHOWN:
            yield f"{status}  {len(files) - SHOWN} more: {reason} (--json names all)"
    if run:
        counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
        what = "pictures and ledger" if any(item.file == RECORDS for item in report.findings) else "pictures"
        yield f"{report.path}, {what}: {counts}"
