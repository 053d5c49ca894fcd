"""The ledger: what is in it cannot be changed, moved or taken out unseen."""

from __future__ import annotations

import hashlib

import pytest
from test_store import COUNT, all_jobs, keep, opened, whole

from synthgen import store
from synthgen.ledger import Ledger


@pytest.mark.parametrize("harm", ["swapped", "dropped", "edited", "repeated"])
def test_the_chain_tells_where_it_was_broken(tmp_path, harm):
    ledger = Ledger(tmp_path / "records.jsonl")
    for number in range(6):
        ledger.append({"number": number})
    lines = ledger.path.read_bytes().splitlines(True)
    if harm == "swapped":
        lines[2], lines[3] = lines[3], lines[2]
    elif harm == "dropped":
        del lines[2]
    elif harm == "edited":
        lines[1] = lines[1].replace(b'"number":1', b'"number":7')
    else:
        lines.insert(2, lines[1])
    ledger.path.write_bytes(b"".join(lines))
    assert ledger.broken() == "line 3 does not follow line 2"
    assert ledger.read()[1] is False


def test_keeping_fewer_lines_begins_a_new_chain_that_tells_of_the_old_one(tmp_path):
    ledger = Ledger(tmp_path / "records.jsonl")
    for number in range(4):
        ledger.append({"number": number})
    for _ in range(2):
        kept = ledger.read()[0][:-1]
        ledger.rewrite(lambda kept=kept: kept)
    ledger.append({"number": 9})
    assert [line["number"] for line in ledger.read()[0]] == [0, 1, 9]
    assert ledger.broken() == ""
    assert [event["event"] for event in ledger.events()] == ["rechained", "rechained"]


def test_another_process_that_opens_it_goes_on_with_the_chain(tmp_path):
    Ledger(tmp_path / "records.jsonl").append({"number": 0})
    Ledger(tmp_path / "records.jsonl").append({"number": 1})
    assert Ledger(tmp_path / "records.jsonl").broken() == ""


@pytest.mark.parametrize("line", [b"[" * 100_000 + b"\n", b"\xff\xfe\n", b"17\n", b"\n"])
def test_nonsense_in_it_is_told_and_not_read(tmp_path, line):
    ledger = Ledger(tmp_path / "records.jsonl")
    ledger.append({"number": 0})
    ledger.path.write_bytes(ledger.path.read_bytes() + line)
    assert [item["number"] for item in ledger.read()[0]] == [0]
    assert ledger.broken() == "line 2 is no whole line of JSON"


def test_a_torn_line_leaves_no_event_and_a_lost_picture_does(tmp_path):
    folder = whole(tmp_path / "run")
    ledger = Ledger(folder / "records.jsonl")
    assert ledger.broken() == "" and ledger.events() == []
    head = hashlib.sha256(ledger.path.read_bytes().splitlines()[-1]).hexdigest()
    assert store.about(folder)["ledger_sha256"] == ledger.head() == head
    before = ledger.path.read_bytes()
    ledger.path.write_bytes(before + b'{"torn')
    with opened(folder) as run:
        assert run.finished
    assert ledger.path.read_bytes() == before
    (folder / store.read(folder)[-1]["file_name"]).unlink()
    with opened(folder) as run:
        keep(run, run.pending(all_jobs())[0])
        run.finish()
    again = Ledger(folder / "records.jsonl")
    assert again.broken() == ""
    assert [event["event"] for event in again.events()] == ["rechained"]
    assert again.events()[0]["sha256_before"] == hashlib.sha256(before).hexdigest()
    assert len(store.read(folder)) == COUNT
    assert store.about(folder)["ledger_sha256"] == again.head()
