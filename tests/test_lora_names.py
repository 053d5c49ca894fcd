"""The names of sd-scripts and the web UIs: read as diffusers' own converter reads them, and loaded whole by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lora_files
import pytest
import torch
import toy_bases
from safetensors.torch import load_file, save_file

from synthgen import adapters, bases, lora, lora_exchange, lora_names
from synthgen.lora_exchange import Base, Statement

SD1 = {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8}
SDXL = {
    "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip  # the configurations that stabilityai and CompVis published
# Names that other programs have in their sources and tests, and the module that each means.
KNOWN = {
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_k":
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k",
    "lora_unet_output_blocks_5_1_transformer_blocks_1_attn2_to_k":
        "unet.up_blocks.1.attentions.2.transformer_blocks.1.attn2.to_k",
    "lora_unet_middle_block_1_proj_in": "unet.mid_block.attentions.0.proj_in",
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q":
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "lora_te2_text_model_encoder_layers_0_self_attn_q_proj": "text_encoder_2.encoder.layers.0.self_attn.q_proj",
    "lora_te1_text_model_encoder_layers_0_mlp_fc1": "text_encoder.encoder.layers.0.mlp.fc1",
}  # fmt: skip


FILE = Path("xl.safetensors")


def modules(config: Mapping[str, Any]) -> list[str]:
    """Every module with a matrix or a kernel of a real UNet of this size, without its weights."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, **config)
    return [
        f"unet.{name.removesuffix('.weight')}"
        for name, value in unet.state_dict().items()
        if name.endswith(".weight") and value.dim() >= 2
    ]


@pytest.mark.parametrize("config", [SD1, SDXL])
def test_every_module_of_a_unet_of_full_size_has_the_first_programs_name_that_diffusers_reads(
    config: Mapping[str, Any],
) -> None:
    from types import SimpleNamespace

    from diffusers.loaders.lora_conversion_utils import (
        _convert_non_diffusers_lora_to_diffusers,
        _maybe_map_sgm_blocks_to_diffusers,
    )

    places = modules(config)
    flat = lora_names.flat(places)
    assert "" not in flat.values() and set(flat.values()) == set(places)
    first = {place: name for name, place in flat.items() if name != lora_names.of_place(place)}
    inside = {place: name for place, name in first.items() if "attentions" in place}
    assert len(inside) == sum("attentions" in place for place in places)
    state = {
        f"{name}.{half}.weight": torch.full((1, 1), number)
        for number, name in enumerate(inside.values())
        for half in ("lora_down", "lora_up")
    }
    state = _maybe_map_sgm_blocks_to_diffusers(dict(state), SimpleNamespace(layers_per_block=2))
    made, _ = _convert_non_diffusers_lora_to_diffusers(state)
    halves = {_plain(name): int(value) for name, value in made.items() if name.endswith("down.weight")}
    assert halves == {place: number for number, place in enumerate(inside)}


def _plain(name: str) -> str:
    """A name of diffusers' older layout as the module that it means."""
    module = re.sub(r"[._]lora\.down\.weight\Z", "", name.replace(".processor.", "."))
    return f"{module}.0" if module.endswith(".to_out") else module


def test_names_that_other_programs_write_are_read() -> None:
    encoders = [place for place in KNOWN.values() if not place.startswith("unet.")]
    flat = lora_names.flat([*modules(SDXL), *encoders])
    assert {name: flat[name] for name in KNOWN} == KNOWN


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bases.write("sdxl", tmp_path_factory.mktemp("xl") / "toy-xl")


@pytest.fixture
def base(sdxl: Path) -> Base:
    module, identity = bases.find(str(sdxl))
    return Base(identity, module.places(identity), module.MODELSPEC)


def kohya_xl(sdxl: Path, file: Path) -> dict[str, tuple[Any, Any]]:
    """As sd-scripts saves a LoRA of SDXL: the first program's names, te1 and te2; place -> its halves."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    state: dict[str, Any] = {}
    held = {}
    kinds = (
        ("unet", UNet2DConditionModel, lora_files.UNET_TARGETS), ("text_encoder", CLIPTextModel, ["q_proj", "fc1"]),
        ("text_encoder_2", CLIPTextModelWithProjection, ["q_proj", "fc1"]),
    )  # fmt: skip
    unet = UNet2DConditionModel.from_pretrained(sdxl / "unet", use_safetensors=True)
    flat = lora_names.flat(f"unet.{name}" for name, module in unet.named_modules() if hasattr(module, "weight"))
    first = {place: name for name, place in flat.items() if "_blocks_" in name and name != lora_names.of_place(place)}
    for part, kind, targets in kinds:
        model = lora_files.adapted(kind.from_pretrained(sdxl / part, use_safetensors=True), targets)
        for module, halves in lora_files.pairs(model).items():
            number = {"text_encoder": 1, "text_encoder_2": 2}.get(part)
            inner = module if module.startswith("text_model.") else f"text_model.{module}"
            name = f"lora_te{number}_{inner}".replace(".", "_") if number else first.get(f"unet.{module}", "")
            name = name or f"lora_unet_{module}".replace(".", "_").replace("mid_block_attentions_0", "middle_block_1")
            held[f"{part}.{module.removeprefix('text_model.')}"] = halves
            state[f"{name}.lora_down.weight"], state[f"{name}.lora_up.weight"] = halves
            state[f"{name}.alpha"] = torch.tensor(lora_files.ALPHA)
    save_file(state, file)
    return held


def test_a_file_of_sd_scripts_for_xl_comes_in_whole_and_goes_out_as_diffusers_loads_it(
    sdxl: Path, base: Base, empty_folder: Path
) -> None:
    from diffusers import StableDiffusionXLPipeline

    held = kohya_xl(sdxl, FILE)
    names = {key.partition(".")[0] for key in load_file(FILE)}
    assert any("input_blocks" in name for name in names) and any(name.startswith("lora_te2_") for name in names)
    folder, _ = lora_exchange.bring_in(FILE, base, Statement(), Path("adapters"))
    inside = load_file(folder / adapters.WEIGHTS)
    for place, (down, up) in held.items():
        place = next(one for one in (place, place.replace(".", ".text_model.", 1)) if f"{one}.lora_A.weight" in inside)
        assert torch.equal(inside[f"{place}.lora_A.weight"], down) and torch.equal(inside[f"{place}.lora_B.weight"], up)
    out = lora_exchange.take_out(folder, "kohya", Path("out.safetensors"), base.modelspec)
    starts = {pair.module.split("_")[1] for pair in lora.read(out).pairs}
    assert starts == {"unet", "te1", "te2"}
    pipe = StableDiffusionXLPipeline.from_pretrained(sdxl, use_safetensors=True, add_watermarker=False)
    pipe.load_lora_weights(load_file(out), adapter_name="x")
    layers = [layer for _, layer in pipe.unet.named_modules() if hasattr(layer, "scaling")]
    assert len(layers) == sum(place.startswith("unet.") for place in held)
    assert {layer.scaling["x"] for layer in layers} == {lora_files.ALPHA / lora_files.RANK}
    for number, part in (
        (1, "text_encoder"),
        (2, "text_encoder_2"),
    ):  # diffusers loses some, see test_lora_exchange
        came, went = ({k: v for k, v in load_file(file).items() if f"lora_te{number}_" in k} for file in (FILE, out))
        assert len(came) == 3 * sum(place.startswith(f"{part}.") for place in held)
        assert came.keys() == went.keys() and all(torch.equal(came[name], went[name]) for name in came)


def test_another_layout_does_not_hide_that_weights_are_the_same(
    trained: Path, toy: Path, empty_folder: Path, synthgen: Callable[..., Any]
) -> None:
    import shutil

    shutil.copytree(trained, empty_folder / "adapters" / "ours")
    out = synthgen("adapters", "export", "ours", "--format", "kohya", "--out", "free.safetensors")
    assert out.code == 0
    told = synthgen("adapters", "import", "free.safetensors", "--base", toy, "--license", "CC0-1.0", "--trigger", "x")
    assert told.code == 0, told.err
    assert "adapter 'ours' holds the same weights; its card says licence LicenseRef-own, not CC0-1.0." in told.err
