"""What is to be told of one base: family, size, licence and what it allows, ControlNets, whether it is here."""

from __future__ import annotations

from typing import Any

from synthgen import base_needs, bases, hub, licenses, rights_file
from synthgen.base_needs import Need, said
from synthgen.errors import RequestError
from synthgen.memory_modes import MODES

ASKED = ("run_commercial", "output_commercial", "output_publish", "output_train_ml", "derive_adapter")


def of(name: str) -> dict[str, Any]:
    """Facts of a base by its name, folder or repository's id. Loads no tensor.

    Raises UnknownName, and RequestError for a folder that no family claims.
    """
    known = bases.names()
    family, weights = known[name] if name in known else (bases.choose(name)[0], None)
    pin = hub.pinned(name)
    stated = bases.rights_told(name, pin)
    rights = licenses.rights([rights_file.asset("base", name, stated)])
    told: dict[str, Any] = {
        "name": name,
        "family": family.name,
        "repository": weights.repo if weights else (pin.repo if pin else ""),
        "named by": weights.source if weights else "",
        "commit": pin.revision if pin else "",
        "license": stated.license,
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
        return {**told, **(_memory(base_needs.published(family, size)) if size else {}), "here": f"no: {error}"}
    if identity.rights:
        asked = licenses.rights(identity.assets())
        told |= {"license": f"{identity.license}, as you state", "allows": {one: asked[one].answer for one in ASKED}}
    return {
        **told,
        **_memory(base_needs.here(family, identity)),
        "here": f"yes, sha256 {identity.sha256[:12]}",
        "side": f"{family.side(identity)} px",
    }


def _memory(need: Need) -> dict[str, Any]:
    """Memory in every mode as a person says it, at the family's own batch of training, a picture at a time."""
    return {
        "memory about": {
            name: f"{said(need.bytes(name, need.side, 1, False))} to draw"
            + ("" if mode.offload else f", {said(need.bytes(name, need.side, need.family.BATCH, True))} to train")
            for name, mode in MODES.items()
        },
        "parameters": {part: f"{count:,}" for part, count in need.parameters.items()},
    }


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
