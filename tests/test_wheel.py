"""Built as a wheel and installed, synthgen is whole and works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD_S = 120


def call(*command: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command away from the checkout: neither it nor an editable install of it may help out."""
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**surroundings, **environment},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist, and the wheel that was built from it; no isolation, so no network."""
    out = tmp_path_factory.mktemp("dist")
    done = call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, REPOSITORY, folder=out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed, without what it depends on."""
    target = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    flags = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--target")
    done = call(sys.executable, "-m", "pip", "install", *flags, target, wheel, folder=target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def tracked(*folders: str) -> set[str]:
    """Files below these folders that belong to the project: those that git does not ignore."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders)
    listed = call(*command, folder=REPOSITORY)
    assert listed.returncode == 0, listed.stderr
    return {name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()}


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="not a git checkout: which files belong cannot be told")
def test_the_wheel_holds_the_package_its_weights_and_the_data_folders_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    data = {f"synthgen/_shipped/{name}" for name in tracked("pipelines", "licenses", "adapters")}
    assert names == tracked("synthgen") | data
    assert {name.partition("/")[0] for name in names} == {"synthgen"}  # nothing of ours lies open in site-packages


def test_the_sdist_can_be_tested_and_built_again(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "constraints.txt", "Makefile", "LICENSE", "README.md", "tests/test_wheel.py"}
    assert wanted <= names
    assert {"pipelines/apparel.toml", "licenses/CC0-1.0.toml", "adapters/README.md"} <= names


def test_the_wheel_carries_license_and_console_script(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    info = next(name for name in archive.namelist() if name.endswith("METADATA")).rpartition("/")[0]
    assert "License-Expression: Apache-2.0" in archive.read(f"{info}/METADATA").decode()
    assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()
    assert "synthgen = synthgen.cli:main" in archive.read(f"{info}/entry_points.txt").decode()


def test_installed_it_works_from_another_folder(installed: Path, tmp_path: Path) -> None:
    def synthgen(*words: str) -> str:
        done = call(sys.executable, "-P", "-m", "synthgen", *words, folder=tmp_path, PYTHONPATH=str(installed))
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = call(
        sys.executable,
        "-P",
        "-c",
        "import synthgen; print(synthgen.__file__)",
        folder=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert where.stdout.strip() == str(installed / "synthgen" / "__init__.py")
    assert synthgen("list", "pipelines").startswith("apparel  ")
    assert "CC0-1.0" in synthgen("list", "licenses")
    assert synthgen("check", "apparel").startswith(
        str(installed / "synthgen" / "_shipped" / "pipelines" / "apparel.toml")
    )
    assert synthgen("samples", "--count", "2", "--out", "shirts") == "shirts\n"
    assert len(list((tmp_path / "shirts").glob("*.png"))) == 2
    assert synthgen("copy", "apparel") == "pipelines/apparel.toml\n"
