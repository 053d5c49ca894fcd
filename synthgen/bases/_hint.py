"""A ControlNet's first layers, which see the control picture and nothing else, asked once a picture.

The pipelines ask them at every step, and twice where guidance draws with the prompt and without. They work at the
picture's own size: with eight steps they were half of what the embedded base computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

NAME = "controlnet_cond_embedding"  # of these layers, in diffusers' ControlNets of Stable Diffusion and its kin


@contextmanager
def once(controlnets: Iterable[Any], pictures: int) -> Iterator[None]:
    """While this lasts, what these networks made of a batch of control pictures is kept for its next steps.

    pictures  how many are drawn: a pipeline that shows twice as many control pictures shows each of them twice
    Networks without such layers, as those of transformers have none, are left as they are.
    """
    layers = [getattr(network, NAME) for network in dict.fromkeys(controlnets) if hasattr(network, NAME)]
    plain = [first.forward for first in layers]
    for first in layers:
        first.forward = _remembering(first.forward, pictures)
    try:
        yield
    finally:
        for first, forward in zip(layers, plain, strict=True):
            first.forward = forward


def _remembering(forward: Callable[[Any], Any], pictures: int) -> Callable[[Any], Any]:
    known: list[tuple[Any, Any]] = []  # control pictures and what was made of them; one network may serve several kinds

    def remembered(control: Any) -> Any:
        import torch

        for shown, made in known:
            if control is shown:  # the pipelines hand on the same tensor at each step
                return made
        repeats = 2 if len(control) == 2 * pictures else 1
        known.append((control, torch.cat([forward(control[: len(control) // repeats])] * repeats)))
        return known[-1][1]

    return remembered
