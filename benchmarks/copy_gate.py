"""Whether the copy gate finds copies of real X-rays, and how often it takes a fresh patient for one.

    python benchmarks/copy_gate.py ../shared/data/xray --work build/copy_gate

Patients are split into train, held out and test. The gate is calibrated on the first two: its false alarms are counted
on the third, its hits on edited training images. Then an adapter is over-trained on ten images on purpose, and one is
trained as users do; what both draw goes through the gate. Whether a picture is a copy is measured without the gate: by
the correlation of its grey levels with a training image after affine alignment (ECC of OpenCV). Fresh patients come
near that bar too, so what they reach stands beside it. Figures go to benchmarks/results/copy_gate.json. --work keeps
adapters and runs: what is there is not made again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthgen import (
    bases,
    condition,
    edit_ladder,
    generate,
    images,
    measures,
    private_photos,
    store,
    train,
    training_check,
    training_loop,
    training_material,
)
from synthgen.errors import SynthgenError
from synthgen.intervals import bootstrap, wilson
from synthgen.types import AdapterUse, Job, Rights

RESULTS = (Path(__file__).parent / "results" / "copy_gate.json").resolve()
RIGHTS = Rights("", "unknown", "", "public set")
BAR, ALIGNED_PX, DETAIL_PX = 0.9, 128, 4.0
SPLITS = 5  # of the patients, for false alarms: one split alone is off by chance
OVER, HELD = 11, 120  # text in one of the eleven: it is held back


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sides(rows: Sequence[dict[str, str]], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of train, held out and test: half, a quarter and a quarter of the patients."""
    patients = np.unique([row["patient_id"] for row in rows])
    order = np.random.default_rng(seed).permutation(patients)
    cut = len(order) // 2, 3 * len(order) // 4
    of = np.array([row["patient_id"] for row in rows])
    train_side, held, test = (
        np.flatnonzero(np.isin(of, part)) for part in (order[: cut[0]], order[cut[0] : cut[1]], order[cut[1] :])
    )
    return train_side, held, test


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(images.square(image, 256))


def real(folder: Path) -> dict[str, Any]:
    """False alarms on fresh patients, and hits on edited copies."""
    rows = rows_of(folder)
    pixels = np.stack([picture(folder / row["file_name"]) for row in rows])
    small = np.stack([measures.small(one) for one in pixels])
    names, patients = [row["file_name"] for row in rows], [row["patient_id"] for row in rows]

    def some(places: np.ndarray) -> measures.Images:
        return measures.Images(
            small[places], tuple(names[place] for place in places), tuple(patients[place] for place in places)
        )

    alarms: list[dict[str, Any]] = []
    power: list[dict[str, Any]] = []
    for seed in range(SPLITS):
        learn, held, test = sides(rows, seed)
        calibration = measures.calibrate(some(learn), some(held))
        taken = calibration.p(calibration.reference.nearness(small[test]).score) <= calibration.alpha
        units = np.unique([patients[place] for place in test], return_inverse=True)[1]
        low, high = bootstrap(lambda weights, hit=taken: weights @ hit / weights.sum(axis=1), units, seed)
        alarms.append(
            {"taken": int(taken.sum()), "of": len(test), "rate": float(taken.mean()), "low": low, "high": high,
             "held_out_patients": calibration.units}
        )  # fmt: skip
        if not seed:
            power = edit_ladder.told(edit_ladder.climb(calibration, pixels[learn]))
    rate = float(np.mean([row["rate"] for row in alarms]))
    spread = float(np.std([row["rate"] for row in alarms], ddof=1) / np.sqrt(SPLITS))
    return {
        "alpha": measures.ALPHA, "false_alarms": alarms, "mean_false_alarms": rate,
        "mean_low": max(0.0, rate - 1.96 * spread), "mean_high": rate + 1.96 * spread, "power": power,
    }  # fmt: skip


def photos(folder: Path, place: Path, learn: int) -> Path:
    """A folder of pneumonia X-rays with a table: so many to learn from (0: all), others held out, by patient."""
    rows = rows_of(folder)
    train_side, held, _ = sides(rows, 0)
    place.mkdir(parents=True, exist_ok=True)
    chosen: list[tuple[str, dict[str, str]]] = []
    seen: set[str] = set()
    for at in train_side:
        row = rows[at]
        if row["finding"] == "pneumonia" and not (learn and (row["patient_id"] in seen or len(chosen) == learn)):
            seen.add(row["patient_id"])
            chosen.append(("train", row))
    chosen += [("validation", rows[at]) for at in held if rows[at]["finding"] == "pneumonia"][:HELD]
    with (place / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "patient_id", "finding", "split"])
        for split, row in chosen:
            name = Path(row["file_name"]).name
            shutil.copyfile(folder / row["file_name"], place / name)
            table.writerow([name, row["patient_id"], row["finding"], split])
    return place


def adapter(source: Path, out: Path, steps: int, over: bool) -> Path:
    """Trained as users do; or over-trained: the last weights are kept, however bad on held-out images they are."""
    case = condition.Case("pneumonia", "chest-xray", source / "metadata.csv")
    request = train.TrainRequest(source, out=out, rights=RIGHTS, steps=steps)
    if not over:
        return condition.fit(request, case)
    seen, views = training_loop.Loop.check, training_material.LEAST_VIEWS
    try:
        training_loop.Loop.check = _falling  # type: ignore[method-assign]
        training_material.LEAST_VIEWS = 1
        blind = train.replace(request, rank=32, learning_rate=3e-3, patience=0, membership_cap=1.0, samples=0)
        return condition.fit(blind, case)
    finally:
        training_loop.Loop.check, training_material.LEAST_VIEWS = seen, views  # type: ignore[method-assign]


def _falling(self: training_loop.Loop, step: int) -> training_check.Check:
    """A check by which the last weights are always the best."""
    return training_check.Check(step, (-float(step),) * len(self.material.held_latents), (0.0, 0.0))


def draw(made: Path, out: Path, count: int) -> str:
    """A gated run; what it failed for, or ""."""
    try:
        generate.run(generate.GenerateRequest(count=count, adapters=(str(made),), out=out, pipeline="medical"))
    except SynthgenError as error:
        return str(error)
    return ""


def greys(pixels: np.ndarray) -> np.ndarray:
    """(s, s, 3) uint8 -> (128, 128) float32."""
    image = Image.fromarray(np.ascontiguousarray(pixels), "RGB").convert("L")
    return np.asarray(image.resize((ALIGNED_PX, ALIGNED_PX), Image.Resampling.LANCZOS), np.float32)


def correlation(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Of grey levels, and of their detail, after the alignment (mirrored or not) that gives the most."""
    import cv2

    best = (-1.0, -1.0)
    for way in (other, np.ascontiguousarray(other[:, ::-1])):
        warp = np.eye(2, 3, dtype=np.float32)
        try:
            _, warp = cv2.findTransformECC(one, way, warp, cv2.MOTION_AFFINE, (3, 30, 1e-4), None, 5)
        except cv2.error:  # it found no way to fit them
            warp = np.eye(2, 3, dtype=np.float32)
        flags = cv2.INTER_LINEAR + cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(way, warp, one.shape[::-1], flags=flags)
        inside = cv2.warpAffine(np.ones_like(way), warp, one.shape[::-1], flags=flags) > 0.99
        if inside.mean() < 0.5:
            continue
        fine = [part - cv2.GaussianBlur(part, (0, 0), DETAIL_PX) for part in (one, moved)]
        found = (
            float(np.corrcoef(one[inside], moved[inside])[0, 1]),
            float(np.corrcoef(fine[0][inside], fine[1][inside])[0, 1]),
        )
        best = max(best, found)
    return best


def most(pictures: Sequence[np.ndarray], known: np.ndarray) -> np.ndarray:
    """(n, 2): the most that each picture correlates with any of the known ones, greys and detail."""
    sources = [greys(one) for one in known]
    return np.array([np.max([correlation(greys(one), other) for other in sources], axis=0) for one in pictures])


def run_pixels(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Every picture that a run drew, and whether the gate refused it."""
    kept = [folder / line["file_name"] for line in store.read(folder)]
    lines = [line for line in store.rejections(folder) if "copy" in line["reasons"]]
    refused = [folder / store.REJECTED / f"{line['job_id']}.png" for line in lines]
    return [picture(path) for path in (*kept, *refused)], np.arange(len(kept) + len(refused)) >= len(kept)


def plants(made: Path, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image-to-image of each training image by the adapter itself: pictures, number of the source, strength."""
    known = private_photos.recall(made)
    assert known is not None
    family, source = bases.choose("mini")
    base = family.load(family.identify(source))
    base.attach([AdapterUse(made.name, made)])
    settings = {"num_inference_steps": edit_ladder.REDRAW_STEPS, "guidance_scale": 3.0, "size": 256, "batch": 8}
    drawn, which, strengths = [], [], []
    for seed, strength in itertools.product(range(each), edit_ladder.STRENGTHS):
        jobs = [
            Job("", number, "sks chest x-ray, pneumonia", "", 1000 * seed + number, {})
            for number in range(len(known.plants))
        ]
        drawn.append(base.redraw(known.plants, jobs, strength, settings))
        which += range(len(known.plants))
        strengths += [strength] * len(known.plants)
    return np.concatenate(drawn), np.array(which), np.array(strengths)


def caught(found: np.ndarray, copies: np.ndarray) -> dict[str, Any]:
    """Of the copies, how many the gate found."""
    hits, n = int(found[copies].sum()), int(copies.sum())
    low, high = wilson(hits, n) if n else (0.0, 1.0)
    return {"copies": n, "caught": hits, "rate": hits / n if n else None, "low": low, "high": high}


def over_trained(folder: Path, work: Path, steps: int, count: int) -> dict[str, Any]:
    """Ten images learned by heart: are their copies caught, and does the run say that it cannot be released."""
    made = adapter(photos(folder, work / "ten", OVER), work / "over", steps, over=True)
    failure = draw(made, work / "over-run", count)
    known = private_photos.recall(made)
    assert known is not None
    pixels, refused = run_pixels(work / "over-run")
    alike = most(pixels, known.plants)
    rows = rows_of(folder)
    fresh = most([picture(folder / rows[place]["file_name"]) for place in sides(rows, 0)[2][:60]], known.plants)
    detail_bar = float(fresh[:, 1].max())
    planted, which, strengths = plants(made, 2)
    calibration = measures.calibrate(known.train, known.held)
    p = calibration.p(calibration.reference.nearness(np.stack([measures.small(one) for one in planted])).score)
    own = np.array([correlation(greys(one), greys(known.plants[at])) for one, at in zip(planted, which, strict=True)])
    told = store.copy_gate(work / "over-run")
    return {
        "steps": steps, "images": len(known.plants), "held_out_patients": calibration.units, "drawn": len(pixels),
        "correlation_of_drawn": [round(float(value), 3) for value in np.quantile(alike[:, 0], [0.1, 0.5, 0.9])],
        "drawn_beyond_the_bar": caught(refused, alike[:, 0] >= BAR),
        "drawn_beyond_the_bar_and_in_detail_beyond_every_fresh_image": caught(
            refused, (alike[:, 0] >= BAR) & (alike[:, 1] > detail_bar)
        ),
        "fresh_beyond_the_bar": {"of": len(fresh), "share": float((fresh[:, 0] >= BAR).mean())},
        "planted": len(planted),
        "planted_beyond_the_bar": caught(p <= calibration.alpha, own[:, 0] >= BAR),
        "planted_by_strength": {
            f"{strength:g}": caught(p <= calibration.alpha, (strengths == strength) & (own[:, 0] >= BAR))
            for strength in edit_ladder.STRENGTHS
        },
        "run": failure.split(": ", 1)[-1], "release_refused": told.get("release", {}).get("refused", []),
        "share_taken_for_copies": told.get("drawn", {}), "membership_of_the_adapter": _attack(made),
    }  # fmt: skip


def well_trained(folder: Path, work: Path, steps: int, count: int) -> dict[str, Any]:
    """Trained as users do: what passes the gate."""
    made = adapter(photos(folder, work / "many", 0), work / "well", steps, over=False)
    failure = draw(made, work / "well-run", count)
    told = store.copy_gate(work / "well-run")
    drawn = told["drawn"]
    return {
        "steps": steps, "training": told["training"], "held_out": told["held_out"], "drawn": drawn,
        "yield": drawn["kept"] / drawn["pictures"], "power": told["power"], "exposure": told["exposure"],
        "mode_collapse": told["mode_collapse"], "membership_of_the_set": told["membership"],
        "membership_of_the_adapter": _attack(made), "release_refused": told["release"]["refused"], "run": failure,
    }  # fmt: skip


def _attack(made: Path) -> dict[str, Any]:
    file = made / "report" / "membership.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("xrays", type=Path)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--over-steps", type=int, default=600)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--part", choices=["real", "over", "well"], action="append")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp())
    told = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    parts = {
        "real": lambda: real(given.xrays),
        "over": lambda: over_trained(given.xrays, work, given.over_steps, max(1, given.count // 5)),
        "well": lambda: well_trained(given.xrays, work, given.steps, given.count),
    }
    for name in given.part or parts:
        began = time.process_time()
        told[name] = parts[name]() | {"cpu_seconds": round(time.process_time() - began, 1)}
        told |= {
            "date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(), "machine": platform.machine(),
            "command": "python benchmarks/copy_gate.py FOLDER",
        }  # fmt: skip
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(told[name], indent=1))


if __name__ == "__main__":
    main()
