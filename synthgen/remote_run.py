"""A run at any address that fsspec knows, such as s3://: made in a folder here, sent there picture by picture.

A picture is sent first, then its line. An object store cannot append, so the lines of a ledger stand in numbered
pieces, records/000001.jsonl and so on, of which the last is written anew with each line. A run that is finished has the
files of a local one, its ledger whole, and run.toml, written last. RUN/private/ stays here. Whoever comes to go on,
from any machine, first makes the folder here as it is there; what was not sent is drawn again, to the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import remote_lock, resources, toml_file
from synthgen.errors import RequestError, SynthgenError

STAGING, PRIVATE, ABOUT, IMAGES = "staging", "private", "run.toml", "images"
LEDGERS = {"records.jsonl": "records", "rejected/rejections.jsonl": "rejected/rejections"}  # file -> folder of pieces
PIECE_LINES = 32
LOCAL = ("file", "local")


@dataclass(frozen=True)
class Address:
    """Where a run goes that is no folder of this machine."""

    text: str
    fs: Any  # fsspec's file system
    root: str  # the folder in it

    @property
    def here(self) -> Path:
        """The folder in which the run is made."""
        mark = hashlib.sha256(self.text.encode()).hexdigest()[:16]
        return resources.home() / STAGING / mark / (self.root.rstrip("/").rpartition("/")[2] or "run")


def parse(out: Path | str | None) -> Path | Address | None:
    """What --out means: a folder, or an address.

    Raises RequestError for a protocol that fsspec does not know, or whose package is not installed.
    """
    text = str(out) if out is not None else ""
    if "://" not in text and "::" not in text:
        return Path(text) if text else None
    protocol, _, rest = text.partition("://")
    if protocol in LOCAL:
        return Path(rest)
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(text)
    except ImportError as error:
        extra = "pip install 'synthgen[s3]'" if protocol in ("s3", "s3a") else str(error).rstrip(".")
        raise RequestError(
            f"--out {text}: what '{protocol}' needs is not installed: {extra}. Nothing was drawn."
        ) from error
    except Exception as error:  # every file system has its own for an address that it cannot read
        raise RequestError(f"--out {text} is no address that can be used ({error}). Nothing was drawn.") from error
    return Address(text.rstrip("/"), fs, root.rstrip("/"))


class Mirror:
    """What stands at an address, and the folder here that is sent to it. Made by `mirrored`."""

    def __init__(self, address: Address, lease: remote_lock.Lease) -> None:
        self.address, self.here = address, address.here
        self._lease = lease
        self._sent: dict[str, str] = {}  # name -> sha256 of what is there
        self._open = False  # whether the run here is this run: until then nothing is sent
        self._pieces = {name: Pieces(self, name, folder) for name, folder in LEDGERS.items()}

    # ---- at the beginning

    def finished(self, digest: str) -> dict[str, Any] | None:
        """What run.toml there says, if it says that the run of this plan is finished; with a line of its records."""
        root, fs = self.address.root, self.address.fs
        with self.reaching(f"{ABOUT} cannot be read"):
            try:
                told = tomllib.loads(fs.cat_file(f"{root}/{ABOUT}").decode("utf-8"))
                if told.get("finished") is not True or told["plan"]["digest"] != digest:
                    return None
                with fs.open(f"{root}/records.jsonl") as file:
                    return {**told, "line": json.loads(file.readline())}
            except (FileNotFoundError, ValueError, KeyError):
                return None

    def pull(self) -> None:
        """Make the folder here as it is there; pictures that are here and the same are not fetched again."""
        names = self.names()
        if not names:
            self._forget()
            return
        if ABOUT not in names:
            raise RequestError(
                f"{self.address.text} is not empty and is no run of synthgen (it holds '{sorted(names)[0]}'). Choose "
                "another address with --out. Nothing was changed."
            )
        before = {path.name for path in (self.here / IMAGES).glob("*.png")}
        for name in sorted(names):
            if name.startswith(tuple(f"{folder}/0" for folder in LEDGERS.values())):
                continue
            known = name.startswith(f"{IMAGES}/") and Path(name).name in before
            if not known or not self._same(name):
                self._fetch(name)
        for pieces in self._pieces.values():
            pieces.join(names)
        for stray in before - {Path(name).name for name in names if name.startswith(f"{IMAGES}/")}:
            (self.here / IMAGES / stray).unlink()

    def begun(self) -> None:
        """The run here is open: what it is, and its ledgers as they were mended, go there."""
        self._open = True
        self._send(ABOUT)
        for pieces in self._pieces.values():
            pieces.renew()

    def names(self) -> set[str]:
        """Paths of all that stands there, relative to the root; the lock is not of it."""
        fs, root = self.address.fs, self.address.root
        with self.reaching("cannot be listed"):
            fs.invalidate_cache()
            try:
                found = fs.find(root)
            except FileNotFoundError:
                found = []
        names = {str(path)[len(root) :].lstrip("/") for path in found}
        return {name for name in names if name and name != remote_lock.NAME}

    def _same(self, name: str) -> bool:
        with self.reaching(f"{name} cannot be read"):
            told = self.address.fs.info(f"{self.address.root}/{name}")
        return (self.here / name).stat().st_size == told.get("size")  # its bytes are checked with the ledger

    def _fetch(self, name: str) -> None:
        place = self.here / name
        with self.reaching(f"{name} cannot be read"):
            data = self.address.fs.cat_file(f"{self.address.root}/{name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        self._sent[name] = hashlib.sha256(data).hexdigest()

    def _forget(self) -> None:
        """Nothing is there: what an earlier command made here and never sent begins anew too."""
        shutil.rmtree(self.here, ignore_errors=True)

    def reaching(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Before anything is drawn: what a file system raises as one clear error."""
        return _clear(RequestError, f"{self.address.text}: {what}", "Nothing was drawn.")

    # ---- while it is made

    def added(self, name: str, ledger: str) -> None:
        """Send a file, where one is named, then the line about it. Raises SynthgenError."""
        if self._lease.lost:
            raise SynthgenError(
                f"{self.address.text} is in use by another process, which took it over: this one was not heard of for "
                f"{remote_lock.LEASE_S} s. What it has sent is kept."
            )
        if name:
            self._send(name)
        self._pieces[ledger].grow()

    def rest(self) -> None:
        """Send all that changed or was not sent, run.toml last; then the pieces of a finished ledger can go."""
        if not self._open:
            return
        finished = toml_file.read(self.here / ABOUT).get("finished") is True
        names = sorted(path.relative_to(self.here).as_posix() for path in self.here.rglob("*") if path.is_file())
        kept = [name for name in names if not name.startswith((f"{PRIVATE}/", ".")) and name != ABOUT]
        for name in kept:
            if name not in LEDGERS or finished:
                self._send(name)
        if not finished:
            for pieces in self._pieces.values():  # a picture may be here, and stopped on its way
                pieces.grow()
        self._send(ABOUT)
        if finished:
            for pieces in self._pieces.values():
                pieces.drop()
            self._clear()

    def _clear(self) -> None:
        """The run is there: only what must not leave this machine stays here."""
        for path in self.here.iterdir():
            if path.name != PRIVATE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if any(self.here.iterdir()):
            print(f"{self.here / PRIVATE} stays on this machine", file=sys.stderr, flush=True)
        else:
            self.here.rmdir()

    def _send(self, name: str) -> None:
        data = (self.here / name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if self._sent.get(name) != digest:
            self.put(name, data)
            self._sent[name] = digest

    def put(self, name: str, data: bytes) -> None:
        """Write one file there. Raises SynthgenError."""
        with self.sending(name):
            remote_lock.write(self.address.fs, f"{self.address.root}/{name}", data)

    def sending(self, name: str) -> contextlib.AbstractContextManager[None]:
        """While something is sent: the same."""
        return _clear(
            SynthgenError,
            f"{self.address.text}: {name} could not be sent",
            "What was sent before is kept there; the same command makes the rest.",
        )


class Pieces:
    """A ledger that stands in pieces of PIECE_LINES lines."""

    def __init__(self, mirror: Mirror, name: str, folder: str) -> None:
        self._mirror, self._name, self._folder = mirror, name, folder
        self._read = 0  # bytes of the ledger here that were taken up
        self._number = 1  # of the last piece
        self._lines: list[bytes] = []  # in it
        self._joined = b""  # all of them, as they stood there at the beginning

    @property
    def _file(self) -> Path:
        return self._mirror.here / self._name

    def join(self, names: set[str]) -> None:
        """The ledger here from its pieces there. Without any it is as it was fetched, whole, or there is none."""
        pieces = sorted(name for name in names if name.startswith(f"{self._folder}/0"))
        if not pieces:
            if self._name not in names:
                self._file.unlink(missing_ok=True)
            return
        address = self._mirror.address
        with self._mirror.reaching(f"{self._folder}/ cannot be read"):
            data = b"".join(address.fs.cat_file(f"{address.root}/{name}") for name in pieces)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(data)
        self._joined = data

    def renew(self) -> None:
        """Write every piece as the ledger here has it, unless it is that already, and remove those behind it."""
        same = self._file.is_file() and self._file.read_bytes() == self._joined
        self._read, self._number, self._lines = 0, 1, []
        self.grow(send=not same)
        if same:
            return
        self._remove(self._number + bool(self._lines))

    def grow(self, send: bool = True) -> None:
        """Take up the lines that were added since, and send them."""
        if not self._file.is_file():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            fresh = file.read().splitlines(keepends=True)
        for place, line in enumerate(fresh, 1):
            self._lines.append(line)
            full = len(self._lines) == PIECE_LINES
            if send and (full or place == len(fresh)):
                self._mirror.put(f"{self._folder}/{self._number:06d}.jsonl", b"".join(self._lines))
            if full:
                self._number, self._lines = self._number + 1, []
        self._read += sum(len(line) for line in fresh)

    def drop(self) -> None:
        """Remove all pieces: the ledger stands there whole."""
        self._remove(1)

    def _remove(self, first: int) -> None:
        address = self._mirror.address
        for name in sorted(self._mirror.names()):
            if name.startswith(f"{self._folder}/0") and int(Path(name).stem) >= first:
                with self._mirror.sending(name):
                    address.fs.rm_file(f"{address.root}/{name}")


@contextlib.contextmanager
def mirrored(address: Address | None) -> Iterator[Mirror | None]:
    """The mirror of a run at an address, held by this process alone; None for a run in a folder.

    Raises RequestError where the address cannot be reached, holds something else, or is in use.
    """
    if address is None:
        yield None
        return
    with remote_lock.held(address.fs, address.root, address.text) as lease:
        mirror = Mirror(address, lease)
        try:
            yield mirror
        except BaseException:
            with contextlib.suppress(Exception):  # the error on its way out says more
                mirror.rest()
            raise
        mirror.rest()


@contextlib.contextmanager
def _clear(kind: type[SynthgenError], what: str, then: str) -> Iterator[None]:
    """Turn what a file system raises, each of its own classes, into one error of this kind."""
    try:
        yield
    except SynthgenError:
        raise
    except Exception as error:
        raise kind(f"{what} ({remote_lock.said(error)}). {then}") from error
