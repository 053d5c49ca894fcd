"""What detectors through controlnet-aux have in common: how they are filled, shown a photo, and kept quiet."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from synthgen.errors import RequestError

STEP = 64  # px: sides that every one of these networks takes are multiples of it


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the libraries print and warn of while they are imported; it is not about the user's photos."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def fill(network: Any, weights: Path) -> None:
    """Put plain tensors from a file into a network, all of them. Raises RequestError where they are not its own."""
    import torch

    told = torch.load(weights, map_location="cpu", weights_only=True)
    told = told.get("model", told) if "optimizer" in told else told
    try:
        network.load_state_dict(told)
    except (RuntimeError, TypeError, AttributeError) as error:
        what = str(error).splitlines()[1:2] or [str(error)]
        raise RequestError(f"{weights} holds the weights of another network ({what[0].strip()[:120]}).") from error
    network.eval()


def tensor(photo: Any, size: int) -> tuple[Any, Callable[[Any], Any]]:
    """(1, 3, h, w) float32, 0 to 255, of a photo squared, and the way back: (h, w) uint8 -> (s, s, 3) uint8."""
    import cv2
    import numpy as np
    import torch

    from synthgen import images

    side = max(STEP, round(size / STEP) * STEP)
    shown = np.asarray(images.square(photo, side))

    def back(grey: Any) -> Any:
        fitted = grey if side == size else cv2.resize(grey, (size, size), interpolation=cv2.INTER_LINEAR)
        return np.repeat(fitted[..., None], 3, axis=2)

    return torch.from_numpy(shown.copy()).permute(2, 0, 1)[None].float(), back


def run(network: Any, shown: Any) -> Any:
    """What a network says, as a numpy array."""
    import torch

    with torch.no_grad(), quiet():
        return network(shown).numpy()
