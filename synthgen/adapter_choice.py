"""Which adapters a run uses, and whether they fit its base."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from synthgen import adapters, lora, lora_fit, recipes
from synthgen.errors import RequestError
from synthgen.types import AdapterUse

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


def warn_of_blend(cards: Sequence[Any]) -> None:
    """Adapters that answer to one word cannot be told apart in a prompt."""
    triggers = [card.trigger for card in cards]
    if len(set(triggers)) < len(triggers):
        names = ", ".join(f"{card.name} ({card.category or 'no category'})" for card in cards)
        say(f"these adapters share a trigger word and will mix: {names}. Train one with another --trigger.")


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)
