"""Which adapters a run uses, and whether they fit its base."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from synthgen import adapters, bases, hub, lora, lora_fit, recipes, rights_file
from synthgen.adapters import MAX_WEIGHT
from synthgen.errors import RequestError, UnknownName
from synthgen.types import AdapterUse, Asset, Rights

BLOCKS = {"down": "unet.down_blocks", "mid": "unet.mid_block", "up": "unet.up_blocks", "text": "text_encoder"}
DEFAULT_PIPELINE = "apparel"


def chosen(request: Any) -> tuple[AdapterUse, ...]:
    """The adapters named by options and by <lora:NAME:WEIGHT> in the recipe's prompt, else the newest one here.

    An option's weight wins over a tag's. Raises RequestError where there is none.
    """
    if request.no_adapter:
        if request.adapters:
            raise RequestError("--no-adapter does not go with --adapter. Leave one of them out.")
        return ()
    named = tuple(adapters.parse_use(text) for text in request.adapters)
    domain = adapters.load_card(named[0].path).domain if named else ""
    recipe = recipes.load(request.pipeline or domain or DEFAULT_PIPELINE)
    tagged = adapters.from_prompt(recipe.prompt)[1]
    if named or tagged:
        return (*named, *(use for use in tagged if use.path not in {other.path for other in named}))
    newest = adapters.newest()
    if newest is None:
        raise RequestError(
            "there is no trained adapter in ./adapters. Train one: synthgen train-product --images FOLDER; "
            "or draw with the base alone: --no-adapter."
        )
    say(f"adapter {newest.name}, the newest here")
    return (AdapterUse(newest.name, newest),)


def fits(uses: Sequence[AdapterUse], cards: Sequence[Any], module: Any, identity: Any, request: Any) -> tuple[str, ...]:
    """How each adapter fits the base, by its tensors first; raises UnfitAdapter where it does not, or is not accepted.

    What is accepted though it is not exact is said here, stands in the plan, and so in the run and in every lineage.
    """
    found = []
    for use, card in zip(uses, cards, strict=True):
        weights = lora.read(adapters.verify_weights(use.path, card))
        lora_fit.place_all(weights, module.places(identity), f"adapter '{card.name}'", identity.id, card.base)
        lora.alphas(weights)
        fit = lora_fit.require(card, identity, request.accept_base_change, request.other_lineage)
        if remark := lora_fit.remark(card, identity, fit):
            say(remark)
        found.append(fit)
    return tuple(found)


def asset(card: Any, base: str = "") -> Asset:
    """An adapter with all that it was made from: its photos, and the weights that it was trained on.

    base  the base that stands beside it, and so is asked anyway
    """
    own = adapters.asset(card)
    if card.base == base:
        return own
    known = card.base in bases.names() or hub.is_id(card.base)
    rights = bases.rights_of(card.base, hub.pinned(card.base)) if known else Rights()
    if rights.license == "unknown":  # a folder's may be anybody's: what was stated of it stands in the card
        stated = {key: str(card.base_rights[key]) for key in rights_file.KEYS if key in card.base_rights}
        rights = replace(rights, **{"license": card.base_license or "unknown", **stated})
    made_on = rights_file.asset("base", card.base, rights, card.base_sha256)
    return replace(own, trained_on=(made_on, *own.trained_on))


def told(uses: Sequence[AdapterUse], cards: Sequence[Any], fits: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """The adapters as a lineage tells of them."""
    return tuple(
        {
            "name": use.name, "sha256": card.weights_sha256, "weight": use.weight, "license": card.license,
            "trigger": card.trigger, "photos_digest": str(card.trained_on.get("digest", "")),
            "autov3": card.weights_autov3, "fingerprint": card.weights_fingerprint, "base_fit": fit,
            "expires": str(card.trained_on.get("expires", "")),
            "photos_license": str(card.trained_on.get("license", "unknown")),
            **({"blocks": dict(use.blocks)} if use.blocks else {}),
        }
        for use, card, fit in zip(uses, cards, fits, strict=True)
    )  # fmt: skip


def blocks(texts: Sequence[str], uses: Sequence[AdapterUse], known: Collection[str]) -> tuple[AdapterUse, ...]:
    """The adapters with factors on some blocks: "NAME=down:0.5,mid:1,up_blocks.1:0".

    known   modules of the base, such as "unet.up_blocks.1.attentions.0..."
    Raises UnknownName for an adapter that is not in use, RequestError for a block that is none or a wrong number.
    """
    found: dict[str, list[tuple[str, float]]] = {use.name: [] for use in uses}
    for text in texts:
        name, _, told = text.partition("=")
        if name not in found:
            raise UnknownName("--block-weight", name, found)
        for part in told.split(","):
            block, _, number = part.partition(":")
            start = BLOCKS.get(block, block if block.startswith("text_encoder") else f"unet.{block}")
            try:
                factor = float(number)
            except ValueError:
                factor = math.nan
            if not any(f"{module}.".startswith(f"{start}.") for module in known) or not abs(factor) <= MAX_WEIGHT:
                raise RequestError(
                    f"--block-weight '{text}': '{part}' is not BLOCK:FACTOR with a block of this base "
                    f"({', '.join(BLOCKS)}, or a name such as {_example(known)}) and a factor from -2 to 2. "
                    "Nothing was drawn."
                )
            found[name].append((start, factor))
    return tuple(replace(use, blocks=tuple(found[use.name]) or use.blocks) for use in uses)


def _example(known: Collection[str]) -> str:
    return ".".join(min(module for module in known if module.startswith("unet.up_blocks")).split(".")[1:3])


def warn_of_blend(cards: Sequence[Any]) -> None:
    """Adapters that answer to one word cannot be told apart in a prompt."""
    triggers = [card.trigger for card in cards]
    if len(set(triggers)) < len(triggers):
        names = ", ".join(f"{card.name} ({card.category or 'no category'})" for card in cards)
        say(f"these adapters share a trigger word and will mix: {names}. Train one with another --trigger.")


def say(*lines: str) -> None:
    """Lines for people."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)
