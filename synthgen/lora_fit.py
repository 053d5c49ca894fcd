"""A LoRA against a base: where each of its modules goes, and whether it was made for these weights.

The tensors decide whether it fits; what its metadata says of a base is never asked. Three verdicts: it does not fit,
and is refused with the modules named; it fits but was made for other weights; it was made for exactly these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from synthgen import lora_names
from synthgen.card import Card
from synthgen.errors import UnfitAdapter
from synthgen.lora import Lora, Pair
from synthgen.lora_kin import Block

Places = Mapping[str, tuple[int, ...]]  # "unet.mid_block...to_q" -> shape of the weight there, (out, in, ...)

EXACT, CHANGED, OTHER = "exact", "base changed", "other lineage"
NAMED = 5  # modules that a message names


class Identity(Protocol):
    """What a base says of itself without being loaded."""

    @property
    def id(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def files(self) -> Mapping[str, str]: ...  # path inside its folder -> sha256


def place_all(lora: Lora, places: Places, name: str, base: str, own: str = "") -> dict[str, str]:
    """module of the file -> its place in the base. Nothing is left out: where one has no place, UnfitAdapter names it.

    name, base  how the message calls the two
    own         the base that it is said to be trained for, for the message
    """
    if lora.strays:
        raise UnfitAdapter(
            f"{name} holds {len(lora.strays)} tensors that are no part of a LoRA: {_few(list(lora.strays))}. "
            "Leaving them out would change what it does. Nothing was loaded."
        )
    found: dict[str, str] = {}
    missing, narrow = [], []
    flat = lora_names.flat(places)
    for part in lora.parts:
        place = next((one for one in _names(part.module) if one in places), "") or flat.get(part.module)
        if not place:
            missing.append(part.module)
        elif wrong := _misfit(lora, part, places[place]):
            narrow.append(f"'{part.module}' {wrong}")
        else:
            found[part.module] = place
    if missing or narrow:
        raise UnfitAdapter(_does_not_fit(lora, missing, narrow, f"{name} does not fit base '{base}'", own))
    twice = [module for module, place in found.items() if list(found.values()).count(place) > 1]
    if twice:
        raise UnfitAdapter(f"{name} has two parts for one module of base '{base}': {_few(twice)}. Nothing was loaded.")
    return found


def _does_not_fit(lora: Lora, missing: list[str], narrow: list[str], text: str, own: str) -> str:
    of = f"of its {len(lora.parts)} modules"
    if missing:
        text += f": {len(missing)} {of} have no place there ({_few(missing)})"
    if narrow:
        text += f"{',' if missing else ':'} {len(narrow)} {of} are made for other widths ({_few(narrow)})"
    trained = f"base '{own}'" if own else "another base"
    return f"{text}. It was trained for {trained}. Nothing was loaded."


def _few(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(name[:120] for name in names[:NAMED]) + more


def _names(module: str) -> Iterator[str]:
    """The names under which a base may know a module of a dotted layout."""
    plain = module.removeprefix("base_model.model.").removeprefix("diffusion_model.").replace(".processor.", ".")
    for name in (plain, f"{plain}.0") if plain.endswith(".to_out") else (plain,):  # a list of layers, elsewhere a layer
        for start in ("", "unet.", "transformer.", "text_encoder."):
            yield f"{start}{name}"
            yield f"{start}{name}".replace("text_encoder.text_model.", "text_encoder.")  # not there in transformers 5


def _misfit(lora: Lora, pair: Pair | Block, weight: tuple[int, ...]) -> str:
    """What is wrong with a part at a weight of shape (out, in, ...), or ""."""
    if isinstance(pair, Block):
        return pair.misfit(weight)
    down, up = lora.shapes(pair)
    wanted_down = (pair.rank, *weight[1:])
    wanted_up = (weight[0], pair.rank, *(1 for _ in weight[2:]))
    magnitudes = math.prod(lora.tensors[pair.magnitude][1]) if pair.magnitude else weight[0]
    if (down, up, magnitudes) == (wanted_down, wanted_up, weight[0]):
        return ""
    if magnitudes != weight[0]:
        return f"has {magnitudes} magnitudes, wanted {weight[0]}"
    return f"is {down} and {up}, wanted {wanted_down} and {wanted_up}"


def verdict(card: Card, base: Identity) -> str:
    """EXACT, CHANGED (the base of that name has other files now) or OTHER, for an adapter that fits."""
    if card.base_sha256 and card.base_sha256 == base.sha256:
        return EXACT
    return CHANGED if card.base_sha256 and card.base == base.id else OTHER


def require(card: Card, base: Identity, accept_change: bool = False, other_lineage: bool = False) -> str:
    """The verdict, where it is exact or accepted. Raises UnfitAdapter that says what differs and how to accept it."""
    found = verdict(card, base)
    if found == CHANGED and not accept_change:
        raise UnfitAdapter(
            f"adapter '{card.name}' was trained for another version of base '{base.id}': {card.base_sha256[:12]}, and "
            f"this one is {base.sha256[:12]}. {_what_changed(card, base)} Restore the base, train the adapter again "
            "with --replace, or say --accept-base-change. Nothing was loaded."
        )
    if found == OTHER and not other_lineage:
        raise UnfitAdapter(
            f"adapter '{card.name}' {_origin(card)} and this run draws with '{base.id}'. It fits by its tensors, but "
            "what it learned was learned on other weights. Use its own base, or say --other-lineage. Nothing was "
            "loaded."
        )
    return found


def remark(card: Card, base: Identity, found: str) -> str:
    """What is said once of a verdict that is accepted though not exact; "" for one that is."""
    if found == EXACT:
        return ""
    told = f"trained for another version of base '{base.id}'" if found == CHANGED else _origin(card)
    return f"adapter '{card.name}' {told}; drawing with '{base.id}' as was asked, and recorded ({found})"


def _origin(card: Card) -> str:
    if not card.base_sha256:
        return "does not say which weights it was trained on"
    return f"was trained for base '{card.base}' ({card.base_sha256[:12]})"


def _what_changed(card: Card, base: Identity) -> str:
    before, now = card.base_files, base.files
    if not before:
        return "Its card does not list the files of then."
    rows = [f"{name} is gone" for name in sorted(set(before) - set(now))]
    rows += [f"{name} is new" for name in sorted(set(now) - set(before))]
    rows += [f"{name} changed" for name in sorted(set(now) & set(before)) if before[name] != now[name]]
    return f"{_few(rows)}."


def facts(lora: Lora, places: Places, name: str, base: str) -> dict[str, Any]:
    """Whether a LoRA fits a base, for a report: {"base", "fits", "reason"}."""
    try:
        place_all(lora, places, name, base)
    except UnfitAdapter as error:
        return {"base": base, "fits": False, "reason": str(error)}
    return {"base": base, "fits": True, "reason": ""}
