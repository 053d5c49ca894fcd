"""Adapter folders: their cards, their names, their use."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from safetensors.numpy import save_file

from synthgen import adapters
from synthgen.adapters import Card
from synthgen.errors import RequestError, SynthgenError, UnfitAdapter, UnknownName

CARD = Card(
    name="shirts",
    trigger="sks",
    category="shirt",
    domain="apparel",
    base="mini",
    base_sha256="a" * 64,
    rank=4,
    alpha=8.0,
    license="unknown",
    trained_on={"digest": "d" * 64, "photos": 3, "rights": {"owner": "St. X", "license": "unknown"}, "skipped": []},
    training={"steps": 20, "learning_rate": 1e-4, "seed": 0},
    losses={"validation": [0.3, 0.25], "best": 0.25},
)


def weights(folder: Path, value: float = 0.5) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    down, up = np.full((4, 8), value, np.float32), np.ones((6, 4), np.float32)
    save_file({"unet.q.lora_A.weight": down, "unet.q.lora_B.weight": up}, folder / "adapter.safetensors")


def finish(folder: Path, created: str = "2026-01-01T00:00:00+00:00", name: str = "") -> Card:
    weights(folder)
    return adapters.save(folder, replace(CARD, name=name or folder.name, created=created))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with its own adapters/, and nothing shipped beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adapters").mkdir()
    return tmp_path


def test_a_card_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    weights(tmp_path)
    saved = adapters.save(tmp_path, CARD)
    assert adapters.load_card(tmp_path) == saved
    hashes = {key: getattr(saved, key) for key in ("weights_sha256", "weights_autov3", "weights_fingerprint")}
    assert saved == replace(CARD, created=saved.created, finished=True, **hashes)
    assert [len(digest) for digest in hashes.values()] == [64, 12, 64]
    assert abs((datetime.now(UTC) - saved.moment).total_seconds()) < 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter.safetensors", "card.toml"]


def test_numbers_of_numpy_paths_and_nothing_can_stand_in_a_card(tmp_path: Path) -> None:
    weights(tmp_path)
    losses = {"best": np.float32(0.25), "none": None, "pair": (np.int64(1), 2)}
    adapters.save(tmp_path, replace(CARD, losses=losses, training={"images": Path("shirts")}))
    card = adapters.load_card(tmp_path)
    assert (card.losses, card.training) == ({"best": 0.25, "pair": [1, 2]}, {"images": "shirts"})


def test_weights_that_hold_nan_are_never_finished(tmp_path: Path) -> None:
    weights(tmp_path, float("nan"))
    with pytest.raises(UnfitAdapter, match="NaN or infinity"):
        adapters.save(tmp_path, CARD)
    assert not (tmp_path / "card.toml").exists()


def test_a_card_is_not_written_without_its_weights(tmp_path: Path) -> None:
    with pytest.raises(UnfitAdapter, match=r"adapter\.safetensors: there is no such file"):
        adapters.save(tmp_path, CARD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_leaves_the_weights_and_no_card(tmp_path: Path) -> None:
    weights(tmp_path)
    (tmp_path / f".card.toml.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(SynthgenError, match=r"could not be written: No space left.*weights beside it stay") as raised:
        adapters.save(tmp_path, CARD)
    assert raised.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["adapter.safetensors"]


def rewritten(folder: Path, **changes: object) -> None:
    """Its card with these keys changed, and those of value None taken away."""
    stated = {**tomllib.loads((folder / "card.toml").read_text()), **changes}
    (folder / "card.toml").write_text(tomli_w.dumps({key: value for key, value in stated.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trigger": None, "rank": None}, "missing trigger, rank"),
        ({"trigger": None, "triger": "sks"}, r"unknown key 'triger'\. Did you mean 'trigger'\?.*missing trigger"),
        ({"rank": "four"}, "rank is 'four', wanted int"),
        ({"rank": True}, "rank is 'True', wanted int"),
        ({"rank": 0}, "rank is 0, wanted 1 or more"),
        ({"alpha": float("inf")}, "alpha is inf, wanted a number above 0"),
        ({"created": "yesterday"}, "created is 'yesterday', wanted a time such as"),
        ({"trained_on": "photos"}, "trained_on is 'photos', wanted dict"),
        ({"finished": False}, "is unfinished"),
    ],
)
def test_a_wrong_card_is_refused_and_says_what_is_wrong(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    finish(tmp_path)
    rewritten(tmp_path, **changes)
    with pytest.raises(UnfitAdapter, match=said):
        adapters.load_card(tmp_path)


def test_a_card_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    for content in (b"rank = = 4", b"\xff\xfe", b"x = 1\n" * 200_000):
        (tmp_path / "card.toml").write_bytes(content)
        with pytest.raises(UnfitAdapter, match=r"card\.toml"):
            adapters.load_card(tmp_path)


def test_a_whole_number_for_alpha_is_a_number(tmp_path: Path) -> None:
    finish(tmp_path)
    rewritten(tmp_path, alpha=8)
    assert isinstance(adapters.load_card(tmp_path).alpha, float)


def test_weights_that_changed_after_the_card_are_not_used(tmp_path: Path) -> None:
    card = finish(tmp_path)
    assert adapters.verify_weights(tmp_path, card) == tmp_path / "adapter.safetensors"
    weights(tmp_path, 0.25)
    with pytest.raises(UnfitAdapter, match="not the file that its card was written for"):
        adapters.verify_weights(tmp_path, card)


def test_a_name_is_found_here_first_then_at_home(here: Path, own_home: Path) -> None:
    finish(own_home / "adapters" / "shirts")
    assert adapters.find("shirts") == own_home / "adapters" / "shirts"
    (here / "adapters" / "shirts").mkdir()  # unfinished, so it does not hide the finished one
    assert adapters.find("shirts") == own_home / "adapters" / "shirts"
    finish(here / "adapters" / "shirts")
    assert adapters.find("shirts") == here / "adapters" / "shirts"


def test_a_path_is_found_where_no_name_is(here: Path) -> None:
    finish(here / "elsewhere" / "mine")
    for text in ("elsewhere/mine", str(here / "elsewhere" / "mine"), "elsewhere/mine/adapter.safetensors"):
        assert adapters.find(text).resolve() == here / "elsewhere" / "mine"


def test_an_unknown_name_offers_the_nearest(here: Path) -> None:
    finish(here / "adapters" / "shirts")
    with pytest.raises(UnknownName, match="adapters has no 'shrits'; did you mean 'shirts'"):
        adapters.find("shrits")
    for text in ("", "..", "no/such/path"):
        with pytest.raises(RequestError):
            adapters.find(text)


def test_an_unfinished_folder_is_told_from_an_unknown_name(here: Path) -> None:
    weights(here / "adapters" / "shirts")
    with pytest.raises(UnfitAdapter, match="training did not end"):
        adapters.find("shirts")


def test_a_bare_file_and_a_pickle_are_refused_by_path(here: Path) -> None:
    weights(here / "bare")
    with pytest.raises(UnfitAdapter, match=r"no card\.toml beside it"):
        adapters.find("bare/adapter.safetensors")
    (here / "x.ckpt").write_bytes(b"\x80\x02}q\0.")
    with pytest.raises(UnfitAdapter, match="pickle"):
        adapters.find("x.ckpt")


def test_the_newest_is_the_one_created_last_and_finished(here: Path, own_home: Path) -> None:
    assert adapters.newest() is None
    finish(here / "adapters" / "z-old", "2026-03-01T12:00:00+02:00")
    finish(here / "adapters" / "a-new", "2026-03-01T11:00:00Z")
    finish(here / "adapters" / "broken", "2027-01-01T00:00:00Z")
    rewritten(here / "adapters" / "broken", rank=None)
    weights(here / "adapters" / "unfinished")
    finish(own_home / "adapters" / "at-home", "2028-01-01T00:00:00Z")
    assert adapters.newest() == here / "adapters" / "a-new"


def test_members_are_the_finished_ones_of_every_place(here: Path, own_home: Path) -> None:
    finish(here / "adapters" / "shirts", created="2026-01-01")
    finish(own_home / "adapters" / "shirts", created="2025-01-01")
    finish(own_home / "adapters" / "skirts")
    weights(here / "adapters" / "unfinished")
    (here / "adapters" / "note.txt").touch()
    members = adapters.members()
    assert {"shirts", "skirts"} <= set(members) and "unfinished" not in members
    assert members["shirts"].created == "2026-01-01"


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("shirts", 1.0),
        ("shirts:0.4", 0.4),
        (" shirts:-2 ", -2.0),
        ("adapters/shirts:1e-1", 0.1),
        ("./adapters/shirts", 1.0),
    ],
)
def test_a_use_is_a_name_and_a_weight(here: Path, text: str, weight: float) -> None:
    finish(here / "adapters" / "shirts")
    use = adapters.parse_use(text)
    assert (use.name, use.weight, use.path.resolve()) == ("shirts", weight, here / "adapters" / "shirts")


def test_a_colon_inside_a_path_is_no_weight(here: Path) -> None:
    finish(here / "run:3" / "shirts")
    assert adapters.parse_use("run:3/shirts").weight == 1.0
    assert adapters.parse_use("run:3/shirts:0.5").weight == 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shirts:", "weight is '', wanted a number from -2 to 2, such as shirts:0.8"),
        ("shirts:much", "weight is 'much'"),
        ("shirts:2.1", r"weight is '2\.1'"),
        ("shirts:nan", "weight is 'nan'"),
        ("shirts:-inf", "weight is '-inf'"),
        (":0.5", "has no name"),
        ("", "has no name"),
        ("skirts:0.5", "did you mean 'shirts'"),
    ],
)
def test_a_wrong_use_is_refused(here: Path, text: str, said: str) -> None:
    finish(here / "adapters" / "shirts")
    with pytest.raises(RequestError, match=said):
        adapters.parse_use(text)


def test_adapters_inside_a_prompt_are_taken_out_of_it(here: Path) -> None:
    finish(here / "adapters" / "shirts")
    finish(here / "adapters" / "hats")
    clean, uses = adapters.from_prompt("a person <lora:shirts:0.7>, wearing sks, <LoRA:hats>")
    assert clean == "a person, wearing sks"
    assert [(use.name, use.weight) for use in uses] == [("shirts", 0.7), ("hats", 1.0)]
    assert adapters.from_prompt("a  plain prompt,, as it is") == ("a  plain prompt,, as it is", [])


@pytest.mark.parametrize("prompt", ["a <lora:shirts:0.7 person", "a <lora:nobody:0.7> person", "a <lora:shirts:x>"])
def test_a_wrong_adapter_inside_a_prompt_is_refused(here: Path, prompt: str) -> None:
    finish(here / "adapters" / "shirts")
    with pytest.raises(RequestError):
        adapters.from_prompt(prompt)


def test_listing_adapters_loads_neither_torch_nor_numpy(here: Path, own_home: Path) -> None:
    finish(here / "adapters" / "shirts")
    program = (
        "import sys; from synthgen import adapters\n"
        "adapters.verify_weights(adapters.newest(), adapters.members()['shirts'])\n"
        "print([name for name in ('torch', 'numpy', 'PIL', 'safetensors') if name in sys.modules])"
    )
    source = str(Path(adapters.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": source, "SYNTHGEN_HOME": str(own_home)}
    done = subprocess.run([sys.executable, "-c", program], cwd=here, env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
