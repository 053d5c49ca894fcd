"""Single files as the web UIs have them, for the families that have them: drawn, trained on, and refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import first_files
import numpy as np
import pytest
import torch
import toy_bases
from safetensors.torch import load_file, save_file
from toy_base import OWN, photos

from synthgen import adapters, base_needs, bases, generate, model_folder, train
from synthgen.bases import _one_file
from synthgen.errors import RequestError
from synthgen.memory_modes import MODES
from synthgen.types import Job

JOB = Job("0" * 16, 0, "a photo of a sks shirt", "", 5, {})


UNETS = ["sd15", "sdxl"]
TRANSFORMERS = ["flux", "flux2", "qwen_image", "sd3", "z_image"]  # of which a file holds the transformer alone


@pytest.fixture(scope="module", params=[*UNETS, *TRANSFORMERS])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A toy as a folder, and as one file with a folder of what it does not hold beside it."""
    place = tmp_path_factory.mktemp("single")
    folder = toy_bases.write(request.param, place / f"toy-{request.param}")
    single = place / "models" / "mine.safetensors"
    if request.param in TRANSFORMERS:
        return folder, first_files.write_transformer(folder, single, "model.diffusion_model.")
    return folder, first_files.write(folder, single, double=request.param == "sdxl")


def drawn(name: Path) -> np.ndarray:
    family, identity = bases.find(str(name))
    base = family.load(identity, "cpu")
    settings = {**base.settings, "num_inference_steps": 2, "controlnet_conditioning_scale": 1.0, "threads": 1}
    return np.asarray(base.render([JOB], [None], settings)[0].pixels)


def test_a_file_draws_what_its_folder_draws_and_has_its_places(file: tuple[Path, Path]) -> None:
    folder, single = file
    (family, whole), (other, one) = bases.find(str(folder)), bases.find(str(single))
    assert family is other and (one.id, one.license) == ("mine", "unknown")
    assert family.places(whole) == family.places(one)
    assert np.abs(drawn(folder).astype(int) - drawn(single)).max() <= (1 if family.name in UNETS else 0)


def test_a_file_can_be_trained_on_and_its_adapter_draws(file: tuple[Path, Path], tmp_path: Path) -> None:
    _, single = file
    quick = pytest.MonkeyPatch()
    family = bases.find(str(single))[0]
    quick.setattr(type(family), "SETTINGS", {**family.SETTINGS, "num_inference_steps": 2, "batch": 8})
    asked = train.TrainRequest(
        photos(tmp_path / "shirts", 3), base=str(single), steps=3, batch=3, learning_rate=3.0, rights=OWN,
        size=toy_bases.SIDE_PX, out=tmp_path / "shirts-adapter",
    )  # fmt: skip
    adapter = train.fit(asked)
    assert "mine.safetensors" in adapters.load_card(adapter).base_files
    result = generate.run(
        generate.GenerateRequest(count=1, base=str(single), adapters=(str(adapter),), out=tmp_path / "run", size=64)
    )
    quick.undo()
    assert result.made == 1


def test_a_file_without_settings_a_pickle_and_a_stranger_are_refused_by_name(
    file: tuple[Path, Path], tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    _, single = file
    lone = tmp_path / "lone.safetensors"
    lone.write_bytes(single.read_bytes())
    with pytest.raises(RequestError, match=r"taken from lone/ beside it.*synthgen bases pull [a-z]"):
        bases.find(str(lone))
    (tmp_path / "old.ckpt").write_bytes(b"x")
    told = synthgen("generate", "--count", 1, "--no-adapter", "--base", tmp_path / "old.ckpt")
    assert told.code == 2 and "is a pickle" in told.err
    (tmp_path / "old.gguf").write_bytes(b"GGUF")
    with pytest.raises(RequestError, match="few bits as GGUF, which are not read here"):
        bases.find(str(tmp_path / "old.gguf"))
    (stranger,) = (single.parent.parent / f"toy-{bases.find(str(single))[0].name}").glob("vae/*.safetensors")
    with pytest.raises(RequestError, match="no single-file base that is known"):
        bases.find(str(stranger))


CONVERTERS = {name: f"convert_{name}_transformer_checkpoint_to_diffusers" for name in TRANSFORMERS if name[0] != "q"}


@pytest.mark.parametrize("name", CONVERTERS)
def test_what_is_made_of_a_transformer_in_one_file_is_what_diffusers_makes_of_it(name: str, tmp_path: Path) -> None:
    """diffusers takes FLUX.1 for 3072 wide whatever it is: its tensors are as long here, and one number across."""
    from diffusers import FluxTransformer2DModel
    from diffusers.loaders import single_file_utils

    folder = toy_bases.write(name, tmp_path / "toy")
    family, _ = bases.find(str(folder))
    shapes = _one_file.wanted(model_folder.read(folder), "transformer")
    if name == "flux":
        with torch.device("meta"):
            made = FluxTransformer2DModel(num_layers=2, num_single_layers=2, guidance_embeds=True)
        shapes = {key: tuple(value.shape) for key, value in made.state_dict().items()}
    thin = {key: (*shape[:1], *(1 for _ in shape[1:])) if name == "flux" else shape for key, shape in shapes.items()}
    values = {key: torch.randn(shape) for key, shape in thin.items()}
    first = first_files.first_names(family, values, shapes)
    assert {*first} != {*values}
    theirs = getattr(single_file_utils, CONVERTERS[name])(dict(first), config={})
    assert {*theirs} == {*values} and all(torch.equal(theirs[key], values[key]) for key in values)
    save_file(first, tmp_path / "mine.safetensors")
    ours = _one_file.tensors(tmp_path / "mine.safetensors", family.FIRST, shapes, torch.float32)
    assert {*ours} == {*values} and all(torch.equal(ours[key], values[key]) for key in values)


def test_whole_weights_in_8_bits_are_read_as_the_numbers_that_they_are(tmp_path: Path) -> None:
    family, shapes = (
        bases.family("qwen_image"),
        {"txt_norm.weight": (4,), "transformer_blocks.0.img_mod.1.weight": (6, 4)},
    )
    small = {name: torch.randn(shape).to(torch.float8_e4m3fn) for name, shape in shapes.items()}
    file = tmp_path / "mine.safetensors"
    save_file({f"model.diffusion_model.{name}": value for name, value in small.items()}, file)
    held = model_folder.headers([file])
    assert family.claims_file(held) and _one_file.misfit(family.FIRST, shapes, held) == ""
    found = _one_file.tensors(file, family.FIRST, shapes, torch.bfloat16)
    assert all(torch.equal(found[name], value.to(torch.bfloat16)) for name, value in small.items())


def test_a_transformer_in_one_file_brings_the_licence_of_the_parts_beside_it_and_counts_as_its_folder(
    file: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, single = file
    bases._say.cache_clear()  # what is said once was said to the tests before
    family, identity = [bases.find(str(single)) for _ in range(2)][-1]
    if family.name not in TRANSFORMERS:
        assert not identity.beside and len(identity.assets()) == 1
        return
    assert capsys.readouterr().err.count("holds a transformer; all else is that of mine/") == 1
    beside = single.with_suffix("")
    (beside / "rights.toml").write_text('owner = "Acme"\nlicense = "CC-BY-NC-4.0"\n')
    identity = bases.find(str(single))[1]
    (beside / "rights.toml").unlink()
    assert [(one.kind, one.license) for one in identity.assets()] == [("base", "unknown"), ("base", "CC-BY-NC-4.0")]
    assert identity.told()["parts_license"] == "CC-BY-NC-4.0"
    whole = bases.find(str(folder))[1]
    assert base_needs.parameters(identity) == base_needs.parameters(whole)
    for mode in MODES.values():
        assert base_needs.few(family, identity, mode) == base_needs.few(family, whole, mode)


def test_a_transformer_that_does_not_go_with_what_is_beside_it_is_refused_with_the_reason(
    file: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, single = file
    if bases.find(str(folder))[0].name not in TRANSFORMERS:
        return
    held = load_file(single)
    name = min(key for key, value in held.items() if value.dim() == 2)

    def refused(tensors: dict[str, Any], reason: str) -> None:
        save_file(tensors, tmp_path / "mine.safetensors")
        with pytest.raises(RequestError, match=rf"mine/ beside it: .*{reason}"):
            bases.find(str(tmp_path / "mine.safetensors"))

    shutil.copytree(single.with_suffix(""), tmp_path / "mine")
    refused({**held, name: torch.cat([held[name]] * 2, 1)}, "that of the base is")
    refused(
        {**held, "model.diffusion_model.more.weight": held[name].clone()}, "more.weight, which that has no place for"
    )
    refused({**held, f"{name[:-6]}scale_weight": torch.ones(1)}, "8 bits with scales")
    for file_of in (tmp_path / "mine" / "vae").glob("*.safetensors"):
        file_of.unlink()
    refused(held, "brings no vae, and neither does the folder")
