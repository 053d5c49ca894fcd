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

from synthgen import __version__, run_report, toml_file
from synthgen.errors import Refused, RequestError, SynthgenError
from synthgen.ledger import EVENT, UNFINISHED, Ledger, write_whole
from synthgen.perceptual_hash import perceptual_hash
from synthgen.plan import retry, root
from synthgen.provenance import lineage_id
from synthgen.remote_run import Mirror
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
        self._done: dict[str, dict[str, Any]] = {}  # root of the job's id -> its line
        self._refused: dict[str, list[dict[str, Any]]] = {}  # root of the job's id -> lines of its rejected tries
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
        _make(folder)
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
        return len(self._done)

    @property
    def rejected(self) -> int:
        """How many pictures a gate rejected, all tries counted."""
        return sum(len(tries) for tries in self._refused.values())

    @property
    def batch_tolerance(self) -> int | None:
        """The tolerance between batch sizes as the pictures of this run state it; None where none is there yet."""
        stated = (line["lineage"].get("drawn", {}).get("batch_tolerance_levels") for line in self._done.values())
        return next((int(levels) for levels in stated if levels is not None), None)

    def rejections(self, job: Job) -> int:
        """How many tries of this job a gate rejected."""
        return len(self._refused.get(root(job.id), ()))

    def pending(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs that are not done, each at its next try: one after the tries that were rejected."""
        waiting = []
        for job in jobs:
            first = root(job.id)
            if first in self._done:
                continue
            for _ in range(job.attempt, len(self._refused.get(first, ()))):
                job = retry(job)
            waiting.append(job)
        return waiting

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
            self._records.append(line)
        self._done[root(picture.job.id)] = line
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
        self._refused.setdefault(root(job.id), []).append(line)
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
            if self._done and not self._finished:
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
            _check_empty(self.folder)
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
        lines, sound = self._records.read()
        for line in lines:
            if _holds(self.folder, line):
                self._done[root(line["job_id"])] = line
        with self._writing(RECORDS):
            mended = not sound or len(self._done) < len(lines)
            if mended:
                self._records.rewrite(self._done.values())
            rejections, whole = self._rejections.read()
            for line in rejections:
                self._refused.setdefault(root(str(line.get("job_id", ""))), []).append(line)
            if not whole:
                self._rejections.rewrite(rejections)
            self._sweep()
            if self._finished and (mended or self.made < int(self.plan["count"])):
                self._write_about(finished=self.made >= int(self.plan["count"]))

    def _sweep(self) -> None:
        """Remove what a killed process left half made: temporary names, and pictures of ours that no line names."""
        named = {line["file_name"] for line in self._done.values()}
        for path in (self.folder / IMAGES).iterdir():
            stray = path.name.startswith(".") and path.name.endswith(UNFINISHED)
            if stray or (_PICTURE_NAME.match(path.name) and f"{IMAGES}/{path.name}" not in named):
                path.unlink()

    def _write_summaries(self) -> None:
        lines = list(_in_order(self._done.values()))
        with self._writing(TABLE):
            write_whole(self.folder / TABLE, run_report.table(lines).encode("utf-8"))
        rejections = [line for tries in self._refused.values() for line in tries]
        with self._writing(REPORT):
            page = run_report.page(self.folder.name, int(self.plan["count"]), lines, rejections, copy_gate(self.folder))
            write_whole(self.folder / REPORT, page.encode("utf-8"))

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
        write_whole(folder / TABLE, run_report.table(left).encode("utf-8"))
        rejections, _ = Ledger(folder / REJECTED / REJECTIONS).read()
        page = run_report.page(folder.name, int(told["count"]), left, rejections, copy_gate(folder))
        write_whole(folder / REPORT, page.encode("utf-8"))
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


def _toml(table: Mapping[str, Any]) -> bytes:
    import tomli_w

    return tomli_w.dumps(table).encode("utf-8")


def _in_order(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from sorted(lines, key=lambda line: line.get("index", 0))


def _holds(folder: Path, line: Mapping[str, Any]) -> bool:
    """Whether a line has what a line must have, and its picture is there, byte for byte."""
    name, lineage = str(line.get("file_name", "")), line.get("lineage")
    if not isinstance(lineage, dict) or name != f"{IMAGES}/{line.get('job_id')}.png":
        return False
    if line.get("lineage_id") != lineage_id(lineage):
        return False
    try:
        data = (folder / name).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == line.get("file_sha256")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise RequestError(f"{folder} cannot be made ({error.strerror}). Choose another folder with --out.") from error
    if not writable:
        raise RequestError(f"{folder} cannot be written to. Choose another folder with --out. Nothing was changed.")


def _check_empty(folder: Path) -> None:
    foreign = sorted(path.name for path in folder.iterdir() if not path.name.endswith(UNFINISHED))
    if foreign:
        raise RequestError(
            f"{folder} is not empty and is no run of synthgen (it holds '{foreign[0]}'). "
            "Choose another folder with --out. Nothing was changed."
        )
