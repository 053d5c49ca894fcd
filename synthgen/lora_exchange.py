"""Bring a stranger's LoRA in as an adapter folder, and take an adapter out for other programs.

In the folder stands one form: diffusers' names, every alpha in its metadata, nothing of what the stranger wrote there.
Going out, alpha stands wherever the reader of that format looks for it. The tensors' bytes are never touched.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthgen import (
    __version__,
    adapters,
    lora,
    lora_claims,
    lora_fit,
    lora_joint,
    lora_names,
    rights_file,
    tensor_file,
    weights_hash,
)
from synthgen.adapters import WEIGHTS
from synthgen.card import Card
from synthgen.errors import RequestError, SynthgenError, UnfitAdapter
from synthgen.lora import Lora
from synthgen.lora_fit import Identity, Places
from synthgen.types import Rights

FORMATS = ("kohya", "diffusers")
KINDS = {"lora": "LoRA", "dora": "DoRA", "lokr": "LoKr", "oft": "OFT"}
LEAVING = {  # kind -> the formats that it can be taken out in; the readers of others do something else with it
    "lora": FORMATS,
    "dora": ("diffusers",),
    "lokr": ("diffusers",),
    "oft": (),
}
LAYOUTS = ("kohya", "diffusers", "peft", "bare", "comfyui")


@dataclass(frozen=True)
class Base:
    """The base that a LoRA goes to, from its headers alone."""

    identity: Identity
    places: Places
    modelspec: Mapping[str, str]
    first: str = ""  # the family's table of first names, see first_names
    license: str = "unknown"
    rights: Rights | None = None  # what the user states of it


@dataclass(frozen=True)
class Statement:
    """What the user says of a LoRA that comes in. Empty, or None: not said."""

    name: str = ""
    trigger: str | None = None
    category: str = ""
    domain: str = ""
    rights: Rights = field(default_factory=Rights)
    photos_license: str = "unknown"
    alpha: float | None = None
    exact_base: bool = False  # that it was trained on exactly the files of this base


def bring_in(path: Path, base: Base, said: Statement, place: Path) -> tuple[Path, tuple[str, ...]]:
    """Make the adapter folder PLACE/NAME of a LoRA file; (its folder, what the user should know).

    The file is left as it is. The same import again changes nothing. Raises UnfitAdapter for a file that is unsound or
    has a tensor without a place in the base, RequestError where the folder holds something else.
    """
    found = lora.read(path)
    if found.layout not in LAYOUTS:
        raise UnfitAdapter(
            f"{path}: its modules are named as in '{found.layout}'; wanted one of {', '.join(LAYOUTS)}, such as "
            f"'{found.parts[0].module[:80]}'. Nothing was loaded."
        )
    if found.kind not in ("lora", "dora"):
        raise UnfitAdapter(
            f"{path} is {KINDS[found.kind]}; LoRA and DoRA are brought in. An adapter that was trained here needs no "
            "import: name its folder. Nothing was loaded."
        )
    hashes = weights_hash.of(path)
    lora_claims.require_fingerprint(found, hashes)
    found = lora_joint.apart(found, base.places, base.first)
    placed = lora_fit.place_all(found, base.places, str(path), base.identity.id)
    alphas = lora.alphas(found, said.alpha)
    name = _name(said.name or path.stem)
    kinds = {placed[pair.module]: (pair.rank, alphas[pair.module]) for pair in found.pairs}
    card = _card(name, found, hashes, kinds, base, said)
    folder, notes = place / name, _notes(found, hashes, card, said)
    if folder.is_dir() and any(folder.iterdir()):
        _same(folder, card)
        return folder, (f"{folder} is already there, from this very file; nothing to do.",)
    _write(folder, found, placed, kinds, base, card)
    kin = adapters.same_weights(weights_hash.of(folder / WEIGHTS))  # by names of one kind: another layout hides nothing
    kin = {other: told for other, told in kin.items() if other != name and other not in adapters.same_weights(hashes)}
    return folder, (*notes, *_kin(kin, card))


def _name(name: str) -> str:
    if any(sign in name for sign in "/\\:<>") or name.strip(" .") == "" or name.startswith("."):
        raise RequestError(f"'{name}' cannot name an adapter. Give a plain word with --name. Nothing was written.")
    return name


def _card(
    name: str, found: Lora, hashes: weights_hash.Hashes, kinds: Mapping[str, tuple[int, float]], base: Base,
    said: Statement,
) -> Card:  # fmt: skip
    pairs = list(kinds.values())
    rank, alpha = max(sorted(set(pairs)), key=pairs.count)
    trigger = lora_claims.one_trigger(found.metadata) if said.trigger is None else said.trigger
    rights = {key: value for key, value in vars(said.rights).items() if key != "license"}
    imported = {
        "layout": found.layout, "sha256": hashes.sha256, "autov3": hashes.autov3, "fingerprint": hashes.fingerprint,
        "modules": len(pairs), "alpha_said": "file" if lora.says_alpha(found) else ("user" if said.alpha else "nobody"),
        "base_said": "user" if said.exact_base else "nobody", "claims": lora_claims.kept(found.metadata),
    }  # fmt: skip
    identity = base.identity if said.exact_base else None
    return Card(
        name=name, trigger=trigger, category=said.category, domain=said.domain, base=base.identity.id,
        base_sha256=identity.sha256 if identity else "", base_files=identity.files if identity else {},
        base_license=base.license, base_rights=rights_file.told(base.rights),
        rank=rank, alpha=alpha, license=said.rights.license,
        trained_on={**rights, "license": said.photos_license}, imported=imported,
    )  # fmt: skip


def _notes(found: Lora, hashes: weights_hash.Hashes, card: Card, said: Statement) -> tuple[str, ...]:
    """What the user should know, a sentence each."""
    notes = []
    if card.imported["alpha_said"] == "nobody":
        notes.append("it does not say its alpha; the rank is taken, as other programs do. If that is wrong: --alpha.")
    if said.trigger is None:
        notes.append(
            f"trigger '{card.trigger}', as the file claims; another one: --trigger."
            if card.trigger
            else "no trigger word is known; give it with --trigger where there is one."
        )
    claimed = lora_claims.claims(found.metadata).get("license", "")
    if claimed and said.rights.license == "unknown":
        notes.append(f"the file claims the licence '{claimed}'. A claim grants nothing: state it with --license.")
    return (*notes, *_kin(adapters.same_weights(hashes), card))


def _kin(found: Mapping[str, Card], card: Card) -> Iterator[str]:
    for name, other in found.items():
        told = other.license if other.license == card.license else f"{other.license}, not {card.license}"
        yield f"adapter '{name}' holds the same weights; its card says licence {told}."


def _same(folder: Path, card: Card) -> None:
    """Raises RequestError unless the folder is what this very import makes."""
    try:
        there = adapters.load_card(folder)
        adapters.verify_weights(folder, there)
    except UnfitAdapter:
        there = None
    of_today = ("created", "weights_sha256", "weights_autov3", "weights_fingerprint")
    made = {**dict.fromkeys(of_today, ""), "finished": False}
    made |= {"base_license": card.base_license, "base_rights": card.base_rights}
    if there is None or replace(there, **made) != card:  # type: ignore[arg-type]
        raise RequestError(
            f"{folder} is not empty and holds something else, or other statements on this file. Give another --name, "
            "or move it away. It is untouched."
        )


def _write(
    folder: Path, found: Lora, placed: Mapping[str, str], kinds: Mapping[str, tuple[int, float]], base: Base, card: Card
) -> None:
    """The folder, whole or not at all: it is made beside its place and renamed."""
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    names: dict[str, tuple[str, Sequence[tuple[int, int]]]] = {
        f"{placed[pair.module]}.lora_A.weight": (pair.down, ()) for pair in found.pairs
    }
    names |= {f"{placed[pair.module]}.lora_B.weight": (pair.up, pair.rows) for pair in found.pairs}
    names |= {f"{placed[pair.module]}.{lora.MAGNITUDE}": (pair.magnitude, ()) for pair in found.pairs if pair.magnitude}
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        config = json.dumps(lora.config_of(kinds, found.kind == "dora"), sort_keys=True)
        metadata = {"format": "pt", lora.CONFIG: config, **base.modelspec}
        _copy(found.path, fresh / WEIGHTS, names, metadata)
        adapters.save(fresh, card)
        os.replace(fresh, folder)
    except OSError as error:
        raise SynthgenError(f"{folder} cannot be written: {error.strerror}. Nothing of it is left.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _copy(
    source: Path, target: Path, names: Mapping[str, tuple[str, Sequence[tuple[int, int]]]], metadata: Mapping[str, str]
) -> None:
    """Write the tensors of new name -> (old name, rows of it; none means all) byte for byte."""
    held = {name: (dtype, shape, raw) for name, dtype, shape, raw in tensor_file.tensors(source)}
    made = {}
    for name, (old, rows) in names.items():
        dtype, shape, raw = held[old]
        if rows:
            step = len(raw) // shape[0]
            raw = b"".join(raw[start * step : end * step] for start, end in rows)
            shape = (sum(end - start for start, end in rows), *shape[1:])
        made[name] = (dtype, shape, raw)
    tensor_file.write(target, made, metadata)


def take_out(folder: Path, form: str, target: Path, modelspec: Mapping[str, str], first: str = "") -> Path:
    """Write an adapter as one file for other programs: "kohya" for the web UIs, "diffusers" for diffusers and peft.

    first  the table of first names of the base's family, see first_names

    Neither private/ nor anything of the photos goes with it. Raises RequestError where the file is there already, and
    for an adapter that no reader of the format takes for what it is.
    """
    if target.suffix != ".safetensors" or target.exists():
        why = "exists and was left as it is" if target.exists() else "does not end in .safetensors"
        raise RequestError(f"{target} {why}. Give another file with --out.")
    card = adapters.load_card(folder)
    found = lora.read(adapters.verify_weights(folder, card))
    _require_way_out(card, found, form)
    alphas = lora.alphas(found)
    held = {name: (dtype, shape, raw) for name, dtype, shape, raw in tensor_file.tensors(found.path)}
    kinds = {part.module: (part.rank, alphas[part.module]) for part in found.parts}
    if form == "kohya":
        two = lora_names.two_encoders(modelspec.get("modelspec.architecture", ""))
        written = list(lora_joint.together(found, held, alphas, first, two))
        held = {f"{one.name}.lora_down.weight": one.down for one in written}
        held |= {f"{one.name}.lora_up.weight": one.up for one in written}
        held |= {f"{one.name}.alpha": ("F32", (), struct.pack("<f", one.alpha)) for one in written}
        kinds = {one.name: (one.down[1][0], one.alpha) for one in written}
    metadata = _told(card, found, kinds, form, modelspec)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tensor_file.write(target, held, metadata)
        hashes = weights_hash.of(target)
        proof = {"modelspec.hash_sha256": f"0x{hashes.data_sha256}", "sshs_model_hash": hashes.data_sha256,
                 lora_claims.FINGERPRINT: hashes.fingerprint}  # fmt: skip
        tensor_file.write_canonical(target, proof)
    except OSError as error:
        raise SynthgenError(f"{target} cannot be written: {error.strerror}. The adapter is untouched.") from error
    return target


def _require_way_out(card: Card, found: Lora, form: str) -> None:
    """Raises RequestError where no reader of the format takes this kind of adapter for what it is."""
    ways = LEAVING[found.kind]
    if form not in ways:
        why = {
            "dora": "the web UIs scale its magnitudes in ways of their own",
            "lokr": "the web UIs scale it in ways of their own",
            "oft": "no diffusers pipeline and no web UI loads what peft writes of it",
        }[found.kind]
        instead = f"Say --format {ways[0]}" if ways else "Draw with it here"
        raise RequestError(
            f"adapter '{card.name}' is {KINDS[found.kind]}, and {why}. {instead}, or train it with --method lora. "
            "Nothing was written."
        )


def _told(
    card: Card, found: Lora, kinds: Mapping[str, tuple[int, float]], form: str, modelspec: Mapping[str, str]
) -> dict[str, str]:
    """Metadata made anew from the card: no path, no address, no name of a person.

    kohya's form must not hold diffusers' configuration: diffusers refuses a file that states its alphas twice.
    """
    one = len(set(kinds.values())) == 1
    told = {
        **modelspec, "format": "pt",
        "modelspec.title": card.name, "modelspec.license": card.license, "modelspec.trigger_phrase": card.trigger,
        "modelspec.date": _day(card), "modelspec.implementation": "diffusers" if form == "diffusers" else "kohya",
        "ss_network_module": "networks.lora", "ss_output_name": card.name,
        "ss_base_model_version": modelspec.get("modelspec.architecture", "").removesuffix("/lora"),
        "ss_network_dim": str(card.rank) if one else "Dynamic",
        "ss_network_alpha": f"{card.alpha!r}" if one else "Dynamic", "synthgen.version": __version__,
    }  # fmt: skip
    told = {
        key: value for key, value in told.items() if value and (key in modelspec or not lora_claims.is_private(value))
    }
    if form != "diffusers":
        return told
    if found.blocks:
        return {**told, lora.CONFIG: found.metadata[lora.CONFIG]}
    return {**told, lora.CONFIG: json.dumps(lora.config_of(kinds, found.kind == "dora"), sort_keys=True)}


def _day(card: Card) -> str:
    return card.moment.astimezone(UTC).strftime("%Y-%m-%d") if card.created else datetime.now(UTC).strftime("%Y-%m-%d")


def facts(path: Path, bases: Sequence[Base]) -> dict[str, Any]:
    """What a LoRA file is, for a report: by its tensors, by its hashes, and by its own claims, kept apart."""
    from synthgen import lora_family

    found, hashes = lora.read(path), weights_hash.of(path)
    lora_claims.require_fingerprint(found, hashes)
    fits = [
        lora_fit.facts(lora_joint.apart(found, one.places, one.first), one.places, path.name, one.identity.id)
        for one in bases
    ]
    home = next((row["base"] for row in fits if row["fits"]), "")
    try:
        strengths, problem = lora.alphas(found), ""
    except UnfitAdapter as error:
        strengths, problem = {}, str(error)
    claims = lora_claims.claims(found.metadata)
    own = path.parent.name if path.name == WEIGHTS else ""
    return {
        "file": str(path),
        "layout": found.layout,
        "family": home or lora_family.family(found),
        "fits": fits,
        "kind": found.kind,
        "modules": sorted(part.module for part in found.parts),
        "not_lora": list(found.strays),
        "ranks": sorted({part.rank for part in found.parts}),
        "alphas": sorted(set(strengths.values())),
        "alpha_stated": not problem and lora.says_alpha(found),
        "alpha_problem": problem,
        "dtypes": sorted({dtype for dtype, _ in found.tensors.values()}),
        "sha256": hashes.sha256,
        "autov3": hashes.autov3,
        "fingerprint": hashes.fingerprint,
        "same_weights_as": {name: card.license for name, card in adapters.same_weights(hashes).items() if name != own},
        "not_finite": tensor_file.not_finite(path, found.tensors),
        "claims": claims,
        "contradictions": lora_claims.contradictions(claims, found, hashes, strengths),
    }
