"""Reference pictures, for the families whose own pipeline takes them: drawn as it draws, recorded, and made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_bases
from PIL import Image

from synthgen import base_needs, bases, generate, replay, rooms, store, verify
from synthgen.errors import RequestError
from synthgen.types import Guide, Into, Job

FAMILIES = sorted(rooms.members("bases"))
JOBS = [Job(f"{number:016x}", number, f"a sks shirt, {number}", "", number + 5, {}) for number in range(2)]


@pytest.fixture(scope="module", params=FAMILIES)
def toy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bases.write(request.param, tmp_path_factory.mktemp("shown") / f"toy-{request.param}")


def taken_by(folder: Path) -> Any:
    """The family and identity, where it takes references; else None."""
    family, identity = bases.find(str(folder))
    return (family, identity) if family.REFERENCE else None


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of three shapes, with the rights in them."""
    folder = tmp_path / "shown"
    folder.mkdir()
    for number, shape in enumerate(((80, 64), (64, 64), (70, 97))):
        pixels = np.random.default_rng(number).integers(0, 255, (*shape, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "rights.toml").write_text('owner = "Acme"\nlicense = "CC-BY-4.0"\nconsent = "signed"\n')
    return folder


def asked(base: Path, out: Path, *places: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": 4, "base": str(base), "no_adapter": True, "size": 64, "steps": 2, "batch": 2, "out": out,
           "reference": places, **more}
    )  # fmt: skip


def test_pictures_by_references_are_those_of_the_unmodified_pipeline_to_the_last_bit(toy: Path, pictures: Path) -> None:
    import diffusers
    import torch

    if not (found := taken_by(toy)):
        return
    family, identity = found
    base = family.load(identity, "cpu")
    settings = {**base.settings, "size": 64, "guidance_scale": 4.0, "num_inference_steps": 2, "threads": 1}
    shown = [Image.open(file).convert("RGB") for file in sorted(pictures.glob("*.png"))]
    pairs = [(shown[0], shown[1]), (shown[2],)]  # of different numbers, in one batch of ours
    guides = [Guide(references=tuple(np.asarray(one) for one in pair)) for pair in pairs]
    ours = [picture.pixels for picture in base.render(JOBS, guides, settings)]
    pipe = getattr(diffusers, family.PIPELINE).from_pretrained(toy, dtype=torch.float32, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    for job, pair, made in zip(JOBS, pairs, ours, strict=True):
        drawn = pipe(
            **{family.REFERENCE: list(pair)}, prompt=job.prompt, num_inference_steps=2, guidance_scale=4.0,
            height=64, width=64, output_type="np", generator=torch.Generator().manual_seed(job.seed),
        ).images[0]  # fmt: skip
        assert (made == (np.clip(drawn, 0, 1) * 255).round().astype(np.uint8)).all()
    plain = [picture.pixels for picture in base.render(JOBS, [None, None], settings)]
    assert all((made != other).any() for made, other in zip(ours, plain, strict=True))


def test_a_photo_is_drawn_into_by_a_reference_as_the_unmodified_pipeline_does(
    toy: Path, pictures: Path, tmp_path: Path
) -> None:
    import diffusers
    import torch

    if not (found := taken_by(toy)) or not found[0].REFERENCE_INTO:
        return
    family, identity = found
    base = family.load(identity, "cpu")
    settings = {**base.settings, "size": 64, "guidance_scale": 4.0, "num_inference_steps": 2, "threads": 1}
    photo, shown = (Image.open(pictures / name).convert("RGB") for name in ("1.png", "0.png"))
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    into = Into(np.asarray(photo), mask, np.asarray(photo), mask, (0, 0, 64))
    guide = Guide(into=into, references=(np.asarray(shown),))
    ours = base.render(JOBS, [guide] * 2, {**settings, "strength": 1.0})
    kind = getattr(diffusers, family.into(True, 0))
    pipe = kind.from_pretrained(toy, dtype=torch.float32, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    for job, made in zip(JOBS, ours, strict=True):
        drawn = pipe(
            image=torch.from_numpy(np.array(photo)[None]).permute(0, 3, 1, 2) / 255, prompt=job.prompt,
            mask_image=torch.from_numpy(mask[None, None]) / 255, image_reference=shown, strength=1.0,
            num_inference_steps=2, guidance_scale=4.0, height=64, width=64, output_type="np",
            generator=torch.Generator().manual_seed(job.seed),
        ).images[0]  # fmt: skip
        assert (made.pixels == (np.clip(drawn, 0, 1) * 255).round().astype(np.uint8))[mask > 0].all()
    (tmp_path / "photos").mkdir()
    photo.save(tmp_path / "photos" / "model.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    more = {"into": tmp_path / "photos", "mask": str(tmp_path / "mask.png"), "count": 1}
    generate.run(asked(toy, tmp_path / "run", pictures / "0.png", **more))
    file = tmp_path / "run" / store.read(tmp_path / "run")[0]["file_name"]
    places = replay.Places(base=str(toy), reference=[pictures, tmp_path / "photos", tmp_path / "mask.png"])
    assert replay.picture(file, places).status == replay.SAME
    with pytest.raises(RequestError, match="at most one --reference here, and there are 2"):
        generate.run(asked(toy, tmp_path / "new", pictures / "0.png", pictures / "1.png", **more))


def test_a_run_by_references_tells_which_and_whose_and_is_made_again(toy: Path, pictures: Path, tmp_path: Path) -> None:
    if not taken_by(toy):
        return
    run, second = tmp_path / "run", pictures / "2.png"
    generate.run(asked(toy, run, pictures, second))
    lines = store.read(run)
    told = [line["lineage"]["guides"] for line in lines]
    by_index = {line["lineage"]["job"]["index"]: guide for line, guide in zip(lines, told, strict=True)}
    assert [by_index[index][0]["file"] for index in range(4)] == ["0.png", "1.png", "2.png", "0.png"]
    assert all([one["kind"] for one in guide] == ["reference", "reference_2"] for guide in told)
    assert {guide[1]["file"] for guide in told} == {"2.png"}
    shown = [one for one in lines[0]["lineage"]["license"]["assets"] if one["kind"] == "reference"]
    assert len(shown) == 2 and {(one["owner"], one["license"]) for one in shown} == {("Acme", "CC-BY-4.0")}
    assert verify.path(run).good
    file = run / lines[1]["file_name"]
    again = replay.picture(file, replay.Places(base=str(toy), reference=[pictures]))
    assert again.status == replay.SAME
    with pytest.raises(RequestError, match="--reference FOLDER"):
        replay.picture(file, replay.Places(base=str(toy)))


def test_what_is_shown_is_part_of_the_plan_and_counted_as_memory(toy: Path, pictures: Path, tmp_path: Path) -> None:
    if not (found := taken_by(toy)):
        return
    digests = {
        generate.run(asked(toy, None, *places, dry_run=True)).folder  # type: ignore[arg-type]
        for places in ((), (pictures / "0.png",), (pictures / "1.png",), (pictures / "1.png", pictures / "0.png"))
    }
    assert len(digests) == 4
    need = base_needs.here(*found)
    assert need.bytes("full", 64, 1, False, 2) > need.bytes("full", 64, 1, False, 1) > need.bytes("full", 64, 1, False)


def test_a_base_that_takes_none_says_so_and_a_picture_that_is_too_slender_is_named(
    toy: Path, pictures: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    common = ("generate", "--count", 1, "--no-adapter", "--base", toy, "--size", 64, "--dry-run")
    told = synthgen(*common, "--reference", pictures / "0.png")
    if not taken_by(toy):
        assert told.code == 2 and f"of family '{bases.find(str(toy))[0].name}'" in told.err
        assert "takes no reference pictures" in told.err and "--controlnet" in told.err
        return
    assert told.code == 0, told.err
    Image.new("RGB", (800, 64)).save(tmp_path / "band.png")
    assert "band.png is 800 x 64 px" in synthgen(*common, "--reference", tmp_path / "band.png").err
    with pytest.raises(RequestError, match="was not understood"):
        generate.run(asked(toy, tmp_path / "new", condition_map=(f"reference={pictures}",)))
