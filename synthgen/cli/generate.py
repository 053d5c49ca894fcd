"""generate: an adapter and a count in, a labelled data set out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import Whole, as_json, command, echo_json, reading, use, verdict_lines

FOLDER = click.Path(path_type=Path)


@command(
    "generate",
    example="synthgen generate --count 500\n"
    "synthgen generate --count 40 --adapter shirts:0.8 --only place=beach,park --dry-run\n"
    "synthgen generate --count 4 --adapter shirts --sweep shirts=0:1.2:0.2",
    stopped="Every finished picture is kept; the same command makes the rest.",
)
@click.option("-n", "--count", type=Whole(1, "pictures"), required=True, help="Pictures to make.")
@click.option("--pipeline", default="", show_default="of the adapter's domain", help="Recipe: a name or a TOML file.")
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME[:WEIGHT]",
    show_default="the newest here",
    help="Adapter and its strength; repeat for more.",
)
@click.option("--no-adapter", is_flag=True, help="Draw with the base alone.")
@click.option("--base", default="", show_default="the adapter's own, else mini", help="Base model.")
@click.option(
    "--controlnet",
    multiple=True,
    metavar="[KIND=]FOLDER",
    show_default="the base's own",
    help="ControlNet for poses, or for another condition; repeat.",
)
@click.option(
    "--condition",
    multiple=True,
    metavar="KIND=PATH:SCALE:START:END",
    help="Draw along photos: canny, depth, lineart, mask, segmentation; numbers may be left out. pose:SCALE alone.",
)
@click.option(
    "--condition-map", multiple=True, metavar="KIND=PATH:...", help="The same, of control pictures as they are."
)
@click.option(
    "--reference",
    multiple=True,
    type=FOLDER,
    help="Show the base a picture beside the words, or one of a folder; repeat. For bases that take them.",
)
@click.option(
    "--memory",
    default="auto",
    help="Mode of holding weights, see README; or such as 24GB.",
)
@click.option("--other-lineage", is_flag=True, help="Use an adapter that fits the base but was made on other weights.")
@click.option("--accept-base-change", is_flag=True, help="Use an adapter though its base's files changed; recorded.")
@click.option("--only", multiple=True, metavar="AXIS=A,B", help="Keep an axis of the recipe to these values.")
@click.option("--weight", multiple=True, metavar="AXIS=A:3,B:1", help="Ask for values in these proportions; others 1.")
@click.option("--cross", multiple=True, metavar="AXIS,AXIS", help="Let all combinations of these axes come evenly.")
@click.option(
    "--sweep", multiple=True, metavar="NAME=LOW:HIGH:STEP", help="Draw --count prompts at each strength; once or twice."
)
@click.option(
    "--block-weight",
    multiple=True,
    metavar="NAME=BLOCK:FACTOR,...",
    help="Weaken or strengthen blocks: down, mid, up, up_blocks.1.",
)
@click.option("--seed", type=Whole(0, "seeds"), default=0, help="Same seed, same plan, same pictures.")
@click.option(
    "--out",
    default=None,
    show_default="runs/NAME-DIGEST",
    help="Run folder, or an address such as s3://BUCKET/RUN; the same command resumes it.",
)
@use
@reading
@click.option(
    "--num-inference-steps",
    "steps",
    type=Whole(1, "steps"),
    default=None,
    show_default="the recipe's",
    help="Denoising steps.",
)
@click.option(
    "--guidance-scale",
    "guidance",
    type=click.FloatRange(min=0),
    default=None,
    show_default="the recipe's",
    help="Classifier-free guidance.",
)
@click.option(
    "--batch-size",
    "batch",
    type=Whole(1, "pictures"),
    default=None,
    show_default="the recipe's",
    help="Pictures drawn at once.",
)
@click.option(
    "--size", type=Whole(64, "px"), default=None, show_default="the recipe's", help="Side of a picture in px."
)
@click.option(
    "--pose-file",
    "poses",
    multiple=True,
    type=FOLDER,
    help="Take poses from keypoint JSON or a photo; repeat for more.",
)
@click.option("--into", type=FOLDER, default=None, show_default=False, help="Draw into a photo, or a folder of them.")
@click.option(
    "--mask",
    default="",
    metavar="WHAT",
    show_default="all of it",
    help="What of them is drawn anew: garment, product, a mask file or a folder of masks.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1, min_open=True),
    default=None,
    show_default="0.6, with a mask 1",
    help="How much of a photo may change: the share of steps.",
)
@click.option(
    "--watermark",
    default="",
    show_default="none",
    metavar="NAME",
    help="Put an invisible mark into published pictures: one of `synthgen list watermarks`.",
)
@click.option("--publish-prompts", is_flag=True, help="Put the prompts into the pictures' marks too.")
@click.option("--prompt-writer", default="", show_default=False, help="Who wrote them, for IPTC's AIPromptWriterName.")
@click.option(
    "--certificate", type=FOLDER, default=None, show_default="a local one", help="Sign with this PEM certificate chain."
)
@click.option("--key", type=FOLDER, default=None, show_default="a local one", help="The certificate's key in PEM form.")
@click.option(
    "--sign-with",
    default="",
    show_default=False,
    metavar="COMMAND",
    help="A program that signs, bytes in, signature out, where the key cannot leave its safe.",
)
@click.option(
    "--label-judge",
    type=FOLDER,
    default=None,
    show_default="mini's own, for mini",
    help="Folder of a CLIP or SigLIP that reads labels from the pictures of any base.",
)
@click.option("--strict", is_flag=True, help="Let every gate reject, not only those for blank and broken pictures.")
@click.option("--dry-run", is_flag=True, help="Show the plan and the licence verdict; load nothing, write nothing.")
@click.option("--engine", default="local", help="Where pictures are drawn: local, or ray for a Ray cluster.")
@click.option(
    "--address", default="", show_default="auto", help="The Ray cluster: auto, HOST:PORT; local starts one here."
)
@click.option(
    "--threads",
    type=Whole(1, "threads"),
    default=None,
    show_default="the recipe's, else every core",
    help="Threads of one process that draws.",
)
@click.option(
    "--device", default="", show_default="found by itself", help="cuda, mps or cpu; cuda:0,cuda:1 draws on both."
)
@as_json
def generate(as_json: bool, **given: Any) -> None:
    """Make a labelled data set of exactly --count pictures.

    Labels are spread evenly over the recipe's axes, and every picture is stamped with where it came from and under
    which licence. The run folder is the data set: metadata.csv, images/ and one record per picture.
    """
    from synthgen import generate as journey

    options = {key: value for key, value in given.items() if value is not None}
    result = journey.run(journey.GenerateRequest(**options))
    if as_json:
        echo_json(asdict(result))
    elif given["dry_run"]:
        click.echo("\n".join([*_plan_lines(result), *verdict_lines(result.verdict)]))
    else:
        click.echo(result.folder)


def _plan_lines(result: Any) -> list[str]:
    """The planned cells, an axis a line: `pose  standing 84, walking 83`, and how precisely each axis can be judged."""
    from synthgen.balance import half_width

    lines = [f"{result.count} pictures would go to {result.folder}"]
    wide = max((len(axis) for axis in result.cells), default=0)
    for axis, cells in result.cells.items():
        lines.append(f"{axis:<{wide}}  " + ", ".join(f"{value} {count}" for value, count in cells.items()))
    least = {axis: min(cells.items(), key=lambda item: item[1]) for axis, cells in result.cells.items()}
    said = (f"{axis}={value} ({count}) +-{100 * half_width(count):.0f}" for axis, (value, count) in least.items())
    lines.append("points by which an accuracy in the smallest cell may be off (95 %): " + ", ".join(said))
    return lines
