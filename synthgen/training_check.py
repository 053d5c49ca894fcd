"""What a training is judged by while it runs: losses on fixed views with fixed noise, and what follows from them.

At each check the loss is taken, photo by photo, on held-out views and on views that were learned from; noise and
moments are the same every time, so that checks can be compared. The fresh adapter changes nothing: the first check is
the base's own loss, and what is lower than it was learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthgen import intervals

DRAWS = 2000


@dataclass(frozen=True)
class Check:
    """Losses of one check. Units are photos; views of one photo are no independent witnesses."""

    step: int
    held: tuple[float, ...]  # of each held-out view
    learned: tuple[float, ...]  # of each view that training saw, a dozen at most
    beyond: bool = False  # whether it gives away beyond doubt more than --membership-cap allows

    @property
    def loss(self) -> float:
        """The mean over held-out views: what checkpoints are compared by."""
        return round(sum(self.held) / len(self.held), 6)

    @property
    def learned_loss(self) -> float:
        """The mean over learned views."""
        return round(sum(self.learned) / len(self.learned), 6) if self.learned else float("nan")


@dataclass(frozen=True)
class Membership:
    """How much the adapter gives away which photos it learned from.

    A photo is guessed to be a member where the loss fell by more than a threshold. `advantage` is 2 AUC - 1: 0 where
    members and others cannot be told apart, 1 where every member shows.
    """

    advantage: float | None
    low: float | None = None
    high: float | None = None
    members: int = 0
    others: int = 0
    reason: str = ""


def best(checks: Sequence[Check]) -> Check:
    """The check with the lowest finite held-out loss after the first step; the earlier one of two alike.

    One that gives away too much is taken only where no other is there.
    """
    later = [check for check in checks if check.step > 0 and check.loss < float("inf")]
    return min(later, key=lambda check: (check.beyond, check.loss, check.step))


def stalled(checks: Sequence[Check], patience: int) -> bool:
    """Whether `patience` checks have passed since the best one. 0 never stops."""
    later = [check for check in checks if check.step > 0]
    if not patience or not later:
        return False
    return len(later) - 1 - later.index(best(later)) >= patience


def divergence(check: Check, first: Check) -> float:
    """How much more the learned views have gained than the held-out ones: 0 at first, rising with overfitting."""
    return round((first.learned_loss - check.learned_loss) - (first.loss - check.loss), 6)


def interval(values: Sequence[float], units: Sequence[int]) -> tuple[float, float]:
    """The 95 % interval of a mean, photos drawn with replacement; (nan, nan) for a single photo."""
    import numpy as np

    if len(set(units)) < 2:
        return float("nan"), float("nan")
    held = np.asarray(values)
    return intervals.bootstrap(lambda weights: weights @ held / weights.sum(1), np.asarray(units), draws=DRAWS)


def membership(first: Check, check: Check, units: Sequence[int], apart: bool) -> Membership:
    """Membership advantage of a checkpoint, its 95 % interval by photos drawn with replacement.

    first  the check before training
    units  photo of each held-out view
    apart  whether the held-out views are of photos that were not learned from
    """
    import numpy as np

    if not apart:
        return Membership(None, reason="no photo was held out: there were too few")
    members = np.asarray(first.learned) - np.asarray(check.learned)
    others = np.asarray(first.held) - np.asarray(check.held)
    above = np.sign(members[:, None] - others[None, :])  # ties count half
    rng = np.random.default_rng(0)
    names, of = np.unique(np.asarray(units), return_inverse=True)
    rows, columns = (rng.multinomial(many, [1 / many] * many, DRAWS) for many in (len(members), len(names)))
    columns = columns[:, of]
    drawn = np.einsum("dm,mo,do->d", rows, above, columns, optimize=True) / (rows.sum(1) * columns.sum(1))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Membership(
        round(float(above.mean()), 3), round(float(low), 3), round(float(high), 3), len(members), len(others)
    )


def beyond(first: Check, check: Check, units: Sequence[int], cap: float, apart: bool) -> bool:
    """Whether the whole 95 % interval of the membership advantage lies above `cap`; a cap of 1 is none."""
    if cap >= 1 or not apart:
        return False
    low = membership(first, check, units, apart).low
    return low is not None and low > cap


def choice(checks: Sequence[Check], units: Sequence[int], steps: int, apart: bool) -> str:
    """One line: which step was kept and why.

    units  photo of each held-out view
    """
    first, kept, last = checks[0], best(checks), checks[-1]
    of = "held-out photos" if apart else "views that were held out"
    low, high = interval(kept.held, units)
    spread = f" (95 % {low:.4f} to {high:.4f})" if low == low else ""
    told = (
        f"step {kept.step} of {steps} kept: loss on {of} {kept.loss:.4f}{spread}, the lowest; {first.loss:.4f} before"
    )
    if last.step > kept.step:
        told += f", {last.loss:.4f} at step {last.step}"
        low, high = interval([b - a for a, b in zip(kept.held, last.held, strict=True)], units)
        told += " (worse beyond chance)" if low > 0 else " (no worse than chance)" if low == low else ""
    if last.beyond:
        gone = membership(first, last, units, apart)
        told += (
            f"; ended at step {last.step}, which gives away which photos were learned from beyond --membership-cap "
            f"(advantage {gone.advantage}, 95 % {gone.low} to {gone.high})"
        )
    return told
