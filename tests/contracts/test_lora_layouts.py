"""What every family in synthgen/bases/ promises of LoRA files: each tool's come in whole, ours go out to web UIs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lora_tools
import pytest
import torch
import toy_bases
from safetensors.torch import load_file, save_file

from synthgen import adapters, bases, lora, lora_exchange, rooms
from synthgen.errors import RequestError, UnfitAdapter
from synthgen.lora_exchange import Base, Statement

FAMILIES = sorted(rooms.members("bases"))
READ_BY_DIFFUSERS = {
    "sd15",
    "sdxl",
    "mini",
    "flux",
    "flux2",
    "qwen_image",
    "z_image",
}  # it has no reader of kohya's SD3


@dataclass(frozen=True)
class Case:
    """A toy base, its family, and the family's unmodified pipeline."""

    name: str
    family: Any
    base: Base
    pipe: Any

    @property
    def part(self) -> str:
        return str(self.family.DENOISER)


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, family = request.param, bases.family(request.param)
    folder = toy_bases.write(name, tmp_path_factory.mktemp(name) / f"toy-{name}")
    identity = bases.find(str(folder))[1]
    places = family.places(identity)
    return Case(name, family, Base(identity, places, family.MODELSPEC, family.FIRST), family.open(identity))


def inside(folder: Path) -> dict[str, Any]:
    """Place -> the change that an adapter folder means for the weight there."""
    found = lora.read(folder / adapters.WEIGHTS)
    held, alphas = load_file(found.path), lora.alphas(found)
    return {
        pair.module: (held[pair.up].flatten(1) @ held[pair.down].flatten(1)) * (alphas[pair.module] / pair.rank)
        for pair in found.pairs
    }


def read_by_diffusers(case: Case, file: Path) -> dict[str, Any]:
    """The same of what unmodified diffusers makes of a file."""
    case.pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name="it", local_files_only=True)
    found = {
        f"{case.part}.{name}": layer.get_delta_weight("it").detach().flatten(1)
        for name, layer in getattr(case.pipe, case.part).named_modules()
        if hasattr(layer, "lora_A") and "it" in layer.lora_A
    }
    case.pipe.unload_lora_weights()
    return found


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for place, change in wanted.items():
        assert torch.allclose(found[place], change.flatten(1), atol=1e-5), place


@pytest.mark.parametrize("tool", [*lora_tools.TOOLS, "comfyui"])
def test_a_file_of_each_tool_comes_in_with_no_key_lost_and_at_its_strength(
    case: Case, tool: str, empty_folder: Path
) -> None:
    file = Path("theirs.safetensors")
    wanted = lora_tools.write(file, case.name, tool, case.base.places)
    folder, _ = lora_exchange.bring_in(file, case.base, Statement(name="it"), Path("adapters"))
    assert_same(inside(folder), wanted)
    told = lora_exchange.facts(file, [case.base])
    assert [row["fits"] for row in told["fits"]] == [True]
    if tool == "kohya" and case.name in READ_BY_DIFFUSERS:
        # diffusers knows the widths of FLUX.1's linear1 at full size only, and does not state its adaLN's strength
        part = "single_blocks_0_linear1" if case.name == "flux" else "none"
        few = lora_tools.write(file, case.name, tool, case.base.places, without=part)
        few = {place: change for place, change in few.items() if "norm_out" not in place}
        if case.name == "flux":
            save_file({key: value for key, value in load_file(file).items() if "final_layer" not in key}, file)
        assert_same(read_by_diffusers(case, file), few)


def test_a_key_without_a_place_is_refused_by_its_name(case: Case, empty_folder: Path) -> None:
    file, strange = Path("theirs.safetensors"), "lora_unet_double_blocks_97_img_attn_qkv"
    lora_tools.write(file, case.name, "kohya", case.base.places)
    state = load_file(file)
    name = next(key for key in state if key.endswith("lora_up.weight"))
    more = {f"{strange}.lora_down.weight": torch.ones(4, 8), f"{strange}.lora_up.weight": torch.ones(8, 4)}
    for added, named in ((more, strange), ({name.replace("lora_up.weight", "diff_b"): torch.ones(3)}, "diff_b")):
        save_file({**state, **added}, file)
        with pytest.raises(UnfitAdapter, match=named):
            lora_exchange.bring_in(file, case.base, Statement(name="it"), Path("adapters"))


def test_ours_goes_out_in_the_kohya_layout_at_the_same_strength(case: Case, empty_folder: Path) -> None:
    """Where one matrix is several modules of diffusers and one of them is not adapted, its rows are zeros."""
    file, left_out = Path("theirs.safetensors"), "to_k" if case.part == "transformer" else "none"
    wanted = lora_tools.write(file, case.name, "diffusers", case.base.places, without=left_out)
    folder, _ = lora_exchange.bring_in(file, case.base, Statement(name="it"), Path("adapters"))
    out = lora_exchange.take_out(folder, "kohya", Path("out.safetensors"), case.family.MODELSPEC, case.family.FIRST)
    joined = bool(case.family.FIRST)
    known = lora_tools.names(case.name, "comfyui" if joined else "OneTrainer" if case.part == "unet" else "kohya")
    held = load_file(out)
    for pair in lora.read(out).pairs:
        scale = float(held[pair.alpha]) / pair.rank
        change = scale * held[pair.up].flatten(1) @ held[pair.down].flatten(1)
        rows = []
        for told in known.pop(pair.module):
            place = f"{case.part}.{told.removeprefix(lora_tools.HALVES)}"
            shape = case.base.places[place]
            own = wanted.pop(place, torch.zeros(shape)).flatten(1)
            rows.append(torch.cat(own.chunk(2)[::-1]) if told.startswith(lora_tools.HALVES) else own)
        assert torch.allclose(change, torch.cat(rows), atol=1e-5), pair.module
    assert not wanted and all(all(left_out in one for one in made) for made in known.values())
    again, _ = lora_exchange.bring_in(out, case.base, Statement(name="again"), Path("adapters"))
    first, second = inside(folder), inside(again)
    assert all(torch.allclose(first[place], second[place], atol=1e-5) for place in first)
    assert not any(second[place].any() for place in {*second} - {*first})
    if case.name in READ_BY_DIFFUSERS - {"flux"}:
        found = read_by_diffusers(case, out)
        assert all(torch.allclose(found[place], change, atol=1e-5) for place, change in first.items())


def test_what_came_in_as_one_matrix_goes_out_as_that_matrix(case: Case, empty_folder: Path) -> None:
    file = Path("theirs.safetensors")
    lora_tools.write(file, case.name, "comfyui", case.base.places)
    folder, _ = lora_exchange.bring_in(file, case.base, Statement(name="it"), Path("adapters"))
    out = lora_exchange.take_out(folder, "kohya", Path("out.safetensors"), case.family.MODELSPEC, case.family.FIRST)
    came, went = load_file(file), load_file(out)
    if case.part == "transformer":
        assert came.keys() == went.keys()
    assert len(came) == len(went)
    assert sorted(one.numpy().tobytes() for one in came.values()) == sorted(
        one.numpy().tobytes() for one in went.values()
    )


def test_modules_of_one_matrix_at_two_strengths_are_not_written_as_one(case: Case, empty_folder: Path) -> None:
    if not case.family.FIRST:
        return
    file = Path("theirs.safetensors")
    lora_tools.write(file, case.name, "OneTrainer", case.base.places)
    state = load_file(file)
    name = next(key for key in state if key.endswith("to_q.alpha"))
    save_file({**state, name: torch.tensor(1.0)}, file)
    folder, _ = lora_exchange.bring_in(file, case.base, Statement(name="it"), Path("adapters"))
    with pytest.raises(RequestError, match=r"at strength 0\.25, 0\.5\. Say --format diffusers"):
        lora_exchange.take_out(folder, "kohya", Path("out.safetensors"), case.family.MODELSPEC, case.family.FIRST)
    assert not Path("out.safetensors").exists()
