"""adapters inspect, import, export: what a LoRA file is, bringing one in, taking one out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from synthgen.cli.command import as_json, command, echo_json
from synthgen.errors import RequestError
from synthgen.types import Rights

FILE = click.Path(path_type=Path)
NOTHING_KEPT = "Nothing was changed."
RIGHTS = ("owner", "license", "source", "consent")


@click.group(epilog="\b\nExample:\n  synthgen adapters inspect shirts.safetensors")
def adapters() -> None:
    """Inspect LoRA files; bring them in and take them out."""


@command(
    "inspect",
    example="synthgen adapters inspect shirts\nsynthgen adapters inspect downloads/tee.safetensors --json",
    stopped=NOTHING_KEPT,
)
@click.argument("adapter", metavar="FILE|NAME")
@click.option("--base", default="mini", help="Base model to try it against.")
@as_json
def inspect(adapter: str, base: str, as_json: bool) -> None:
    """Say what a LoRA file is: by its tensors, not by its claims.

    Layout, family, rank, alpha, modules and hashes come from the tensors. Licence, base and trigger words stand in the
    file's metadata, where anyone can write what he likes: they are told as claims. No tensor is put to use.
    """
    from synthgen import lora_exchange

    told = lora_exchange.facts(_file(adapter), _bases(base))
    if as_json:
        echo_json(told)
    else:
        click.echo("\n".join(_lines(told)))


@command(
    "import",
    example="synthgen adapters import downloads/tee.safetensors --license CC-BY-4.0 --owner 'A. Maker' --trigger sks",
    stopped="Nothing is left of an unfinished import.",
)
@click.argument("file", type=FILE)
@click.option("--name", default="", show_default="the file's", help="Name of the adapter.")
@click.option("--base", default="mini", help="Base model that it goes to.")
@click.option("--trigger", default=None, show_default="as the file claims", help="Word that calls it in a prompt.")
@click.option("--category", default="", show_default=False, help="Kind of garment, such as shirt.")
@click.option("--alpha", type=click.FloatRange(min=0, min_open=True), default=None, show_default="as the file says",
              help="LoRA scale, where the file does not say it.")  # fmt: skip
@click.option("--exact-base", is_flag=True, help="You state that it was trained on exactly the files of --base.")
@click.option("--owner", default="", show_default=False, help="Who owns the adapter.")
@click.option("--license", default="unknown", help="Licence that its owner gives: an SPDX id or LicenseRef-.")
@click.option("--source", default="", show_default=False, help="Where it comes from.")
@click.option("--consent", default="", show_default=False, help="Reference of the consent to use it.")
@click.option("--photos-license", default="unknown", help="Licence of the photos that it was trained on.")
@click.option("--out", type=FILE, default=Path("adapters"), help="Folder of adapters to put it into.")
@as_json
def import_(file: Path, base: str, out: Path, as_json: bool, **given: Any) -> None:
    """Bring a LoRA file in as an adapter of yours.

    Reads the layouts of kohya, ai-toolkit, OneTrainer, SimpleTuner, diffusers and peft. Every tensor must find its
    place in the base; one that does not is an error that names it. The file's own metadata is not taken over, and its
    licence is unknown unless you state it.
    """
    from synthgen import lora_exchange
    from synthgen.vocabulary import CATEGORIES, category_of

    rights = Rights(**{key: given.pop(key) for key in RIGHTS})
    named = given.pop("category")
    category = category_of(named) or named
    domain = "apparel" if category in CATEGORIES else ""
    said = lora_exchange.Statement(rights=rights, category=category, domain=domain, **given)
    folder, notes = lora_exchange.bring_in(file, _base(base), said, out)
    for note in notes:
        click.echo(note, err=True)
    if as_json:
        echo_json({"adapter": folder, "notes": notes})
    else:
        click.echo(folder)


@command(
    "export",
    example="synthgen adapters export shirts --format kohya --out shirts.safetensors",
    stopped="The adapter is untouched.",
)
@click.argument("name")
@click.option("--format", "form", type=click.Choice(("kohya", "diffusers")), required=True,
              help="kohya is what the web UIs read.")  # fmt: skip
@click.option("--out", type=FILE, required=True, help="The .safetensors file to write.")
@as_json
def export(name: str, form: str, out: Path, as_json: bool) -> None:
    """Take an adapter out as one file that other programs load.

    Its strength is stated wherever a reader of the format looks for it. Nothing of the photos goes with it, and no
    path and no address.
    """
    from synthgen import adapters as folders
    from synthgen import lora_exchange

    folder = folders.find(name)
    family = _family(folder / folders.WEIGHTS)
    written = lora_exchange.take_out(folder, form, out, family.MODELSPEC, family.FIRST)
    if as_json:
        echo_json({"file": written})
    else:
        click.echo(written)


def _file(text: str) -> Path:
    """A file by its path, else the weights of an adapter by its name."""
    from synthgen import adapters as folders

    path = Path(text).expanduser()
    if path.is_file() or path.suffix:
        return path
    return folders.find(text) / folders.WEIGHTS


def _base(name: str) -> Any:
    from synthgen import bases
    from synthgen.lora_exchange import Base

    module, identity = bases.find(name)
    return Base(identity, module.places(identity), module.MODELSPEC, module.FIRST, identity.license, identity.rights)


def _bases(name: str) -> list[Any]:
    """The base of that name; none where its weights are not here, for a file can be looked at without them."""
    try:
        return [_base(name)]
    except RequestError:
        if name != "mini":
            raise
        return []


def _family(weights: Path) -> Any:
    """The family that the adapter's own file names; mini where it names none."""
    from synthgen import bases, lora, rooms

    named = lora.read(weights).metadata.get("modelspec.architecture")
    known = [bases.family(name) for name in rooms.members("bases")]
    return next((one for one in known if one.MODELSPEC["modelspec.architecture"] == named), bases.family("mini"))


def _lines(told: Mapping[str, Any]) -> list[str]:
    """The facts as lines, the claims after them."""
    modules, claims = told["modules"], told["claims"]
    alphas = ", ".join(f"{alpha:g}" for alpha in told["alphas"]) or "not known"
    rows = [
        ("kind", told["kind"]),
        ("layout", told["layout"]),
        ("family", told["family"]),
        ("modules", f"{len(modules)}, such as {modules[0]}"),
        ("rank", ", ".join(str(rank) for rank in told["ranks"])),
        ("alpha", alphas if told["alpha_stated"] or told["alpha_problem"] else f"{alphas} (not stated: the rank)"),
        ("values", ", ".join(told["dtypes"])),
        ("sha256", told["sha256"]),
        ("autov3", told["autov3"]),
        ("fingerprint", told["fingerprint"]),
    ]
    rows += [("fits", f"base '{row['base']}'" if row["fits"] else row["reason"]) for row in told["fits"]]
    rows += [("no LoRA", ", ".join(told["not_lora"][:5]))] if told["not_lora"] else []
    rows += [("broken", f"'{told['not_finite']}' holds NaN or infinity")] if told["not_finite"] else []
    rows += [("problem", told["alpha_problem"])] if told["alpha_problem"] else []
    rows += [("same weights", f"adapter '{name}', licence {text}") for name, text in told["same_weights_as"].items()]
    rows += [
        ("claims", f"{key}: {', '.join(value) if isinstance(value, list) else value}") for key, value in claims.items()
    ]
    rows += [("contradiction", text) for text in told["contradictions"]]
    return [f"{key:<13}  {value}" for key, value in rows]


for one in (inspect, import_, export):
    adapters.add_command(one)
