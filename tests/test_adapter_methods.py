"""Every kind of adapter does the same when it is loaded again as when it was trained, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_bases
from safetensors.torch import load_file, save_file
from toy_base import OWN, SIZE_PX, photos

from synthgen import adapter_methods, adapters, bases, generate, lora, lora_exchange, store, tensor_file, train
from synthgen.errors import RequestError, UnfitAdapter, UnknownName
from synthgen.types import AdapterUse

RANK, ALPHA = 4, 2.0


@pytest.fixture(scope="module", params=["mini", "sd3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UNet whose projections are convolutions, and a transformer."""
    return toy_bases.write(request.param, tmp_path_factory.mktemp("methods") / f"toy-{request.param}")


def alpha_of(method: str) -> float:
    return float(RANK) if method == "oft" else ALPHA


def loaded(folder: Path) -> Any:
    family, identity = bases.find(str(folder))
    base = family.load(identity, "cpu")
    base.size = SIZE_PX
    return base


def stirred(base: Any, method: str, place: Path, seed: int = 0) -> Path:
    """An adapter folder of this kind, whose values are drawn at random."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    for name, value in base.add_adapter(RANK, alpha_of(method), method).items():
        scale = 0.02 if "magnitude" in name else 0.2
        value.data += scale * torch.randn(value.shape, generator=rng)
    base.save_adapter(place)
    return place


def told(base: Any) -> Any:
    """What the network tells of two noisy pictures."""
    import torch

    rng = torch.Generator().manual_seed(5)
    pixels = np.random.default_rng(3).integers(0, 255, (2, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    latents, words = base.encode_pixels(pixels), base.encode_texts(["a photo of a sks shirt", "a sks dress"])
    noisy, moment = base.process.mix(latents, torch.randn(latents.shape, generator=rng), torch.tensor([300, 700]))
    with torch.no_grad():
        return base.family.predict(base, noisy, moment, words)


def attached(folder: Path, *uses: AdapterUse) -> Any:
    base = loaded(folder)
    base.attach(uses)
    return told(base)


@pytest.mark.parametrize("method", adapter_methods.NAMES)
def test_an_adapter_loaded_again_is_the_one_that_was_trained(method: str, folder: Path, tmp_path: Path) -> None:
    base = loaded(folder)
    plain = told(base)
    stirred(base, method, tmp_path / "it")
    trained, again = told(base), attached(folder, AdapterUse("it", tmp_path / "it"))
    reach = float((trained - plain).abs().max())
    assert reach > 0.02
    assert float((again - trained).abs().max()) < 1e-3 * max(1.0, reach)


@pytest.mark.parametrize("method", adapter_methods.NAMES)
def test_a_fresh_adapter_changes_nothing_and_all_of_its_values_learn(method: str, folder: Path) -> None:
    import torch

    base = loaded(folder)
    plain = told(base)
    parameters = base.add_adapter(RANK, alpha_of(method), method)
    assert torch.allclose(told(base), plain, atol=1e-5)
    for value in parameters.values():  # away from the point where one half of a pair has no gradient
        value.data += 0.05 * torch.randn_like(value)
    pixels = np.random.default_rng(3).integers(0, 255, (2, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    latents = base.encode_pixels(pixels)
    words = base.encode_texts(["a sks shirt", "a dress"])
    base.loss(latents, words, torch.tensor([300, 700]), torch.randn_like(latents)).mean().backward()
    learning = [value.grad is not None and bool(value.grad.any()) for value in parameters.values()]
    assert sum(learning) > 0.9 * len(learning)  # a toy's last block may not see the words that its pair reads


@pytest.mark.parametrize("method", adapter_methods.NAMES)
def test_strength_weighs_the_whole_change_and_changes_add_up(method: str, toy: Path, tmp_path: Path) -> None:
    base = loaded(toy)
    stirred(base, method, tmp_path / "one")
    stirred(loaded(toy), "lora", tmp_path / "two", seed=1)

    def weights(*uses: AdapterUse) -> Any:
        base = loaded(toy)
        base.attach(uses)
        return base.denoiser.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_q").weight.detach()

    one, two = tmp_path / "one", tmp_path / "two"
    plain, first, second = weights(), weights(AdapterUse("a", one)), weights(AdapterUse("b", two))
    assert (weights(AdapterUse("a", one, 0.0)) == plain).all()
    half = weights(AdapterUse("a", one, 0.5))
    assert ((half - plain) - (first - plain) / 2).abs().max() < 1e-6
    both = weights(AdapterUse("b", two), AdapterUse("a", one))
    assert ((both - plain) - (first - plain) - (second - plain)).abs().max() < 1e-5


def unmodified(folder: Path) -> Any:
    import torch
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True, safety_checker=None)


@pytest.mark.parametrize("method", adapter_methods.NAMES)
def test_unmodified_diffusers_does_the_same_or_the_way_out_is_refused(method: str, toy: Path, tmp_path: Path) -> None:
    import torch

    base = loaded(toy)
    place = stirred(base, method, tmp_path / "it")
    file = place / adapters.WEIGHTS
    pipe = unmodified(toy)
    if method == "oft":
        with pytest.raises(ValueError, match="LoRA"):
            pipe.load_lora_weights(place, weight_name=file.name, use_safetensors=True)
        return
    if method == "lokr":  # a Stable Diffusion pipeline asks for LoRA by name; the network itself takes both
        pipe.unet.load_lora_adapter(place, prefix="unet", weight_name=file.name, use_safetensors=True)
    else:
        pipe.load_lora_weights(place, weight_name=file.name, use_safetensors=True)
    theirs = loaded(toy)
    theirs.parts.unet = pipe.unet
    assert torch.allclose(told(theirs), told(base), atol=1e-4)


@pytest.fixture(scope="module")
def made(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """method -> adapter folder of a whole training, six steps on four photos."""
    place = tmp_path_factory.mktemp("made")
    shirts = photos(place / "shirts", 4)
    return {
        method: train.fit(
            train.TrainRequest(
                shirts, base=str(toy), steps=6, batch=4, rank=RANK, rights=OWN, method=method, learning_rate=0.05,
                out=place / method,
            )
        )
        for method in ("dora", "lokr", "oft")
    }  # fmt: skip


def test_a_run_draws_with_kinds_side_by_side(made: dict[str, Path], toy: Path, tmp_path: Path) -> None:
    def drawn(*names: str) -> list[str]:
        uses = tuple(f"{made[name]}:0.5" for name in names)
        out = tmp_path / "-".join(names)
        generate.run(
            generate.GenerateRequest(count=4, base=str(toy), adapters=uses, size=SIZE_PX, steps=1, batch=4, out=out)
        )
        return [line["pixel_sha256"] for line in store.read(out)]

    assert adapters.load_card(made["oft"]).training["method"] == "oft"
    pictures = [drawn("dora"), drawn("dora", "lokr"), drawn("dora", "oft")]
    assert len({*pictures[0], *pictures[1], *pictures[2]}) == 12


def test_an_adapter_goes_out_in_the_formats_whose_readers_take_it_for_what_it_is(
    made: dict[str, Path], toy: Path, tmp_path: Path
) -> None:
    spec = bases.find(str(toy))[0].MODELSPEC
    for method, folder in made.items():
        for form in lora_exchange.FORMATS:
            out = tmp_path / f"{method}-{form}.safetensors"
            if form in lora_exchange.LEAVING[method]:
                lora_exchange.take_out(folder, form, out, spec)
                before, after = (load_file(file) for file in (folder / adapters.WEIGHTS, out))
                assert before.keys() == after.keys() and all((before[key] == after[key]).all() for key in before)
                strengths = [lora.alphas(lora.read(file)) for file in (folder / adapters.WEIGHTS, out)]
                assert strengths[0] == strengths[1]
            else:
                with pytest.raises(RequestError, match="--method lora"):
                    lora_exchange.take_out(folder, form, out, spec)
                assert not out.exists()


def test_a_dora_comes_in_again_and_the_others_say_why_not(made: dict[str, Path], toy: Path, tmp_path: Path) -> None:
    family, identity = bases.find(str(toy))
    base = lora_exchange.Base(identity, family.places(identity), family.MODELSPEC)
    for method, folder in made.items():
        said = lora_exchange.Statement(name=method, trigger="sks")
        if method == "dora":
            again, _ = lora_exchange.bring_in(folder / adapters.WEIGHTS, base, said, tmp_path)
            outs = [attached(toy, AdapterUse("x", place)) for place in (folder, again)]
            assert (outs[0] == outs[1]).all()
        else:
            with pytest.raises(UnfitAdapter, match="LoRA and DoRA are brought in"):
                lora_exchange.bring_in(folder / adapters.WEIGHTS, base, said, tmp_path)


def test_inspect_names_the_kind(synthgen: Any, made: dict[str, Path], toy: Path) -> None:
    for method, folder in made.items():
        code, out, _ = synthgen("adapters", "inspect", folder / adapters.WEIGHTS, "--base", toy)
        assert code == 0 and f"kind           {method}\n" in out and "fits           base 'toy'" in out


SPOILED = {  # what is done to a file -> what the message says
    "lokr": [
        ("cut a factor out", "has no whole 'lokr_w2'"),
        ("widen", "wanted"),
        ("other rank", "by its configuration"),
    ],
    "oft": [("odd angles", "which no rotation has"), ("widen", "wanted"), ("silent", "does not say that its angles")],
    "dora": [("widen", "magnitudes, wanted"), ("silent", "does not say DoRA")],
}


@pytest.mark.parametrize(("method", "how", "said"), [(name, *row) for name, rows in SPOILED.items() for row in rows])
def test_a_spoiled_file_is_refused_before_a_tensor_is_used(
    method: str, how: str, said: str, made: dict[str, Path], toy: Path, tmp_path: Path
) -> None:
    import json

    import torch

    source = made[method] / adapters.WEIGHTS
    tensors, (_, told) = load_file(source), tensor_file.check(source)
    ends = ("lokr_w2_b", "oft_R.weight", "magnitude_vector")
    name = next(name for name in sorted(tensors) if name.endswith(ends))
    config = json.loads(told[lora.CONFIG])
    if how == "cut a factor out":
        del tensors[name]
    elif how == "widen":
        tensors[name] = torch.cat([tensors[name], tensors[name]], dim=1 if method == "lokr" else 0)
    elif how == "odd angles":
        tensors[name] = tensors[name][:, :-1].contiguous()
    elif how == "other rank":
        config["unet.r"] = 5
    else:
        config = {"unet.r": 4, "unet.lora_alpha": 4.0} if method == "dora" else {}
    place = tmp_path / "spoiled"
    place.mkdir()
    save_file(tensors, place / adapters.WEIGHTS, {**told, lora.CONFIG: json.dumps(config)})
    base = loaded(toy)
    plain = {key: value.clone() for key, value in base.denoiser.state_dict().items()}
    with pytest.raises(UnfitAdapter, match=said):
        base.attach((AdapterUse("it", place),))
    assert all((value == plain[key]).all() for key, value in base.denoiser.state_dict().items())


def test_what_a_method_does_not_have_is_a_wrong_request(toy: Path, tmp_path: Path) -> None:
    request: dict[str, Any] = {"base": str(toy), "out": tmp_path / "out"}
    shirts = photos(tmp_path / "shirts", 1)
    for more, said in (({"alpha": 2.0}, "has no alpha"), ({"rank": 1}, "2 or more")):
        with pytest.raises(RequestError, match=said):
            train.fit(train.TrainRequest(shirts, method="oft", **request, **more))
    with pytest.raises(UnknownName, match="did you mean 'dora'"):
        train.fit(train.TrainRequest(shirts, method="dorra", **request))
    assert not (tmp_path / "out").exists()
