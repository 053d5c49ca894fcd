"""Does --auto give a better adapter than the fixed default in the same time, tuning included?

    python benchmarks/tuning.py --images shirt/ --images dress/ --photo products/a --photo products/b --work tuning

Of each folder of photos, a fifth is set aside, TEST photos at most, that neither arm sees. `auto` is train-product
--auto; `equal` is the fixed default with as many steps as take the time of `auto`, its best check kept; `default`
is the fixed default as it stands. Time is that of the processor, so that other programs on the machine change little.
What is compared is the loss on the test photos at fixed moments and noise, each photo with itself; the interval is over
photos. Of a folder with one photo (--photo) nothing can be set aside: other views of it are taken, for the report only.

It is long. The same command goes on where it was left, --piece SECONDS ends it after about so long, and each folder has
a file of its own in WORK; --out gathers those that are finished.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "tuning.json"
TEST = 20  # photos set aside at most
VIEWS = 12  # of a single photo
NOISES = 4  # draws of noise at each moment, the same for all adapters
SHORT = 20  # steps of the training that tells what a training costs before its first step
ARMS = ("auto", "default", "short", "equal")


class OutOfTime(Exception):
    """This piece is over; the next one goes on."""


class Clock:
    """What is left of this piece."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds if seconds else float("inf")

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()


def divided(source: Path, place: Path, single: bool) -> tuple[Path, Path]:
    """(photos to learn from, photos that nobody sees), copied once; of a single photo twice the same."""
    learn, test = place / "learn" / source.name, place / "test" / source.name
    if (place / "divided").is_file():
        return learn, test
    shutil.rmtree(place, ignore_errors=True)
    photos = sorted(file for file in source.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    photos.sort(key=lambda file: hashlib.sha256(file.read_bytes()).hexdigest())
    aside = 0 if single else min(TEST, max(1, len(photos) // 5))
    for folder, files in ((learn, photos[aside:]), (test, photos if single else photos[:aside])):
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder / file.name)
    (place / "divided").touch()
    return learn, test


def spent() -> float:
    """Processor seconds of all programs that this one started and that have ended."""
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


def trained(arm: str, learn: Path, place: Path, state: dict[str, Any], clock: Clock, given: argparse.Namespace) -> None:
    """Train one arm, or go on with it; its seconds are added up in the state."""
    row = state.setdefault(arm, {"seconds": 0.0, "done": False})
    if row["done"]:
        return
    words = ["train-product", "--images", learn, "--out", place / arm, "--base", given.base, "--samples", 0]
    if given.category:
        words += ["--category", given.category]
    if arm == "auto":
        words += ["--auto", "--budget", given.budget]
    if arm == "short":
        words += ["--steps", SHORT, "--patience", 0]
    if arm == "equal":
        row["steps"] = row.get("steps") or equal_steps(place, state)
        words += ["--steps", row["steps"], "--patience", 0]
    if clock.left < 5:
        raise OutOfTime
    before = spent()
    child = subprocess.Popen([sys.executable, "-m", "synthgen", *map(str, words)], stdout=subprocess.DEVNULL)
    try:
        status = child.wait(None if clock.left == float("inf") else clock.left)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        child.wait()
        status = None
    row["seconds"] += round(spent() - before, 1)
    if status is None:
        raise OutOfTime
    if status:
        sys.exit(f"{' '.join(map(str, words))} ended with status {status}")
    row["done"] = True


def equal_steps(place: Path, state: dict[str, Any]) -> int:
    """Steps of the default that take as long as `auto` did, tuning and preparation included."""
    steps = steps_of(place / "default")
    each = (state["default"]["seconds"] - state["short"]["seconds"]) / max(1, steps - SHORT)
    more = (state["auto"]["seconds"] - state["default"]["seconds"]) / max(each, 1e-3)
    return max(SHORT, round(steps + more))


def steps_of(folder: Path) -> int:
    """Steps that a finished training made."""
    from synthgen import adapters

    return int(adapters.load_card(folder).losses["stopped_at"])


def losses(base: Any, adapter: Path, pictures: list[np.ndarray], captions: list[str]) -> np.ndarray:
    """(n,): the loss of each picture with an adapter, the mean over moments and draws of noise."""
    import torch

    from synthgen.training_loop import CHECK_TIMES
    from synthgen.types import AdapterUse

    base.attach([AdapterUse("it", adapter)])
    words, latents = base.encode_texts(captions), base.encode_pixels(np.stack(pictures))
    total = np.zeros(len(pictures))
    rng = np.random.default_rng(41)
    for share in CHECK_TIMES:
        for _ in range(NOISES):
            noise = torch.from_numpy(rng.standard_normal(tuple(latents.shape), dtype=np.float32))
            moment = torch.full((len(latents),), int(share * base.train_steps))
            for part in torch.arange(len(latents)).split(8):
                with torch.no_grad():
                    told = base.loss(latents[part], words[part], moment[part], noise[part])
                total[part.numpy()] += told.double().numpy()
    return total / (len(CHECK_TIMES) * NOISES)


def judged(test: Path, place: Path, single: bool, given: argparse.Namespace) -> dict[str, Any]:
    """The losses of all arms on what they did not see, and their differences with intervals."""
    from synthgen import adapters, bases, images, rooms, training_check, training_request
    from synthgen.train import _described, _finder

    module, identity = bases.find(given.base)
    base = module.load(identity, "cpu")
    request = training_request.TrainRequest(test, base=given.base, category=given.category)
    photos, _ = _described(request, module, rooms.member("domains", "apparel"), _finder(request))
    pictures, captions = [], []
    for photo in photos.photos:
        views = images.views(images.pixels(photo), VIEWS + 1 if single else 1, base.size, 987_654)
        pictures += views[1:] if single else views
        captions += [photo.caption] * (VIEWS if single else 1)
    found = {arm: losses(base, place / arm, pictures, captions) for arm in ("auto", "default", "equal")}
    told: dict[str, Any] = {"pictures": len(pictures), "report_only": single}
    for arm, values in found.items():
        card = adapters.load_card(place / arm)
        told[arm] = {"loss": round(float(values.mean()), 5), "steps": steps_of(place / arm), "rank": card.rank}
    for arm in ("default", "equal"):
        gain = found[arm] - found["auto"]
        low, high = training_check.interval(gain.tolist(), range(len(gain)))
        told[f"gain_over_{arm}"] = {"value": round(float(gain.mean()), 5), "low": round(low, 5), "high": round(high, 5)}
    return told


def compared(source: Path, single: bool, clock: Clock, given: argparse.Namespace) -> dict[str, Any]:
    """One folder from photos to figures, as far as this piece goes."""
    place = given.work / source.resolve().name
    learn, test = divided(source.resolve(), place, single)
    file = place / "state.json"
    state = json.loads(file.read_text()) if file.is_file() else {}
    try:
        for arm in ARMS:
            trained(arm, learn, place, state, clock, given)
        if "result" not in state:
            if clock.left < 30:
                raise OutOfTime
            state["result"] = judged(test, place, single, given)
    finally:
        file.write_text(json.dumps(state, indent=1) + "\n")
    return state


def main() -> None:
    """Go through the folders, print what is finished."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--images", type=Path, action="append", default=[], help="a folder of photos; repeats")
    ask.add_argument("--photo", type=Path, action="append", default=[], help="a folder with one photo; repeats")
    ask.add_argument("--work", type=Path, required=True, help="where the trainings stand, and go on")
    ask.add_argument("--budget", type=float, default=10.0, help="minutes for finding settings")
    ask.add_argument("--base", default="mini", help="the base that is adapted")
    ask.add_argument("--category", default="", help="of all folders, where their names do not say it")
    ask.add_argument("--piece", type=float, default=0.0, help="seconds after which this stops; 0: when all is done")
    ask.add_argument("--out", type=Path, help=f"where the figures go, such as {RESULTS.name}")
    given = ask.parse_args()
    given.work = given.work.resolve()
    clock, done = Clock(given.piece), {}
    try:
        for source in (*given.images, *given.photo):
            state = compared(source, source in given.photo, clock, given)
            row = done[source.resolve().name] = {
                **state["result"], "seconds": {arm: state[arm]["seconds"] for arm in ARMS}
            }  # fmt: skip
            print(f"{source.resolve().name}: {told(row)}", flush=True)
    except OutOfTime:
        print("this piece is over; the same command goes on", file=sys.stderr)
    if given.out and done:
        figures = {
            "command": "python benchmarks/tuning.py --images DIR ... --photo DIR ... --work DIR",
            "date": datetime.now(UTC).date().isoformat(), "budget_minutes": given.budget, "sets": done,
        }  # fmt: skip
        given.out.write_text(json.dumps(figures, indent=2) + "\n")


def told(row: dict[str, Any]) -> str:
    """One line."""
    gain = row["gain_over_equal"]
    sure = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "no different beyond chance"
    of = "other views of its photo (report only)" if row["report_only"] else f"{row['pictures']} test photos"
    return (
        f"loss {row['auto']['loss']:.4f} with --auto, {row['equal']['loss']:.4f} with the default in the same time, "
        f"{row['default']['loss']:.4f} with the default as it stands; gain {gain['value']:.4f} "
        f"({gain['low']:.4f} to {gain['high']:.4f}) on {of}: {sure}"
    )


if __name__ == "__main__":
    main()
