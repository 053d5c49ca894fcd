"""Sweeps of adapter strengths, blocks, the grid, and what two adapters do to one another."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_base import SIZE_PX

from synthgen import blend, card, generate, replay, store, sweep
from synthgen.errors import RequestError, UnknownName
from synthgen.types import AdapterUse


def made_up(toy: Path, folder: Path, trigger: str, seed: int) -> Path:
    """A finished adapter whose matrices are random: nothing here asks what it has learned."""
    import torch

    from synthgen import adapters
    from synthgen.bases import mini

    identity = mini.identify(toy)
    base = mini.load(identity)
    torch.manual_seed(seed)
    for parameter in base.add_adapter(4, 2.0).values():
        parameter.data.normal_(0, 0.4)
    folder.mkdir(parents=True)
    base.save_adapter(folder)
    told = {"digest": folder.name, "license": "LicenseRef-own"}
    adapters.save(
        folder,
        card.Card(name=folder.name, domain="apparel", category="shirt", trigger=trigger, base="toy", rank=4, alpha=2.0,
                  base_sha256=identity.sha256, license="LicenseRef-own", trained_on=told),
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def pair(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("pair") / "adapters"
    return made_up(toy, place / "a", "sks", 1), made_up(toy, place / "b", "zwx", 2)


def asked(toy: Path, out: Path, pair: tuple[Path, ...], **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": 2, "base": str(toy), "adapters": tuple(map(str, pair)), "size": SIZE_PX, "steps": 1, "batch": 4,
           "out": out, **more}
    )  # fmt: skip


def test_strengths_are_read_in_decimals_and_wrong_ones_told() -> None:
    uses = [AdapterUse("a", Path("a")), AdapterUse("b", Path("b"))]
    (found,) = sweep.parse(["a=0:1.2:0.2"], uses)
    assert found.strengths == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
    assert sweep.parse(["b=1,0,0.5"], uses)[0].strengths == (1.0, 0.0, 0.5)
    with pytest.raises(UnknownName, match="has no 'c'"):
        sweep.parse(["c=0:1:0.5"], uses)
    for text in ("a", "a=", "a=0:1", "a=0:1:0", "a=1:0:0.1", "a=0:3:1", "a=x", "a=1", "a=0:1:0.001", "a=nan,1"):
        with pytest.raises(RequestError, match="--sweep"):
            sweep.parse([text], uses)
    with pytest.raises(RequestError, match="each once"):
        sweep.parse(["a=0,1", "a=0,1"], uses)


def test_a_sweep_draws_the_same_prompts_and_seeds_at_every_strength_and_a_labelled_grid(
    toy: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    request = asked(toy, tmp_path / "run", pair[:1], sweep=("a=0:1:0.5",))
    result = generate.run(request)
    assert (result.count, result.made) == (6, 6)
    lines = store.read(tmp_path / "run")
    for row in range(2):
        told = [line["lineage"] for line in lines if line["lineage"]["requested"]["sweep_row"] == str(row)]
        assert [item["adapters"][0]["weight"] for item in told] == [0, 0.5, 1]
        assert [item["requested"]["strength_a"] for item in told] == ["0", "0.5", "1"]
        for key in ("seed", "prompt"):
            assert len({item[key] for item in told}) == 1
        assert len({item["requested"]["keypoints"] for item in told}) == 1
        assert len({item["pixel_sha256"] for item in told}) == 3
    with Image.open(tmp_path / "run" / sweep.GRID) as grid:
        sheet = np.asarray(grid).astype(int)
    assert sheet.shape[1] > 3 * SIZE_PX and sheet.shape[0] > 2 * SIZE_PX
    first = np.asarray(Image.open(tmp_path / "run" / lines[0]["file_name"])).astype(int)
    found = [(y, x) for y in range(20, 34) for x in range(100, 130) if (sheet[y, x : x + 2] == first[0, :2]).all()]
    assert any((sheet[y : y + SIZE_PX, x : x + SIZE_PX] == first).all() for y, x in found)
    for line in lines[1::2]:
        found_again = replay.picture(
            tmp_path / "run" / line["file_name"], replay.Places(base=str(toy), adapter=[str(pair[0])])
        )
        assert found_again.status == replay.SAME


def test_a_sweep_that_was_stopped_before_its_grid_gets_it_from_the_same_command(
    toy: Path, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(toy, tmp_path / "run", pair[:1], count=1, sweep=("a=0,1",))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sweep, "_draw", stopped)
        with pytest.raises(KeyboardInterrupt):
            generate.run(request)
    result = generate.run(request)
    assert (result.made, result.count) == (0, 2)
    assert (tmp_path / "run" / sweep.GRID).is_file()


def test_two_swept_adapters_are_asked_for_apart_and_their_blend_is_told(
    toy: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.run(asked(toy, tmp_path / "run", pair, count=1, sweep=("a=0,1", "b=0,1")))
    lines = store.read(tmp_path / "run")
    assert len(lines) == 8
    for line in lines:
        word, other = ("sks", "zwx") if line["lineage"]["requested"]["concept"] == "a" else ("zwx", "sks")
        assert word in line["lineage"]["prompt"] and other not in line["lineage"]["prompt"]
    with (tmp_path / "run" / blend.TABLE).open(newline="") as file:
        cells = {(row["concept"], row["strength_a"], row["strength_b"]): row for row in csv.DictReader(file)}
    assert len(cells) == 8
    assert float(cells["a", "1", "0"]["fidelity"]) == 1 and float(cells["a", "0", "0"]["fidelity"]) == 0
    assert float(cells["a", "1", "0"]["bleed"]) == 0 and float(cells["a", "1", "1"]["bleed"]) > 0
    assert "suggested: --adapter a:" in capsys.readouterr().err


def test_a_block_that_is_weakened_to_nothing_leaves_the_base_there_and_replay_knows(
    toy: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    from synthgen.bases import mini

    def run(name: str, *factors: str) -> generate.RunResult:
        return generate.run(asked(toy, tmp_path / name, pair[:1], block_weight=factors))

    base = mini.load(mini.identify(toy))
    unet = base.parts.unet
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    base.attach([AdapterUse("a", pair[0], 1.0, (("unet.down_blocks", 0.0), ("unet.up_blocks.0", 0.5)))])
    changed = {key.split(".")[0] for key, value in unet.state_dict().items() if (value != before[key]).any()}
    assert changed == {"mid_block", "up_blocks"}
    run("half", "a=down:0,up_blocks.0:0.5")
    line = store.read(tmp_path / "half")[0]
    assert line["lineage"]["adapters"][0]["blocks"] == {"unet.down_blocks": 0.0, "unet.up_blocks.0": 0.5}
    found = replay.picture(tmp_path / "half" / line["file_name"], replay.Places(base=str(toy), adapter=[str(pair[0])]))
    assert found.status == replay.SAME
    for wrong in ("a=middle:0.5", "a=up:9", "a=up"):
        with pytest.raises(RequestError, match="--block-weight"):
            run("wrong", wrong)


def test_the_longest_start_of_a_module_says_its_strength() -> None:
    use = AdapterUse("a", Path("a"), 0.8, (("unet.up_blocks", 0.5), ("unet.up_blocks.1", 0.0)))
    assert use.strength("unet.up_blocks.1.attentions.0") == 0
    assert use.strength("unet.up_blocks.10.attentions.0") == 0.4
    assert use.strength("unet.mid_block") == 0.8


def test_adapters_that_are_taken_off_leave_no_trace(toy: Path, pair: tuple[Path, Path]) -> None:
    from synthgen.bases import mini

    base = mini.load(mini.identify(toy))
    before = {key: value.clone() for key, value in base.parts.unet.state_dict().items()}
    base.attach([AdapterUse("a", pair[0], 0.7), AdapterUse("b", pair[1], -0.3)])
    assert any((value != before[key]).any() for key, value in base.parts.unet.state_dict().items())
    base.attach([])
    assert all((value == before[key]).all() for key, value in base.parts.unet.state_dict().items())
