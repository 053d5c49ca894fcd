"""LoRA files of other programs come in and go out: tensors bit for bit, the strength the same, nothing left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lora_files
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from synthgen import adapters, generate, licenses, lora, lora_exchange, lora_fit, tensor_file, weights_hash
from synthgen.errors import RequestError, UnfitAdapter
from synthgen.lora_exchange import Base, Statement
from synthgen.types import Asset, Rights

PERSONAL = {
    "ss_network_dim": "4",
    "ss_network_alpha": "2.0",
    "ss_sd_model_name": "C:\\Users\\bob\\models\\secret.safetensors",
    "ss_dataset_dirs": '{"10_bob holiday": {"img_count": 9}}',
    "ss_tag_frequency": '{"10_bob holiday": {"sks": 9, "beach": 4}}',
    "modelspec.author": "Bob Example <bob@example.org>",
    "modelspec.license": "MIT",
    "modelspec.trigger_phrase": "sks",
    "modelspec.architecture": "stable-diffusion-v1/lora",
}


@pytest.fixture(scope="module")
def base(toy: Path) -> Base:
    from synthgen.bases import mini

    identity = mini.identify(toy)
    return Base(identity, mini.places(identity), mini.MODELSPEC)


@pytest.fixture(scope="module")
def files(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One LoRA in each layout; the tensors of the last two are the same."""
    place = tmp_path_factory.mktemp("files")
    return {
        "kohya": lora_files.kohya(toy, place / "k.safetensors", PERSONAL, text=False),
        "diffusers": lora_files.diffusers(toy, place),
        "peft": lora_files.peft(toy, place / "peft"),
    }


@pytest.fixture(scope="module")
def pipe(toy: Path) -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(
        toy, use_safetensors=True, local_files_only=True, safety_checker=None
    )


def deltas(pipe: Any, file: Path) -> dict[str, Any]:
    """What unmodified diffusers adds to each weight for this file: module -> strength x B x A."""
    pipe.load_lora_weights(
        str(file.parent), weight_name=file.name, adapter_name="it", use_safetensors=True, local_files_only=True
    )
    found = {
        name: layer.get_delta_weight("it").detach().float().numpy()
        for name, layer in pipe.unet.named_modules()
        if hasattr(layer, "lora_A") and "it" in layer.lora_A
    }
    pipe.unload_lora_weights()
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "peft"])
def test_a_file_of_each_layout_comes_in_with_every_tensor_and_its_strength(
    layout: str, files: dict[str, Path], base: Base, pipe: Any, empty_folder: Path
) -> None:
    file = files[layout]
    folder, _ = lora_exchange.bring_in(file, base, Statement(name="tee", trigger="sks"), Path("adapters"))
    card = adapters.load_card(folder)
    assert (card.rank, card.alpha, card.license, card.base, card.base_sha256) == (4, 2.0, "unknown", "toy", "")
    assert card.imported["layout"] == layout
    before = sorted(tensor.numpy().tobytes() for name, tensor in load_file(file).items() if "alpha" not in name)
    after = load_file(folder / "adapter.safetensors")
    assert sorted(tensor.numpy().tobytes() for tensor in after.values()) == before
    loaded = deltas(pipe, folder / "adapter.safetensors")
    if layout == "peft":  # what diffusers' loader cannot read by itself; its tensors are those of the other file
        assert same(loaded, deltas(pipe, files["diffusers"]))
    else:
        assert same(loaded, deltas(pipe, file))
    assert len(loaded) == len(lora.read(file).pairs)


@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
@pytest.mark.parametrize("form", lora_exchange.FORMATS)
def test_a_round_trip_keeps_tensors_bit_equal_and_the_strength_equal(
    layout: str, form: str, files: dict[str, Path], base: Base, pipe: Any, empty_folder: Path
) -> None:
    said = Statement(name="tee", trigger="sks", exact_base=True)
    folder, _ = lora_exchange.bring_in(files[layout], base, said, Path("adapters"))
    out = lora_exchange.take_out(folder, form, Path("out/tee.safetensors"), base.modelspec)
    assert same(deltas(pipe, out), deltas(pipe, files[layout]))
    again, _ = lora_exchange.bring_in(out, base, replace(said, name="again"), Path("adapters"))
    assert (again / "adapter.safetensors").read_bytes() == (folder / "adapter.safetensors").read_bytes()
    assert adapters.load_card(again).alpha == 2.0


def test_alpha_stands_where_each_reader_looks_for_it(files: dict[str, Path], base: Base, empty_folder: Path) -> None:
    folder, _ = lora_exchange.bring_in(files["kohya"], base, Statement(name="tee"), Path("adapters"))
    for form in lora_exchange.FORMATS:
        out = lora_exchange.take_out(folder, form, Path(f"{form}.safetensors"), base.modelspec)
        tensors, told = tensor_file.check(out)
        assert (told["ss_network_dim"], told["ss_network_alpha"]) == ("4", "2.0")
        assert told["modelspec.architecture"] == "synthgen-mini-v1/lora"
        assert told["sshs_model_hash"] == weights_hash.of(out).data_sha256
        named = [name for name in tensors if name.endswith(".alpha")]
        assert len(named) == (len(lora.read(out).pairs) if form == "kohya" else 0)
        assert (lora.CONFIG in told) == (form == "diffusers")


def test_an_adapter_that_goes_out_is_read_once_after_it_is_verified(
    files: dict[str, Path], base: Base, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = lora_exchange.bring_in(files["kohya"], base, Statement(name="tee"), Path("adapters"))
    tensors, read = tensor_file.tensors, []
    monkeypatch.setattr(tensor_file, "tensors", lambda path: read.append(path) or tensors(path))
    adapters.verify_weights(folder, adapters.load_card(folder))
    verified = len(read)
    lora_exchange.take_out(folder, "kohya", Path("out.safetensors"), base.modelspec)
    assert read.count(folder / "adapter.safetensors") == 2 * verified + 1


def test_photos_of_ones_own_behind_an_import_have_the_owner_that_was_named(
    files: dict[str, Path], base: Base, empty_folder: Path
) -> None:
    def photos(owner: str, license: str) -> Asset:
        rights = Rights(owner, "LicenseRef-own")
        said = Statement(name=f"{owner}-{license}", rights=rights, photos_license=license)
        card = adapters.load_card(lora_exchange.bring_in(files["kohya"], base, said, Path("adapters"))[0])
        return adapters.asset(card).trained_on[0]

    for name in ("LicenseRef-own", "own"):
        assert licenses.clear([photos("Acme", name)], "commercial").answer == "allow"
    assert licenses.clear([photos("", "LicenseRef-own")], "commercial").answer == "review"
    assert photos("Acme", "CC-BY-4.0").owner == ""  # the maker of the file made no photos of others


def test_neither_paths_nor_people_leave_with_it(files: dict[str, Path], base: Base, empty_folder: Path) -> None:
    folder, _ = lora_exchange.bring_in(
        files["kohya"], base, Statement(name="tee", rights=Rights(owner="Bob Example")), Path("adapters")
    )
    outs = [lora_exchange.take_out(folder, form, Path(f"{form}.safetensors"), base.modelspec) for form in ("kohya",)]
    card = (folder / "card.toml").read_text()
    for text in ("Users", "holiday", "example.org", "secret"):
        assert text not in card
    for out in (*outs, folder / "adapter.safetensors"):
        head = tensor_file.header_bytes(out).decode("latin-1")
        assert not [text for text in ("Bob", "bob", "holiday", "secret", str(empty_folder)) if text in head]


def altered(source: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    state = load_file(source)
    change(state)
    with safe_open(source, "pt") as file:
        metadata = file.metadata()
    save_file(state, target, metadata=metadata)
    return target


def test_a_key_without_a_place_is_an_error_that_names_it(
    files: dict[str, Path], base: Base, empty_folder: Path
) -> None:
    def move(state: dict[str, Any]) -> None:
        for name in [name for name in state if "mid_block_attentions_0_proj_in" in name]:
            state[name.replace("mid_block", "mid_bloc")] = state.pop(name)

    def add(state: dict[str, Any]) -> None:
        name = next(name for name in state if name.endswith("lora_up.weight"))
        state[name.replace("lora_up.weight", "dora_scale")] = state[name].clone()

    for change, said in ((move, "lora_unet_mid_bloc_attentions_0_proj_in"), (add, r"no part of a LoRA.*dora")):
        file = altered(files["kohya"], Path("altered.safetensors"), change)
        with pytest.raises(UnfitAdapter, match=said):
            lora_exchange.bring_in(file, base, Statement(name="tee"), Path("adapters"))
    assert not Path("adapters").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"use_dora": True}, "no plain LoRA: its configuration sets use_dora"),
        ({"r": 8}, "has rank 4 by its tensors and 8 by its configuration"),
        ({"lora_alpha": "x"}, "lora_alpha 'x'; wanted a number"),
        ({"lora_alpha": -1}, "wanted a number above 0"),
        ({"lora_alpha": float("nan")}, "no JSON object"),
    ],
)
def test_a_configuration_that_means_something_else_is_refused(
    setting: dict[str, Any], said: str, files: dict[str, Path], base: Base, empty_folder: Path
) -> None:
    shutil.copytree(files["peft"].parent, "peft")
    config = json.loads(Path("peft/adapter_config.json").read_text())
    Path("peft/adapter_config.json").write_text(json.dumps({**config, **setting}))
    with pytest.raises(UnfitAdapter, match=said):
        lora_exchange.bring_in(Path("peft/adapter_model.safetensors"), base, Statement(), Path("adapters"))


def test_a_strength_that_is_not_stated_is_asked_for_or_said(
    toy: Path, files: dict[str, Path], base: Base, empty_folder: Path
) -> None:
    shutil.copy(files["peft"], "lone.safetensors")
    with pytest.raises(UnfitAdapter, match="give --alpha"):
        lora_exchange.bring_in(Path("lone.safetensors"), base, Statement(), Path("adapters"))
    folder, _ = lora_exchange.bring_in(Path("lone.safetensors"), base, Statement(alpha=2.0), Path("adapters"))
    assert adapters.load_card(folder).alpha == 2.0
    lost = lora_files.diffusers(toy, empty_folder / "lost", with_alpha=False)
    folder, notes = lora_exchange.bring_in(lost, base, Statement(name="lost"), Path("adapters"))
    assert adapters.load_card(folder).alpha == 4.0
    assert "does not say its alpha" in notes[0]


def test_the_same_import_again_changes_nothing_and_another_is_refused(
    files: dict[str, Path], base: Base, empty_folder: Path
) -> None:
    said = Statement(name="tee", trigger="sks")
    folder, _ = lora_exchange.bring_in(files["kohya"], base, said, Path("adapters"))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert "nothing to do" in lora_exchange.bring_in(files["kohya"], base, said, Path("adapters"))[1][0]
    for other, file in ((replace(said, trigger="ohwx"), "kohya"), (said, "diffusers")):
        with pytest.raises(RequestError, match="It is untouched"):
            lora_exchange.bring_in(files[file], base, other, Path("adapters"))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in Path("adapters").iterdir()) == ["tee"]


def test_the_same_weights_with_another_licence_are_seen(files: dict[str, Path], base: Base, empty_folder: Path) -> None:
    said = Statement(name="tee", trigger="sks", rights=Rights(license="CC-BY-NC-4.0"))
    lora_exchange.bring_in(files["kohya"], base, said, Path("adapters"))
    with safe_open(files["kohya"], "pt") as file:
        metadata = {**file.metadata(), "modelspec.license": "CC0-1.0"}
    save_file(load_file(files["kohya"]), "free.safetensors", metadata=metadata)
    one, other = weights_hash.of(files["kohya"]), weights_hash.of(Path("free.safetensors"))
    assert one.sha256 != other.sha256
    assert (one.autov3, one.fingerprint) == (other.autov3, other.fingerprint)
    again = replace(said, name="free", rights=Rights(license="CC0-1.0"))
    _, notes = lora_exchange.bring_in(Path("free.safetensors"), base, again, Path("adapters"))
    assert any(
        "adapter 'tee' holds the same weights; its card says licence CC-BY-NC-4.0, not CC0-1.0" in n for n in notes
    )


def test_the_fingerprint_does_not_see_order_and_sees_every_value(files: dict[str, Path], tmp_path: Path) -> None:
    found = {name: (dtype, shape, raw) for name, dtype, shape, raw in tensor_file.tensors(files["diffusers"])}
    head, data, end = {}, b"", 0
    for name in reversed(found):
        dtype, shape, raw = found[name]
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + len(raw)]}
        data, end = data + raw, end + len(raw)
    text = json.dumps(head).encode()
    (tmp_path / "r.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    turned, plain = weights_hash.of(tmp_path / "r.safetensors"), weights_hash.of(files["diffusers"])
    assert turned.fingerprint == plain.fingerprint and turned.autov3 != plain.autov3
    last = bytearray(data)
    last[-1] ^= 1
    (tmp_path / "r.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + last)
    assert weights_hash.of(tmp_path / "r.safetensors").fingerprint != plain.fingerprint


def test_a_file_of_ours_whose_tensors_were_swapped_is_refused(
    files: dict[str, Path], base: Base, empty_folder: Path
) -> None:
    folder, _ = lora_exchange.bring_in(files["diffusers"], base, Statement(name="tee"), Path("adapters"))
    out = lora_exchange.take_out(folder, "diffusers", Path("tee.safetensors"), base.modelspec)
    names = [name for name in load_file(out) if name.endswith("attn1.to_q.lora_A.weight")][:2]

    def swap(state: dict[str, Any]) -> None:
        state[names[0]], state[names[1]] = state[names[1]].clone(), state[names[0]].clone()

    swapped = altered(out, Path("swapped.safetensors"), swap)
    with pytest.raises(UnfitAdapter, match="not those that it was written with"):
        lora_exchange.bring_in(swapped, base, Statement(), Path("adapters"))


def card_for(one: Base, **more: Any) -> Any:
    identity = one.identity
    given = {"base": identity.id, "base_sha256": identity.sha256, "base_files": dict(identity.files), **more}
    return replace(adapters.Card("tee", "sks", "", "", "", "", 4, 2.0, "unknown"), **given)


def test_three_verdicts_against_a_base(files: dict[str, Path], base: Base, other_toy: Path) -> None:
    from synthgen.bases import mini

    stranger = mini.places(mini.identify(other_toy))
    with pytest.raises(
        UnfitAdapter, match=r"does not fit base 'other': \d+ of its \d+ modules are made for other widths"
    ):
        lora_fit.place_all(lora.read(files["diffusers"]), stranger, "adapter 'tee'", "other")
    assert lora_fit.require(card_for(base), base.identity) == "exact"
    assert lora_fit.require(card_for(base, base="copy"), base.identity) == "exact"  # the same files, another name
    for card in (card_for(base, base_sha256=""), card_for(base, base="sibling", base_sha256="a" * 64)):
        with pytest.raises(UnfitAdapter, match="--other-lineage"):
            lora_fit.require(card, base.identity, accept_change=True)
        assert lora_fit.require(card, base.identity, other_lineage=True) == "other lineage"
        assert "as was asked" in lora_fit.remark(card, base.identity, "other lineage")


def test_a_changed_base_is_refused_with_what_changed(base: Base) -> None:
    then = dict(base.identity.files)
    then["unet/config.json"] = "0" * 64
    then["vae/old.json"] = then.pop("vae/config.json")
    card = card_for(base, base_sha256="a" * 64, base_files=then)
    with pytest.raises(
        UnfitAdapter, match=r"vae/old\.json is gone, vae/config\.json is new, unet/config\.json changed"
    ):
        lora_fit.require(card, base.identity, other_lineage=True)
    assert lora_fit.require(card, base.identity, accept_change=True) == "base changed"


def test_an_accepted_base_stands_in_the_run_and_in_every_lineage(
    files: dict[str, Path], base: Base, toy: Path, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = lora_exchange.bring_in(files["kohya"], base, Statement(name="tee", trigger="sks"), Path("adapters"))
    asked = generate.GenerateRequest(
        count=2, base=str(toy), adapters=("tee",), size=64, steps=1, batch=2, out=Path("run")
    )
    with pytest.raises(UnfitAdapter, match="--other-lineage"):
        generate.run(asked)
    assert not Path("run").exists()
    generate.run(replace(asked, other_lineage=True))
    assert "recorded (other lineage)" in capsys.readouterr().err
    lines = [json.loads(line) for line in Path("run/records.jsonl").read_text().splitlines()]
    told = [line["lineage"]["adapters"][0] for line in lines]
    assert {row["base_fit"] for row in told} == {"other lineage"} and len(told) == 2
    assert {row["fingerprint"] for row in told} == {adapters.load_card(folder).weights_fingerprint}
    assert 'on" = "other lineage"' in Path("run/run.toml").read_text()


def test_options_in_the_metadata_of_an_adapter_are_not_obeyed(
    files: dict[str, Path], base: Base, toy: Path, empty_folder: Path
) -> None:
    """peft would take `target_modules` as a regular expression and import what `megatron_core` names."""
    from synthgen.bases import mini
    from synthgen.types import AdapterUse

    folder, _ = lora_exchange.bring_in(files["diffusers"], base, Statement(name="tee"), Path("adapters"))
    file = folder / "adapter.safetensors"
    _, told = tensor_file.check(file)
    config = {**json.loads(told[lora.CONFIG]), "unet.target_modules": "(a+)+$", "unet.init_lora_weights": "pissa"}
    tensor_file.write_canonical(file, {lora.CONFIG: json.dumps(config)})
    weight = "unet.mid_block.attentions.0.proj_in"
    assert_added(mini.load(mini.identify(toy)), AdapterUse("tee", folder), weight)


def assert_added(live: Any, use: Any, place: str) -> None:
    """Attaching adds half of B x A (alpha 2, rank 4) to this weight, at strength 0.5 a quarter."""
    part, _, module = place.partition(".")
    weight = getattr(live.parts, part).get_submodule(module).weight
    before = weight.detach().clone()
    live.attach([replace(use, weight=0.5)])
    held = load_file(use.path / "adapter.safetensors")
    down, up = (held[f"{place}.lora_{half}.weight"].float().flatten(1) for half in "AB")
    assert ((weight - before).flatten(1) - 0.25 * up @ down).abs().max() < 1e-5
    assert (weight - before).abs().max() > 1e-3


def test_the_text_encoder_is_adapted_too_and_keeps_its_positions(toy: Path, base: Base, empty_folder: Path) -> None:
    """Unmodified diffusers 0.42 with transformers 5 leaves kohya's self-attention keys out here, with a log line."""
    from synthgen.bases import mini
    from synthgen.types import AdapterUse

    file = lora_files.kohya(toy, Path("te.safetensors"))
    folder, _ = lora_exchange.bring_in(file, base, Statement(name="te"), Path("adapters"))
    live = mini.load(mini.identify(toy))
    positions = live.parts.text_encoder.embeddings.position_embedding.weight.clone()
    assert_added(live, AdapterUse("te", folder), "text_encoder.encoder.layers.0.self_attn.q_proj")
    assert (live.parts.text_encoder.embeddings.position_embedding.weight == positions).all()
    out = lora_exchange.take_out(folder, "kohya", Path("out.safetensors"), base.modelspec)
    assert set(tensor_file.check(out)[0]) == set(tensor_file.check(file)[0])
