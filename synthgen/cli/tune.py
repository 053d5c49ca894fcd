"""tune: which settings suit these photos, found by trials."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import command, echo_json
from synthgen.cli.train import FOLDER, RIGHTS, budgeted, how_tried, on, rights_of


@command(
    "tune",
    example="synthgen tune --images shirts/\nsynthgen tune --images shirts/ --budget 30 --rank 8",
    stopped="The trials are kept; the same command goes on.",
)
@click.option("--images", type=FOLDER, required=True, help="Folder with photos of one product.")
@click.option("--trigger", default="sks", help="Word that means the product in a prompt.")
@on
@click.option("--category", default="", show_default="from the folder's name", help="Kind of garment, such as shirt.")
@click.option("--out", type=FOLDER, default=None, show_default="NAME-tuning", help="Folder of the trials.")
@how_tried
def tune(images: Path, as_json: bool, **given: Any) -> None:
    """Find the settings that suit these photos.

    Rank, alpha, learning rate, steps and modules, as far as no option states them. Trials are trainings, judged by
    their loss on held-out photos; those that fall behind end early. The folder gets trials.csv, pareto.png and
    recommendation.md; the options to train with are printed. `train-product --auto` does the same and trains.
    """
    from synthgen import train

    stated = {key: given.pop(key) for key in RIGHTS}
    place = given.pop("out", None)
    options = budgeted({**{key: value for key, value in given.items() if value is not None}, "auto": True})
    request = train.TrainRequest(images=images, rights=rights_of(images, stated), **options)
    folder, found = train.tune(request, place)
    if as_json:
        echo_json(
            {"folder": folder, "settings": asdict(found.settings), "reason": found.reason, "trials": len(found.trials)}
        )
    else:
        click.echo(found.chosen.options)
