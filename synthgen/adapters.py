"""Adapter folders: adapter.safetensors and card.toml. Listing and inspecting them never loads torch.

The card is written last: a folder without one is unfinished. The folder's name is the adapter's name.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from synthgen import card as card_file
from synthgen import licenses, lora, resources, rights_file, tensor_file, weights_hash
from synthgen.card import Card
from synthgen.errors import RequestError, UnfitAdapter, UnknownName
from synthgen.tensor_file import Tensors
from synthgen.types import AdapterUse, Asset, Rights

__all__ = ["Card", "check_safetensors", "find", "from_prompt", "load_card", "members", "newest",
           "parse_use", "save", "verify_weights"]  # fmt: skip

WEIGHTS = "adapter.safetensors"
QUARANTINE = "quarantine"  # folder beside adapters that were taken back
MAX_WEIGHT = 2.0  # strengths beyond it tear every picture apart
IN_PROMPT = re.compile(r"<lora:([^<>]*)>", re.IGNORECASE)  # the convention of the web UIs


def check_safetensors(path: Path) -> Tensors:
    """name -> (dtype, shape) of an adapter file whose header is sound and whose LoRA, DoRA, LoKr or OFT parts fit.

    Raises UnfitAdapter for pickles, by extension and by first bytes, and for whatever `tensor_file.check` refuses.
    """
    return lora.read(path).tensors


def save(folder: Path, card: Card) -> Card:
    """Finish an adapter folder that holds its weights: check them, then write the card. The card as written comes back.

    Fills in the hashes of the weights, finished, and created (now, UTC) where it is empty. Raises UnfitAdapter for
    weights that are unsound or hold NaN, SynthgenError where the card cannot be written; the weights are untouched.
    """
    weights = folder / WEIGHTS
    broken = tensor_file.not_finite(weights, check_safetensors(weights))
    if broken:
        raise UnfitAdapter(
            f"{weights}: '{broken}' holds NaN or infinity: its training diverged. Train it with a lower rate."
        )
    created = card.created or datetime.now(UTC).isoformat()
    hashes = weights_hash.of(weights)
    card = replace(
        card, created=created, finished=True, weights_sha256=hashes.sha256, weights_autov3=hashes.autov3,
        weights_fingerprint=hashes.fingerprint,
    )  # fmt: skip
    card_file.write(folder, card)
    return card


def load_card(folder: Path) -> Card:
    """The card of a finished adapter. Raises UnfitAdapter: unfinished, not TOML, unknown, missing or wrong keys."""
    card = card_file.read(folder)
    if not card.finished:
        raise UnfitAdapter(f"{folder} is unfinished: its training did not end. Train it to its end.")
    return card


def asset(card: Card) -> Asset:
    """The adapter as something that brings a licence: its own, and that of the photos it was trained on.

    Who is to be credited for an adapter is who is for its photos; of one made elsewhere the card tells the maker alone,
    whose the photos are where they are said to be his own.
    """
    told = card.trained_on
    rights = Rights(**{key: str(told[key]) for key in rights_file.KEYS if key in told})
    own = Rights(license=card.license, owner=rights.owner, credit=rights.credit, source=rights.source)
    if card.imported:
        rights = replace(rights, owner=rights.owner if licenses.own(rights.license) else "", credit="", source="")
    photos = rights_file.photos(card.name, rights, str(told.get("digest", "")))
    return replace(rights_file.asset("adapter", card.name, own, card.weights_sha256), trained_on=(photos,))


def verify_weights(folder: Path, card: Card) -> Path:
    """The weights file, when it is byte for byte the one that the card was written for. Raises UnfitAdapter."""
    path = folder / WEIGHTS
    check_safetensors(path)
    found = weights_hash.of(path).sha256
    if found != card.weights_sha256:
        raise UnfitAdapter(
            f"{path} is not the file that its card was written for: its sha256 is {found[:12]}, the card says "
            f"{card.weights_sha256[:12]}. Restore the file or train it again. Nothing was loaded."
        )
    return path


def members() -> dict[str, Card]:
    """Finished adapters by name, each from the first place that has it. Folders with a broken card are left out."""
    return {name: card for name, (_, card) in _finished(resources.search("adapters")).items()}


def newest() -> Path | None:
    """The folder of the finished adapter in ./adapters whose card was created last, or None."""
    here = _finished((Path.cwd() / "adapters",))
    if not here:
        return None
    return here[max(here, key=lambda name: (here[name][1].moment, name))][0]


def same_weights(hashes: weights_hash.Hashes) -> dict[str, Card]:
    """Finished adapters that hold these very tensors, whatever their licence says, by name."""
    return {
        name: card
        for name, card in members().items()
        if hashes.fingerprint in (card.weights_fingerprint, card.imported.get("fingerprint"))
        or card.weights_autov3 == hashes.autov3
    }


def find(name_or_path: str) -> Path:
    """The folder of a finished adapter, by its name in the searched places, else by its path.

    Raises UnknownName with the nearest name; UnfitAdapter for one that is unfinished or a file without a card.
    """
    text = name_or_path.strip()
    if not text:
        raise UnknownName("adapters", name_or_path, members())
    path = Path(text).expanduser()
    named = [place / text for place in resources.search("adapters")] if path.name == text != ".." else []
    for folder in (*named, path):
        if (folder / card_file.NAME).is_file():
            return folder
    if path.is_file():
        return _folder_of(path)
    for folder in (*named, path):
        away = folder.parent / QUARANTINE / folder.name
        if (away / card_file.NAME).is_file():
            raise UnfitAdapter(f"adapter '{path.name}' was taken back with `synthgen revoke`. It lies in {away}.")
    for folder in (*named, path):
        if folder.is_dir():
            load_card(folder)  # says that there is no card
    raise UnknownName("adapters", name_or_path, members())


def parse_use(text: str) -> AdapterUse:
    """NAME, NAME:WEIGHT, or a path in place of NAME; the weight is 1 where none is said, and lies in -2 to 2."""
    name, colon, last = text.strip().rpartition(":")
    if not colon or "/" in last:  # a colon inside a path says no weight
        name, last = text.strip(), "1"
    if not name:
        raise RequestError(f"adapter '{text}' has no name. Say NAME or NAME:WEIGHT, such as shirts:0.8")
    try:
        weight = float(last)
    except ValueError:
        weight = math.nan
    if not abs(weight) <= MAX_WEIGHT:  # NaN is not, either
        limits = f"-{MAX_WEIGHT:g} to {MAX_WEIGHT:g}"
        raise RequestError(f"adapter '{text}': weight is '{last}', wanted a number from {limits}, such as {name}:0.8")
    folder = find(name)
    return AdapterUse(folder.resolve().name, folder, weight)


def from_prompt(prompt: str) -> tuple[str, list[AdapterUse]]:
    """The prompt without its <lora:NAME:WEIGHT> parts, and the adapters that they name, in their order."""
    uses = [parse_use(inside) for inside in IN_PROMPT.findall(prompt)]
    if not uses and "<lora:" not in prompt.lower():
        return prompt, []
    clean = " ".join(IN_PROMPT.sub(" ", prompt).split())
    if "<lora:" in clean.lower():
        raise RequestError(f"prompt '{prompt}' has '<lora:' without its '>'. Say <lora:NAME:0.7>")
    return re.sub(r"(\s*,)+", ",", clean).strip(" ,"), uses


def _folder_of(path: Path) -> Path:
    """The adapter folder that a named file belongs to. Raises UnfitAdapter for a pickle, a broken or a bare file."""
    check_safetensors(path)
    if path.name == WEIGHTS and (path.parent / card_file.NAME).is_file():
        return path.parent
    raise UnfitAdapter(
        f"{path} has no {card_file.NAME} beside it, so its base and licence are not known. Name an adapter folder."
    )


def _finished(places: tuple[Path, ...]) -> dict[str, tuple[Path, Card]]:
    """name -> (folder, card) of what is whole in these places."""
    found: dict[str, tuple[Path, Card]] = {}
    for place in places:
        for folder in sorted(place.iterdir()) if place.is_dir() else ():
            if folder.name in found or folder.name.startswith("."):
                continue
            try:
                found[folder.name] = (folder, load_card(folder))
            except UnfitAdapter:  # asking for it by its name says why; a list of the others must not fail for it
                continue
    return found
