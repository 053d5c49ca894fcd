"""train-product, train-character, train-condition: photos in, adapter out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import Whole, as_json, command, echo_json, reading, use
from synthgen.errors import RequestError, SynthgenError
from synthgen.modalities import MODALITIES
from synthgen.types import Rights

RIGHTS = ("owner", "license", "source", "consent")
FOLDER = click.Path(path_type=Path)
HOW = (  # how the one loop trains, whatever it learns from
    click.option(
        "--rank",
        type=Whole(1, "ranks"),
        default=None,
        show_default="the base's own",
        help="Rank of the adapter's matrices; of oft the side of its blocks.",
    ),
    click.option(
        "--alpha",
        type=click.FloatRange(min=0, min_open=True),
        default=None,
        show_default="the rank",
        help="Scale: alpha / rank. oft has none.",
    ),
    click.option(
        "--steps", type=Whole(1, "steps"), default=None, show_default="by the number of photos", help="Training steps."
    ),
    click.option(
        "--learning-rate",
        type=click.FloatRange(min=0, min_open=True),
        default=None,
        show_default="the base's own",
        help="Peak learning rate.",
    ),
    click.option(
        "--batch-size",
        "batch",
        type=Whole(1, "pictures"),
        default=None,
        show_default="the base's own",
        help="Pictures per step.",
    ),
    click.option("--seed", type=Whole(0, "seeds"), default=0, help="Same seed and photos, same adapter."),
    click.option(
        "--method",
        default="lora",
        help="lora, rslora, dora, lokr (a small file) or oft. All load here; diffusers loads all but oft, lokr by the "
        "network's load_lora_adapter.",
    ),
    click.option(
        "--optimizer",
        default="adamw",
        help="adamw, prodigy, schedule-free, or adamw8bit (needs bitsandbytes).",
    ),
    click.option(
        "--targets", default="all", help="Modules that learn: all of the family's choice, or attention alone."
    ),
    click.option(
        "--train-text-encoder",
        "text_encoder",
        is_flag=True,
        help="Words learn too: LoRA on the base's CLIP text encoders, at a fifth of the rate. Slower.",
    ),
    click.option("--caption-dropout", type=click.FloatRange(0, 1), default=0.0, help="Share learned without words."),
    click.option(
        "--ema",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        help="Keep the mean of the weights over the steps, such as 0.98; 0: none.",
    ),
    click.option("--gradient-checkpointing", is_flag=True, help="Slower, in less memory."),
    click.option(
        "--masks",
        default="auto",
        help="Where the product is: auto (masks/NAME.png or alpha, else found), given, or off.",
    ),
    click.option(
        "--buckets",
        default="auto",
        help="Learn photos in shapes of about their own proportions, never enlarged: auto (where the base draws other "
        "shapes than squares), on, or off (filled up to squares).",
    ),
    click.option(
        "--patience",
        type=Whole(0, "checks"),
        default=5,
        help="End after so many checks without a better one; 0: never. The best is kept.",
    ),
    click.option(
        "--membership-cap",
        type=click.FloatRange(0, 1),
        default=None,
        show_default="0.5 for patients, else 1",
        help="End where it shows which photos were learned from: 0 for as well as guessing, 1 for always (no cap). "
        "Kept is the best before that.",
    ),
    click.option(
        "--folds",
        type=Whole(0, "trainings"),
        default=0,
        help="Below five photos: choose the step by so many trainings that each leave a part out; 0: by other views.",
    ),
    click.option(
        "--mixed-precision",
        "precision",
        default="auto",
        help="auto (bf16 where it is faster, or as accelerate launch says), no, or bf16.",
    ),
    click.option("--ignore-blocks", is_flag=True, help="Train even where the check of the photos blocks."),
    click.option("--device", default="", show_default="found by itself", help="cuda, mps or cpu."),
    use,
    reading,
    click.option("--owner", default="", show_default=False, help="Who owns the photos."),
    click.option(
        "--license", default="", show_default=False, help="Licence of the photos: an SPDX id or LicenseRef-own."
    ),
    click.option("--source", default="", show_default=False, help="Where the photos come from."),
    click.option("--consent", default="", show_default=False, help="Reference of the consent to use them."),
    as_json,
)


WHERE = (
    click.option("--out", type=FOLDER, default=None, show_default="adapters/NAME", help="Folder of the adapter."),
    click.option("--replace", is_flag=True, help="Replace an adapter of this name that was trained on other photos."),
    click.option(
        "--samples",
        type=Whole(0, "pictures"),
        default=3,
        help="Pictures of the product, and of other things, drawn at some checks for the report; 0: none.",
    ),
    click.option(
        "--log",
        multiple=True,
        show_default=False,
        help="Tell steps and checks to tensorboard (in report/logs), wandb, mlflow, ... as installed; repeats.",
    ),
)
BUDGET = (
    click.option(
        "--budget", type=click.FloatRange(min=0, min_open=True), default=None, show_default="10",
        help="Minutes for finding settings; what is found is then trained to its end.",
    ),
    click.option("--trials", type=Whole(1, "trials"), default=None, show_default="as many as the time allows",
                 help="Most trials to make."),
)  # fmt: skip
AUTO = click.option(
    "--auto", is_flag=True, help="Find rank, alpha, rate, steps and modules first, by trials; what is stated stays."
)


def how(body: Any) -> Any:
    """A command with the options that every training has."""
    for option in reversed((*WHERE, *HOW, *BUDGET)):
        body = option(body)
    return body


def how_tried(body: Any) -> Any:
    """The same without those of an adapter's folder."""
    for option in reversed((*HOW, *BUDGET)):
        body = option(body)
    return body


ON = (  # the base that is adapted
    click.option("--base", default="mini", help="Base model to adapt."),
    click.option("--controlnet", default="", show_default="the base's own", help="Folder of a ControlNet for poses."),
    click.option("--memory", default="auto", help="Mode of holding weights, see README; or such as 24GB."),
    click.option(
        "--size", type=Whole(64, "px"), default=None, show_default="the base's own", help="Side to train at, px."
    ),
)


def on(body: Any) -> Any:
    """A command with the options that say which base it adapts, and how that is held."""
    for option in reversed(ON):
        body = option(body)
    return body


def budgeted(options: dict[str, Any]) -> dict[str, Any]:
    """The options with --auto, --budget and --trials as one. Raises UsageError for a budget of nothing."""
    from synthgen.training_request import Budget

    wanted = options.pop("auto")
    limits = {"minutes": options.pop("budget", None), "trials": options.pop("trials", None)}
    limits = {name: value for name, value in limits.items() if value is not None}
    if not wanted and limits:
        raise click.UsageError("--budget and --trials go with --auto.")
    return {**options, "auto": Budget(**limits)} if wanted else options


@command(
    "train-product",
    example="synthgen train-product --images shirts/\n"
    "synthgen train-product --images skus/ --per-folder --owner 'Acme Ltd' --license LicenseRef-own",
    stopped="Checkpoints are kept; the same command goes on from the last one.",
)
@click.option("--images", type=FOLDER, required=True, help="Folder with photos of one product; one photo is enough.")
@click.option("--name", default="", show_default="the folder's name", help="Name of the adapter.")
@click.option("--trigger", default="sks", help="Word that means the product in a prompt.")
@on
@click.option("--category", default="", show_default="from the folder's name", help="Kind of garment, such as shirt.")
@click.option("--per-folder", is_flag=True, help="Train one adapter for each sub-folder of --images.")
@AUTO
@how
def train_product(images: Path, per_folder: bool, as_json: bool, **given: Any) -> None:
    """Teach the base a product from its photos.

    The result is a folder with a LoRA adapter and its card. The photos' rights come from the options or from a
    rights.toml beside them, and stay 'unknown' where neither says anything. The same command again resumes.
    """
    _tell(_trained(images, per_folder, given), as_json)


@command(
    "train-character",
    example="synthgen train-character --images mascot/\n"
    "synthgen train-character --images robot/ --kind robot --owner 'Acme Ltd' --license LicenseRef-own",
    stopped="Checkpoints are kept; the same command goes on from the last one.",
)
@click.option("--images", type=FOLDER, required=True, help="Folder with pictures of one character.")
@click.option("--kind", "category", default="person", help="What it is, in a word that the base knows: fox, robot.")
@click.option("--name", default="", show_default="the folder's name", help="Name of the adapter.")
@click.option("--trigger", default="sks", help="Word that means the character in a prompt.")
@click.option("--per-folder", is_flag=True, help="Train one adapter for each sub-folder of --images.")
@on
@AUTO
@how
def train_character(images: Path, per_folder: bool, as_json: bool, **given: Any) -> None:
    """Teach the base a character that stays the same.

    Rendered or drawn: no real person's likeness is to be made. Where a metadata.csv beside the pictures has columns
    pose, view and place, captions say them, and they are not learned as a part of the character.
    """
    _tell(_trained(images, per_folder, {**given, "domain": "character"}), as_json)


@command(
    "train-condition",
    example="synthgen train-condition --images pneumonia/ --condition pneumonia --modality chest-xray "
    "--owner 'St. X' --license LicenseRef-own --consent ethics-2026-14\n"
    "synthgen train-condition --images melanoma/ --condition melanoma --modality dermatology --metadata cases.csv",
    stopped="Checkpoints are kept; the same command goes on from the last one.",
)
@click.option("--images", type=FOLDER, required=True, help="Folder with pictures of one condition.")
@click.option("--condition", required=True, help="What the pictures show, such as pneumonia; 'none' for no finding.")
@click.option(
    "--modality",
    required=True,
    help=f"Kind of picture: {', '.join(MODALITIES)}, other, or words of your own.",
)
@click.option(
    "--metadata",
    type=FOLDER,
    default=None,
    show_default="metadata.csv in --images, if there",
    help="CSV: file_name, patient_id, finding, view, side, severity, stain, sex, age_band, site, split.",
)
@click.option(
    "--normal",
    type=FOLDER,
    default=None,
    show_default="none",
    help="Folder with pictures of the same kind without a finding, learned beside.",
)
@click.option("--mask-markers", is_flag=True, help="Fill side markers and view words in, instead of learning them.")
@click.option("--name", default="", show_default="the condition", help="Name of the adapter.")
@click.option("--trigger", default="sks", help="Word that means these pictures in a prompt.")
@click.option("--base", default="mini", help="Base model to adapt.")
@AUTO
@how
def train_condition(
    condition: str, modality: str, metadata: Path | None, normal: Path | None, mask_markers: bool, **given: Any
) -> None:
    """Teach the base how a condition looks, from pictures of patients.

    PNG, JPEG, TIFF and DICOM are read. Before anything is learned, names, dates and other identifiers beside the pixels
    are cut off, and pictures with text burned in are held back; both are listed in the adapter's private/identifiers.
    With a table that has patient_id (or with DICOM), no patient is both learned from and held out. Grey pictures stay
    grey. What is made from it is not for diagnosis.
    """
    images, as_json = given.pop("images"), given.pop("as_json")
    stated = {key: given.pop(key) for key in RIGHTS}
    options = budgeted({key: value for key, value in given.items() if value is not None})
    from synthgen import condition as journey
    from synthgen.train import TrainRequest

    case = journey.Case(condition, modality, metadata, normal, mask_markers)
    folder = journey.fit(TrainRequest(images=images, rights=rights_of(images, stated), **options), case)
    _tell([folder], as_json)


def _tell(folders: list[Path], as_json: bool) -> None:
    """The result, once where several processes trained together."""
    from synthgen import training_crew

    if not training_crew.is_main():
        return
    if as_json:
        echo_json({"adapters": folders})
    else:
        for folder in folders:
            click.echo(folder)


def _trained(images: Path, per_folder: bool, given: dict[str, Any]) -> list[Path]:
    """The adapter of a folder, or one for each of its sub-folders, as the options say."""
    stated = {key: given.pop(key) for key in RIGHTS}
    options = budgeted({key: value for key, value in given.items() if value is not None})
    return _each(images, stated, options) if per_folder else [_train(images, stated, options)]


def _train(images: Path, stated: dict[str, str], options: dict[str, Any], above: Path | None = None) -> Path:
    from synthgen import train

    return train.fit(train.TrainRequest(images=images, rights=rights_of(images, stated, above), **options))


def rights_of(images: Path, stated: dict[str, str], above: Path | None = None) -> Rights | None:
    """Rights as stated by options, over those beside the photos, over those of the folder above (--per-folder).

    None where neither an option nor the folder above says anything: then what lies beside the photos is read with them.
    """
    from synthgen.rights_file import rights_beside

    said = {key: value for key, value in stated.items() if value}
    general = rights_beside(above) if above else None
    if not said and general is None:
        return None
    own = rights_beside(images) if images.is_dir() else None
    return replace(own or general or Rights(), **said)


def _each(images: Path, stated: dict[str, str], options: dict[str, Any]) -> list[Path]:
    """One adapter for each sub-folder; one bad folder does not stop the others."""
    if options.pop("name"):
        raise click.UsageError("--name does not go with --per-folder: each adapter is named after its folder.")
    if not images.is_dir():
        raise RequestError(
            f"there is no folder '{images}'. --images wants one with a sub-folder of photos per product."
        )
    products = sorted(item for item in images.iterdir() if item.is_dir() and not item.name.startswith("."))
    if not products:
        raise RequestError(f"{images} has no sub-folders. For one product, run the same command without --per-folder.")
    out = options.pop("out", None)
    done: list[Path] = []
    failed: list[str] = []
    for product in products:
        place = {"out": out / product.name} if out else {}
        try:
            done.append(_train(product, stated, {**options, **place, "name": product.name}, images))
        except SynthgenError as error:
            click.echo(f"{product.name}: {error}", err=True)
            failed.append(product.name)
    if failed:
        kept = f"The other {len(done)} adapters are kept." if done else "No adapter was made."
        raise SynthgenError(f"{len(failed)} of {len(products)} folders gave no adapter: {', '.join(failed)}. {kept}")
    return done
