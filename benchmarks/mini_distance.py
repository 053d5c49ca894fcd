"""How near mini's pictures are to renders: as sets, at several step counts, and one by one to those it learned from.

    python benchmarks/mini_distance.py --count 500 --renders build/mini/renders

Each figure stands beside what fresh renders give. `--renders` is the folder of the training set's shards, where one is
at hand; else the first of them is rendered again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import resources
from synthgen.evaluators import fidelity
from synthgen.intervals import wilson
from synthgen.mini import agreement, dataset, models
from synthgen.mini import judge as judges
from synthgen.mini.agreement import Sampling
from synthgen.mini.models import Parts

RESULTS = Path(__file__).parent / "results" / "mini_distance.json"
STEPS = (4, 8, 50)
NEAR = 0.01  # quantile of the distances of fresh renders to what was learned from
SMALL_PX = 32  # of the pictures that are compared one by one
BLOCK = 128


def renders(first: int, count: int) -> list[Any]:
    """Fresh renders by the plan of `agreement`, from seeds that no training draws."""
    from synthgen.mini.world import render

    return [
        render(kind, dataset.EVALUATION_SEED + first + number)
        for kind, share in agreement.SHARES.items()
        for number in range(max(1, round(count * share)))
    ]


def drawn(parts: Parts, wanted: Sequence[Any], sampling: Sampling) -> list[Any]:
    """A picture for each render, as `agreement.draw` makes them, kind by kind."""
    made: list[Any] = []
    for kind in agreement.SHARES:
        made += agreement.draw(parts, [one for one in wanted if one.kind == kind], sampling)
    return made


def by_steps(parts: Parts, count: int, guidance: float, steps: Sequence[int] = STEPS) -> Iterator[dict[str, Any]]:
    """For each number of steps: distances and neighbours between pictures and fresh renders of the same labels.

    Features are the judge's. `distance` is the Frechet distance to other fresh renders, `null` that of the captions'
    own renders to them, and `ratio` the one over the other. Both sets pass through the autoencoder, or `null` would
    tell of its losses.
    """
    wanted, others = renders(1000, count), renders(500_000, count)

    fresh, own = (_features(agreement.carried(parts.vae, [one.pixels for one in some])) for some in (others, wanted))
    null, beside = fidelity.frechet(own, fresh), fidelity.neighbourhoods(fresh, own)
    for number in steps:
        made = _features(drawn(parts, wanted, Sampling(number, guidance)))
        distance = fidelity.frechet(made, fresh)
        yield {
            "num_inference_steps": number,
            "distance": round(distance, 3),
            "null": round(null, 3),
            "ratio": round(distance / null, 2),
            **{key: round(float(value), 3) for key, value in fidelity.neighbourhoods(fresh, made).items()},
            **{f"{key}_null": round(float(value), 3) for key, value in beside.items()},
        }


def memorised(parts: Parts, learned: Path, count: int, sampling: Sampling) -> dict[str, Any]:
    """The share of pictures that lie nearer to a render of the training set than all but 1 % of fresh renders do.

    learned  a folder of shards, or one that is empty: then the first shards of the training set are rendered into it
    """
    shards = dataset.shards(learned) or [dataset.Shard(dataset.render_shard(learned, 0).with_suffix(""), dataset.SHARD)]
    known = np.concatenate([_small(shard.pixels()) for shard in shards])
    wanted = renders(1000, count)
    fresh = _nearest(_small(agreement.carried(parts.vae, [one.pixels for one in wanted])), known)
    made = _nearest(_small(drawn(parts, wanted, sampling)), known)
    near = float(np.quantile(fresh, NEAR))
    close = int((made < near).sum())
    low, high = wilson(close, len(made))
    return {
        "learned": len(known), "pictures": len(made), "near": round(near, 2), "close": close,
        "share": round(close / len(made), 4), "low": round(low, 4), "high": round(high, 4),
        "median": round(float(np.median(made)), 2), "median_fresh": round(float(np.median(fresh)), 2),
    }  # fmt: skip


def _features(pictures: Sequence[Any]) -> np.ndarray:
    """(n, 307) float64, what the judge reads labels from."""
    judge = judges.load()
    parts = [judge.features(pictures[start : start + BLOCK]) for start in range(0, len(pictures), BLOCK)]
    return np.concatenate(parts).astype(np.float64)


def _small(pictures: Sequence[Any] | np.ndarray) -> np.ndarray:
    """(n, 3072) float32, 0 to 255."""
    import cv2

    small = [cv2.resize(np.asarray(one), (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA) for one in pictures]
    return np.stack(small).reshape(len(small), -1).astype(np.float32)


def _nearest(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) root mean square difference to the nearest of the others, in levels of 255."""
    squares = (others**2).sum(1)
    found = []
    for start in range(0, len(some), BLOCK):
        block = some[start : start + BLOCK]
        apart = (block**2).sum(1)[:, None] + squares - 2 * block @ others.T
        found.append(np.sqrt(np.maximum(apart.min(1), 0) / others.shape[1]))
    return np.concatenate(found)


def main() -> None:
    """Parse, draw, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="pictures for each number of steps")
    parser.add_argument("--renders", type=Path, help="shards of the training set")
    parser.add_argument("--guidance-scale", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures go")
    given = parser.parse_args()
    parts = models.load_bundle(resources.mini_weights())
    print(
        "steps  distance  null   ratio  precision  recall  density  coverage   (beside it: fresh renders)", flush=True
    )
    rows = []
    for row in by_steps(parts, given.count, given.guidance_scale):
        rows.append(row)
        beside = [
            f"{row[key]:.2f} ({row[f'{key}_null']:.2f})" for key in ("precision", "recall", "density", "coverage")
        ]
        print(f"{row['num_inference_steps']:5d}  {row['distance']:8.2f}  {row['null']:.2f}  {row['ratio']:5.2f}  "
              f"{'  '.join(beside)}", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        near = memorised(parts, given.renders or Path(place), given.count, Sampling(8, given.guidance_scale))
    print(
        f"{near['close']} of {near['pictures']} pictures lie nearer to one of {near['learned']} training renders than "
        f"all but 1 % of fresh renders do: {near['share']:.3f} ({near['low']:.3f} to {near['high']:.3f})"
    )
    figures = {
        "command": f"python benchmarks/mini_distance.py --count {given.count}" + " --renders DIR" * bool(given.renders),
        "date": datetime.now(UTC).date().isoformat(),
        "guidance_scale": given.guidance_scale,
        "rows": rows,
        "memorised": near,
    }
    given.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
