"""What a sweep of chest X-rays says of the severity that it reads."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from synthgen import adapters, card, generate, severity
from synthgen.bases import EMBEDDED, mini
from synthgen.gates import label
from synthgen.mini.world import render
from synthgen.types import Job, Judgement, Picture


def test_a_worse_finding_is_read_as_worse(tmp_path: Path) -> None:
    by: dict[tuple[str, ...], Path] = {}
    for row in range(8):
        for strength, fixed in {"0": {"finding": "none"}, "0.5": {"finding": "effusion", "severity": "mild"},
                                "1": {"finding": "effusion", "severity": "severe"}}.items():  # fmt: skip
            by[str(row), strength] = tmp_path / f"{row}-{strength}.png"
            Image.fromarray(render("xray", 70 + row, fixed).pixels).save(by[str(row), strength])
    found = severity.measured(by, "wet")
    none, mild, severe = found.levels
    assert (none.strength, mild.strength, severe.strength) == ("0", "0.5", "1")
    assert none.score < 0.5 < mild.score < 2 < severe.score <= 3 and found.rising == 1
    for level in found.levels:
        assert level.interval[0] <= level.score <= level.interval[1] and level.pictures == 8
        assert sum(level.shares.values()) == pytest.approx(1, abs=0.01)
    assert severe.shares["severe"] >= 0.75 and none.shares["none"] >= 0.75
    assert 0.8 * found.fresh <= found.right <= found.fresh
    assert "100 % of the prompts" in severity.told(found)[1]


def test_a_sweep_of_an_adapter_of_x_rays_writes_what_is_read_at_each_strength(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = mini.identify()
    base = mini.load(identity)
    base.add_adapter(4, 4.0)
    place = tmp_path / "adapters" / "wet"
    place.mkdir(parents=True)
    base.save_adapter(place)
    told = {"digest": "wet", "license": "LicenseRef-own", "modality": severity.MODALITY, "grey": True,
            "labels": {"condition": ["effusion"]}}  # fmt: skip
    made = card.Card(name="wet", domain="medical", category="effusion", trigger="sks", base=EMBEDDED, rank=4, alpha=4.0,
                     base_sha256=identity.sha256, license="LicenseRef-own", trained_on=told)  # fmt: skip
    adapters.save(place, made)
    run = tmp_path / "run"
    generate.run(generate.GenerateRequest(count=2, adapters=(str(place),), steps=2, sweep=("wet=0,1",), out=run))
    with (run / severity.TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["strength_wet"] for row in rows] == ["0", "1"] and {row["pictures"] for row in rows} == {"2"}
    assert all(0 <= float(row["low"]) <= float(row["score"]) <= float(row["high"]) <= 3 for row in rows)
    assert rows[0]["judge"].startswith("synthgen-mini-judge@")
    assert rows[0]["score"] == rows[1]["score"]  # the adapter has learned nothing
    assert "by the strength of wet" in capsys.readouterr().err
    assert not severity.readable("sdxl", [made]) and severity.readable(EMBEDDED, [made])


def test_severity_and_stain_are_read_beside_what_was_asked_and_reject_nothing() -> None:
    def judged(kind: str, asked: dict[str, str], drawn: dict[str, str]) -> Judgement:
        job = Job("a", 0, "", "", 1, asked)
        return label.judge(Picture(job, render(kind, 81, drawn).pixels))

    worse = judged("xray", {"finding": "effusion", "severity": "mild"}, {"finding": "effusion", "severity": "severe"})
    assert worse.accepted and worse.measured["severity"] == "severe" and worse.measured["label_agreement"] == 0.5
    stained = judged("smear", {"stain": "standard"}, {"stain": "bluish"})
    assert stained.accepted and stained.measured["stain"] == "bluish"
