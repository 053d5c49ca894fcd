"""What a training tells to TensorBoard and other trackers, through accelerate: its settings, every step, every check.

Nothing of the photos is told: no path, no caption, no picture. TensorBoard's files stand in the adapter's report/logs;
other trackers keep what they are told where they keep it, some of them on a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthgen import training_check
from synthgen.checkpoint import Losses, Settings
from synthgen.errors import RequestError, UnknownName
from synthgen.training_loop import Loop, Watch

NAMES = ("tensorboard", "wandb", "mlflow", "comet_ml", "aim", "clearml", "dvclive", "swanlab", "trackio")
PLACE = Path("report") / "logs"


def require(names: Sequence[str]) -> None:
    """Raises UnknownName, and RequestError for a tracker that is not installed."""
    from accelerate.tracking import get_available_trackers

    for name in names:
        if name not in NAMES:
            raise UnknownName("--log", name, NAMES)
        if name not in {str(one) for one in get_available_trackers()}:
            raise RequestError(f"--log {name}: its package is not installed (pip install {name}). Nothing was trained.")


class Logs(Watch):
    """Trackers of one training."""

    def __init__(self, names: Sequence[str], folder: Path, settings: Settings) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        self.trackers: list[Any] = []
        for name in names:
            kind = LOGGER_TYPE_TO_CLASS[name]
            place = (str(folder / PLACE),) if kind.requires_logging_directory else ()
            tracker = kind(folder.name, *place)
            tracker.start()
            tracker.store_init_configuration(asdict(settings))
            self.trackers.append(tracker)

    def stepped(self, loop: Loop, step: int, loss: float) -> None:
        """The loss of a step and the rate that it was taken at."""
        self._tell({"train/loss": loss, "train/rate": float(loop.optimizer.param_groups[0]["lr"])}, step + 1)

    def checked(self, loop: Loop, losses: Losses) -> bool:
        """The losses of a check on held-out and on learned photos, and how far they part."""
        first, now = losses.checks[0], losses.checks[-1]
        self._tell(
            {"check/held_out": now.loss, "check/learned": now.learned_loss,
             "check/divergence": training_check.divergence(now, first)},
            now.step,
        )  # fmt: skip
        return False

    def close(self) -> None:
        """Write what is still held back."""
        for tracker in self.trackers:
            tracker.finish()

    def _tell(self, values: dict[str, float], step: int) -> None:
        for tracker in self.trackers:
            tracker.log(values, step=step)
