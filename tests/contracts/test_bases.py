"""What every file in synthgen/bases/ promises, on a toy of its real classes: the whole journey, offline, on a CPU."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_bases
from PIL import Image
from toy_base import OWN, interrupted_once, photos

from synthgen import adapters, bases, card, generate, model_folder, rooms, store, train, verify
from synthgen.errors import RequestError
from synthgen.types import AdapterUse, Guide, Into, Job

FAMILIES = sorted(rooms.members("bases"))
STEPS = 2


@dataclass(frozen=True)
class Case:
    """A toy base and what was trained on it."""

    name: str
    family: Any
    folder: Path
    controlnet: str
    adapter: Path  # rank 4, alpha 2
    other: Path  # the same under another name and trigger

    @property
    def identity(self) -> Any:
        return bases.find(str(self.folder), self.controlnet)[1]


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Three steps of training on four photos."""
    name = request.param
    family = bases.family(name)
    place = tmp_path_factory.mktemp(name)
    folder = toy_bases.write(name, place / f"toy-{name}")
    control = toy_bases.controlnet(folder)
    quick = pytest.MonkeyPatch()
    quick.setattr(type(family), "SETTINGS", {**family.SETTINGS, "num_inference_steps": STEPS, "batch": 4})
    controlnet = str(control) if control.is_dir() else ""
    asked = train.TrainRequest(
        photos(place / "shirts", 4), base=str(folder), controlnet=controlnet, size=toy_bases.SIDE_PX, steps=3, batch=4,
        rank=4, alpha=2.0, learning_rate=1.0, rights=OWN, out=place / "adapters" / "shirts",
    )  # fmt: skip
    adapter = train.fit(asked)
    other = place / "adapters" / "dresses"
    shutil.copytree(adapter, other)
    card.write(other, replace(adapters.load_card(other), name="dresses", trigger="zwx"))
    yield Case(name, family, folder, controlnet, adapter, other)
    quick.undo()


def asked(case: Case, out: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": 4, "base": str(case.folder), "controlnet": (case.controlnet,), "size": toy_bases.SIDE_PX,
           "adapters": (f"{case.adapter}:0.7", f"{case.other}:0.3"), "batch": 2, "out": out, **more}
    )  # fmt: skip


def drawn_by(pipe: Any, case: Case, jobs: list[Job], control: np.ndarray | None) -> np.ndarray:
    """What the unmodified pipeline draws for these jobs: (b, s, s, 3) uint8."""
    import torch

    pipe.set_progress_bar_config(disable=True)
    options = {
        "prompt": [job.prompt for job in jobs], "num_inference_steps": STEPS, case.family.GUIDANCE: 4.0,
        "height": toy_bases.SIDE_PX, "width": toy_bases.SIDE_PX, "output_type": "np",
        "generator": [torch.Generator().manual_seed(job.seed) for job in jobs],
    }  # fmt: skip
    if case.family.NEGATIVE:
        options["negative_prompt"] = [job.negative_prompt for job in jobs]
    if control is not None:
        picture = torch.from_numpy(np.stack([control] * len(jobs))).permute(0, 3, 1, 2).float() / 255
        options |= {case.family.CONTROL: picture, "controlnet_conditioning_scale": 0.8}
    torch.manual_seed(jobs[0].seed)  # SD3's pipeline encodes the control picture with noise of its own
    return (np.clip(pipe(**options).images, 0, 1) * 255).round().astype(np.uint8)


def unmodified(case: Case, controlled: bool) -> Any:
    """The family's pipeline as its own documentation loads it, in float32."""
    import diffusers
    import torch

    kind, more = getattr(diffusers, case.family.PIPELINE), {}
    if controlled:
        place = Path(case.controlnet or case.folder / "controlnet")
        more["controlnet"] = toy_bases.open_controlnet(case.name, place)
        kind = getattr(diffusers, case.family.CONTROLLED)
    if "safety_checker" in kind.__init__.__code__.co_varnames:
        more["safety_checker"] = None
    return kind.from_pretrained(case.folder, dtype=torch.float32, **more)


JOBS = [
    Job(f"{number:016x}", number, text, "blurred", number + 5, {})
    for number, text in enumerate(("a photo of a sks shirt", "a person wearing a sks dress, flat lay"))
]


def ours(case: Case, control: np.ndarray | None, uses: list[AdapterUse]) -> np.ndarray:
    base = case.family.load(case.identity, "cpu")
    base.attach(uses)
    settings = {**base.settings, "size": toy_bases.SIDE_PX, "guidance_scale": 4.0, "controlnet_conditioning_scale": 0.8,
                "num_inference_steps": STEPS, "threads": 1}  # fmt: skip
    return np.stack([picture.pixels for picture in base.render(JOBS, [control] * len(JOBS), settings)])


def skeleton() -> np.ndarray:
    from synthgen.conditioners import pose

    return np.asarray(pose.prepare(Job("0" * 16, 0, "", "", 0, {"pose": "walking"}), toy_bases.SIDE_PX).control)


def test_every_family_has_a_toy() -> None:
    assert sorted(toy_bases.WRITERS) == FAMILIES


def test_a_toy_is_claimed_by_its_own_family_and_by_no_other(case: Case) -> None:
    assert [name for name in FAMILIES if bases.family(name).claims(case.folder)] == [case.name]
    assert bases.choose(str(case.folder))[0] is case.family


def test_every_place_is_a_module_of_the_live_base_with_that_shape(case: Case) -> None:
    base, places = case.family.load(case.identity, "cpu"), case.family.places(case.identity)
    assert len(places) > 10
    for place, shape in places.items():
        part, _, module = place.partition(".")
        assert tuple(getattr(base.parts, part).get_submodule(module).weight.shape) == shape, place


def test_pictures_are_those_of_the_unmodified_pipeline_to_the_last_bit(case: Case) -> None:
    assert (ours(case, None, []) == drawn_by(unmodified(case, False), case, JOBS, None)).all()


def test_steered_pictures_are_those_of_the_unmodified_pipeline_to_the_last_bit(case: Case) -> None:
    control = skeleton()
    if not case.family.CONTROLLED:
        with pytest.raises(RequestError, match="ControlNet"):
            bases.find(str(case.folder), str(case.folder / "vae"))
        return
    steered = ours(case, control, [])
    assert (steered == drawn_by(unmodified(case, True), case, JOBS, control)).all()
    assert np.abs(steered.astype(int) - ours(case, None, [])).mean() > 0.5


def test_several_conditions_are_those_of_the_unmodified_pipeline_each_with_its_own_scale_and_steps(case: Case) -> None:
    """Two ControlNets, of which one is the other: what it is shown, how much it counts and when differ."""
    if not case.family.CONTROLLED:
        return
    control = case.controlnet or str(case.folder / "controlnet")
    named = [f"canny={control}", case.controlnet]
    conditions = {"pose": {"scale": 0.8}, "canny": {"scale": 0.5, "start": 0.0, "end": 0.5}}
    identity = bases.find(str(case.folder), named)[1]
    if not case.family.SEVERAL or not case.family.TIMED:
        with pytest.raises(RequestError, match=r"one condition at a time|act for all steps"):
            case.family.check_conditions(identity, ["pose", "canny"], ["canny"])
        with pytest.raises(RequestError, match="one condition at a time"):
            case.family.check_conditions(identity, ["pose", "canny"], [])
        return
    case.family.check_conditions(identity, ["pose", "canny"], ["canny"])
    base = case.family.load(identity, "cpu")
    shown = {"pose": skeleton(), "canny": np.rot90(skeleton()).copy()}
    settings = {**base.settings, "size": toy_bases.SIDE_PX, "guidance_scale": 4.0, "controlnet_conditioning_scale": 0.8,
                "num_inference_steps": STEPS, "threads": 1, "conditions": conditions}  # fmt: skip
    found = np.stack([picture.pixels for picture in base.render(JOBS, [Guide(shown)] * len(JOBS), settings)])
    assert (found == drawn_along(case, control, shown, conditions)).all()
    assert (found != ours(case, shown["pose"], [])).any()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kinds", [(), ("pose",), ("pose", "canny")])
def test_drawing_into_a_photo_is_the_unmodified_pipeline_and_keeps_what_the_mask_leaves_out(
    case: Case, masked: bool, kinds: tuple[str, ...]
) -> None:
    if len(kinds) > 1 and not case.family.SEVERAL:
        return
    name = case.family.into(masked, len(kinds))
    assert name or case.name in ("flux2", "flux", "sd3", "qwen_image", "z_image")
    if not name:
        return
    control = case.controlnet or str(case.folder / "controlnet")
    named = [case.controlnet, *([f"canny={control}"] if "canny" in kinds else [])]
    base = case.family.load(bases.find(str(case.folder), named if kinds else ())[1], "cpu")
    controls = {kind: np.rot90(skeleton(), turn).copy() for turn, kind in enumerate(kinds)}
    into = photo_and_mask(masked)
    settings = {**base.settings, "size": toy_bases.SIDE_PX, "guidance_scale": 4.0, "controlnet_conditioning_scale": 0.8,
                "num_inference_steps": 4, "threads": 1, "strength": 0.75}  # fmt: skip
    found = np.stack([one.pixels for one in base.render(JOBS, [Guide(controls, into)] * len(JOBS), settings)])
    assert (found[0] != found[1]).any()
    if masked:
        outside = into.mask == 0
        assert (found[:, outside] == into.whole[outside]).all() and (found[:, ~outside] != into.whole[~outside]).any()
    theirs = drawn_into(case, name, control, into, controls)
    where = into.mask > 0 if masked else np.ones((64, 64), bool)
    assert (found[:, where] == theirs[:, where]).all()


def photo_and_mask(masked: bool) -> Into:
    """Noise in colours, and a box in it that is drawn anew; the photo is as large as what is drawn."""
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 8:56] = 255
    return Into(photo, mask, photo, mask, (0, 0, 64)) if masked else Into(photo)


def drawn_into(case: Case, name: str, control: str, into: Into, controls: dict[str, np.ndarray]) -> np.ndarray:
    """What the class of diffusers draws that its documentation names for it."""
    import inspect

    import diffusers
    import torch

    def tensor(pixels: np.ndarray) -> Any:
        return torch.from_numpy(np.stack([pixels] * len(JOBS))).permute(0, 3, 1, 2).float() / 255

    plain, kind = unmodified(case, False), getattr(diffusers, name)
    parts = {**plain.components, "requires_safety_checker": False, "add_watermarker": False}
    nets = [toy_bases.open_controlnet(case.name, Path(control)) for _ in controls]
    if nets:
        parts["controlnet"] = nets[0] if len(nets) == 1 else getattr(diffusers, case.family.SEVERAL)(nets)
    pipe = kind(**{key: part for key, part in parts.items() if key in inspect.signature(kind.__init__).parameters})
    pipe.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {
        "prompt": [job.prompt for job in JOBS], "num_inference_steps": 4, case.family.GUIDANCE: 4.0,
        "height": 64, "width": 64, "output_type": "np", "image": tensor(into.shown), "strength": 0.75,
        "generator": [torch.Generator().manual_seed(job.seed) for job in JOBS],
    }  # fmt: skip
    if case.family.NEGATIVE:
        options["negative_prompt"] = [job.negative_prompt for job in JOBS]
    if into.mask is not None:
        options["mask_image"] = torch.from_numpy(np.stack([into.mask] * len(JOBS)))[:, None].float() / 255
    if controls:
        shown = [tensor(one) for one in controls.values()]
        options["control_image"] = shown if len(shown) > 1 else shown[0]
        options["controlnet_conditioning_scale"] = [0.8] * len(shown) if len(shown) > 1 else 0.8
    taken = inspect.signature(pipe.__call__).parameters
    torch.manual_seed(JOBS[0].seed)
    drawn = pipe(**{key: value for key, value in options.items() if key in taken}).images
    return (np.clip(drawn, 0, 1) * 255).round().astype(np.uint8)


def drawn_along(case: Case, control: str, shown: dict[str, np.ndarray], told: dict[str, Any]) -> np.ndarray:
    """What the unmodified pipeline draws that was given a list of ControlNets, as its documentation does."""
    import diffusers
    import torch

    nets = [toy_bases.open_controlnet(case.name, Path(control)) for _ in shown]
    several = getattr(diffusers, case.family.SEVERAL)(nets)
    plain = unmodified(case, False)
    more = {"requires_safety_checker": False} if "safety_checker" in plain.components else {}
    pipe = getattr(diffusers, case.family.CONTROLLED)(**plain.components, controlnet=several, **more)
    pipe.set_progress_bar_config(disable=True)
    options = {
        "prompt": [job.prompt for job in JOBS], "num_inference_steps": STEPS, case.family.GUIDANCE: 4.0,
        "height": toy_bases.SIDE_PX, "width": toy_bases.SIDE_PX, "output_type": "np",
        "generator": [torch.Generator().manual_seed(job.seed) for job in JOBS],
        case.family.CONTROL: [
            torch.from_numpy(np.stack([one] * len(JOBS))).permute(0, 3, 1, 2).float() / 255 for one in shown.values()
        ],
        "controlnet_conditioning_scale": [told[kind]["scale"] for kind in shown],
        "control_guidance_start": [told[kind].get("start", 0.0) for kind in shown],
        "control_guidance_end": [told[kind].get("end", 1.0) for kind in shown],
    }  # fmt: skip
    if case.family.NEGATIVE:
        options["negative_prompt"] = [job.negative_prompt for job in JOBS]
    torch.manual_seed(JOBS[0].seed)
    return (np.clip(pipe(**options).images, 0, 1) * 255).round().astype(np.uint8)


def test_the_adapter_loads_whole_in_the_unmodified_pipeline_and_does_there_what_it_does_here(case: Case) -> None:
    pipe, plain = unmodified(case, False), ours(case, None, [])
    pipe.load_lora_weights(case.adapter, weight_name="adapter.safetensors", use_safetensors=True)
    network = getattr(pipe, case.family.DENOISER)
    layers = [module for module in network.modules() if hasattr(module, "lora_A")]
    assert {scale for layer in layers for scale in layer.scaling.values()} == {0.5}
    assert len(layers) == len(adapters.check_safetensors(case.adapter / "adapter.safetensors")) / 2
    pipe.fuse_lora()
    theirs = drawn_by(pipe, case, JOBS, None)
    found = ours(case, None, [AdapterUse("shirts", case.adapter)])
    assert np.abs(found.astype(int) - theirs).max() <= 1
    assert np.abs(found.astype(int) - plain).mean() > 0.3


def test_a_run_with_two_adapters_resumes_to_the_same_pictures_and_verifies(case: Case, tmp_path: Path) -> None:
    generate.run(asked(case, tmp_path / "whole"))
    ledger = tmp_path / "parts" / "records.jsonl"
    with interrupted_once(lambda: ledger.is_file() and ledger.read_bytes().count(b"\n") >= 1):
        generate.run(asked(case, tmp_path / "parts"))
    result = generate.run(asked(case, tmp_path / "parts"))
    assert result.already + result.made == 4 and result.already
    whole, parts = (store.read(tmp_path / name) for name in ("whole", "parts"))
    assert [line["pixel_sha256"] for line in whole] == [line["pixel_sha256"] for line in parts]
    assert [row["weight"] for row in parts[0]["lineage"]["adapters"]] == [0.7, 0.3]
    steered = bool(case.family.CONTROLLED)
    assert all(("keypoints" in line["lineage"]["requested"]) == steered for line in parts)
    assert all(Image.open(tmp_path / "parts" / line["file_name"]).size == (64, 64) for line in parts)
    assert verify.path(tmp_path / "parts").good


def test_two_words_of_a_batch_do_not_change_one_another_and_what_was_learned_stays_small(case: Case) -> None:
    """The latents and words that training reads: one row a picture, in any order, finite and of unit size or less."""
    import torch

    base = case.family.load(case.identity, "cpu")
    base.size = toy_bases.SIDE_PX
    pixels = np.random.default_rng(3).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    latents, words = base.encode_pixels(pixels), base.encode_texts(["a photo of a sks shirt", "a sks dress"])
    moments, noise = torch.tensor([100, 900]), torch.randn_like(latents)
    both = base.loss(latents, words, moments, noise)
    rows = torch.tensor([1, 0])
    turned = base.loss(latents[rows], words[rows], moments[rows], noise[rows])
    assert both.shape == (2,) and torch.isfinite(both).all()
    assert torch.allclose(both, turned[rows], rtol=1e-2)


def test_the_weights_are_named_with_their_hashes_and_no_licence_is_granted_by_default(case: Case) -> None:
    identity = case.identity
    assert identity.license == "unknown" and len(identity.sha256) == 64
    assert any(name.endswith(".safetensors") for name in identity.files)
    assert case.family.MODELSPEC["modelspec.architecture"].endswith("/lora")
    assert case.family.LICENSE != "unknown"
    if case.name != "mini":
        with pytest.raises(RequestError, match="brings no weights"):
            case.family.identify()


def test_pickled_weights_are_refused_by_name(case: Case, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(case.folder, copy)
    for file in (copy / case.family.DENOISER).glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(RequestError, match=r"\.bin only|has no weights"):
        case.family.identify(copy)


def test_code_from_a_model_folder_is_not_run(case: Case, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(case.folder, copy)
    index = copy / model_folder.INDEX
    index.write_text(index.read_text().replace('"diffusers",', '"own_code",', 1))
    with pytest.raises(RequestError, match="is not run"):
        bases.find(str(copy))
