"""Does the set help training? The same small classifier, with the same number of steps, taught from different mixes.

Each arm is trained from several seeds and judged on the same real test pictures, which no arm ever sees. An arm's gain
is its balanced accuracy less that of the real pictures alone, paired by seed and by test unit. Its interval takes in
both what the test pictures and what the seeds leave open (Satterthwaite's degrees of freedom, by Bonferroni's rule over
the arms that may win). The null is the real pictures alone, trained again from other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthgen import answers as measures
from synthgen.answers import Answers
from synthgen.intervals import DRAWS, LEVEL, Estimate, refused, unit_weights

if TYPE_CHECKING:
    import numpy as np

LEAST_SEEDS = 5
METRIC, AREA = "balanced_accuracy", "auroc"
RATIOS = (1, 3, 10)
REAL, AGAIN, HALF, SYNTHETIC = "real only", "real only, other seeds", "half of the real", "synthetic only"
CONTROL = "synthetic only, labels shuffled"
THEN, AUGMENTED, SHUFFLED = "synthetic, then real", "real, augmented", "real + 1 x synthetic, labels shuffled"


@dataclass(frozen=True)
class Arm:
    """What a classifier is taught from."""

    name: str
    real: float = 1.0  # share of the real training pictures
    synthetic: float = 0.0  # synthetic pictures for each real one; 0 none, -1 all there are
    augment: bool = False
    shuffled: bool = False  # the synthetic labels are dealt out anew
    in_turn: bool = False  # half of the steps on the synthetic pictures, then half on the real ones
    helps: bool = False  # whether it may be recommended as a way to use the synthetic pictures
    other_seeds: bool = False


ARMS = (
    Arm(REAL),
    Arm(AGAIN, other_seeds=True),
    Arm(HALF, real=0.5),
    Arm(SYNTHETIC, real=0.0, synthetic=-1),
    Arm(CONTROL, real=0.0, synthetic=-1, shuffled=True),
    *(Arm(f"real + {ratio} x synthetic", synthetic=ratio, helps=True) for ratio in RATIOS),
    Arm(THEN, synthetic=-1, in_turn=True, helps=True),
    Arm(AUGMENTED, augment=True),
    Arm(SHUFFLED, synthetic=1, shuffled=True),
)
HELPS, AUGMENT, COLLECT, NOTHING, OPEN = (
    "add synthetic pictures", "augment the real ones", "collect more real pictures", "nothing helps", "not measured"
)  # fmt: skip


@dataclass(frozen=True)
class Taught:
    """One arm, judged."""

    arm: str
    real: int  # pictures it was taught from
    synthetic: int
    metrics: Mapping[str, float]  # means over the seeds
    area: Estimate  # AUROC: its mean over the seeds, with an interval by unit and seed
    gain: Estimate  # METRIC less that of the real pictures alone; the null is that of the same from other seeds
    reason: str = ""  # why it was not trained


@dataclass(frozen=True)
class Utility:
    """The table and what it comes to."""

    verdict: str
    sentence: str
    seeds: int
    steps: int
    arms: tuple[Taught, ...]
    over_augmented: Estimate | None = None  # the best arm less plain augmentation
    over_shuffled: Estimate | None = None  # the best arm less its control


def compare(
    answered: Mapping[str, Sequence[Answers]], taught: Mapping[str, tuple[int, int]], missing: Mapping[str, str],
    steps: int, seed: int = 0,
) -> Utility:  # fmt: skip
    """The table, and the recommendation.

    answered   arm -> what it said of the same test pictures, one for each seed
    taught     arm -> how many real and synthetic pictures it was taught from
    missing    arm -> why it was not trained
    """
    import numpy as np

    first = answered[REAL][0]
    n, units = len(first.truth), len(np.unique(first.units))
    seeds = len(answered[REAL])
    why = refused(n, units) or (f"{seeds} seeds; at least {LEAST_SEEDS} are needed" if seeds < LEAST_SEEDS else "")
    weights = np.concatenate([measures.even(first), unit_weights(first.units, DRAWS, np.random.default_rng(seed))])
    drawn = {  # (seeds, 1 + draws): over the pictures as they are, then over draws of their units
        name: np.stack([measures.measure(one, METRIC, weights) for one in said]) for name, said in answered.items()
    }
    several = sum(arm.helps and arm.name in drawn for arm in ARMS)
    null = None if why or AGAIN not in drawn else float((drawn[AGAIN] - drawn[REAL])[:, 0].mean())
    table = []
    for arm in ARMS:
        if arm.name not in drawn:
            empty = Estimate(None, reason=missing.get(arm.name, "not trained"))
            table.append(Taught(arm.name, 0, 0, {}, empty, empty, empty.reason))
            continue
        level = 1 - (1 - LEVEL) / several if arm.helps else LEVEL
        gain = difference(drawn[arm.name], drawn[REAL], (n, units), level, null)
        if why or arm.name == REAL:
            gain = Estimate(None, n=n, units=units, reason=why or "the others are held against it")
        area = Estimate(None, n=n, units=units, reason=why or "scores are wanted, and these are choices")
        if not why and first.scored:
            areas = np.stack([measures.measure(one, AREA, weights) for one in answered[arm.name]])
            area = spread(areas, (n, units), LEVEL, 0.5, "chance", "by unit and seed")
        table.append(Taught(arm.name, *taught[arm.name], _means(answered[arm.name]), area, gain))
    if why:
        return Utility(OPEN, f"Whether the set helps training was not judged: {why}.", seeds, steps, tuple(table))
    best = max(
        (item for item in table if item.gain.value is not None and _arm(item.arm).helps),
        key=lambda item: item.gain.value or 0.0, default=None,
    )  # fmt: skip
    over = {
        name: difference(drawn[best.arm], drawn[name], (n, units), LEVEL, None) if best and name in drawn else None
        for name in (AUGMENTED, SHUFFLED)
    }
    verdict, sentence = recommend({item.arm: item for item in table}, best, over)
    return Utility(verdict, sentence, seeds, steps, tuple(table), over[AUGMENTED], over[SHUFFLED])


def difference(
    one: np.ndarray, other: np.ndarray, sizes: tuple[int, int], level: float, null: float | None
) -> Estimate:
    """The mean of one less the other: (seeds, 1 + draws), the first column over the pictures as they are."""
    return spread(one - other, sizes, level, null, "" if null is None else AGAIN, "paired by unit and seed")


def spread(
    drawn: np.ndarray, sizes: tuple[int, int], level: float, null: float | None, null_is: str, how: str
) -> Estimate:
    """The mean over the seeds of what stands in the first column, (seeds, 1 + draws), and how far it may be off."""
    import numpy as np
    from scipy.stats import t

    seeds = len(drawn)
    of_pictures = float(np.nanvar(drawn[:, 1:].mean(axis=0), ddof=1))
    of_seeds = float(drawn[:, 0].var(ddof=1)) / seeds if seeds > 1 else 0.0
    both = of_pictures + of_seeds
    freedom = (seeds - 1) * (both / of_seeds) ** 2 if of_seeds > 0 else np.inf
    half = float(t.ppf((1 + level) / 2, freedom)) * both**0.5
    value = float(drawn[:, 0].mean())
    return Estimate(value, value - half, value + half, *sizes, f"{how}, {level:.1%}", null, null_is)


def recommend(table: Mapping[str, Taught], best: Taught | None, over: Mapping[str, Estimate | None]) -> tuple[str, str]:
    """The verdict and a sentence that says what to do."""
    augmented, half = table[AUGMENTED].gain, table[HALF].gain
    if best is not None and _above(best.gain):
        control = over[SHUFFLED]
        if control is not None and not _above(control):
            return NOTHING, (
                f"Do not add these pictures yet: {best.arm} gains {_said(best.gain)}, but with their labels shuffled "
                f"as much is gained, so it is not the labels that help (apart {_said(control)})."
            )
        beside = over[AUGMENTED]
        if _above(augmented) and (beside is None or not _above(beside)):
            return AUGMENT, (
                f"Augment the real pictures: that gains {_said(augmented)} and costs nothing; {best.arm} gains "
                f"{_said(best.gain)}, which is not more beyond doubt."
            )
        return HELPS, f"Add synthetic pictures: {best.arm} gains {_said(best.gain)} over the real ones alone."
    tried = "no mix with these synthetic pictures gains beyond doubt" + (
        f" (the best, {best.arm}, {_said(best.gain)})" if best is not None else ""
    )
    if _above(augmented):
        return AUGMENT, f"Augment the real pictures: that gains {_said(augmented)}; {tried}."
    if half.high is not None and half.high < 0:
        return COLLECT, f"Collect more real pictures: with half of them {_said(half)} is lost, and {tried}."
    return NOTHING, (
        f"Neither more real pictures nor these synthetic ones make a difference that {half.n} test pictures show: "
        f"with half of the real ones the change is {_said(half)}, and {tried}."
    )


def _above(gain: Estimate) -> bool:
    return gain.low is not None and gain.low > 0


def _said(gain: Estimate) -> str:
    if gain.value is None or gain.low is None or gain.high is None:
        return f"nothing measured: {gain.reason}"
    return f"{100 * gain.value:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _arm(name: str) -> Arm:
    return next(arm for arm in ARMS if arm.name == name)


def _means(said: Sequence[Answers]) -> dict[str, float]:
    import numpy as np

    return {
        name: float(np.mean([measures.measure(one, name, measures.even(one))[0] for one in said]))
        for name in said[0].measured()
    }
