"""The two commands from end to end, on real diffusers classes at toy size."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_base import SIZE_PX, write_toy_base

from synthgen import adapters, generate, provenance, train
from synthgen.errors import RequestError, SynthgenError, UnfitAdapter
from synthgen.types import Rights

OWN = Rights(owner="Acme", license="LicenseRef-own", source="studio")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_base(tmp_path_factory.mktemp("bases") / "toy")


@pytest.fixture(scope="session")
def other_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_base(tmp_path_factory.mktemp("bases") / "other", width=16, seed=1)


def photos(folder: Path, count: int) -> Path:
    """Flat pictures of shirts in distinct colours and shapes."""
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        picture = np.full((96, 80, 3), 235, np.uint8)
        left, top = 8 + 3 * number, 10 + 2 * number
        picture[top : top + 50, left : left + 40] = rng.integers(0, 200, 3)
        Image.fromarray(picture).save(folder / f"photo-{number}.png")
    return folder


@pytest.fixture(scope="session")
def trained(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    request = train.TrainRequest(
        photos(place / "shirts", 6), base=str(toy), steps=45, batch=4, rank=8, alpha=4.0, out=place / "shirts-adapter",
        rights=OWN, learning_rate=5e-3,
    )  # fmt: skip
    return train.fit_product(request)


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Ctrl-C, as the system would send it, at a moment of the test's choosing."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def asked(trained: Path, toy: Path, out: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": 9, "base": str(toy), "adapters": (str(trained),), "size": SIZE_PX, "steps": 1, "batch": 4,
           "out": out, **more}
    )  # fmt: skip


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_training_leaves_a_finished_adapter_with_its_card_report_and_private_part(trained: Path) -> None:
    card = adapters.load_card(trained)
    assert (card.rank, card.alpha, card.trigger, card.base, card.finished) == (8, 4.0, "sks", "toy", True)
    assert card.trained_on["owner"] == "Acme"
    assert card.license == "LicenseRef-own"
    assert card.losses["validation"][0][0] == 0
    assert card.losses["best_validation"] == min(loss for step, loss in card.losses["validation"] if step > 0)
    assert sorted(path.name for path in (trained / "report").iterdir()) == ["loss.png", "tests.png"]
    private = json.loads((trained / "private" / "photos.json").read_text())
    assert {row["split"] for row in private} == {"train", "held-out"}
    assert len(private) == 6
    assert not (trained / "private" / "checkpoint").exists()


def test_training_lowers_the_loss_on_held_out_views(trained: Path) -> None:
    losses = adapters.load_card(trained).losses
    assert losses["best_validation"] < losses["validation"][0][1]


def test_unmodified_diffusers_loads_the_adapter_with_its_alpha(trained: Path, toy: Path) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(toy, local_files_only=True, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    prompt = {"prompt": "a photo of a sks shirt, flat lay", "num_inference_steps": 2, "output_type": "np"}
    before = pipe(**prompt, generator=torch.Generator().manual_seed(1)).images
    pipe.load_lora_weights(trained, weight_name="adapter.safetensors", use_safetensors=True)
    after = pipe(**prompt, generator=torch.Generator().manual_seed(1)).images
    assert np.abs(after - before).mean() > 1 / 255
    scales = {layer.scaling["default_0"] for layer in pipe.unet.modules() if hasattr(layer, "lora_A")}
    assert scales == {0.5}


def test_the_same_training_again_says_done_and_changes_nothing(trained: Path, toy: Path, capsys: Any) -> None:
    before = (trained / "card.toml").read_bytes()
    request = train.TrainRequest(
        trained.parent / "shirts", base=str(toy), steps=45, batch=4, rank=8, alpha=4.0, out=trained, rights=OWN,
        learning_rate=5e-3,
    )  # fmt: skip
    assert train.fit_product(request) == trained
    assert "nothing to do" in capsys.readouterr().err
    assert (trained / "card.toml").read_bytes() == before


def test_other_photos_need_replace(trained: Path, toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    request = train.TrainRequest(photos(tmp_path / "new", 1), base=str(toy), steps=2, batch=4, out=folder)
    with pytest.raises(UnfitAdapter, match="--replace"):
        train.fit_product(request)
    assert adapters.load_card(folder).rank == 8
    train.fit_product(replace(request, replace=True, learning_rate=0.02))
    assert adapters.load_card(folder).rank == 16


def test_an_interrupted_training_ends_bit_for_bit_like_an_undisturbed_one(
    trained: Path, toy: Path, tmp_path: Path
) -> None:
    request = train.TrainRequest(
        trained.parent / "shirts", base=str(toy), steps=45, batch=4, rank=8, alpha=4.0, out=tmp_path / "again",
        rights=OWN, learning_rate=5e-3,
    )  # fmt: skip
    for seconds in (0.3, 0.9, 1.7, 2.6):
        try:
            with interrupted_after(seconds):
                train.fit_product(request)
        except KeyboardInterrupt:
            continue
    train.fit_product(request)
    assert (tmp_path / "again" / "adapter.safetensors").read_bytes() == (trained / "adapter.safetensors").read_bytes()


def test_an_adapter_that_learned_nothing_is_refused(toy: Path, tmp_path: Path) -> None:
    request = train.TrainRequest(
        photos(tmp_path / "shirts", 2), base=str(toy), steps=2, batch=4, learning_rate=1e-9, out=tmp_path / "none"
    )
    with pytest.raises(SynthgenError, match="It learned nothing"):
        train.fit_product(request)
    with pytest.raises(UnfitAdapter):
        adapters.load_card(tmp_path / "none")


def test_a_run_has_exactly_count_labelled_pictures_that_carry_their_lineage(
    trained: Path, toy: Path, tmp_path: Path
) -> None:
    result = generate.run(asked(trained, toy, tmp_path / "run"))
    assert (result.made, result.already) == (9, 0)
    table = rows(tmp_path / "run")
    assert len(table) == 9
    assert next(iter(table[0])) == "file_name"
    for row in table:
        file = tmp_path / "run" / row["file_name"]
        lineage = provenance.read_png(file)
        assert lineage["seed"] == row["seed"]
        assert lineage["prompt"] == row["prompt"]
        assert "sks shirt" in row["prompt"]
        assert lineage["pixel_sha256"] == provenance.pixel_sha256(np.asarray(Image.open(file)))
        assert lineage["adapters"][0]["sha256"] == adapters.load_card(trained).weights_sha256
        assert len(json.loads(row["requested_keypoints"])) == 18
        assert row["license_verdict"] in ("unknown", "review", "allow")
    assert {row["label"] for row in table} == {"shirt"}


def test_an_interrupted_run_resumes_to_the_same_pictures(trained: Path, toy: Path, tmp_path: Path) -> None:
    generate.run(asked(trained, toy, tmp_path / "whole", count=14))
    request = asked(trained, toy, tmp_path / "parts", count=14)
    for seconds in (0.2, 0.5, 0.8):
        try:
            with interrupted_after(seconds):
                generate.run(request)
        except KeyboardInterrupt:
            continue
    again = generate.run(request)
    assert again.made + again.already == 14
    whole = {row["file_name"]: (tmp_path / "whole" / row["file_name"]).read_bytes() for row in rows(tmp_path / "whole")}
    parts = {row["file_name"]: (tmp_path / "parts" / row["file_name"]).read_bytes() for row in rows(tmp_path / "parts")}
    assert whole == parts
    assert generate.run(request).made == 0


def test_adapter_strength_changes_the_picture_and_zero_is_the_base(trained: Path, toy: Path, tmp_path: Path) -> None:
    from synthgen.bases import mini
    from synthgen.types import AdapterUse, Job

    job = Job("0" * 16, 0, "a photo of a person wearing a sks shirt", "", 5, {"pose": "standing"})
    settings = {"num_inference_steps": 2, "guidance_scale": 1.0, "size": SIZE_PX, "controlnet_conditioning_scale": 1.0}

    def drawn(*weights: float) -> np.ndarray:
        base = mini.load(mini.identify(toy))
        base.attach([AdapterUse("a", trained, weight) for weight in weights])
        return base.render([job], [None], settings)[0].pixels.astype(float)

    plain = drawn()
    assert np.abs(drawn(0.0) - plain).max() <= 1
    full = np.abs(drawn(1.0) - plain).mean()
    assert full > 1
    assert np.abs(drawn(0.5, 0.5) - drawn(1.0)).mean() < 0.05 * full + 0.5


def test_an_adapter_for_another_base_is_refused_by_card_and_by_tensors(
    trained: Path, other_toy: Path, tmp_path: Path
) -> None:
    from synthgen.bases import mini
    from synthgen.types import AdapterUse

    with pytest.raises(UnfitAdapter, match="was trained for base 'toy'"):
        generate.run(asked(trained, other_toy, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    base = mini.load(mini.identify(other_toy))
    with pytest.raises(UnfitAdapter, match="trained for another base"):
        base.attach([AdapterUse("a", trained)])


def test_commercial_use_of_unknown_photos_is_refused_before_anything_is_written(
    trained: Path, toy: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    outcome = synthgen(
        "generate", "--count", 3, "--base", toy, "--adapter", trained, "--use", "commercial", "--out", tmp_path / "run"
    )
    assert outcome.code == 3
    assert "Licence refused for --use commercial" in outcome.err
    assert not (tmp_path / "run").exists()


def test_pictures_that_stay_blank_end_the_run_with_the_short_cells_named(
    trained: Path, toy: Path, tmp_path: Path, synthgen: Callable[..., Any]
) -> None:
    from diffusers import AutoencoderKL

    grey = tmp_path / "toy"
    shutil.copytree(toy, grey)
    vae = AutoencoderKL.from_pretrained(grey / "vae", local_files_only=True)
    for parameter in vae.decoder.conv_out.parameters():
        parameter.data.zero_()
    vae.save_pretrained(grey / "vae")
    outcome = synthgen(
        "generate", "--count", 2, "--base", grey, "--no-adapter", "--size", SIZE_PX, "--num-inference-steps", 1,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert outcome.code == 1
    assert "2 pictures were rejected 5 times each" in outcome.err
    assert len(list((tmp_path / "run" / "rejected").glob("*.png"))) == 10


def test_no_adapter_at_all_says_what_to_do(empty_folder: Path) -> None:
    with pytest.raises(RequestError, match="--no-adapter"):
        generate.run(generate.GenerateRequest(count=3))


def test_a_dry_run_writes_nothing_and_names_every_cell(trained: Path, toy: Path, empty_folder: Path) -> None:
    result = generate.run(asked(trained, toy, empty_folder / "run", count=60, dry_run=True))
    assert list(empty_folder.iterdir()) == []
    assert sum(result.cells["place"].values()) == 60
    assert set(result.cells["skin_tone"].values()) == {6}


def test_own_keypoints_decide_the_pose(trained: Path, toy: Path, tmp_path: Path) -> None:
    from synthgen import poses

    points = np.array(poses.library()[next(iter(poses.library()))].points) * [400, 400, 1] + [200, 50, 0]
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"people": [{"pose_keypoints_2d": points.ravel().tolist()}]}))
    generate.run(asked(trained, toy, tmp_path / "run", count=3, poses=(file,)))
    assert {row["requested_pose"] for row in rows(tmp_path / "run")} == {"mine"}


def test_a_folder_of_something_else_is_never_trained_into(toy: Path, tmp_path: Path) -> None:
    shirts = photos(tmp_path / "shirts", 1)
    request = train.TrainRequest(shirts, base=str(toy), steps=2, out=shirts, replace=True)
    with pytest.raises(RequestError, match="holds no adapter"):
        train.fit_product(request)
    assert [path.name for path in shirts.iterdir()] == ["photo-0.png"]


def test_a_tag_in_the_prompt_means_the_same_as_the_option(trained: Path, toy: Path, empty_folder: Path) -> None:
    from synthgen import recipes

    shutil.copytree(trained, empty_folder / "adapters" / "shirts")
    (empty_folder / "pipelines").mkdir()
    text = recipes.dump(recipes.load("apparel")).replace("wearing {subject}", "wearing {subject} <lora:shirts:0.7>")
    (empty_folder / "pipelines" / "tagged.toml").write_text(text)
    asked_for = generate.GenerateRequest(count=1, pipeline="tagged", base=str(toy), dry_run=True)
    ready = generate._prepare(asked_for)
    assert [(use.name, use.weight) for use in ready.uses] == [("shirts", 0.7)]
    assert "<lora" not in ready.jobs[0].prompt
