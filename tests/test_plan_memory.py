"""What plans a run and keeps its books holds no list of its pictures."""

from __future__ import annotations

import dataclasses
import itertools
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from test_store import REQUEST, all_jobs, keep, opened

from synthgen import balance, plan, rounds, store
from synthgen.run_index import RunIndex
from synthgen.tally import Tally


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_plan_ten_times_as_long_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "BLOCK", 500)
    monkeypatch.setattr(balance, "SWAPS_PER_JOB", 1)

    def planned(count: int) -> None:
        jobs, index = all_jobs(dataclasses.replace(REQUEST, count=count)), RunIndex()
        assert sum(plan.cells(jobs)["pose"].values()) == count
        for number, job in enumerate(jobs):
            index.add(job.id, number, number) if number % 10 else index.refuse(job.id)
        assert sum(not index.is_done(job.id) for job in jobs) == index.rejected == count // 10

    planned(100)  # what is loaded once
    few, many = (peak_bytes(lambda count=count: planned(count)) for count in (400, 4_000))
    assert many < few + 300_000  # the jobs alone would be 3 MB


def test_a_run_eight_times_as_long_is_taken_up_and_written_down_in_no_more_memory(tmp_path: Path) -> None:
    def taken_up(count: int) -> None:
        request = dataclasses.replace(REQUEST, count=count)
        with opened(tmp_path / str(count), request) as run:
            assert run.made == count and not any(map(run.wants, all_jobs(request)))
            run.finish()
        assert sum(1 for _ in store.lines(tmp_path / str(count))) == count

    for count in (40, 320):
        request = dataclasses.replace(REQUEST, count=count)
        with opened(tmp_path / str(count), request) as run:
            for job in all_jobs(request):
                keep(run, job)
    taken_up(40)
    few, many = (peak_bytes(lambda count=count: taken_up(count)) for count in (40, 320))
    assert many < few + 400_000  # the lines alone would be 1 MB more


def test_blocks_of_a_long_plan_are_as_even_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {"pose": tuple("abcdefg"), "place": tuple("xyz"), "tone": tuple("0123456789")}
    monkeypatch.setattr(balance, "BLOCK", 70)
    rows = list(balance.rows(axes, 420, 0, {}, ()))
    for axis, values in axes.items():
        assert {sum(row[axis] == at for row in rows) for at in range(len(values))} == {420 // len(values)}
    pairs = [sum(row["pose"] == one and row["place"] == two for row in rows) for one in range(7) for two in range(3)]
    assert max(pairs) - min(pairs) <= 2


def test_a_job_is_the_same_wherever_it_is_asked_for() -> None:
    jobs = all_jobs()
    listed = list(jobs)
    assert [jobs[at] for at in range(len(jobs))] == listed and jobs[-1] == listed[-1]
    assert jobs[3:8:2] == listed[3:8:2] and jobs[2:][1:3] == listed[3:5]
    assert list(reversed(jobs)) == listed[::-1] and listed[5] in jobs
    with pytest.raises(IndexError):
        jobs[len(jobs)]


def test_a_round_is_those_that_were_rejected_so_often_and_what_is_judged_meanwhile_moves_nobody(tmp_path: Path) -> None:
    from test_store import drawn

    from synthgen.types import Judgement

    def refuse(run: store.Run, job: plan.Job) -> None:
        run.reject(drawn(job), [Judgement("blank", False, "blank")])

    jobs = all_jobs()
    with opened(tmp_path / "run") as run:
        assert list(rounds.tries(run, jobs, 1)) == []
        first = rounds.tries(run, jobs, 0)
        for job in itertools.islice(first, 6):
            refuse(run, job) if job.index % 2 else keep(run, job)
        assert [job.index for job in first] == list(range(6, 12))
        again = list(rounds.tries(run, jobs, 1))
        assert [(job.index, job.attempt, run.wants(job)) for job in again] == [(1, 1, True), (3, 1, True), (5, 1, True)]
        keep(run, again[0])
        refuse(run, again[1])
        assert [job.id for job in rounds.tries(run, jobs, 1)] == [job.id for job in again]
        assert [run.wants(job) for job in again] == [False, False, True]
        assert [job.index for job in rounds.tries(run, jobs, 2)] == [3]
        assert run.most_tries == 2 and run.rejected == 4


def test_counts_that_went_to_the_file_are_those_that_were_added(monkeypatch: pytest.MonkeyPatch) -> None:
    from synthgen import tally

    monkeypatch.setattr(tally, "HELD", 3)
    counts = Tally()
    for number in range(40):
        counts.add([("place", str(number % 4)), ("keypoints", str(number)), ("view", "full")])
    assert counts.keys() == ["keypoints", "place", "view"]
    assert list(counts.values("place")) == [("0", 10), ("1", 10), ("2", 10), ("3", 10)]
    assert (counts.different("keypoints"), counts.total("keypoints"), counts.times("view", "full")) == (40, 40, 40)
    counts.add([("place", "2")])
    assert list(counts.commonest("place", 2)) == [("2", 11), ("0", 10)]
