"""The README's figures, written from benchmarks/results/ so that no number is typed by hand.

python benchmarks/figures.py           prints the block
python benchmarks/figures.py --write   puts it into README.md; a test holds that the two are equal
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- figures: python benchmarks/figures.py --write -->", "<!-- end of figures -->"

# arms of `evaluate` that the README names
TAUGHT = (
    "real only",
    "synthetic only",
    "synthetic only, labels shuffled",
    "synthetic, then real",
    "real, augmented",
)


def result(name: str) -> dict[str, Any]:
    """One file of benchmarks/results/."""
    told: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return told


def block() -> str:
    """The table between the two marks, marks included."""
    journey, setup, mini, export = result("journey"), result("setup"), result("mini"), result("export_speed")
    cases, planted, gate = result("evaluate_xray"), result("deidentify"), result("copy_gate")
    ladder = gate["real"]["power"]
    redrawn = gate["over"]["planted_beyond_the_bar"]
    train, draw = journey["train"], journey["generate"]
    rows = [
        (
            f"`train-product` on {journey['photos']} photos",
            f"{train['seconds']:.0f} s, {train['samples_per_second']:.1f} samples/s",
            f"{train['peak_memory_gb']:.1f} GB",
            journey["command"],
        ),
        (
            f"`generate --count {draw['pictures']}`",
            f"{draw['seconds']:.0f} s, {draw['pictures_per_second']:.2f} pictures/s",
            f"{draw['peak_memory_gb']:.1f} GB",
            journey["command"],
        ),
        *(
            (
                f"{export['pictures']} pictures as {name}".replace("as plain copy", "copied as files"),
                f"{row['mb_per_cpu_s']:.2g} MB per CPU second",
                f"{row['peak_mb'] / 1000:.2f} GB",
                export["command"],
            )
            for name, row in export["formats"].items()
        ),
        (
            f"`evaluate` of {cases['sets']['synthetic']} X-rays against {cases['sets']['real']} real ones",
            f"{cases['seconds']:.0f} s",
            f"{cases['peak_memory_gb']:.1f} GB",
            cases["command"],
        ),
        *(
            (
                f"AUROC on real patients, classifier of: {arm}",
                "{:.3f} ({:.3f} to {:.3f})".format(*cases["auroc"][arm]),
                "",
                cases["command"],
            )
            for arm in TAUGHT
        ),
        (
            "planted identifiers found before training",
            f"{planted['found']} of {planted['planted']}",
            "",
            "python benchmarks/deidentify.py",
        ),
        (
            f"fresh patients' X-rays that the copy gate takes for copies, wanted at most {gate['real']['alpha']:.0%}",
            "{:.1%} ({:.1%} to {:.1%})".format(
                *(gate["real"][f"mean_{part}"] for part in ("false_alarms", "low", "high"))
            ),
            "",
            gate["command"],
        ),
        (
            f"copies found: {', '.join(row['edit'] for row in ladder)}",
            f"{sum(row['found'] for row in ladder)} of {sum(row['planted'] for row in ladder)}",
            "",
            gate["command"],
        ),
        (
            f"copies found: redrawn by an adapter over-trained on {gate['over']['images']} X-rays",
            f"{redrawn['caught']} of {redrawn['copies']}",
            "",
            gate["command"],
        ),
        ("`make setup` on a fresh clone", f"{setup['seconds']:.0f} s", "", setup["command"]),
        *(
            (f"autoencoder on {row['pictures']}", f"{row['decibels']:.1f} dB PSNR", "", mini["command"])
            for row in mini["rows"]
        ),
        *(
            (
                f"{row['label'].replace('_', ' ')} of a {row['kind']} drawn as asked",
                f"{row['share']:.0%} ({row['low']:.0%} to {row['high']:.0%}); {row['judge']:.0%} on renders",
                "",
                mini["command"],
            )
            for row in mini["labels"]
        ),
    ]
    lines = [
        BEGIN,
        f"Measured on {journey['cores']} CPU cores ({journey['machine']}), {journey['date']}; yours will differ.",
        "",
        "| what | result | peak memory | command |",
        "| --- | --- | --- | --- |",
        *(
            f"| {what} | {value} | {memory} | {'as above' if before == command else f'`{command}`'} |"
            for (what, value, memory, command), before in zip(rows, ("", *(row[3] for row in rows)), strict=False)
        ),
        END,
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the block, or write it."""
    made = block()
    if "--write" not in sys.argv[1:]:
        print(made)
        return
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + made + after, encoding="utf-8")


if __name__ == "__main__":
    main()
