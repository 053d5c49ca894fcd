"""Is the set as reality is, and as varied? Distances and neighbours between features of synthetic and real pictures.

Each draw takes one picture of every unit: half of the real ones, the other half, and as many synthetic ones. `value`
compares the first half with the synthetic pictures, `null` the two halves of the real set, at one size. A number means
something only beside its null: most of these measures move with the number of pictures, and none is 0 or 1 for two
sets of one kind.

Source of the measures: FD and KD as torch-fidelity computes them (Heusel 2017; Binkowski 2018, the unbiased estimator
with k = (x.y / d + 1)^3), precision and recall likewise (Kynkaanniemi 2019), density and coverage by Naeem 2020, the
Vendi score by Friedman and Dieng 2023 with the cosine as its kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthgen.intervals import LEAST, Estimate

if TYPE_CHECKING:
    import numpy as np

NEIGHBOURS = 5
DRAWS = 32
WIDTH = 1.96  # standard deviations to either side
MOST = 2000  # pictures in a part: the neighbours of more take minutes, and change little
FEW = 100  # pictures in a part, below which neighbours and kernels are told with a warning
PER_FEATURE = 10  # pictures that a Frechet distance wants for each feature; below, its bias outweighs it
REAL_HALVES = "two disjoint halves of the real set, {} pictures each"
HALF_SAMPLES = "half-samples by unit"
BETTER = {"FD": "lower", "KD": "lower", "precision": "higher", "recall": "higher", "density": "higher",
          "coverage": "higher", "vendi": "higher"}  # fmt: skip


@dataclass(frozen=True)
class Features:
    """What an extractor sees in pictures."""

    values: np.ndarray  # (n, d) float64
    units: np.ndarray  # (n,) int
    labels: np.ndarray  # (n,) str


@dataclass(frozen=True)
class Measure:
    """One measure of a set beside its null."""

    estimate: Estimate
    null_low: float | None = None  # between these lies the null in 95 % of draws
    null_high: float | None = None
    excess: float | None = None  # value less null
    better: str = "lower"
    beyond_null: bool = False  # worse than real is against real
    warning: str = ""


@dataclass(frozen=True)
class Fidelity:
    """All measures by one extractor; each name says which: FD(name@hash)."""

    extractor: str
    sha256: str
    features: int
    real: int
    synthetic: int
    size: int  # pictures in each part
    measures: Mapping[str, Measure]
    per_class: Mapping[str, Mapping[str, Measure]]


def measure(real: Features, synthetic: Features, extractor: str, sha256: str, seed: int = 0) -> Fidelity:
    """Every measure over all pictures, and for every class by itself.

    extractor, sha256   its name and the digest of its weights; both go into the names. "FID" is said of nothing but
                        the Inception network of 2015, whose extractor is called "inception-2015".
    """
    import numpy as np

    whole, size = _measured(real, synthetic, extractor, seed)
    named = {_named(key, extractor, sha256): item for key, item in whole.items()}
    per_class = {}
    for label in np.unique(real.labels):
        parts = [
            Features(item.values[item.labels == label], item.units[item.labels == label], item.labels)
            for item in (real, synthetic)
        ]
        found = _measured(parts[0], parts[1], extractor, seed)[0]
        per_class[str(label)] = {_named(key, extractor, sha256): item for key, item in found.items()}
    return Fidelity(
        extractor, sha256, real.values.shape[1], len(real.values), len(synthetic.values), size, named, per_class
    )


def _named(key: str, extractor: str, sha256: str) -> str:
    """FD(mini-judge@0123456789ab); FID and KID for Inception-2015 alone."""
    if extractor == INCEPTION and key in ("FD", "KD"):
        key = {"FD": "FID", "KD": "KID"}[key]
    return f"{key}({extractor}@{sha256[:12]})"


INCEPTION = "inception-2015"


def _measured(real: Features, synthetic: Features, extractor: str, seed: int) -> tuple[dict[str, Measure], int]:
    """Measure name -> measure, and the size of the parts."""
    import numpy as np

    units, n = len(np.unique(real.units)), len(real.values)
    size = min(MOST, units // 2, len(np.unique(synthetic.units)) // 2)
    why = ""
    if size < LEAST:
        why = (
            f"{n} real pictures of {units} independent units and {len(synthetic.values)} synthetic ones; at least "
            f"{2 * LEAST} of each are needed, for half of them are held against the other half"
        )
        return {key: Measure(Estimate(None, n=n, units=units, reason=why), better=BETTER[key]) for key in BETTER}, size
    rng = np.random.default_rng(seed)
    values: dict[str, list[tuple[float, float]]] = {key: [] for key in BETTER}
    refused = _refused(size, real.values.shape[1])
    for _ in range(DRAWS):
        both, made = _drawn(real, rng)[: 2 * size], _drawn(synthetic, rng)[:size]
        one, other = both[:size], both[size:]
        for key, pair in _of_draw(one, other, made, set(BETTER) - refused.keys()).items():
            values[key].append(pair)
    return {
        key: Measure(Estimate(None, n=size, units=units, reason=refused[key]), better=BETTER[key])
        if key in refused
        else _told(key, np.array(values[key]), size, units, real.values.shape[1])
        for key in BETTER
    }, size


def _refused(size: int, features: int) -> dict[str, str]:
    if size > features:
        return {}
    return {"FD": f"{size} pictures in a part and {features} features; more pictures than features are needed"}


def _drawn(features: Features, rng: np.random.Generator) -> np.ndarray:
    """One picture of each unit, in an order of chance: two of one unit in a part are no two to these measures."""
    import numpy as np

    order = rng.permutation(len(features.units))
    first = np.unique(features.units[order], return_index=True)[1]
    return features.values[rng.permutation(order[first])]


def _of_draw(one: np.ndarray, other: np.ndarray, made: np.ndarray, wanted: set[str]) -> dict[str, tuple[float, float]]:
    """(value, null) of each wanted measure for three parts of one size."""
    pairs: dict[str, tuple[float, float]] = {}
    between: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"FD": frechet, "KD": kernel}
    for key, distance in between.items():
        if key in wanted:
            pairs[key] = distance(one, made), distance(one, other)
    near = neighbourhoods(one, made), neighbourhoods(one, other)
    pairs |= {key: (near[0][key], near[1][key]) for key in near[0]}
    pairs["vendi"] = vendi(made), vendi(one)
    return pairs


def _told(key: str, pairs: np.ndarray, size: int, units: int, features: int) -> Measure:
    """A measure from its (draws, 2) values and nulls."""
    (value, null), (spread, null_spread) = pairs.mean(axis=0), pairs.std(axis=0, ddof=1)
    low, high = null - WIDTH * null_spread, null + WIDTH * null_spread
    warning = ""
    if key == "FD" and size < PER_FEATURE * features:
        warning = f"{size} pictures for {features} features, and {PER_FEATURE * features} are wanted: read the excess"
    elif size < FEW and key != "FD":
        warning = f"{size} pictures in a part; below {FEW} this says little"
    return Measure(
        Estimate(
            float(value), float(value - WIDTH * spread), float(value + WIDTH * spread), size, units,
            f"{HALF_SAMPLES}, {DRAWS} draws", float(null), REAL_HALVES.format(size),
        ),
        float(low), float(high), float(value - null), BETTER[key],
        bool(value > high if BETTER[key] == "lower" else value < low), warning,
    )  # fmt: skip


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """|mean - mean|^2 + tr(S + T - 2 (S T)^1/2) of two (n, d) sets; biased upwards by about the null."""
    import numpy as np
    from torch_fidelity import metric_fid

    told = [{"mu": part.mean(axis=0), "sigma": np.atleast_2d(np.cov(part, rowvar=False))} for part in (one, other)]
    return float(metric_fid.fid_statistics_to_metric(told[0], told[1], False)[metric_fid.KEY_METRIC_FID])


def kernel(one: np.ndarray, other: np.ndarray) -> float:
    """The unbiased squared MMD of two (n, d) sets with the cubic kernel; may be below 0 for sets of one kind."""
    from torch_fidelity import metric_kid

    return float(
        metric_kid.kernel_mmd(
            one, other, kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1
        )
    )


def neighbourhoods(real: np.ndarray, made: np.ndarray, k: int = NEIGHBOURS) -> dict[str, float]:
    """Precision, recall, density, coverage of (n, d) `made` among (n, d) `real`, by balls to the k-th neighbour."""
    import torch
    from torch_fidelity import metric_prc

    inner, outer = torch.from_numpy(real), torch.from_numpy(made)
    precision, recall = metric_prc.calculate_precision_recall_full(outer, inner, k)
    radii = torch.cdist(inner, inner).kthvalue(k + 1).values[:, None]
    within = torch.cdist(inner, outer) <= radii
    return {
        "precision": precision,
        "recall": recall,
        "density": float(within.sum(dim=0).double().mean() / k),
        "coverage": float(within.any(dim=1).double().mean()),
    }


def vendi(values: np.ndarray) -> float:
    """How many different pictures a (n, d) set is worth: 1 where all are alike, n where none resembles another."""
    import numpy as np

    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    small = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit  # both have the same eigenvalues but zeros
    shares = np.linalg.eigvalsh(small / len(unit))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def together(parts: Sequence[Features]) -> Features:
    """Several sets as one; units of different sets stay different."""
    import numpy as np

    shift = np.cumsum([0, *(int(part.units.max(initial=-1)) + 1 for part in parts[:-1])])
    return Features(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.units + more for part, more in zip(parts, shift, strict=True)]),
        np.concatenate([part.labels for part in parts]),
    )
