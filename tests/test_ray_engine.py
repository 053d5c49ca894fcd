"""A Ray cluster of one-core workers draws what this machine draws, though workers join and die meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from toy_base import SIZE_PX

from synthgen import generate, store
from synthgen.errors import RequestError, UnknownName
from synthgen.ledger import Ledger

ABSENT = "Ray is an extra: pip install 'synthgen[ray]'"
COUNT = 40  # pictures, in batches of 4


def asked(toy: Path, out: Path, **more: Any) -> generate.GenerateRequest:
    return generate.GenerateRequest(
        **{"count": COUNT, "base": str(toy), "no_adapter": True, "size": SIZE_PX, "steps": 2, "batch": 4, "threads": 1,
           "out": out, **more}
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One machine of one core."""
    ray = pytest.importorskip("ray", reason=ABSENT)
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def drawing(cluster: Any) -> set[int]:
    """The processes that draw for the cluster just now: they say so in their names."""
    raylets = {str(node.all_processes["raylet"][0].process.pid) for node in cluster.list_all_nodes()}
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = re.search(r"^PPid:\t(\d+)$", (place / "status").read_text(), re.MULTILINE)
            if parent and parent[1] in raylets and (place / "cmdline").read_bytes().startswith(b"ray::_draw"):
                found.add(int(place.name))
    return found


def test_workers_join_and_die_and_every_picture_is_there_once_and_the_same(
    toy: Path, cluster: Any, tmp_path: Path
) -> None:
    generate.run(asked(toy, tmp_path / "here"))
    ledger = tmp_path / "there" / "records.jsonl"
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(generate.run, asked(toy, tmp_path / "there", engine="ray"))

        def seen(what: Callable[[], Any]) -> Any:
            until = time.monotonic() + 240
            while not (found := what()):
                assert not run.done() and time.monotonic() < until
                time.sleep(0.01)
            return found

        seen(lambda: ledger.is_file() and ledger.read_bytes().count(b"\n") >= 4)
        doomed = seen(lambda: drawing(cluster)).pop()
        os.kill(doomed, signal.SIGSTOP)  # in the middle of a batch, for as long as the next one takes to come
        cluster.add_node(num_cpus=1)
        seen(lambda: drawing(cluster) - {doomed})
        os.kill(doomed, signal.SIGKILL)
        assert run.result().made == COUNT
    here, there = (Ledger(tmp_path / name / "records.jsonl") for name in ("here", "there"))
    assert [line["lineage"] for line in here.read()[0]] == [line["lineage"] for line in there.read()[0]]
    assert there.broken() == "" and len({line["job_id"] for line in there.read()[0]}) == COUNT
    assert (tmp_path / "here" / "metadata.csv").read_bytes() == (tmp_path / "there" / "metadata.csv").read_bytes()


def test_a_run_that_was_begun_here_is_finished_there(toy: Path, cluster: Any, tmp_path: Path) -> None:
    from toy_base import interrupted_once

    generate.run(asked(toy, tmp_path / "whole", count=20))
    ledger = tmp_path / "parts" / "records.jsonl"
    with interrupted_once(lambda: ledger.is_file() and ledger.read_bytes().count(b"\n") >= 5):
        generate.run(asked(toy, tmp_path / "parts", count=20))
    result = generate.run(asked(toy, tmp_path / "parts", count=20, engine="ray"))
    assert result.already >= 5 and result.already + result.made == 20
    whole, parts = (store.read(tmp_path / name) for name in ("whole", "parts"))
    assert [line["lineage"] for line in whole] == [line["lineage"] for line in parts]


def test_what_a_worker_refuses_is_told_as_here(toy: Path, cluster: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"no picture")
    with pytest.raises(RequestError, match=r"photo\.png: not a picture"):
        generate.run(asked(toy, tmp_path / "run", count=2, into=photo, strength=0.9, engine="ray"))


def test_engines_and_addresses_that_do_not_go_together_are_refused(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'ray'"):
        generate.run(asked(toy, tmp_path / "run", engine="rai"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(RequestError, match="say --engine ray too"):
        generate.run(asked(toy, tmp_path / "run", address="auto"))


def test_without_ray_or_without_a_cluster_what_to_do_is_said(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthgen.engines import Work
    from synthgen.engines import ray as engine

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        with pytest.raises(RequestError, match=r"pip install 'synthgen\[ray\]'"):
            generate.run(asked(toy, tmp_path / "run", count=1, engine="ray"))
    ray = pytest.importorskip("ray", reason=ABSENT)
    with monkeypatch.context() as patch:
        patch.setattr(ray, "is_initialized", lambda: False)
        patch.delenv("RAY_ADDRESS", raising=False)

        def nobody(**told: Any) -> None:
            raise ConnectionError(f"Could not find any running Ray instance at {told['address']}")

        patch.setattr(ray, "init", nobody)
        with (
            pytest.raises(RequestError, match=r"no Ray cluster answers.*ray start --head"),
            engine.start(Work(None, None, "", {}, None), None, "10.0.0.1:6379"),  # type: ignore[arg-type]
        ):
            pass
    with (
        pytest.raises(RequestError, match="one kind with --engine ray"),
        engine.start(Work(None, None, "cuda:0,cuda:1", {}, None)),  # type: ignore[arg-type]
    ):
        pass
