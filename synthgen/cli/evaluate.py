"""evaluate and report: runs, a real set and classifiers in, a page out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import Whole, as_json, command, echo_json

FOLDER = click.Path(path_type=Path)
PARTS = ("fidelity", "utility")


@command(
    "evaluate",
    example="synthgen evaluate runs/shirts-1a2b --real photos/ --classifier model.onnx\n"
    "synthgen evaluate runs/a runs/b --real photos/ --classifier said.csv --classes classes.toml --out evaluation",
    stopped="What was trained is kept; the same command goes on.",
)
@click.argument("runs", nargs=-1, required=True, type=FOLDER, metavar="RUN...")
@click.option("--real", type=FOLDER, required=True, help="Folder of labelled real pictures.")
@click.option(
    "--classifier",
    "classifiers",
    multiple=True,
    metavar="FILE|FOLDER|MODULE:FUNCTION",
    help="ONNX, torch, Hugging Face folder, or a CSV of predictions; repeat for more.",
)
@click.option("--label", default="", show_default="category or finding", help="Column that holds the label.")
@click.option("--classes", type=FOLDER, default=None, help="Class order, size, mean, std: .toml, or a class a line.")
@click.option("--trust-code", is_flag=True, help="Open classifiers that run code: torch files and functions.")
@click.option(
    "--candidates", type=Whole(0, "classifiers"), default=12, help="Small classifiers trained for the ranking."
)
@click.option("--steps", type=Whole(1, "steps"), default=300, help="Training steps of each of them.")
@click.option("--seeds", type=Whole(1, "seeds"), default=5, help="Trainings of each mix of real and synthetic.")
@click.option(
    "--extractor",
    "extractors",
    multiple=True,
    default=("judge", "real"),
    metavar="judge|real|FOLDER|FILE",
    help="What sees pictures for fidelity: the embedded judge, a network trained on the real set alone, or yours.",
)
@click.option("--without", multiple=True, type=click.Choice(PARTS), help="Leave a part out; repeat for more.")
@click.option("--seed", type=Whole(0, "seeds"), default=0, help="Same seed, same numbers.")
@click.option("--out", type=FOLDER, default=None, show_default="RUN-evaluation", help="Folder of the report.")
@as_json
def evaluate(as_json: bool, **given: Any) -> None:
    """Tell whether accuracy measured on runs holds on real pictures.

    Several runs are merged. Writes report.html, results.json, results.csv and the predictions. Only files that run no
    code are opened, unless you say --trust-code.
    """
    from synthgen import evaluate as journey

    result = journey.run(journey.EvaluateRequest(**given))
    if as_json:
        echo_json(result.results)
    else:
        click.echo(result.page)
        found = result.results["evaluation"]
        click.echo(found["ranking"]["sentence"], err=True)
        if found["utility"]:
            click.echo(found["utility"]["sentence"], err=True)


@command(
    "report",
    example="synthgen report runs/shirts-1a2b\nsynthgen report runs/a runs/b --evaluation a-evaluation --out both",
    stopped="The report of before is kept.",
)
@click.argument("runs", nargs=-1, required=True, type=FOLDER, metavar="RUN...")
@click.option("--evaluation", type=FOLDER, default=None, show_default="RUN-evaluation, if there", help="Its folder.")
@click.option("--out", type=FOLDER, default=None, show_default="the run, or RUN-report", help="Folder of the report.")
@as_json
def report(as_json: bool, runs: tuple[Path, ...], evaluation: Path | None, out: Path | None) -> None:
    """Write one page on a run: valid, good, whose, and what is open.

    report.html holds everything, pictures too, and needs no network; report.json holds the same numbers. What
    `synthgen evaluate` found goes in.
    """
    from synthgen import report as journey

    result = journey.run(runs, evaluation, out)
    if as_json:
        echo_json(result.document)
    else:
        click.echo(result.page)
