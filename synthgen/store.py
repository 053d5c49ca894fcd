"""A run folder: picture first, record last; what is recorded is done. The folder is at once the data set.

RUN/ = metadata.csv, images/<job_id>.png, records.jsonl, run.toml, rejected/, report.html. A line of records.jsonl is
written after its picture; it holds the lineage with its id, the sha256 of pixels and file, and a perceptual hash.
`finished = true` in run.toml is written last of all; then `generate` adds rights/. Pictures that `synthgen revoke` took
out stand in quarantine/.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from synthgen import __version__, run_folder, run_report, toml_file
from synthgen.errors import Refused, RequestError, SynthgenError
from synthgen.ledger import EVENT, UNFINISHED, Again, Ledger, write_pieces, write_whole
from synthgen.perceptual_hash import perceptual_hash
from synthgen.plan import retry
from synthgen.remote_run import Mirror
from synthgen.run_index import RunIndex
from synthgen.run_lock import hold
from synthgen.types import Job, Judgement, Picture

IMAGES, REJECTED, QUARANTINE = "images", "rejected", "quarantine"
RECORDS, ABOUT, TABLE, REPORT = "records.jsonl", "run.toml", "metadata.csv", "report.html"
REJECTIONS, COPY_GATE = "rejections.jsonl", "copy_gate.json"
_PICTURE_NAME = re.compile(r"[0-9a-f]{16}(-\d+)?\.png\Z")


class Run:
    """One run folder, held by one process. Use it as a context manager: leaving it keeps all that is finished."""

    def __init__(self, folder: Path, plan: Mapping[str, Any], lock: Any, mirror: Mirror | None = None) -> None:
        """Not to be called; see `Run.open`."""
        self.folder, self.plan = folder, plan
        self._mirror = mirror
        self._lock = lock
        self._records = Ledger(folder / RECORDS)
        self._rejections = Ledger(folder / REJECTED / REJECTIONS)
        self._index = RunIndex()
        self._tolerance: int | None = None
        self._created = ""
        self._finished = False

    @classmethod
    def open(cls, folder: Path, plan: Mapping[str, Any], mirror: Mirror | None = None) -> Run:
        """Start a run in a new or empty folder, or resume the run of the same plan.

        plan    plain values, with `digest` and `count` among them (plan.described)
        mirror  where every picture is sent at once, for a run that goes elsewhere
        Raises RequestError where the folder is another plan's, somebody else's, not writable, or in use. On resuming,
        records whose picture is missing or was changed are dropped, so that their jobs are pending again.
        """
        run_folder.make(folder)
        lock = hold(folder)
        try:
            run = cls(folder, plan, lock, mirror)
            run._start()
        except BaseException:
            lock.release()
            raise
        return run

    @property
    def finished(self) -> bool:
        """Whether the whole plan is made and written down."""
        return self._finished

    @property
    def made(self) -> int:
        """How many pictures are done."""
        return self._index.done

    @property
    def rejected(self) -> int:
        """How many pictures a gate rejected, all tries counted."""
        return self._index.rejected

    @property
    def batch_tolerance(self) -> int | None:
        """The tolerance between batch sizes as the pictures of this run state it; None where none is there yet."""
        return self._tolerance

    def rejections(self, job: Job) -> int:
        """How many tries of this job a gate rejected."""
        return self._index.tries(job.id)

    @property
    def most_tries(self) -> int:
        """How many tries a gate rejected of the job that has most."""
        return self._index.most_tries

    def wants(self, job: Job) -> bool:
        """Whether this very try of a job is the next one to be drawn."""
        return not self._index.is_done(job.id) and self._index.tries(job.id) == job.attempt

    def waiting(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs that are not done, each at its next try: one after the tries that were rejected. One at a time."""
        for job in jobs:
            if self._index.is_done(job.id):
                continue
            for _ in range(job.attempt, self._index.tries(job.id)):
                job = retry(job)
            yield job

    def pending(self, jobs: Iterable[Job]) -> list[Job]:
        """The same as a list."""
        return list(self.waiting(jobs))

    def add(self, picture: Picture, record: Mapping[str, Any], png: bytes) -> None:
        """Keep a picture: the file by rename, then its line, which is on the disk when this returns.

        Raises SynthgenError where it cannot be written; what was finished before is kept.
        """
        name = f"{IMAGES}/{picture.job.id}.png"
        line = {
            "job_id": picture.job.id,
            "index": picture.job.index,
            "file_name": name,
            "file_sha256": hashlib.sha256(png).hexdigest(),
            "lineage_id": record["id"],
            "pixel_sha256": record["pixel_sha256"],
            "perceptual_hash": perceptual_hash(picture.pixels),
            "lineage": record,
        }
        with self._writing(name):
            write_whole(self.folder / name, png)
        with self._writing(RECORDS):
            self._take_up(self._records.append(line), line)
        if self._mirror:
            self._mirror.added(name, RECORDS)

    def reject(self, picture: Picture, judgements: Sequence[Judgement], png: bytes = b"") -> None:
        """Note that gates rejected a try of a job, with their reasons, and keep the picture under rejected/."""
        job = picture.job
        line = {
            "job_id": job.id,
            "index": job.index,
            "requested": dict(job.requested),
            "seed": str(job.seed),
            "reasons": {item.gate: item.reason for item in judgements if not item.accepted},
        }
        with self._writing(f"{REJECTED}/{job.id}.png"):
            if png:
                write_whole(self.folder / REJECTED / f"{job.id}.png", png)
            self._rejections.append(line)
        self._index.refuse(job.id)
        if self._mirror:
            self._mirror.added(f"{REJECTED}/{job.id}.png" if png else "", f"{REJECTED}/{REJECTIONS}")

    def finish(self) -> None:
        """Write metadata.csv and report.html, then `finished = true`. Raises SynthgenError where pictures are short."""
        wanted = int(self.plan["count"])
        if self.made < wanted:
            raise SynthgenError(
                f"{self.folder} has {self.made} of {wanted} pictures. Those are kept; the same command makes the rest."
            )
        self._write_summaries()
        self._write_about(finished=True)

    def close(self) -> None:
        """Let the folder go, with a metadata.csv of what is done if the run is not finished. May be called twice."""
        if not self._lock.is_locked:
            return
        try:
            if self.made and not self._finished:
                self._write_summaries()
        finally:
            self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:  # the error on its way out says more than a table that could not be written after it
            with contextlib.suppress(SynthgenError):
                self.close()

    def _start(self) -> None:
        about = self.folder / ABOUT
        resumed = about.is_file()
        if resumed:
            self._check_plan(toml_file.read(about))
        else:
            run_folder.check_empty(self.folder)
            self._write_about(finished=False)  # first, so that a folder that is killed from here on is known as ours
        with self._writing("the folder"):
            (self.folder / IMAGES).mkdir(exist_ok=True)
            (self.folder / REJECTED).mkdir(exist_ok=True)
        if resumed:
            self._resume()
        if self._mirror:
            self._mirror.begun()

    def _check_plan(self, about: Mapping[str, Any]) -> None:
        found = about.get("plan", {}).get("digest") if isinstance(about.get("plan"), dict) else None
        if found != self.plan["digest"]:
            raise RequestError(
                f"{self.folder} holds the run of another plan ({found or 'none'}, and this one is "
                f"{self.plan['digest']}). Choose another folder with --out, or give that run's own command. "
                "Nothing was changed."
            )
        self._created = str(about.get("created", ""))
        self._finished = about.get("finished") is True

    def _resume(self) -> None:
        """Take up what is recorded and still true; forget the rest. Raises Refused where pictures were revoked."""
        if why := _revoked(self._records):
            raise Refused(
                f"{self.folder}: pictures of this run were revoked ({'; '.join(dict.fromkeys(why.values()))}), and the "
                "same command would draw them again from the same things. Start another run. It is untouched."
            )
        sound, stood = not self._records.broken(), 0
        for at, line in self._records.located():
            stood += 1
            if run_folder.holds(self.folder, line):
                self._take_up(at, line)
        with self._writing(RECORDS):
            mended = not sound or self.made < stood
            if mended:
                self._records.rewrite(lambda: self._records.at(self._index.lines("at")))
                self._index.forget_done()
                for at, line in self._records.located():
                    self._take_up(at, line)
            for _, line in self._rejections.located():
                self._index.refuse(str(line.get("job_id", "")))
            if self._rejections.broken():
                self._rejections.rewrite(lambda: (line for _, line in self._rejections.located()))
            self._sweep()
            if self._finished and (mended or self.made < int(self.plan["count"])):
                self._write_about(finished=self.made >= int(self.plan["count"]))

    def _take_up(self, at: int, line: Mapping[str, Any]) -> None:
        """A line of the ledger whose picture is done, and where it begins."""
        place = line.get("index", 0)
        sound = isinstance(place, int) and 0 <= place < 2**62
        self._index.add(str(line["job_id"]), at, place if sound else 0)
        levels = line["lineage"].get("drawn", {}).get("batch_tolerance_levels")
        if self._tolerance is None and levels is not None:
            self._tolerance = int(levels)

    def _sweep(self) -> None:
        """Remove what a killed process left half made: temporary names, and pictures of ours that no line names."""
        with os.scandir(self.folder / IMAGES) as there:
            for entry in there:
                name, ours = entry.name, _PICTURE_NAME.match(entry.name)
                stray = name.startswith(".") and name.endswith(UNFINISHED)
                if stray or (ours and not self._index.is_kept(name.removesuffix(".png"))):
                    os.unlink(entry.path)

    def _write_summaries(self) -> None:
        with self._writing(TABLE):
            lines = Again(lambda: self._records.at(self._index.lines()))
            _write_table(self.folder, lines)
        with self._writing(REPORT):
            _write_page(self.folder, int(self.plan["count"]), lines)

    def _write_about(self, finished: bool) -> None:
        self._created = self._created or datetime.now(UTC).isoformat(timespec="seconds")
        about = {
            "synthgen": __version__,
            "created": self._created,
            "finished": finished,
            "count": int(self.plan["count"]),
            "made": self.made,
            "rejected": self.rejected,
            **({"ledger_sha256": self._records.head()} if finished else {}),
            "plan": dict(self.plan),
        }
        with self._writing(ABOUT):
            write_whole(self.folder / ABOUT, _toml(about))
        self._finished = finished

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Turn a failed write into one clear error."""
        try:
            yield
        except OSError as error:
            raise SynthgenError(
                f"{self.folder}: {what} could not be written ({error.strerror or error}). "
                f"{self.made} finished pictures are kept; make room or mend the disk, then give the same command again."
            ) from error


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's records.jsonl in plan order, for exporters and evaluators; nothing is locked or changed.

    Lines of pictures that were revoked are left out. Raises RequestError for a folder that is no run.
    """
    about(folder)
    ledger = Ledger(folder / RECORDS)
    revoked = _revoked(ledger)
    return [line for line in _in_order(ledger.read()[0]) if line.get("job_id") not in revoked]


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The same in the order in which they were written, one at a time: for a run of any size.

    Raises RequestError for a folder that is no run, at once.
    """
    about(folder)
    ledger = Ledger(folder / RECORDS)
    revoked = _revoked(ledger)
    return (line for _, line in ledger.located() if line.get("job_id") not in revoked)


def revoke(folder: Path, lines: Sequence[Mapping[str, Any]], why: str) -> None:
    """Take pictures out of a run: the ledger first, then the files into quarantine/, then the tables without them.

    Does the rest where it was killed in between. Raises RequestError where the run is in use, SynthgenError where it
    cannot be written to.
    """
    told = about(folder)
    lock = hold(folder)
    try:
        ledger = Ledger(folder / RECORDS)
        fresh = sorted({str(line["job_id"]) for line in lines} - _revoked(ledger).keys())
        if fresh:
            ledger.append({EVENT: "revoked", "why": why, "job_ids": fresh})
        (folder / QUARANTINE).mkdir(exist_ok=True)
        for line in lines:
            here = folder / IMAGES / Path(str(line["file_name"])).name
            if here.is_file():
                os.replace(here, folder / QUARANTINE / here.name)
        left = read(folder)
        _write_table(folder, left)
        _write_page(folder, int(told["count"]), left)
        write_whole(folder / ABOUT, _toml({**told, "made": len(left), "ledger_sha256": ledger.head()}))
    except OSError as error:
        raise SynthgenError(
            f"{folder} could not be written ({error.strerror or error}). Give the same command again once it can be."
        ) from error
    finally:
        lock.release()


def about(folder: Path) -> dict[str, Any]:
    """What run.toml says: created, finished, count, made, rejected, plan. Raises RequestError where it is no run."""
    path = folder / ABOUT
    if not path.is_file():
        raise RequestError(f"{folder} is no run of synthgen: it has no {ABOUT}. Name a folder that `generate` made.")
    return toml_file.read(path)


def copy_gate(folder: Path) -> dict[str, Any]:
    """RUN/copy_gate.json, what the copy gate found in the whole run; empty where there is none."""
    try:
        told = json.loads((folder / COPY_GATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def rejections(folder: Path) -> list[dict[str, Any]]:
    """The lines of rejected/rejections.jsonl: every try that a gate rejected, with its reasons."""
    return Ledger(folder / REJECTED / REJECTIONS).read()[0]


def revocations(folder: Path) -> dict[str, str]:
    """The job ids whose pictures were revoked in a run, each with why."""
    return _revoked(Ledger(folder / RECORDS))


def _revoked(ledger: Ledger) -> dict[str, str]:
    events = [event for event in ledger.events() if event[EVENT] == "revoked"]
    return {str(job): str(event.get("why", "")) for event in events for job in event.get("job_ids", ())}


def _write_table(folder: Path, lines: run_report.Lines) -> None:
    write_pieces(folder / TABLE, (row.encode("utf-8") for row in run_report.table(lines)))


def _write_page(folder: Path, count: int, lines: run_report.Lines) -> None:
    refused = (line for _, line in Ledger(folder / REJECTED / REJECTIONS).located())
    page = run_report.page(folder.name, count, lines, refused, copy_gate(folder))
    write_whole(folder / REPORT, page.encode("utf-8"))


def _toml(table: Mapping[str, Any]) -> bytes:
    import tomli_w

    return tomli_w.dumps(table).encode("utf-8")


def _in_order(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from sorted(lines, key=lambda line: line.get("index", 0))
