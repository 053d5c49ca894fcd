"""What is to be told of one base: family, size, licence and what it allows, ControlNets, whether it is here."""

from __future__ import annotations

from typing import Any

from synthgen import bases, hub, licenses, memory_modes, model_folder
from synthgen.bases import Size
from synthgen.errors import RequestError
from synthgen.memory_modes import Held
from synthgen.types import Asset

EMBEDDED = ("relative_attention_bias", "position_embedding")  # tables, no linear layers
ASKED = ("run_commercial", "output_commercial", "output_publish", "output_train_ml", "derive_adapter")


def of(name: str) -> dict[str, Any]:
    """Facts of a base by its name, folder or repository's id. Loads no tensor.

    Raises UnknownName, and RequestError for a folder that no family claims.
    """
    known = bases.names()
    family, weights = known[name] if name in known else (bases.choose(name)[0], None)
    pin = hub.pinned(name)
    license_ = weights.license if weights and not pin else bases.license_of(name, pin)
    rights = licenses.rights([Asset("base", name, license_)])
    told: dict[str, Any] = {
        "name": name,
        "family": family.name,
        "repository": weights.repo if weights else (pin.repo if pin else ""),
        "named by": weights.source if weights else "",
        "commit": pin.revision if pin else "",
        "license": license_,
        "pin": "" if pin or not weights else "none yet: until it is pulled, every use but internal is under review",
        "allows": {right: rights[right].answer for right in ASKED},
        "pose": _pose(family),
        "training": _training(family, weights),
        "adapters on": ", ".join((family.DENOISER, *family.TEXT_PARTS)),
        "drawn with": ", ".join(f"{key} {value}" for key, value in _drawn_with(family, weights).items()),
        "here": "no",
    }
    told = {key: value for key, value in told.items() if value}
    try:
        identity = bases.find(name)[1]
    except RequestError as error:
        size = weights.size if weights else None
        return {**told, **(_published(family, size) if size else {}), "here": f"no: {error}"}
    if identity.rights:
        asked = licenses.rights(identity.assets())
        told |= {"license": f"{identity.license}, as you state", "allows": {one: asked[one].answer for one in ASKED}}
    return {
        **told,
        **_live(family, identity),
        "here": f"yes, sha256 {identity.sha256[:12]}",
        "side": f"{family.side(identity)} px",
    }


def _published(family: Any, size: Size) -> dict[str, Any]:
    """Size and memory of weights that are not here, from what their family's file says of them."""
    configs, told = family.published(size), published_held(family, size)
    needs = {name: _needs(mode, told[name], family, configs) for name, mode in memory_modes.MODES.items()}
    return {"memory about": needs, "parameters": {part: f"{count:,}" for part, count in size.numbers.items()}}


def published_held(family: Any, size: Size) -> dict[str, Held]:
    """Mode -> what stays in memory of published weights."""
    found = {}
    for name, mode in memory_modes.MODES.items():
        few = {8: size.few + size.eight} if mode.bits == 8 else {4: size.few, 8: size.eight} if mode.bits else {}
        found[name] = Held(size.numbers, size.pair * family.RANK, few)
    return found


def _live(family: Any, identity: Any) -> dict[str, Any]:
    """The same of weights that are here."""
    told, configs, side = held(family, identity), configurations(identity), family.side(identity)
    needs = {name: _needs(mode, told[name], family, configs, side) for name, mode in memory_modes.MODES.items()}
    counts = next(iter(told.values())).parameters
    return {"memory about": needs, "parameters": {part: f"{count:,}" for part, count in counts.items()}}


def held(family: Any, identity: Any) -> dict[str, Held]:
    """Mode -> what stays in memory of weights that are here, with an adapter of the family's own rank."""
    counts, adapter = parameters(identity), _adapter(family, identity)
    return {name: Held(counts, adapter, few(family, identity, mode)) for name, mode in memory_modes.MODES.items()}


def _needs(mode: memory_modes.Mode, held: Held, family: Any, configs: Any, side: int = 0) -> str:
    """Memory of one mode as a person says it, at the family's own size and batch of training, a picture at a time."""
    passes = family.passing(configs, side or family.SIDE)
    draws = size(held.bytes(mode) + memory_modes.passing(mode, passes, 1, trains=False))
    if mode.offload:
        return f"{draws} to draw"
    trained = held.bytes(mode, trains=True) + memory_modes.passing(mode, passes, family.BATCH, trains=True)
    return f"{draws} to draw, {size(trained)} to train"


def configurations(identity: Any) -> dict[str, dict[str, Any]]:
    """Part -> its configuration, of a base that is here."""
    return {part: model_folder.config(identity.folder, part) for part in model_folder.read(identity.folder).parts}


def _pose(family: Any) -> str:
    if not family.CONTROLLED:
        return f"none: {family.WITHOUT_CONTROL}"
    inside = family.name == bases.EMBEDDED
    return f"{family.CONTROLNET}{', inside' if inside else '; name one with --controlnet FOLDER or ORG/NAME'}"


def _drawn_with(family: Any, weights: Any) -> dict[str, Any]:
    """Steps, guidance and batch where nothing is said."""
    return {**family.SETTINGS, **(family.FEW if weights is not None and weights.distilled else {})}


def _training(family: Any, weights: Any) -> str:
    if weights is not None and weights.distilled:
        return f"no: {weights.distilled}; train on {family.INSTEAD}"
    return f"rank {family.RANK}, learning rate {family.LEARNING_RATE:g}, batch {family.BATCH}"


def size(count: int) -> str:
    """Bytes as a person says them."""
    return f"{count / 1e9:.2f} GB"


def _adapter(family: Any, identity: Any) -> int:
    """How many numbers an adapter of the family's own rank has."""
    places = family.places(identity)
    return memory_modes.adapter_numbers(places, family.targeted(places), family.RANK)


def few(family: Any, identity: Any, mode: memory_modes.Mode) -> dict[int, int]:
    """Bits -> how many numbers this mode holds in so many, from the headers of the weights."""
    import math

    if not mode.bits or identity.file:
        return {}
    folder = model_folder.read(identity.folder)
    counts: dict[int, int] = {}
    for part in family.in_few_bits(folder.parts):
        for place, shape in model_folder.places(folder, [part]).items():
            if len(shape) == 2 and not place.endswith(EMBEDDED):
                bits = 8 if place.endswith(".wo") else mode.bits
                counts[bits] = counts.get(bits, 0) + math.prod(shape)
    return counts


def parameters(identity: Any) -> dict[str, int]:
    """Part -> number of its parameters, from the headers of its weights."""
    import math

    if identity.file:
        return {identity.file.name: sum(math.prod(shape) for shape in model_folder.headers([identity.file]).values())}
    folder = model_folder.read(identity.folder)
    counts = {}
    for part in folder.parts:
        shapes = model_folder.headers(model_folder.weights(folder, part)).values()
        if shapes:
            counts[part] = sum(math.prod(shape) for shape in shapes)
    return counts
