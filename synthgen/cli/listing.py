"""list, show, check, copy: what there is, what it says, whether it is sound, and a copy of one's own."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from synthgen import resources, rooms, toml_file
from synthgen.cli.command import as_json, command, echo_json
from synthgen.errors import RequestError, UnknownName

ROOM_KINDS = {"gates": "gates", "formats": "exporters", "watermarks": "watermarks"}  # kind of thing -> room it lives in
FOLDER_KINDS = ("adapters", "licenses", "pipelines")
OUTGOING = ("research", "commercial", "dataset-release", "service")  # uses that `list licenses` tells
NOTHING_KEPT = "Nothing was changed."


@command("list", example="synthgen list pipelines\nsynthgen list adapters --json", stopped=NOTHING_KEPT)
@click.argument("kind")
@as_json
def list_members(kind: str, as_json: bool) -> None:
    """List what there is of a KIND, one name a line.

    Kinds: pipelines, bases, adapters, licenses, gates, formats, watermarks. Your own pipelines/, licenses/ and
    adapters/ in the current folder come before the shipped ones.
    """
    captions = _captions(kind)
    if as_json:
        echo_json([{"name": name, "caption": caption} for name, caption in captions.items()])
        return
    wide = max((len(name) for name in captions), default=0)
    for name, caption in captions.items():
        click.echo(f"{name:<{wide}}  {caption}".rstrip())
    if kind in FOLDER_KINDS:
        places = ", ".join(str(place) for place in resources.search(kind))
        click.echo(f"{len(captions)} found; looked in {places}", err=True)


@command("show", example="synthgen show pipelines apparel\nsynthgen show license CC-BY-4.0", stopped=NOTHING_KEPT)
@click.argument("kind")
@click.argument("name")
@as_json
def show(kind: str, name: str, as_json: bool) -> None:
    """Show what one member of a KIND says of itself.

    A licence is found by its id, another name of it, or a set of Civitai's flags.
    """
    kind = {"license": "licenses", "base": "bases"}.get(kind, kind)
    captions = _captions(kind)
    if kind == "bases":
        _show_base(name, as_json)
        return
    if kind == "licenses":
        _show_license(name, as_json)
        return
    if name not in captions:
        raise UnknownName(kind, name, captions)
    if kind in ROOM_KINDS:
        text, content = _room_member(ROOM_KINDS[kind], name, captions[name])
    else:
        path = _file_of(kind, name)
        text, content = path.read_text(encoding="utf-8"), {**toml_file.read(path), "file": path}
    if as_json:
        echo_json(content)
    else:
        click.echo(text.rstrip())


@command("check", example="synthgen check apparel\nsynthgen check pipelines/mine.toml", stopped=NOTHING_KEPT)
@click.argument("pipeline")
@as_json
def check(pipeline: str, as_json: bool) -> None:
    """Check a PIPELINE; all its problems are told at once.

    PIPELINE is a name that `synthgen list pipelines` shows, or a TOML file.
    """
    from synthgen import recipes

    recipe = recipes.load(pipeline)
    rooms.member("domains", recipe.domain).check(recipe)
    if as_json:
        echo_json(asdict(recipe))
        return
    combinations = 1
    for values in recipe.axes.values():
        combinations *= len(values)
    click.echo(f"{recipe.source or pipeline}: ok ({len(recipe.axes)} axes, {combinations} combinations of labels)")


@command("copy", example="synthgen copy apparel\nsynthgen copy apparel --to pipelines/mine.toml", stopped=NOTHING_KEPT)
@click.argument("pipeline")
@click.option("--to", type=click.Path(path_type=Path), default=Path("pipelines"), help="Folder, or a .toml file.")
def copy(pipeline: str, to: Path) -> None:
    """Copy a shipped PIPELINE, to change it as you like.

    A pipeline in the pipelines/ of the current folder comes before a shipped one of the same name.
    """
    shipped = {path.stem: path for path in sorted(resources.shipped("pipelines").glob("*.toml"))}
    if pipeline not in shipped:
        raise UnknownName("shipped pipelines", pipeline, shipped)
    target = to if to.suffix == ".toml" else to / f"{pipeline}.toml"
    if target.exists():
        raise RequestError(f"{target} exists and was left as it is. Choose another file with --to.")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + ".part")
    unfinished.write_bytes(shipped[pipeline].read_bytes())
    os.replace(unfinished, target)
    click.echo(target)


def _captions(kind: str) -> dict[str, str]:
    """Name -> caption of every member of a kind. Raises UnknownName for another kind."""
    readers: dict[str, Callable[[], dict[str, str]]] = {
        "pipelines": _pipelines,
        "bases": _bases,
        "adapters": _adapters,
        "licenses": _licenses,
        "gates": lambda: rooms.members("gates"),
        "formats": lambda: rooms.members("exporters"),
        "watermarks": lambda: rooms.members("watermarks"),
    }
    here = files("synthgen")
    known = {
        name: read
        for name, read in readers.items()
        if name not in ROOM_KINDS or here.joinpath(ROOM_KINDS[name]).is_dir()
    }
    if kind not in known:
        raise UnknownName("list", kind, known)
    return known[kind]()


def _pipelines() -> dict[str, str]:
    from synthgen import recipes

    return recipes.names()


def _adapters() -> dict[str, str]:
    from synthgen import adapters

    return {
        name: f"{card.trigger} {card.category}, rank {card.rank} on {card.base}, {card.license}, {card.created}"
        for name, card in adapters.members().items()
    }


def _bases() -> dict[str, str]:
    """Caption of the family, and of the weights where they are published, under which licence, and whether they are
    here; nothing heavy is loaded.
    """
    from synthgen import bases, hub, licenses, rights_file

    found = {}
    for name, (family, weights) in bases.names().items():
        caption = rooms.members("bases")[family.name]
        pin = hub.pinned(name)
        stated = bases.rights_told(name, pin)
        commercial = licenses.clear([rights_file.asset("base", name, stated)], "commercial").answer
        place = f"{weights.repo}; {'pulled' if pin else 'not pulled'}" if weights else "in the package"
        if weights and weights.size:
            place += f"; {sum(weights.size.numbers.values()) / 1e9:.1f} billion numbers"
        state = f"[{place}; {stated.license}, commercial use: {commercial}]"
        draws = " Draws only: it is distilled." if weights and weights.distilled else ""
        found[name] = f"{caption}{draws} {state}"
    return found


def _show_base(name: str, as_json: bool) -> None:
    """What a base is, allows and needs: a name, a folder, or a repository's id."""
    from synthgen import base_facts

    told = base_facts.of(name)
    if as_json:
        echo_json(told)
        return
    wide = max(len(key) for key in told)
    for key, value in told.items():
        lines = [f"{one}: {text}" for one, text in value.items()] if isinstance(value, dict) else [str(value)]
        for number, line in enumerate(lines):
            click.echo(f"{key.replace('_', ' ') if number == 0 else '':<{wide}}  {line}".rstrip())


def _licenses() -> dict[str, str]:
    """Name -> what it is called and what it answers, as a licence of photos, to each use that goes out."""
    from synthgen import licenses
    from synthgen.types import Asset

    return {
        name: f"{record.name}; "
        + ", ".join(
            f"{use} {licenses.clear([Asset('photos', name, name, owner='you')], use).answer}" for use in OUTGOING
        )
        for name, record in sorted(licenses.known().items())
    }


def _show_license(name: str, as_json: bool) -> None:
    """A record in words: where it was read, each right with its clause, conditions, what goes along."""
    from synthgen import license_expressions, license_record

    record = license_expressions.resolve(name, license_record.names())
    if record is None:
        raise UnknownName("licenses", name, license_record.known())
    if as_json:
        echo_json(asdict(record))
        return
    facts = {
        "source": record.source, "link": record.link, "evidence": record.evidence, "verified on": record.verified_on,
        "text sha256": record.text_sha256, "of": record.text_source,
        "other names": ", ".join(record.aliases), "binds by": record.binds,
        "share-alike": ", ".join(record.share_alike), "notices": "; ".join(record.notices),
        "prohibited uses": ", ".join(record.prohibited_uses), "by clause": record.prohibited_uses_clause,
        "revenue limit": f"USD {record.revenue_threshold_usd:,}" if record.revenue_threshold_usd is not None else "",
        "flags": ", ".join(record.flags),
    }  # fmt: skip
    click.echo(f"{record.id}\n{record.name} {record.version}".rstrip() + "\n")
    for key, text in facts.items():
        if text:
            click.echo(f"{key:<15}  {text}")
    click.echo("")
    for right, grant in record.rights.items():
        click.echo(f"{right:<24}  {grant.answer:<11}  {grant.clause}")
        for condition in grant.conditions:
            click.echo(f"{'':<39}  if: {condition}")
    if record.notice_text:
        click.echo(f"\nTo be passed on:\n\n{record.notice_text.rstrip()}")


def _file_of(kind: str, name: str) -> Path:
    """The TOML file behind a name, the user's own first."""
    for place in resources.search(kind):
        for path in (place / f"{name}.toml", place / name / "card.toml"):
            if path.is_file():
                return path
    raise UnknownName(kind, name, ())


def _room_member(room: str, name: str, caption: str) -> tuple[str, dict[str, Any]]:
    """A member's docstring, read without importing it; only the caption where it lives outside synthgen."""
    source = files("synthgen").joinpath(room, f"{name}.py")
    text = caption
    if source.is_file():
        text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or caption
    return f"{name}\n\n{text}", {"name": name, "caption": caption, "text": text}
