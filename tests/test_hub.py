"""Weights from the Hub, with the real huggingface_hub, against a server on this machine that speaks as the Hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import toy_bases

from synthgen import bases, hub, licenses
from synthgen.errors import RequestError

REPOSITORY = Path(__file__).parents[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories by id: their folder, whether they are gated, and files of which something else is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.repos: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.license = "apache-2.0"
        self.spoiled = ""  # file of which other bytes are sent
        self.cut = ""  # file whose first answer stops in its middle
        self.sent: list[tuple[str, str, str]] = []  # method, path, range

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        self.server.sent.append((self.command, path, self.headers.get("Range", "")))
        repo = next((one for one in self.server.repos if f"/{one}/" in f"{path}/"), "")
        if not repo:
            return self.say(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if repo in self.server.gated:
            return self.say(403, b"{}", {"X-Error-Code": "GatedRepo"})
        folder = self.server.repos[repo]
        if path.startswith("/api/models/"):
            return self.say(200, json.dumps(self.told(repo, folder)).encode())
        name = path.partition("/resolve/")[2].partition("/")[2]
        if not (folder / name).is_file():
            return self.say(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        self.file(folder / name, name)

    def told(self, repo: str, folder: Path) -> dict[str, Any]:
        rows = []
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            content = file.read_bytes()
            row: dict[str, Any] = {"rfilename": file.relative_to(folder).as_posix(), "size": len(content)}
            row["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if file.suffix == ".safetensors":
                digest = hashlib.sha256(content).hexdigest()
                row["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            rows.append(row)
        return {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": rows, "tags": [], "private": False,
                "downloads": 0, "likes": 0, "cardData": {"license": self.server.license}}  # fmt: skip

    def file(self, path: Path, name: str) -> None:
        content = path.read_bytes()
        tag = hashlib.sha256(content).hexdigest()
        if self.server.spoiled == name:
            content = content[:-1] + bytes([content[-1] ^ 1])
        head = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{tag}"', "Accept-Ranges": "bytes",
                "X-Linked-Size": str(len(content))}  # fmt: skip
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0] or 0)
        if self.command == "GET" and self.server.cut == name and not start:
            self.server.cut = ""
            self.send_response(200)
            for key, value in {**head, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        if start:
            head["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.say(206 if start else 200, content[start:], head)

    def say(self, code: int, content: bytes, head: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in {**(head or {}), "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    made = Hub()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bases.write("z_image", tmp_path_factory.mktemp("published") / "toy")


def program(home: Path, url: str, *words: object, offline: bool = False) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own: huggingface_hub reads its settings once."""
    own = {"PYTHONPATH": str(REPOSITORY), "HF_HOME": str(home / "hf"), "SYNTHGEN_HOME": str(home / "own"),
           "HF_ENDPOINT": url, "HF_HUB_OFFLINE": str(int(offline)), "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    env = {**os.environ, **own}
    return subprocess.run([sys.executable, "-m", "synthgen", *map(str, words)], cwd=home, env=env, text=True,
                          capture_output=True, timeout=120)  # fmt: skip


def test_a_base_is_pinned_fetched_checked_and_then_works_offline(server: Hub, klein: Path, tmp_path: Path) -> None:
    server.repos["Tongyi-MAI/Z-Image"] = klein
    (klein / "transformer" / "old.bin").write_bytes(b"pickle")
    server.cut = "transformer/diffusion_pytorch_model.safetensors"
    pulled = program(tmp_path, server.url, "bases", "pull", "z-image", "--use", "commercial")
    assert pulled.returncode == 0, pulled.stderr
    assert COMMIT in pulled.stderr and "licence verdict for use 'commercial': yes (allow)" in pulled.stderr
    got = [path for method, path, _ in server.sent if method == "GET" and "transformer/diffusion" in path]
    assert len(got) == 2  # cut once and asked for again; huggingface_hub keeps what came in steps of 10 MB
    assert not any(path.endswith(".bin") for _, path, _ in server.sent)
    folder = Path(pulled.stdout.strip())
    for file in klein.rglob("*.safetensors"):
        assert (folder / file.relative_to(klein)).read_bytes() == file.read_bytes()
    asked = len(server.sent)
    words = ("generate", "--count", 1, "--base", "z-image", "--no-adapter", "--size", 64, "--num-inference-steps", 1,
             "--use", "commercial", "--device", "cpu", "--out", "run")  # fmt: skip
    drawn = program(tmp_path, server.url, *words, offline=True)
    assert drawn.returncode == 0, drawn.stderr
    lineage = json.loads((tmp_path / "run" / "records.jsonl").read_text().splitlines()[0])["lineage"]
    assert (lineage["base"]["id"], lineage["base"]["license"]) == ("z-image", "Apache-2.0")
    assert len(server.sent) == asked
    next(folder.glob("vae/*.safetensors")).resolve().write_bytes(b"other")
    spoiled = program(tmp_path, server.url, *words[:-1], "other", offline=True)
    assert spoiled.returncode == 2 and "not as it was pulled" in spoiled.stderr


def test_not_a_weight_is_fetched_where_the_licence_says_no(server: Hub, klein: Path, tmp_path: Path) -> None:
    server.repos["black-forest-labs/FLUX.1-dev"] = klein
    told = program(tmp_path, server.url, "bases", "pull", "flux-dev", "--use", "commercial")
    assert told.returncode == 3 and "Licence refused" in told.stderr
    assert not [path for _, path, _ in server.sent if "/resolve/" in path]
    assert not (tmp_path / "own" / "pins").exists()


def test_a_file_that_is_not_what_was_promised_is_refused_and_removed(server: Hub, klein: Path, tmp_path: Path) -> None:
    server.repos["acme/toy"] = klein
    server.spoiled = "vae/diffusion_pytorch_model.safetensors"
    told = program(tmp_path, server.url, "bases", "pull", "acme/toy")
    assert told.returncode == 1 and "not the file that was promised" in told.stderr
    assert not list((tmp_path / "hf").rglob("vae/*.safetensors")) and not (tmp_path / "own" / "pins").exists()
    server.spoiled, server.license = "", "mit"
    again = program(tmp_path, server.url, "bases", "pull", "acme/toy", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["revision"] == COMMIT
    assert "'mit': a claim" in again.stderr and "licence unknown" in again.stderr  # what a card says grants nothing
    stated = ("--license", "CC-BY-4.0", "--owner", "Acme", "--use", "commercial")
    mine = program(tmp_path, server.url, "bases", "pull", "acme/toy", *stated)
    assert mine.returncode == 0 and "licence CC-BY-4.0, as you state" in mine.stderr, mine.stderr
    asked = program(
        tmp_path, server.url, "licenses", "check", "--base", "acme/toy", "--use", "commercial", offline=True
    )
    assert asked.returncode == 0 and "is CC-BY-4.0" in asked.stdout


def test_a_gated_repository_gives_the_page_to_visit(server: Hub, klein: Path, tmp_path: Path) -> None:
    server.repos["stabilityai/stable-diffusion-3.5-medium"] = klein
    server.gated.add("stabilityai/stable-diffusion-3.5-medium")
    told = program(tmp_path, server.url, "bases", "pull", "sd35-medium")
    assert told.returncode == 2
    assert f"Accept its terms at {server.url}/stabilityai/stable-diffusion-3.5-medium" in told.stderr


def test_what_is_not_pulled_says_so_and_is_under_review(synthgen: Any) -> None:
    told = synthgen("generate", "--count", 1, "--base", "sdxl", "--no-adapter")
    assert told.code == 2 and "synthgen bases pull sdxl" in told.err
    checked = synthgen("licenses", "check", "--base", "sdxl", "--use", "commercial")
    assert checked.code == 3 and "review" in checked.out
    assert synthgen("licenses", "check", "--base", "sdxl").code == 0
    shown = synthgen("show", "base", "flux2-klein-4b").out
    assert "train on flux2-klein-base-4b" in shown and "output_commercial: allow" in shown


def test_every_name_has_a_record_of_its_licence_and_nothing_is_pinned_from_memory() -> None:
    for name, (family, weights) in bases.names().items():
        if weights:
            assert licenses.load(weights.license).id == weights.license and weights.source
            assert "AND" in bases.license_of(name) and hub.pinned(name) is None, name
            assert bool(weights.distilled) <= bool(family.INSTEAD)
    for file in (REPOSITORY / "synthgen" / "bases").glob("*.py"):
        assert not hub.COMMIT.search(file.read_text()), file


def test_shards_and_variants_are_chosen_and_pickles_are_not() -> None:
    def of(*names: str) -> list[str]:
        return hub.needed(["model_index.json", *names], "acme/x")[1:]

    unet = ("unet/config.json", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin")
    assert of(*unet, "unet/diffusion_pytorch_model.fp16.safetensors", "big.ckpt", "big.safetensors") == list(unet[:2])
    shards = ("t/config.json", "t/model-00001-of-00002.safetensors", "t/model-00002-of-00002.safetensors")
    assert set(of(*shards, "t/model.safetensors.index.json")) == {*shards, "t/model.safetensors.index.json"}
    assert of("u/model.fp16.safetensors", "u/model.bin") == ["u/model.fp16.safetensors"]
    with pytest.raises(RequestError, match="pickles only"):
        of("u/config.json", "u/model.bin")
