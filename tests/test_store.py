"""A run folder: what is recorded is done, and nothing that happens to the process or the disk changes that."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
import time
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from synthgen import plan, provenance, store
from synthgen.errors import RequestError, SynthgenError
from synthgen.types import AdapterUse, Job, Judgement, Picture, Recipe, Verdict

COUNT = 12
RECIPE = Recipe(
    "toy", "apparel", "x", "", {"pose": ("walking", "sitting"), "place": ("beach", "park", "home")}, {"size": 16}, {}
)
REQUEST = plan.Request(RECIPE, COUNT, 0, (AdapterUse("shirts", Path("adapters/shirts"), 0.8),), category="shirt")
CONTEXT = provenance.Context(
    base={"id": "mini", "sha256": "ab" * 32, "license": "Apache-2.0"},
    adapters=({"name": "shirts", "sha256": "cd" * 32, "weight": 0.8, "license": "unknown"},),
    verdict=Verdict("internal", "unknown", ("photos 'a<b>' is unknown: run -> unknown (not stated)", "second")),
    pipeline="toy",
    settings={"size": 16},
    versions={},
)


def all_jobs(request: plan.Request = REQUEST) -> tuple[Job, ...]:
    return plan.jobs(request, lambda wanted: f'a <b>person</b>, {wanted["pose"]}, "{wanted["place"]}"')


def drawn(job: Job) -> Picture:
    return Picture(job, np.random.default_rng(job.seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def keep(run: store.Run, job: Job) -> None:
    picture = drawn(job)
    record = provenance.record(picture, CONTEXT, [Judgement("blank", True, measured={"spread": 0.25})])
    run.add(picture, record, provenance.png_bytes(picture, record))


def opened(folder: Path, request: plan.Request = REQUEST) -> store.Run:
    return store.Run.open(folder, plan.described(request))


def whole(folder: Path) -> Path:
    with opened(folder) as run:
        for job in run.pending(all_jobs()):
            keep(run, job)
        run.finish()
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def in_another_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    start = f"import sys; sys.path[:0] = {[str(Path.cwd()), str(Path(__file__).parent)]!r}\n"
    command = [sys.executable, "-c", start + "from test_store import *\n" + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_finished_run_is_a_data_set(tmp_path):
    folder = whole(tmp_path / "run")
    table = rows(folder)
    assert [row["job_id"] for row in table] == [job.id for job in all_jobs()]
    assert list(table[0])[:12] == [
        "file_name", "job_id", "split", "label", "sku", "category", "prompt", "seed",
        "base", "adapters", "license_verdict", "license_reason",
    ]  # fmt: skip
    assert list(table[0])[12:] == ["requested_place", "requested_pose", "measured_spread"]
    for row, job in zip(table, all_jobs(), strict=True):
        assert row["file_name"] == f"images/{job.id}.png"
        assert (folder / row["file_name"]).is_file()
        assert (row["label"], row["category"], row["sku"], row["split"]) == ("shirt", "shirt", "shirts", "train")
        assert (row["prompt"], int(row["seed"])) == (job.prompt, job.seed)
        assert (row["requested_pose"], row["measured_spread"]) == (job.requested["pose"], "0.25")
        assert (row["base"], row["adapters"], row["license_verdict"]) == ("mini", "shirts:0.8", "unknown")
    told = tomllib.loads((folder / "run.toml").read_text())
    assert (told["finished"], told["count"], told["made"]) == (True, COUNT, COUNT)
    assert told["plan"]["digest"] == plan.digest(REQUEST)


def test_pandas_reads_the_table_with_seeds_whole(tmp_path):
    import pandas

    table = pandas.read_csv(whole(tmp_path / "run") / "metadata.csv")
    assert table["seed"].tolist() == [job.seed for job in all_jobs()]
    assert not table["requested_pose"].isna().any()


def test_every_line_ties_a_picture_to_its_lineage_and_hashes(tmp_path):
    folder = whole(tmp_path / "run")
    lines = store.read(folder)
    assert [line["index"] for line in lines] == list(range(COUNT))
    for line in lines:
        lineage = provenance.read(folder / line["file_name"])
        assert lineage == line["lineage"]
        assert (line["lineage_id"], line["pixel_sha256"]) == (lineage["id"], lineage["pixel_sha256"])
        assert len(line["perceptual_hash"]) == 64


def test_two_runs_of_one_plan_have_the_same_bytes(tmp_path):
    one, two = whole(tmp_path / "one"), whole(tmp_path / "two")
    for name in ("records.jsonl", "metadata.csv", *(f"images/{job.id}.png" for job in all_jobs())):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_finished_run_says_so_and_has_nothing_pending(tmp_path):
    folder = whole(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with opened(folder) as run:
        assert run.finished
        assert run.pending(all_jobs()) == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_interrupted_run_leaves_a_table_of_what_is_done_and_resumes(tmp_path):
    folder, asked = tmp_path / "run", all_jobs()
    with pytest.raises(KeyboardInterrupt), opened(folder) as run:
        for job in (asked[5], asked[2], asked[9]):
            keep(run, job)
        raise KeyboardInterrupt
    assert [row["job_id"] for row in rows(folder)] == [asked[2].id, asked[5].id, asked[9].id]
    assert tomllib.loads((folder / "run.toml").read_text())["finished"] is False
    with opened(folder) as run:
        assert not run.finished
        assert run.made == 3
        assert run.pending(asked) == [job for job in asked if job.index not in (2, 5, 9)]


def test_a_killed_run_resumes_without_repeating(tmp_path):
    folder, code = (
        tmp_path / "run",
        """
with opened(Path(sys.argv[1])) as run:
    for job in all_jobs()[:7]:
        keep(run, job)
    print("made", flush=True)
    time.sleep(60)
""",
    )
    process = in_another_process(code, folder)
    assert process.stdout.readline() == "made\n"
    process.kill()
    process.communicate()
    assert not (folder / "metadata.csv").exists()
    with opened(folder) as run:
        assert run.made == 7
        assert [job.index for job in run.pending(all_jobs())] == list(range(7, COUNT))


def test_a_torn_last_line_is_as_if_never_written(tmp_path):
    folder = whole(tmp_path / "run")
    data = (folder / "records.jsonl").read_bytes()
    (folder / "records.jsonl").write_bytes(data[:-40])
    with opened(folder) as run:
        assert not run.finished
        (job,) = run.pending(all_jobs())
        assert not (folder / f"images/{job.id}.png").exists()
        keep(run, job)
        run.finish()
    assert (folder / "records.jsonl").read_bytes() == data


@pytest.mark.parametrize("harm", ["missing", "changed", "lineage", "half a line", "no object"])
def test_what_is_no_longer_true_is_made_again(tmp_path, harm):
    folder = whole(tmp_path / "run")
    target, lines = (
        folder / store.read(folder)[4]["file_name"],
        (folder / "records.jsonl").read_bytes().splitlines(True),
    )
    if harm == "missing":
        target.unlink()
    elif harm == "changed":
        target.write_bytes(target.read_bytes()[:-1] + b"\x00")
    elif harm == "lineage":
        lines[4] = lines[4].replace(b'"synthetic":true', b'"synthetic":false')
    else:
        lines[4] = lines[4][:50] + b"\n" if harm == "half a line" else b"17\n"
    (folder / "records.jsonl").write_bytes(b"".join(lines))
    with opened(folder) as run:
        assert [job.index for job in run.pending(all_jobs())] == [4]
        keep(run, run.pending(all_jobs())[0])
        run.finish()
    with opened(folder) as run:
        assert run.finished


def test_a_picture_without_a_record_is_made_again_and_other_files_are_left_alone(tmp_path):
    folder = whole(tmp_path / "run")
    (folder / "images" / "0123456789abcdef.png").write_bytes(b"orphan")
    (folder / "images" / ".0123456789abcdef.png.part").write_bytes(b"half")
    (folder / "images" / "mine.png").write_bytes(b"the user's own")
    with opened(folder):
        pass
    names = {path.name for path in (folder / "images").iterdir()}
    assert names == {f"{job.id}.png" for job in all_jobs()} | {"mine.png"}


def test_a_rejected_job_comes_back_as_its_next_try_even_after_a_restart(tmp_path):
    folder, job = tmp_path / "run", all_jobs()[0]
    with opened(folder) as run:
        for number in range(2):
            (tried,) = run.pending([job])
            assert tried.attempt == number
            run.reject(drawn(tried), [Judgement("blank", False, "one <colour>"), Judgement("broken", True)], b"png")
    assert len(list((folder / "rejected").glob("*.png"))) == 2
    with opened(folder) as run:
        (tried,) = run.pending([job])
        assert (tried.attempt, run.rejected) == (2, 2)
        keep(run, tried)
        assert run.pending([job]) == []
    assert rows(folder)[0]["job_id"] == f"{job.id}-2"
    page = (folder / "report.html").read_text()
    assert "blank: one &lt;colour&gt; (2)" in page


def test_a_run_that_is_short_does_not_call_itself_finished(tmp_path):
    with opened(tmp_path / "run") as run:
        keep(run, all_jobs()[0])
        with pytest.raises(SynthgenError, match="has 1 of 12 pictures"):
            run.finish()
    assert store.about(tmp_path / "run")["finished"] is False


def test_a_folder_of_another_plan_is_refused_and_left_alone(tmp_path):
    folder = whole(tmp_path / "run")
    before = (folder / "run.toml").read_bytes()
    with pytest.raises(RequestError, match="holds the run of another plan") as failure:
        opened(folder, dataclasses.replace(REQUEST, count=13))
    assert plan.digest(REQUEST) in str(failure.value)
    assert (folder / "run.toml").read_bytes() == before
    with opened(folder) as run:  # the refused one let its lock go
        assert run.finished


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(RequestError, match="is not empty and is no run of synthgen"):
        opened(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(RequestError, match="is no run of synthgen"):
        store.read(tmp_path)


def test_an_output_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RequestError, match=r"cannot be made .*Choose another folder with --out"):
            opened(place)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that not even root may write to")
def test_an_output_that_cannot_be_written_to_is_one_clear_error():
    with pytest.raises(RequestError, match="Choose another folder with --out"):
        opened(Path("/proc/self"))


def test_a_second_process_is_told_who_holds_the_folder(tmp_path):
    folder = tmp_path / "run"
    code = "with opened(Path(sys.argv[1])) as run:\n    print('held', flush=True)\n    sys.stdin.readline()\n"
    start = f"import sys; sys.path[:0] = {[str(Path.cwd()), str(Path(__file__).parent)]!r}\nfrom test_store import *\n"
    with subprocess.Popen(
        [sys.executable, "-c", start + code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RequestError, match=f"is in use by process {process.pid}"):
            opened(folder)
        process.communicate("\n")
    with opened(folder) as run:
        assert run.made == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a file size limit stands in for a full disk")
def test_a_full_disk_ends_the_run_with_what_is_finished_kept(tmp_path):
    folder = tmp_path / "run"
    code = """
import resource
with opened(Path(sys.argv[1])) as run:
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
    try:
        for job in all_jobs():
            keep(run, job)
    except SynthgenError as error:
        print(error)
        raise SystemExit(error.exit_code)
"""
    process = in_another_process(code, folder)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    kept = len(store.read(folder))
    assert 0 < kept < COUNT
    assert f"records.jsonl could not be written (File too large). {kept} finished pictures are kept; make room" in out
    assert (folder / "records.jsonl").read_bytes().endswith(b"}\n")
    with opened(folder) as run:
        assert run.made == kept
        for job in run.pending(all_jobs()):
            keep(run, job)
        run.finish()
        assert run.finished


class Page(HTMLParser):
    """Tags, text and picture addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.images: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"])

    def handle_data(self, data):
        self.said += data


def test_the_report_stands_alone_escapes_everything_and_shows_pictures_that_are_there(tmp_path):
    folder = whole(tmp_path / "run")
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "b" not in page.tags and "script" not in page.tags
    assert "photos 'a<b>' is unknown" in page.said
    assert len(page.images) == COUNT and all((folder / source).is_file() for source in page.images)
    assert not any(source.startswith(("/", "http")) for source in page.images)
    assert "12 of 12 pictures, finished" in page.said and "walking" in page.said
    assert "http://" not in text and "https://" not in text


def test_the_report_shows_the_first_48_of_many():
    from synthgen import run_report

    request = dataclasses.replace(REQUEST, count=60)
    lines = []
    for job in all_jobs(request):
        record = provenance.record(drawn(job), CONTEXT)
        lines.append({"file_name": f"images/{job.id}.png", "job_id": job.id, "lineage": record})
    page = Page(run_report.page("many", 60, lines, []))
    assert page.images == [f"images/{job.id}.png" for job in all_jobs(request)[:48]]


def test_the_report_counts_an_axis_of_very_many_values_without_listing_it():
    from synthgen import run_report

    lines = []
    for job in all_jobs(dataclasses.replace(REQUEST, count=70)):
        traced = dataclasses.replace(job, requested={**job.requested, "keypoints": f"[[{job.index}.5]]"})
        record = provenance.record(dataclasses.replace(drawn(job), job=traced), CONTEXT)
        lines.append({"file_name": f"images/{job.id}.png", "job_id": job.id, "lineage": record})
    said = Page(run_report.page("many", 70, lines, [])).said
    assert "keypoints: 70 different values" in said
    assert "[[3.5]]" not in said


def test_a_run_of_500_is_taken_up_again_in_a_moment(tmp_path):
    request = dataclasses.replace(REQUEST, count=500)
    asked = all_jobs(request)
    with opened(tmp_path / "run", request) as run:
        for job in asked:
            keep(run, job)
        run.finish()
    begin = time.process_time()
    with opened(tmp_path / "run", request) as run:
        assert run.finished and run.pending(asked) == []
    assert time.process_time() - begin < 2.0
    assert len(json.loads((tmp_path / "run" / "records.jsonl").read_text().splitlines()[-1])["lineage"]["id"]) == 64


def test_the_report_tells_the_yield_of_each_cell_and_which_gate_took_the_rest():
    from synthgen import run_report

    line = {"file_name": "a.png", "job_id": "a", "lineage": {
        "requested": {"place": "beach"}, "measured": {}, "prompt": "", "license": {
            "use": "internal", "verdict": "allow", "reasons": [], "conditions": []}}}  # fmt: skip
    rejections = [{"requested": {"place": place}, "reasons": {"label": "x"}} for place in ("beach", "<park>", "<park>")]
    page = run_report.page("run", 1, [line], rejections)
    assert "<td>place</td><td>beach</td>" in page and "50%" in page
    assert page.index("&lt;park&gt;") < page.index('<td>beach</td><td class="n">1</td><td class="n">2</td>')
    assert "label 2" in page and "<park>" not in page
