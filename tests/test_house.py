"""The rules of the house, held."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from synthgen.cli import synthgen as program

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "synthgen"
ROOMS = ("bases", "conditioners", "domains", "gates", "exporters", "evaluators", "watermarks")

# Imports fall and never climb. A name stands for the module and for all that lies in it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("types", "errors", "resources", "rooms", "__init__"),
    # services
    ("modalities", "case_table", "photo_split", "burned_in", "dicom_file", "identifiers", "deidentify",
         "images", "image_file", "photo_table", "rights_file", "toml_file", "captions", "recipes", "plan", "licenses",
     "license_record", "license_expressions", "license_reading", "share_alike", "civitai_flags", "licensee",
     "rights_report", "notices", "materials",
     "provenance", "adapters", "adults", "card", "tensor_file", "store", "ledger", "run_lock", "run_report", "poses",
     "run_index", "run_folder", "tally", "label_words",
     "vocabulary", "measures", "private_photos", "edit_ladder", "copy_report", "membership",
     "interrupt", "progress", "checkpoint", "precision", "detector_file", "balance", "lora",
     "lora_claims", "lora_exchange", "lora_names", "lora_family", "lora_fit", "lora_kin", "lora_change",
     "lora_joint", "first_names",
     "adapter_methods", "weights_hash", "splits", "labelled_set", "boxes",
     "records", "export_set", "export_pictures", "export_encoding", "export_rights", "export_card", "answers",
     "intervals", "classifiers",
     "class_file", "predictions_file", "model_file", "candidates", "small_networks", "marks", "signing", "png_file",
     "perceptual_hash", "masks", "photo_quality", "photo_check", "caption_lint", "contact_sheet", "machine",
     "training_check", "optimizers", "buckets", "presets",
     "text_length", "file_hash", "model_folder", "hub", "ldm_names", "memory_modes",
     "grid", "photo_frame", "remote_run", "remote_lock", "background"),
    ("mini",),
    ROOMS,
    ("engines",),
    ("base_pull", "base_facts", "base_needs", "card_preset",
     "train", "training_loop", "training_material", "training_measures", "training_request",
     "training_card", "training_logs", "training_crew", "tuning", "tuning_report",
     "folds",
     "condition",
     "training_report", "generate", "adapter_choice", "evaluate", "report", "selfcheck", "evaluation_sets",
     "evaluation_parts", "export", "export_manifest", "ingest", "verify", "revoke", "export_quarantine", "watermark",
     "replay", "rounds", "steered", "sweep", "blend", "severity", "guides", "recipe_choice", "retouch"),
    ("cli", "__main__"),
)  # fmt: skip
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "misc", "manager", "managers"}
HEAVY = ("torch", "torchvision", "numpy", "pandas", "PIL", "cv2", "diffusers", "transformers", "peft", "albumentations")


@cache
def modules() -> dict[str, Path]:
    """Dotted name inside the package -> file: "errors", "bases.mini", "mini.world" for a package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 1:
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names inside the package that a file imports anywhere, inside functions too, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = "synthgen." + ".".join(path.relative_to(PACKAGE).parts[: -node.level]) if node.level else ""
            source = ".".join(part for part in (package.rstrip("."), node.module or "") if part)
            targets = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            if target == "synthgen" or target.startswith("synthgen."):
                yield _module(target.removeprefix("synthgen").removeprefix(".")), node.lineno


def _module(target: str) -> str:
    """ "errors.RequestError" -> "errors": the module, not the name in it."""
    known = modules()
    while target and target not in known:
        target = target.rpartition(".")[0]
    return target or "__init__"


def floor(module: str) -> int:
    top = module.partition(".")[0]
    for height, names in enumerate(FLOORS):
        if top in names:
            return height
    raise AssertionError(f"synthgen/{top} stands on no floor; give it one in tests/test_house.py")


def test_every_module_stands_on_a_floor() -> None:
    assert {floor(module) for module in modules()} <= set(range(len(FLOORS)))


def test_imports_fall_and_never_climb() -> None:
    climbs = [
        f"{path.relative_to(REPOSITORY)}:{line} imports {target}"
        for module, path in modules().items()
        for target, line in imports(path)
        if floor(target) > floor(module)
    ]
    assert climbs == []


def test_members_of_rooms_do_not_know_one_another() -> None:
    sideways = [
        f"{path.relative_to(REPOSITORY)}:{line} imports {target}"
        for module, path in modules().items()
        for target, line in imports(path)
        if _strangers(module, target)
    ]
    assert sideways == []


def _strangers(module: str, target: str) -> bool:
    """Two members, of one room or of two. The room itself and its files `_x.py` are shared by its members."""
    (room, _, member), (other_room, _, other) = module.partition("."), target.partition(".")
    if room not in ROOMS or other_room not in ROOMS:
        return False
    return room != other_room or bool(member and other and not other.startswith("_") and member != other)


def test_no_module_imports_itself_in_a_circle() -> None:
    below = {module: {target for target, _ in imports(path)} - {module} for module, path in modules().items()}
    left = dict(below)
    while left:  # take away what imports nothing that is left; what remains is a circle
        free = [module for module, targets in left.items() if not targets & left.keys()]
        assert free, f"circle among {sorted(left)}"
        for module in free:
            del left[module]


def test_an_upward_import_inside_a_function_is_seen(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from synthgen.cli import main\n    import synthgen.errors\n")
    assert list(imports(planted)) == [("cli", 2), ("errors", 3)]


@pytest.mark.parametrize("folder", ["pipelines", "licenses", "adapters"])
def test_data_folders_hold_no_code(folder: str) -> None:
    assert (REPOSITORY / folder).is_dir()
    assert [path for path in (REPOSITORY / folder).rglob("*.py*") if path.is_file()] == []


READERS = ("from_pretrained", "load_lora_weights", "from_single_file", "lora_state_dict", "load_lora_adapter")
NO_WEIGHTS = {"CLIPTokenizer", "AutoTokenizer", "AutoImageProcessor"}  # their files hold no tensors


def unsafe_reads(source: str) -> list[str]:
    """What in a Python text could run a stranger's pickle or code, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called, given = ast.unparse(node.func), {item.arg: item.value for item in node.keywords}
        safe = isinstance(given.get("use_safetensors"), ast.Constant) and given["use_safetensors"].value is True
        reads = called.rpartition(".")[2] in READERS and called.split(".")[0] not in NO_WEIGHTS
        pickles = called in (
            "torch.load",
            "pickle.load",
            "pickle.loads",
            "joblib.load",
            "torch.hub.load",
            "eval",
            "exec",
        )
        only = given.get("weights_only")
        pickles &= not (called == "torch.load" and isinstance(only, ast.Constant) and only.value is True)
        trusts = "trust_remote_code" in given and ast.unparse(given["trust_remote_code"]) != "False"
        if pickles or (reads and not safe) or trusts or "allow_pickle" in given:
            found.append(f"{node.lineno}: {called}")
    return found


def test_no_pickle_and_no_code_of_a_stranger_is_ever_loaded() -> None:
    """torch.load stands for plain tensors alone, and asks for them: weights_only=True."""
    unsafe = {name: unsafe_reads(path.read_text(encoding="utf-8")) for name, path in modules().items()}
    assert {name: found for name, found in unsafe.items() if found} == {}


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(file)", "torch.load(file, weights_only=False)",
        "UNet.from_pretrained(x)", "UNet.from_pretrained(x, use_safetensors=False)",
        "UNet.from_pretrained(x, use_safetensors=None)", "pipe.load_lora_weights(x, weight_name='a.safetensors')",
        "AutoModel.from_pretrained(x, use_safetensors=True, trust_remote_code=True)", "pickle.loads(data)",
        "np.load(x, allow_pickle=True)", "eval(metadata['x'])",
    ],
)  # fmt: skip
def test_an_unsafe_read_is_seen(line: str) -> None:
    assert unsafe_reads(line)
    assert not unsafe_reads("UNet.from_pretrained(x, use_safetensors=True)")


def test_files_stay_short_enough_to_read() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {str(path.relative_to(REPOSITORY)): lines for path, lines in lengths.items() if lines > 400} == {}


def test_file_names_say_what_is_inside() -> None:
    assert [path for path in sources() if path.stem in NAMES_THAT_SAY_NOTHING] == []


def sources() -> list[Path]:
    return [
        path for folder in ("synthgen", "tests", "benchmarks") for path in sorted((REPOSITORY / folder).rglob("*.py"))
    ]


@pytest.mark.parametrize("command", ["--help", "train-product --help", "generate --help", "list bases"])
def test_help_and_lists_load_no_heavy_library(command: str, tmp_path: Path) -> None:
    program_text = (
        "import sys\n"
        "from synthgen.cli import run\n"
        f"assert run({command.split()!r}) == 0\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program_text],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it: "generate", "licenses check"."""
    pending: list[tuple[str, click.Command]] = [("", program)]
    while pending:
        words, command = pending.pop(0)
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                pending.append((f"{words} {name}".strip(), found))


def examples() -> list[str]:
    """The lines under Example: in the help of every command."""
    return [line.strip() for _, command in commands() for line in (command.epilog or "").splitlines()[2:]]


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_command_promises_something_and_ends_with_an_example(words: str) -> None:
    command = dict(commands())[words]
    promise = (command.help or "").split("\n")[0]
    assert promise.endswith(".") and len(promise) <= 65, promise
    epilog = (command.epilog or "").splitlines()
    assert epilog[:2] == ["\b", "Example:"]
    assert all(line.strip().startswith(f"synthgen {words}".strip()) for line in epilog[2:])
    assert len(epilog) > 2


def shell_lines(text: str) -> list[str]:
    """The lines that call synthgen in the fenced blocks of a Markdown text, comments and backslashes resolved."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    joined = [re.sub(r"\\\n\s*", " ", block) for block in blocks]
    return [line.strip() for block in joined for line in block.splitlines() if line.strip().startswith("synthgen ")]


def test_commands_in_texts_and_examples_exist_and_are_well_formed() -> None:
    texts = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "benchmarks").glob("*.md")]
    lines = list(itertools.chain(examples(), *(shell_lines(path.read_text(encoding="utf-8")) for path in texts)))
    assert len(lines) > len(texts)
    for line in lines:
        parse(line)


def parse(line: str) -> None:
    """Parses a command line without running it; a click.UsageError tells what is wrong."""
    import shlex

    words = shlex.split(line, comments=True)[1:]
    command: click.Command = program
    context = click.Context(program, info_name="synthgen", **program.context_settings)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: there is no command '{words[0]}'"
        command = found
        context = click.Context(command, parent=context, info_name=words.pop(0))
    if not {"--help", "--version"} & set(words):
        command.parse_args(context, words)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse("synthgen generate --count 5 --colour red")
    with pytest.raises(AssertionError, match="no command 'exprot'"):
        parse("synthgen exprot runs/x")


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", (REPOSITORY / "README.md").read_text(encoding="utf-8")))
    assert {"test", "demo"} <= named <= targets


def test_constraints_pin_names_and_versions_only() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", line)] == []


def test_every_dependency_is_pinned_within_its_range() -> None:
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(
        line.split("==")
        for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), text


def test_every_library_that_is_imported_is_declared() -> None:
    import tomllib
    from importlib.metadata import packages_distributions

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    optional = {"pillow_heif", "bitsandbytes", "ray"}  # what needs one of these says so where it is not here
    providers = packages_distributions()
    strange = {
        name
        for path in modules().values()
        for name in outside(path) - optional
        if not {canonicalize_name(provider) for provider in providers.get(name, ())} & declared
    }
    assert strange == set()


def outside(path: Path) -> set[str]:
    """Top names of the libraries, other than Python's own and ours, that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names - sys.stdlib_module_names - {"synthgen"}
