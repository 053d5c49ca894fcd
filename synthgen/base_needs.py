"""How much memory a base needs in each mode, by the estimate: what show base says and --memory auto goes by.

Loads no tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthgen import memory_modes, model_folder
from synthgen.bases import Size, _one_file
from synthgen.memory_modes import MODES, Held

EMBEDDED = ("relative_attention_bias", "position_embedding")  # tables, no linear layers


@dataclass(frozen=True)
class Need:
    """What the estimate of memory asks about one base."""

    family: Any
    held: Mapping[str, Held]  # by mode
    configs: Mapping[str, Mapping[str, Any]]
    side: int  # px

    @property
    def parameters(self) -> Mapping[str, int]:
        """Part -> number of its parameters."""
        return next(iter(self.held.values())).parameters

    def bytes(self, mode: str, side: int, batch: int, trains: bool, references: int = 0) -> int:
        """Memory at the most.

        references  pictures that the base is shown beside the words
        """
        beside = references * self.family.REFERENCE_PLACES
        told = self.family.passing(self.configs, side, self.family.WORDS + beside)
        passes = memory_modes.passing(MODES[mode], told, batch, trains)
        return self.held[mode].bytes(MODES[mode], trains) + passes


def here(family: Any, identity: Any) -> Need:
    """Of weights that are here, from their headers and configurations."""
    return Need(family, _held(family, identity), _configurations(identity), family.side(identity))


def published(family: Any, size: Size) -> Need:
    """Of published weights that are not here, from what their family's file says of them."""
    return Need(family, _published_held(family, size), family.published(size), family.SIDE)


def said(count: int) -> str:
    """Bytes as a person says them."""
    return f"{count / 1e9:.2f} GB"


def _published_held(family: Any, size: Size) -> dict[str, Held]:
    """Mode -> what stays in memory of published weights."""
    found = {}
    for name, mode in MODES.items():
        few = {8: size.few + size.eight} if mode.bits == 8 else {4: size.few, 8: size.eight} if mode.bits else {}
        found[name] = Held(size.numbers, size.pair * family.RANK, few, family.LAYER)
    return found


def _held(family: Any, identity: Any) -> dict[str, Held]:
    """Mode -> what stays in memory of weights that are here, with an adapter of the family's own rank."""
    counts, adapter, layer = parameters(identity), _adapter(family, identity), largest_layer(identity)
    return {name: Held(counts, adapter, few(family, identity, mode), layer) for name, mode in MODES.items()}


def _configurations(identity: Any) -> dict[str, dict[str, Any]]:
    """Part -> its configuration, of a base that is here."""
    return {part: model_folder.config(identity.folder, part) for part in model_folder.read(identity.folder).parts}


def _adapter(family: Any, identity: Any) -> int:
    """How many numbers an adapter of the family's own rank has."""
    places = family.places(identity)
    return memory_modes.adapter_numbers(places, family.targeted(places), family.RANK)


def few(family: Any, identity: Any, mode: memory_modes.Mode) -> dict[int, int]:
    """Bits -> how many numbers this mode holds in so many, from the headers of the weights."""
    if not mode.bits or (identity.file and not identity.file_part):
        return {}
    folder = model_folder.read(identity.folder)
    counts: dict[int, int] = {}
    for part in family.in_few_bits(folder.parts):
        in_file = bool(identity.file) and part == identity.file_part
        places = model_folder.matrices(part, _shapes(identity)) if in_file else model_folder.places(folder, [part])
        for place, shape in places.items():
            if len(shape) == 2 and not place.endswith(EMBEDDED):
                bits = 8 if place.endswith(".wo") else mode.bits
                counts[bits] = counts.get(bits, 0) + math.prod(shape)
    return counts


def parameters(identity: Any) -> dict[str, int]:
    """Part -> number of its parameters, from the headers of its weights."""
    return {part: sum(map(math.prod, shapes.values())) for part, shapes in _tensors(identity).items()}


def largest_layer(identity: Any) -> int:
    """How many numbers the largest layer has, its weight with its bias."""
    layers: dict[str, int] = {}
    for part, shapes in _tensors(identity).items():
        for name, shape in shapes.items():
            layer = f"{part}.{name.rpartition('.')[0]}"
            layers[layer] = layers.get(layer, 0) + math.prod(shape)
    return max(layers.values())


def _tensors(identity: Any) -> dict[str, dict[str, tuple[int, ...]]]:
    """Part -> tensor -> shape, of the parts that have weights; a file that holds all parts counts as one."""
    if identity.file and not identity.file_part:
        return {identity.file.name: model_folder.headers([identity.file])}
    folder = model_folder.read(identity.folder)
    found = {}
    for part in folder.parts:
        in_file = identity.file and part == identity.file_part
        shapes = _shapes(identity) if in_file else model_folder.headers(model_folder.weights(folder, part))
        if shapes:
            found[part] = shapes
    return found


def _shapes(identity: Any) -> dict[str, tuple[int, ...]]:
    """The tensors of the one part that a single file holds."""
    held = model_folder.headers([identity.file])
    return {name: held[inside] for name, inside in _one_file.inner(held).items()}
