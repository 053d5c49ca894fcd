"""A run at an address: an S3 server on this machine, fsspec's memory, and what happens when processes die or meet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image
from toy_base import SIZE_PX, interrupted_once

from synthgen import generate, remote_lock, remote_run, store, verify
from synthgen.errors import RequestError, SynthgenError
from synthgen.ledger import Ledger

BUCKET = "sets"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A real S3 server on a port of its own; its address."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file system at the server, with an empty bucket."""
    told = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": server}  # fmt: skip
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    fs.mkdir(BUCKET)
    yield fs
    fs.invalidate_cache()
    fs.rm(BUCKET, recursive=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that beat every 50 ms and are given up after half a second."""
    monkeypatch.setattr(remote_lock, "BEAT_S", 0.05)
    monkeypatch.setattr(remote_lock, "LEASE_S", 0.5)


def asked(toy: Path, out: Path | str, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": 40, "base": str(toy), "no_adapter": True, "size": SIZE_PX, "steps": 1, "batch": 4, "out": out,
           **more}
    )  # fmt: skip


def there(fs: Any, root: str) -> set[str]:
    fs.invalidate_cache()
    return {str(path).partition(root + "/")[2] for path in fs.find(root)}


def fetched(fs: Any, root: str, folder: Path) -> Path:
    """The run at an address as a folder."""
    for name in there(fs, root):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(fs.cat_file(f"{root}/{name}"))
    return folder


def same_pictures(one: Path, other: Path) -> bool:
    return [line["pixel_sha256"] for line in store.read(one)] == [line["pixel_sha256"] for line in store.read(other)]


def test_a_run_on_s3_is_a_local_one_fetched_and_leaves_nothing_here(
    toy: Path, s3: Any, tmp_path: Path, own_home: Path
) -> None:
    generate.run(asked(toy, tmp_path / "local"))
    result = generate.run(asked(toy, f"s3://{BUCKET}/a/run"))
    assert (result.folder, result.made, result.already) == (f"s3://{BUCKET}/a/run", 40, 0)
    names = {
        path.relative_to(tmp_path / "local").as_posix() for path in (tmp_path / "local").rglob("*") if path.is_file()
    }
    assert there(s3, f"{BUCKET}/a/run") == names
    run = fetched(s3, f"{BUCKET}/a/run", tmp_path / "run")
    assert same_pictures(run, tmp_path / "local")
    assert [line["lineage"] for line in store.read(run)] == [line["lineage"] for line in store.read(tmp_path / "local")]
    assert verify.path(run).good and store.about(run)["finished"] is True
    assert not [path for path in (own_home / "staging").rglob("*") if path.is_file()]
    before = s3.info(f"{BUCKET}/a/run/run.toml")["LastModified"]
    again = generate.run(asked(toy, f"s3://{BUCKET}/a/run"))
    assert (again.made, again.already) == (0, 40) and s3.info(f"{BUCKET}/a/run/run.toml")["LastModified"] == before
    with pytest.raises(RequestError, match="run was made for --reading strict"):
        generate.run(asked(toy, f"s3://{BUCKET}/a/run", reading="lenient"))


CHILD = """
import sys
from synthgen import generate
base, out, size = sys.argv[1:]
generate.run(generate.GenerateRequest(count=40, base=base, no_adapter=True, size=int(size), steps=1, batch=4, out=out))
"""


def test_killed_on_s3_it_goes_on_from_another_home_to_the_same_pictures(
    toy: Path, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate.run(asked(toy, tmp_path / "whole"))
    root, address = f"{BUCKET}/killed", f"s3://{BUCKET}/killed"
    environment = {**os.environ, "SYNTHGEN_HOME": str(tmp_path / "other-home"), "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(toy), address, str(SIZE_PX)], env=environment)
    try:
        until = time.monotonic() + 120
        while len([name for name in there(s3, root) if name.startswith("images/")]) < 6:
            assert child.poll() is None and time.monotonic() < until
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    left = there(s3, root)
    lines = [json.loads(line) for name in sorted(left) if name.startswith("records/") for line in
             s3.cat_file(f"{root}/{name}").splitlines()]  # fmt: skip
    assert 4 <= len(lines) < 40 and {line["file_name"] for line in lines} <= left
    assert remote_lock.NAME in left and "metadata.csv" not in left
    result = generate.run(asked(toy, address))
    assert result.already == len(lines) and result.made == 40 - len(lines)
    run = fetched(s3, root, tmp_path / "run")
    assert same_pictures(run, tmp_path / "whole") and Ledger(run / "records.jsonl").broken() == ""
    assert not [name for name in there(s3, root) if name.startswith("records/") or name == remote_lock.NAME]


def test_ctrl_c_and_a_store_that_loses_a_picture_cost_no_more_than_that(
    toy: Path, s3: Any, tmp_path: Path, own_home: Path
) -> None:
    generate.run(asked(toy, tmp_path / "whole"))
    address = remote_run.parse(f"s3://{BUCKET}/stopped")
    assert isinstance(address, remote_run.Address)
    ledger = address.here / "records.jsonl"
    with interrupted_once(lambda: ledger.is_file() and ledger.read_bytes().count(b"\n") >= 34):
        generate.run(asked(toy, address.text))
    assert {f"records/{number:06d}.jsonl" for number in (1, 2)} <= there(s3, address.root)
    assert "metadata.csv" in there(s3, address.root)
    lost = sorted(name for name in there(s3, address.root) if name.startswith("images/"))[3]
    s3.rm_file(f"{address.root}/{lost}")
    (own_home / "staging").rename(own_home / "gone")
    result = generate.run(asked(toy, address.text))
    assert result.already >= 33 and result.already + result.made == 40
    assert same_pictures(fetched(s3, address.root, tmp_path / "run"), tmp_path / "whole")


@pytest.mark.usefixtures("quick")
def test_a_run_that_a_living_process_holds_is_refused_and_one_of_a_dead_machine_is_taken_over(
    toy: Path, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    root, text = f"{BUCKET}/held", f"s3://{BUCKET}/held"
    with remote_lock.held(s3, root, text), pytest.raises(RequestError, match=f"in use by process {os.getpid()} on"):
        generate.run(asked(toy, text, count=2))
    assert there(s3, root) == set()
    s3.pipe_file(f"{root}/.lock", json.dumps({"token": "x", "process": 1, "machine": "elsewhere|9"}).encode())
    assert generate.run(asked(toy, text, count=2)).made == 2
    assert "held by process 1 on elsewhere; watching" in capsys.readouterr().err
    assert remote_lock.NAME not in there(s3, root)


@pytest.mark.usefixtures("quick")
def test_of_many_that_want_one_address_at_once_one_gets_it(s3: Any) -> None:
    got, refused, over = [], [], threading.Event()

    def want() -> None:
        try:
            with remote_lock.held(fsspec.filesystem("s3", skip_instance_cache=True), f"{BUCKET}/one", "s3://one"):
                got.append(1)
                over.wait(10)
        except RequestError as error:
            refused.append(str(error))
            if len(refused) == 4:
                over.set()

    threads = [threading.Thread(target=want) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and len(refused) == 4 and all("in use" in text for text in refused)


@pytest.mark.usefixtures("quick")
def test_a_process_that_was_given_up_stops_at_its_next_picture(toy: Path, s3: Any) -> None:
    root, text = f"{BUCKET}/given-up", f"s3://{BUCKET}/given-up"
    address = remote_run.parse(text)
    assert isinstance(address, remote_run.Address)
    with remote_run.mirrored(address) as mirror:
        assert mirror is not None
        s3.pipe_file(f"{root}/.lock", b'{"token": "another"}')
        until = time.monotonic() + 5
        while not mirror._lease.lost and time.monotonic() < until:
            time.sleep(0.02)
        with pytest.raises(SynthgenError, match="took it over"):
            mirror.added("", "records.jsonl")
    assert s3.cat_file(f"{root}/.lock") == b'{"token": "another"}'


def test_memory_and_file_addresses_work_and_a_folder_is_a_folder(toy: Path, tmp_path: Path) -> None:
    result = generate.run(asked(toy, "memory://sets/run", count=3))
    fs = fsspec.filesystem("memory")
    run = fetched(fs, "/sets/run", tmp_path / "run")
    assert result.made == 3 and len(list((run / "images").iterdir())) == 3
    assert Image.open(next((run / "images").iterdir())).size == (SIZE_PX, SIZE_PX)
    local = generate.run(asked(toy, f"file://{tmp_path}/plain", count=3))
    assert local.folder == tmp_path / "plain" and same_pictures(tmp_path / "plain", run)
    assert remote_run.parse("runs/x") == Path("runs/x") and remote_run.parse(None) is None


def test_what_cannot_be_written_to_is_refused_before_anything_is_drawn(
    toy: Path, s3: Any, synthgen: Callable[..., Any]
) -> None:
    for address, said in (
        ("s3://no-such-bucket/run", "s3://no-such-bucket/run cannot be written to"), ("s4://x/y", "s4://x/y"),
        ("adl://x/y", "is not installed"),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=said):
            generate.run(asked(toy, address, count=1))
    assert not s3.exists("no-such-bucket")
    s3.pipe_file(f"{BUCKET}/photos/holiday.jpg", b"x")
    with pytest.raises(RequestError, match=r"is no run of synthgen \(it holds 'holiday.jpg'\)"):
        generate.run(asked(toy, f"s3://{BUCKET}/photos", count=1))
    assert there(s3, f"{BUCKET}/photos") == {"holiday.jpg"}
    generate.run(asked(toy, f"s3://{BUCKET}/run", count=1))
    with pytest.raises(RequestError, match="run of another plan"):
        generate.run(asked(toy, f"s3://{BUCKET}/run", count=2))
    outcome = synthgen("generate", "--count", 1, "--no-adapter", "--dry-run", "--out", "s3://never/there", "--json")
    assert outcome.code == 0 and json.loads(outcome.out)["folder"] == "s3://never/there"


def test_a_store_that_fails_in_mid_run_ends_it_with_one_clear_error_and_it_goes_on_later(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk behind the address, as a file system tells it."""
    memory = fsspec.filesystem("memory")
    before, sent = type(memory).pipe_file, []

    def full(self: Any, path: str, *given: Any, **told: Any) -> None:
        sent.append(path)
        if sum("/images/" in name for name in sent) > 5:
            raise OSError(28, "No space left on device")
        before(self, path, *given, **told)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "pipe_file", full)
        with pytest.raises(SynthgenError, match=r"could not be sent \(OSError: .*No space left.*the same command"):
            generate.run(asked(toy, "memory://full/run"))
    result = generate.run(asked(toy, "memory://full/run"))
    assert result.already == 5 and result.made == 35
    generate.run(asked(toy, tmp_path / "whole"))
    assert same_pictures(fetched(memory, "/full/run", tmp_path / "run"), tmp_path / "whole")


def test_rejected_pictures_and_private_files_go_where_they_belong(
    toy: Path, s3: Any, tmp_path: Path, own_home: Path
) -> None:
    import shutil

    from diffusers import AutoencoderKL

    grey = tmp_path / "toy"
    shutil.copytree(toy, grey)
    vae = AutoencoderKL.from_pretrained(grey / "vae", local_files_only=True, use_safetensors=True)
    for parameter in vae.decoder.conv_out.parameters():
        parameter.data.zero_()
    vae.save_pretrained(grey / "vae")
    with pytest.raises(SynthgenError, match="rejected 5 times"):
        generate.run(asked(grey, f"s3://{BUCKET}/grey", count=2))
    names = there(s3, f"{BUCKET}/grey")
    assert len([name for name in names if name.startswith("rejected/") and name.endswith(".png")]) == 10
    assert "rejected/rejections/000001.jsonl" in names
    address = remote_run.parse(f"s3://{BUCKET}/private")
    assert isinstance(address, remote_run.Address)
    with remote_run.mirrored(address) as mirror:
        assert mirror is not None
        (mirror.here / "private").mkdir(parents=True)
        (mirror.here / "private" / "patients.png").write_bytes(b"x")
        (mirror.here / "run.toml").write_text("finished = true\n")
        mirror.begun()
    assert there(s3, address.root) == {"run.toml"} and (address.here / "private" / "patients.png").is_file()
    assert np.array_equal([path.name for path in address.here.iterdir()], ["private"])
