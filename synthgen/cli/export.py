"""export and ingest: sets out in standard formats, and real sets in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import as_json, command, echo_json, reading, use

FOLDER = click.Path(path_type=Path)


@command(
    "export",
    example="synthgen export runs/shirts-1a2b3c4d --format imagefolder --format croissant\n"
    "synthgen export runs/shirts-1a2b3c4d --format torchvision --format zip --split 80/10/10 --out set",
    stopped="Formats that were finished are kept; nothing is left of the unfinished one.",
)
@click.argument("runs", nargs=-1, required=True, type=FOLDER, metavar="RUN...")
@click.option(
    "--format",
    "formats",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A format of `synthgen list formats`; repeat for more. zip packs the others.",
)
@click.option("--out", type=FOLDER, default=None, show_default="RUN-export", help="Folder; gets one for each format.")
@use
@reading
@click.option(
    "--split",
    default="",
    show_default="all train",
    metavar="A/B/C",
    help="Parts for train, validation and test. No seed and no pose is in two of them.",
)
@click.option(
    "--encoding",
    default="png",
    help="png, as in the run; jpeg or webp for the web: copies signed anew, with the marks of their PNG.",
)
@click.option("--label", default="", show_default="category or finding", help="The label that is the class.")
@as_json
def export(as_json: bool, **given: Any) -> None:
    """Write runs out as one data set in standard formats.

    Licences are asked again for --use. Each format is a folder with pictures, their bytes unchanged unless --encoding
    says otherwise, labels asked for and measured, README.md, LICENSE, NOTICE, ATTRIBUTION, bom.json, manifest.json and
    checksums.sha256.
    """
    from synthgen import export as journey

    result = journey.run(journey.ExportRequest(**given))
    if as_json:
        echo_json(asdict(result))
    else:
        click.echo("\n".join(str(done.folder) for done in result.exports))


@command(
    "ingest",
    example="synthgen ingest photos --out real-shirts\nsynthgen ingest theirs.zip --out real --format coco",
    stopped="Nothing is left of the unfinished set.",
)
@click.argument("source", type=FOLDER, metavar="DIR")
@click.option("--out", type=FOLDER, required=True, help="Folder of the set, new.")
@click.option("--format", "format_name", default="", show_default="guessed", metavar="NAME", help="Format of DIR.")
@click.option("--label", default="", show_default="category, finding or label", help="The column that is the class.")
@as_json
def ingest(source: Path, out: Path, format_name: str, label: str, as_json: bool) -> None:
    """Bring a labelled real set in, to evaluate against.

    DIR is a folder or a zip in any format of `synthgen list formats`. The set is a folder with images/ and
    metadata.csv; pictures are copied unchanged, and those without a label or that cannot be read are left out by name.
    """
    from synthgen import ingest as journey

    result = journey.run(journey.IngestRequest(source, out, format_name, label))
    if as_json:
        echo_json(asdict(result))
    else:
        click.echo(result.folder)
