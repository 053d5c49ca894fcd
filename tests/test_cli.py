"""What a user types, and what comes back: exit code, stdout, stderr."""

from __future__ import annotations

import csv
import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen import __version__, cli
from synthgen.errors import Refused, SynthgenError

REPOSITORY = Path(__file__).resolve().parent.parent
Synthgen = Callable[..., Any]  # typed words -> (code, out, err), see conftest.py
IN_PYTHON = [sys.executable, "-m", "synthgen"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

GOLDEN = {  # what is typed -> the whole of stderr
    "genrate --count 5": "Error: synthgen has no 'genrate'; did you mean 'generate'? Known: "
    f"{', '.join(sorted(cli.COMMANDS))}. See synthgen --help.",
    "generate --count 0": "Error: Invalid value for '-n' / '--count': found '0', wanted a whole number of pictures, "
    "1 or more. Nothing was done. See synthgen generate --help.",
    "generate --count -3": "Error: Invalid value for '-n' / '--count': found '-3', wanted a whole number of pictures, "
    "1 or more. Nothing was done. See synthgen generate --help.",
    "generate --count lots": "Error: Invalid value for '-n' / '--count': found 'lots', wanted a whole number of "
    "pictures, 1 or more. Nothing was done. See synthgen generate --help.",
    "generate --count 2.5": "Error: Invalid value for '-n' / '--count': found '2.5', wanted a whole number of "
    "pictures, 1 or more. Nothing was done. See synthgen generate --help.",
    "generate": "Error: Missing option '-n' / '--count'. See synthgen generate --help.",
    "samples --out x --one-product --kind xray": "Error: --one-product is for garments; 'xray' is none. "
    "See synthgen samples --help.",
    "samples --out x --kind shrit": "Error: --kind has no 'shrit'; did you mean 'shirt'? Known: character, dress, "
    "longsleeve, outwear, pants, person, shirt, shorts, skirt, smear, t-shirt, xray.",
    "check aparel": "Error: pipelines has no 'aparel'; did you mean 'apparel'? Known: apparel, character, medical.",
    "copy aparel": "Error: shipped pipelines has no 'aparel'; did you mean 'apparel'? Known: apparel, character, "
    "medical.",
    "check mine.toml": "Error: mine.toml is no pipeline file. Name one that `synthgen list pipelines` shows, or a "
    "file.",
    "licenses check --use commercial": "Error: name at least one of --base, --adapter and --images. "
    "See synthgen licenses check --help.",
    "licenses check --images nowhere": "Error: there is no folder 'nowhere'. --images wants the folder that holds the "
    "photos.",
    "train-product --images nowhere --per-folder": "Error: there is no folder 'nowhere'. --images wants one with a "
    "sub-folder of photos per product.",
    "train-product --images . --per-folder --name x": "Error: --name does not go with --per-folder: each adapter is "
    "named after its folder. See synthgen train-product --help.",
    "train-product --images . --per-folder": "Error: . has no sub-folders. For one product, run the same command "
    "without --per-folder.",
}


@pytest.mark.parametrize("typed", GOLDEN)
def test_a_wrong_request_gets_one_clear_line_and_changes_nothing(
    typed: str, synthgen: Synthgen, empty_folder: Path
) -> None:
    assert synthgen(*shlex.split(typed)) == (2, "", GOLDEN[typed] + "\n")
    assert list(empty_folder.iterdir()) == []


JOURNEY_MISTAKES = {  # what is typed -> what stderr must name
    "train-product --images nowhere": ("Error: there is no folder 'nowhere'", "folder that holds the photos"),
    "train-product --images empty": ("Error: empty is empty", "one is enough"),
    "train-product --images photos --base mimi": ("did you mean 'mini'?",),
    "train-product --images photos --use comercial": ("did you mean 'commercial'?",),
    "train-product --images photos --out a-file/adapter": ("Error: ", "a-file"),
    "generate --count 4": ("Error: ", "train-product", "--no-adapter"),
    "generate --count 4 --no-adapter --pipeline aparel": ("did you mean 'apparel'?",),
    "generate --count 4 --no-adapter --base mimi": ("did you mean 'mini'?",),
    "generate --count 4 --adapter nope": ("Error: adapters has no 'nope'",),
    "generate --count 4 --no-adapter --only plaice=beach": ("did you mean 'place'?",),
    "generate --count 4 --no-adapter --size 264 --dry-run": ("multiples of 16 px. Nearest: 256",),
    "generate --count 4 --no-adapter --only place=beech": ("did you mean 'beach'?",),
    "generate --count 4 --no-adapter --out a-file/run": ("Error: ", "a-file"),
    "generate --count 4 --no-adapter --out photos": ("Error: ", "photos"),
}


@pytest.mark.parametrize("typed", JOURNEY_MISTAKES)
def test_a_journey_that_cannot_begin_says_why(typed: str, synthgen: Synthgen, empty_folder: Path) -> None:
    (empty_folder / "empty").mkdir()
    (empty_folder / "a-file").write_text("no folder")
    assert synthgen("samples", "--kind", "shirt", "--count", 1, "--out", "photos").code == 0
    before = sorted(empty_folder.rglob("*"))
    code, out, err = synthgen(*shlex.split(typed))
    assert (code, out) == (2, "")
    assert all(words in err for words in JOURNEY_MISTAKES[typed]), err
    assert "bug in synthgen" not in err and "Traceback" not in err
    assert sorted(empty_folder.rglob("*")) == before


def test_a_dry_run_shows_plan_and_verdict_and_writes_nothing(synthgen: Synthgen, empty_folder: Path) -> None:
    code, out, _ = synthgen("generate", "--count", 12, "--no-adapter", "--only", "place=beach,park", "--dry-run")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["place"] == "beach 6, park 6"
    assert lines["12"].startswith("pictures would go to runs/")
    assert "licence verdict for use 'internal': yes (allow)" in out
    assert list(empty_folder.iterdir()) == []


def test_a_dry_run_gives_programs_the_same_as_json(synthgen: Synthgen, empty_folder: Path) -> None:
    code, out, _ = synthgen(
        "generate", "--count", 12, "--no-adapter", "--only", "place=beach,park", "--dry-run", "--json"
    )
    assert code == 0
    told = json.loads(out)
    assert told["cells"]["place"] == {"beach": 6, "park": 6}
    assert (told["count"], told["made"], told["verdict"]["answer"]) == (12, 0, "allow")


def test_samples_are_labelled_pictures_with_rights(synthgen: Synthgen, empty_folder: Path) -> None:
    from PIL import Image

    code, out, _ = synthgen("samples", "--kind", "t-shirt", "--one-product", "--count", 3, "--out", "new/tees")
    assert (code, out) == (0, "new/tees\n")
    folder = empty_folder / "new" / "tees"
    rows = list(csv.DictReader((folder / "metadata.csv").open(newline="")))
    assert [row["file_name"] for row in rows] == [f"t-shirt-000{index}.png" for index in range(3)]
    assert {row["category"] for row in rows} == {"t-shirt"}
    assert len({(row["colour"], row["pattern"]) for row in rows}) == 1
    pixels = {Image.open(folder / row["file_name"]).convert("RGB").tobytes() for row in rows}
    assert len(pixels) == 3
    rights = tomllib.loads((folder / "rights.toml").read_text())
    assert rights == {"owner": "synthgen", "license": "CC0-1.0", "source": "rendered by synthgen samples"}
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize(("kind", "label"), [("person", "skin_tone"), ("xray", "finding"), ("smear", "cell")])
def test_other_samples_carry_their_own_labels(kind: str, label: str, synthgen: Synthgen, empty_folder: Path) -> None:
    assert synthgen("samples", "--kind", kind, "--count", 2, "--seed", 7, "--out", "them").code == 0
    rows = list(csv.DictReader((empty_folder / "them" / "metadata.csv").open(newline="")))
    assert all(row[label] for row in rows)


def test_same_seed_same_samples(synthgen: Synthgen, empty_folder: Path) -> None:
    for out in ("a", "b"):
        assert synthgen("samples", "--kind", "dress", "--count", 2, "--seed", 3, "--out", out).code == 0
    names = sorted(path.name for path in (empty_folder / "a").iterdir())
    assert [(empty_folder / "a" / name).read_bytes() for name in names] == [
        (empty_folder / "b" / name).read_bytes() for name in names
    ]


def test_samples_never_touch_a_folder_that_holds_something(synthgen: Synthgen, empty_folder: Path) -> None:
    (empty_folder / "mine").mkdir()
    (empty_folder / "mine" / "photo.txt").write_text("mine")
    code, out, err = synthgen("samples", "--out", "mine")
    assert (code, out) == (2, "")
    assert err == "Error: mine is not empty. --out wants a folder, new or empty. Nothing was changed.\n"
    assert [path.name for path in (empty_folder / "mine").iterdir()] == ["photo.txt"]


def test_a_place_that_cannot_be_written_is_named(synthgen: Synthgen, empty_folder: Path) -> None:
    (empty_folder / "file").write_text("")
    code, out, err = synthgen("samples", "--out", "file/below")
    assert (code, out) == (2, "")
    assert err == "Error: cannot write file/below: Not a directory. Choose another place; nothing there was changed.\n"


def test_lists_print_names_on_stdout_and_places_on_stderr(synthgen: Synthgen, empty_folder: Path) -> None:
    code, out, err = synthgen("list", "pipelines")
    assert code == 0
    assert out.startswith("apparel  ")
    assert err.endswith(f"looked in {REPOSITORY / 'pipelines'}\n")


@pytest.mark.parametrize("kind", ["bases", "adapters", "licenses", "pipelines", "gates", "formats"])
def test_every_kind_can_be_listed_as_json_and_its_members_shown(
    kind: str, synthgen: Synthgen, empty_folder: Path
) -> None:
    code, out, _ = synthgen("list", kind, "--json")
    assert code == 0
    told = json.loads(out)
    assert kind == "adapters" or told
    for member in told:
        assert member["caption"]
        code, out, _ = synthgen("show", kind, member["name"])
        assert code == 0 and out.strip()
        assert synthgen("show", kind, member["name"], "--json").code == 0


def test_unknown_kinds_and_members_get_the_nearest_name(synthgen: Synthgen, empty_folder: Path) -> None:
    assert "did you mean 'licenses'?" in synthgen("list", "licences").err
    assert "did you mean 'CC0-1.0'?" in synthgen("show", "licenses", "CC0-1").err
    assert "did you mean 'apparel'?" in synthgen("show", "pipelines", "aparel").err


def test_a_copied_pipeline_is_checked_and_comes_first(synthgen: Synthgen, empty_folder: Path) -> None:
    assert synthgen("copy", "apparel").out == "pipelines/apparel.toml\n"
    assert synthgen("check", "apparel").out.startswith(f"{empty_folder / 'pipelines' / 'apparel.toml'}: ok (")
    again = synthgen("copy", "apparel")
    assert again == (
        2,
        "",
        "Error: pipelines/apparel.toml exists and was left as it is. Choose another file with --to.\n",
    )


def test_all_problems_of_a_pipeline_are_told_at_once(synthgen: Synthgen, empty_folder: Path) -> None:
    assert synthgen("copy", "apparel", "--to", "mine.toml").out == "mine.toml\n"
    recipe = empty_folder / "mine.toml"
    text = (
        recipe.read_text()
        .replace("conditioning_scale =", "condishioning_scale =")
        .replace("[gates]", "[gates]\nblnak = 'off'")
    )
    recipe.write_text(text)
    code, out, err = synthgen("check", "mine.toml")
    assert (code, out) == (2, "")
    assert "Did you mean 'controlnet_conditioning_scale'?" in err and "blnak" in err


def test_licenses_check_answers_yes_and_no_by_its_exit_code(synthgen: Synthgen, empty_folder: Path) -> None:
    assert synthgen("samples", "--count", 1, "--out", "free").code == 0
    code, out, _ = synthgen("licenses", "check", "--base", "mini", "--images", "free", "--use", "commercial")
    assert code == 0 and out.startswith("licence verdict for use 'commercial': yes (allow)\n  because ")
    (empty_folder / "unstated").mkdir()
    code, out, _ = synthgen("licenses", "check", "--images", "unstated", "--use", "commercial", "--json")
    assert code == Refused.exit_code
    told = json.loads(out)
    assert (told["permitted"], told["answer"]) == (False, "unknown")
    assert synthgen("licenses", "check", "--images", "unstated").code == 0  # internal use


def test_errors_have_the_exit_codes_that_are_promised() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "runs/x/images/1.png")
    told, code = cli.explain(full)
    assert (code, told) == (
        1,
        "Error: the disk that holds runs/x/images/1.png is full. What is finished is kept; run the same command again "
        "once there is room.",
    )
    assert cli.explain(OSError(errno.EROFS, "Read-only file system", "out"))[1] == 2
    assert cli.explain(MemoryError())[1] == 1
    assert cli.explain(SynthgenError("the run failed")) == ("Error: the run failed", 1)
    assert cli.explain(Refused("no")) == ("Error: no", 3)
    assert cli.explain(ZeroDivisionError("by zero")) == (
        "Error: this is a bug in synthgen: ZeroDivisionError: by zero. Run it again with --debug to see where.",
        1,
    )


def test_a_traceback_is_shown_only_with_debug(synthgen: Synthgen, empty_folder: Path) -> None:
    assert "Traceback" not in synthgen("check", "aparel").err
    assert "Traceback" in synthgen("check", "aparel", "--debug").err
    assert "Traceback" in synthgen("--debug", "check", "aparel").err


def test_python_m_synthgen_is_synthgen(tmp_path: Path) -> None:
    done = subprocess.run(
        [*IN_PYTHON, "--version"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"synthgen {__version__}\n"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*IN_PYTHON, "show", "pipelines", "apparel"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_in_samples_says_what_is_kept_and_leaves_nothing(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [*IN_PYTHON, "samples", "--count", "100000", "--out", "many"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 60
    while not list(tmp_path.glob("many/*.png")) and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err.endswith("Stopped. Nothing is left of the unfinished folder.\n") and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_examples_in_the_help_do_what_they_say(synthgen: Synthgen, empty_folder: Path) -> None:
    ran = []
    for name in ("samples", "list", "copy", "check", "show"):
        epilog = cli.synthgen.get_command(cli.click.Context(cli.synthgen), name).epilog  # type: ignore[union-attr]
        for line in (epilog or "").splitlines()[2:]:
            code, out, err = synthgen(*shlex.split(line)[1:])
            assert code == 0 and out.strip(), (line, err)
            ran.append(line)
    assert len(ran) >= 9


@pytest.fixture
def shirts_adapter(empty_folder: Path) -> Path:
    """adapters/shirts as training leaves it, with weights of one tiny LoRA pair."""
    import numpy as np
    from safetensors.numpy import save_file

    from synthgen import adapters
    from synthgen.card import Card

    folder = empty_folder / "adapters" / "shirts"
    folder.mkdir(parents=True)
    names = ("lora_A", "lora_B")
    save_file(
        {f"unet.mid.{name}.weight": np.ones((4, 4), np.float32) for name in names}, folder / "adapter.safetensors"
    )
    photos = {"owner": "Acme", "license": "CC-BY-NC-4.0"}
    card = Card("shirts", "sks", "shirt", "apparel", "mini", "", 4, 4.0, "unknown", trained_on=photos)
    adapters.save(folder, card)
    return folder


def test_an_adapter_is_listed_and_shown_by_its_card(synthgen: Synthgen, shirts_adapter: Path) -> None:
    code, out, _ = synthgen("list", "adapters")
    assert code == 0 and out.startswith("shirts  sks shirt, rank 4 on mini, ")
    assert 'trigger = "sks"' in synthgen("show", "adapters", "shirts").out
    assert json.loads(synthgen("show", "adapters", "shirts", "--json").out)["trained_on"]["owner"] == "Acme"


def test_an_adapter_brings_the_licence_of_its_photos(synthgen: Synthgen, shirts_adapter: Path) -> None:
    code, out, _ = synthgen("licenses", "check", "--adapter", "shirts", "--use", "commercial")
    assert code == Refused.exit_code
    assert out.startswith("licence verdict for use 'commercial': no (deny)\n")
    assert "adapter 'shirts' > photos 'shirts' is CC-BY-NC-4.0: run_commercial -> deny" in out


def test_licences_are_shown_by_any_name_and_checked_for_a_day_and_a_reading(
    synthgen: Synthgen, shirts_adapter: Path
) -> None:
    code, out, _ = synthgen("show", "license", "cc-by")
    assert code == 0 and out.startswith("CC-BY-4.0\n") and "3(a)" in out
    assert json.loads(synthgen("show", "license", "LicenseRef-civitai-Image", "--json").out)["id"].endswith("-Image")
    asked = ("licenses", "check", "--adapter", "shirts", "--use", "commercial", "--json")
    code, out, _ = synthgen(*asked)
    told = json.loads(out)
    assert code == Refused.exit_code and told["steps"][0]["answer"] == told["answer"] == "deny"
    assert told["rights"]["output_commercial"] == "deny"
    assert json.loads(synthgen(*asked, "--reading", "lenient").out)["answer"] == "unknown"  # the adapter's own licence
    assert "wanted a day such as" in synthgen(*asked, "--on", "soon").err
    assert "wanted LICENSE=NUMBER" in synthgen(*asked, "--waiver", "W-7").err
    assert "did you mean 'strict'?" in synthgen(*asked, "--reading", "strikt").err


def test_lists_answer_for_the_use_and_a_verdict_names_its_limits(synthgen: Synthgen, empty_folder: Path) -> None:
    told = {line.split()[0]: line for line in synthgen("list", "licenses").out.splitlines()}
    assert "commercial deny" in told["LicenseRef-synthgen-FLUX.1-dev-NCL"]  # though its outputs alone are contested
    told = {line.split()[0]: line for line in synthgen("list", "bases").out.splitlines()}
    assert "commercial use: allow" in told["flux-schnell"] and "commercial use: deny" in told["sdxl-turbo"]
    photos = empty_folder / "photos"
    photos.mkdir()
    (photos / "rights.toml").write_text('owner = "A"\nlicense = "CC-BY-SA-4.0"\nexpires = 2099-12-31\n')
    said = synthgen("licenses", "check", "--base", "sd35-medium", "--images", photos, "--use", "commercial").out
    lines = said.splitlines()
    assert lines[0].endswith(": no (review)") and "bases pull" in lines[1]
    assert not any(" -> allow " in line or " -> conditional " in line for line in lines)  # only what has to go
    assert "  only until 2099-12-31" in lines and "  only up to a revenue of USD 1,000,000" in lines
    assert "  to be shared under CC-BY-SA-4.0" in lines
    rail = synthgen("licenses", "check", "--base", "sdxl").out
    assert "  not for: automated_decision, " in rail and "medical_advice" in rail


def test_notice_wants_a_run_and_says_so(synthgen: Synthgen, empty_folder: Path) -> None:
    code, out, err = synthgen("licenses", "notice", "runs/none")
    assert (code, out) == (2, "") and "is no run of synthgen" in err
    assert list(empty_folder.iterdir()) == []
