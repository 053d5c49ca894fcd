"""Licences are asked before weights are opened, of all that a thing was made from, and of making it too."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from toy_base import OWN, photos

from synthgen import adapter_choice, adapters, bases, generate, hub, licenses, rights_file, train
from synthgen.errors import Refused, UnfitAdapter

NO_DERIVATIVES = "LicenseRef-civitai-Image-NoDerivatives-AnyLicense-NoCredit"


@pytest.fixture
def adapter(trained: Path, tmp_path: Path) -> Path:
    """A copy of a trained adapter whose weights are no weights any more."""
    folder = tmp_path / "adapters" / "shirts"
    folder.mkdir(parents=True)
    for name in ("card.toml", adapters.WEIGHTS):
        (folder / name).write_bytes((trained / name).read_bytes() if name == "card.toml" else b"\x80\x04 a pickle")
    return folder


def test_a_licence_says_no_before_an_adapter_is_opened(adapter: Path, toy: Path, tmp_path: Path) -> None:
    asked = generate.GenerateRequest(1, base=str(toy), adapters=(str(adapter),), use="commercial", out=tmp_path / "run")
    with pytest.raises(Refused, match="unknown"):
        generate.run(asked)
    with pytest.raises(UnfitAdapter, match="pickle"):
        generate.run(replace(asked, use="internal"))
    assert not (tmp_path / "run").exists()


def test_the_weights_that_an_adapter_was_trained_on_count_wherever_it_draws(
    trained: Path, empty_folder: Path, synthgen: Callable[..., Any]
) -> None:
    card = replace(adapters.load_card(trained), base="sdxl-turbo", base_sha256="ab" * 32)
    beside = adapter_choice.asset(card, "sdxl").trained_on[0]
    assert beside.license.startswith("LicenseRef-synthgen-sai-nc") and beside.sha256 == "ab" * 32
    assert adapter_choice.asset(card, "sdxl-turbo") == adapters.asset(card)  # the base is asked itself
    assert adapter_choice.asset(replace(card, base="somebody/elses")).trained_on[0].license == "unknown"
    told = synthgen("licenses", "check", "--adapter", trained, "--use", "commercial")
    assert told.code == 3 and "> base 'toy'" in told.out


def test_nothing_is_trained_on_what_may_not_be_derived_from(toy: Path, tmp_path: Path) -> None:
    request = train.TrainRequest(photos(tmp_path / "shirts", 3), base=str(toy), steps=2, out=tmp_path / "a")
    with pytest.raises(Refused, match="derive_adapter -> deny"):
        train.fit(replace(request, rights=replace(OWN, license=NO_DERIVATIVES)))
    assert not (tmp_path / "a").exists()


def test_what_a_user_states_of_own_weights_counts_wherever_they_draw(
    toy: Path, trained: Path, empty_folder: Path, synthgen: Callable[..., Any]
) -> None:
    house, depth = empty_folder / "house", empty_folder / "depth"
    shutil.copytree(toy, house)
    shutil.copytree(toy / "controlnet", depth)
    before = bases.find("house", "depth=depth")[1]
    asked = ("--base", "house", "--use", "commercial")
    refused = synthgen("generate", "--count", 1, "--no-adapter", "--dry-run", *asked)
    assert refused.code == 3 and "state the licence of your own weights (rights.toml in their folder" in refused.err
    (house / "rights.toml").write_text('owner = "Acme"\nlicense = "CC-BY-4.0"\nexpires = 2027-03-31\n')
    (depth / "rights.toml").write_text('license = "MIT"\nsource = "https://example.org/depth"\n')
    identity = bases.find("house", "depth=depth")[1]
    assert identity.sha256 == before.sha256 and identity.told()["license"] == "CC-BY-4.0"
    base, control = identity.assets()
    assert (base.license, base.owner, base.expires) == ("CC-BY-4.0", "Acme", "2027-03-31")
    assert (control.license, control.source) == ("MIT", "https://example.org/depth")
    assert synthgen("generate", "--count", 1, "--no-adapter", "--dry-run", *asked).code == 0
    told = synthgen("licenses", "check", *asked)
    assert told.code == 0 and "yes (conditional)" in told.out
    assert synthgen("licenses", "check", *asked, "--on", "2027-04-01").code == 3
    assert "CC-BY-4.0, as you state" in synthgen("show", "base", "house").out
    (house / "rights.toml").write_text('licence = "MIT"\n')
    assert "unknown key 'licence'. Did you mean 'license'?" in synthgen("licenses", "check", *asked).err


def test_an_adapter_keeps_what_was_stated_of_its_base(trained: Path) -> None:
    card = replace(adapters.load_card(trained), base="house", base_license="CC-BY-NC-4.0")
    assert [asset.license for asset in adapter_choice.asset(card).trained_on if asset.kind == "base"] == [
        "CC-BY-NC-4.0"
    ]
    assert adapters.load_card(trained).base_license == "unknown"  # nobody stated anything of the toy
    stated = replace(card, base_rights={"license": "LicenseRef-own", "owner": "Acme", "expires": "2027-03-31"})
    base = adapter_choice.asset(stated).trained_on[0]
    assert (base.license, base.owner, base.expires) == ("LicenseRef-own", "Acme", "2027-03-31")


def test_an_import_keeps_what_is_stated_of_its_base_and_cards_of_before_mean_what_they_meant(
    toy: Path, trained: Path, empty_folder: Path, synthgen: Callable[..., Any]
) -> None:
    shutil.copytree(toy, "house")
    Path("house/rights.toml").write_text('owner = "Acme"\nlicense = "CC-BY-4.0"\nexpires = 2027-03-31\n')
    words = ("adapters", "import", trained / adapters.WEIGHTS, "--name", "tee", "--base", "house", "--trigger", "sks")
    folder = Path(synthgen(*words).out.strip())
    asset = adapter_choice.asset(adapters.load_card(folder), "mini").trained_on[0]
    assert (asset.license, asset.owner, asset.expires) == ("CC-BY-4.0", "Acme", "2027-03-31")
    told = tomllib.loads((folder / "card.toml").read_text())
    del told["base_rights"]
    (folder / "card.toml").write_text(tomli_w.dumps(told))
    before = adapter_choice.asset(adapters.load_card(folder), "mini").trained_on[0]
    assert before == replace(asset, owner="", expires="")
    assert "nothing to do" in synthgen(*words).err  # the same import as the one of before


def test_own_weights_and_poses_that_are_nobodys_are_for_review(
    own_home: Path, empty_folder: Path, toy: Path, synthgen: Callable[..., Any]
) -> None:
    (own_home / "pins").mkdir()
    stated, asked = own_home / "pins" / "z-image.rights.toml", ("licenses", "check", "--use", "commercial", "--base")
    house, depth = empty_folder / "house", empty_folder / "depth"
    shutil.copytree(toy, house)
    shutil.copytree(toy / "controlnet", depth)
    places = (stated, house / "rights.toml", depth / "rights.toml", empty_folder / "rights.toml")
    request = generate.GenerateRequest(1, poses=(empty_folder / "mine.json",))
    for owner, answer in (("", "review"), ('owner = "Acme"\n', "allow")):
        for place in places:
            place.write_text(f'{owner}license = "LicenseRef-own"\n')
        pulled = synthgen(*asked, "z-image")
        assert (pulled.code, "nobody is named" in pulled.out) == ((3, True) if answer == "review" else (0, False))
        weights, control = bases.find("house", "depth=depth")[1].assets()
        for asset in (weights, control, *generate._poses(request)):
            assert licenses.clear([asset], "commercial").answer == answer, asset
            assert licenses.clear([asset], "internal").answer == "allow", asset
    assert "yes (allow)" in synthgen(*asked, "mini").out


def test_lists_and_pages_tell_one_licence_of_a_base(own_home: Path, synthgen: Callable[..., Any]) -> None:
    def told() -> tuple[str, str]:
        listed = json.loads(synthgen("list", "bases", "--json").out)
        return (
            next(one["caption"] for one in listed if one["name"] == "z-image"),
            json.loads(synthgen("show", "base", "z-image", "--json").out)["license"],
        )

    listed, shown = told()
    assert shown == "Apache-2.0" and "not pulled;" in listed and "; Apache-2.0, commercial use: allow]" in listed
    pin = hub.Pin("z-image", "Tongyi-MAI/Z-Image", "ab" * 20, "cc-by-nc-4.0", "2026-11-26", {})
    (own_home / "pins").mkdir()
    (own_home / "pins" / "z-image.toml").write_text(tomli_w.dumps(asdict(pin)))
    listed, shown = told()  # the repository's card says another licence than the record
    assert shown == "Apache-2.0 AND CC-BY-NC-4.0"
    assert "; pulled;" in listed and f"; {shown}, commercial use: deny]" in listed
    (own_home / "pins" / "z-image.rights.toml").write_text('license = "MIT"\nexpires = 2020-01-01\n')
    listed, shown = told()
    assert shown == "MIT" and "MIT, commercial use: deny]" in listed  # what was stated has run out


def test_a_single_file_and_a_pull_have_their_statement_beside_them(own_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "house.v2.safetensors"
    file.touch()
    (tmp_path / "house.v2.rights.toml").write_text('license = "MIT"\n')
    rights = rights_file.read(rights_file.place_of(file))
    assert rights is not None and rights.license == "MIT"
    assert hub.rights("acme/toy-1.5") is None and bases.license_of("acme/toy-1.5") == "unknown"
    (own_home / "pins").mkdir()
    (own_home / "pins" / "acme--toy-1.5.rights.toml").write_text('license = "CC-BY-4.0"\n')
    assert bases.license_of("acme/toy-1.5") == "CC-BY-4.0"
