"""Weights from the Hugging Face Hub: pinned once by revision and hash, fetched whole, then used without a network.

A pin is what the Hub said on the user's own machine, on the day that he asked: the commit, and of every file that is
needed its size and its hash. It stands in SYNTHGEN_HOME/pins/NAME.toml; nothing here knows one from elsewhere. The
files go into huggingface_hub's own cache, where other programs find them too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthgen import file_hash, model_folder, resources, rights_file, toml_file
from synthgen.errors import RequestError, SynthgenError
from synthgen.ledger import write_whole
from synthgen.progress import Progress
from synthgen.types import Rights

ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?\Z")
COMMIT = re.compile(r"[0-9a-f]{40}\Z")


@dataclass(frozen=True)
class Pin:
    """One commit of a repository, and the files of it that are needed."""

    name: str  # what the user calls it
    repo: str
    revision: str  # 40 hex digits
    license_tag: str  # what the repository's card says: a claim
    resolved: str  # ISO date
    files: Mapping[str, Mapping[str, Any]]  # path -> {"size": bytes, "sha256" or "git_sha1": hex}

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(int(told["size"]) for told in self.files.values())


def is_id(text: str) -> bool:
    """Whether a text has the form of a repository's id, ORG/NAME or ORG/NAME@REVISION."""
    return bool(ID.match(text))


def pinned(name: str) -> Pin | None:
    """The pin of a name or id, or None where nothing was resolved here."""
    path = _place(name)
    if not path.is_file():
        return None
    told = toml_file.read(path)
    return Pin(**told) if set(told) == set(Pin.__dataclass_fields__) else None


def rights(name: str) -> Rights | None:
    """What the user stated of the rights in weights from the Hub as he pulled them, or None."""
    return rights_file.read(rights_file.place_of(_place(name)))


def folder(name: str) -> Path:
    """The folder of a pinned repository in the cache. Raises RequestError where it was not fetched, or not whole."""
    from huggingface_hub import try_to_load_from_cache

    pin = pinned(name)
    if pin is None:
        raise RequestError(f"base '{name}' is not on this machine. Fetch it: synthgen bases pull {name}")
    root = None
    for file in pin.files:
        found = try_to_load_from_cache(pin.repo, file, revision=pin.revision)
        if not isinstance(found, str):
            raise RequestError(
                f"base '{name}' is not whole on this machine: {file} is missing. Fetch it: synthgen bases pull {name}"
            )
        root = Path(found).parents[file.count("/")]
    if root is None:
        raise RequestError(f"the pin of '{name}' names no file. Fetch it again: synthgen bases pull {name}")
    return root


def resolve(name: str, repo: str, revision: str = "") -> Pin:
    """Ask the Hub which commit this is and which files are needed. Fetches no weight.

    Raises RequestError: gated (with the page to visit), no such repository or revision, pickled weights only.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi()
    try:
        told = api.model_info(repo, revision=revision or None, files_metadata=True)
    except GatedRepoError as error:
        raise _gated(repo, api.endpoint) from error
    except OfflineModeIsEnabled as error:
        raise RequestError(f"HF_HUB_OFFLINE is set: '{repo}' cannot be asked for. Nothing was fetched.") from error
    except (HfHubHTTPError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise RequestError(f"the Hub does not give '{repo}' at {revision or 'its newest'}: {first}.") from error
    siblings = {item.rfilename: item for item in told.siblings or ()}
    wanted = needed(list(siblings), repo)
    files = {}
    for path in wanted:
        item = siblings[path]
        proof = {"sha256": item.lfs.sha256} if item.lfs else {"git_sha1": item.blob_id}
        files[path] = {"size": int(item.size or 0), **proof}
    tag = str(getattr(told.card_data, "license", "") or "")
    if not COMMIT.match(str(told.sha)):
        raise RequestError(f"the Hub gives '{repo}' no commit: {str(told.sha)[:60]!r}. Nothing was fetched.")
    return Pin(name, repo, str(told.sha), tag, datetime.now(UTC).date().isoformat(), files)


def needed(paths: list[str], repo: str) -> list[str]:
    """Of a repository's files those that a pipeline, or one model, is loaded from: settings and safetensors.

    Raises RequestError where a part has its weights as pickles only.
    """
    if model_folder.INDEX in paths:
        parts = sorted({path.split("/")[0] for path in paths if path.count("/") == 1})
        parts = [part for part in parts if part not in model_folder.LEFT_OUT]
        return [model_folder.INDEX, *(path for part in parts for path in _of_part(paths, f"{part}/", repo))]
    return _of_part([path for path in paths if "/" not in path], "", repo)


def _of_part(paths: list[str], start: str, repo: str) -> list[str]:
    here = [path for path in paths if path.startswith(start)]
    settings = [path for path in here if Path(path).suffix in model_folder.SETTINGS and ".index." not in path]
    for stem in model_folder.STEMS:
        one, index = f"{start}{stem}.safetensors", f"{start}{stem}.safetensors.index.json"
        shards = [path for path in here if re.match(rf"{re.escape(start)}{stem}-\d+-of-\d+\.safetensors\Z", path)]
        if one in here:
            return sorted([*settings, one])
        if index in here and shards:
            return sorted([*settings, index, *shards])
    small = [path for path in here if path.endswith(".fp16.safetensors")]
    if not small and any(Path(path).suffix in model_folder.PICKLES for path in here):
        raise RequestError(
            f"'{repo}' has the weights in {start or 'it'} as pickles only, and those can run code. Nothing was fetched."
        )
    return sorted([*settings, *small])


def fetch(pin: Pin, stated: Rights | None = None) -> Path:
    """Fetch what is not there yet, go on with what was begun, check every file, keep the pin. The folder comes back.

    stated  what the user says of the rights in it, kept beside the pin
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    whole = max(1, round(pin.bytes / 1e6))
    with Progress(whole, f"pull {pin.name}", "MB") as progress:
        seen = 0
        for file, told in pin.files.items():
            try:
                path = Path(hf_hub_download(pin.repo, file, revision=pin.revision, tqdm_class=_teller(progress)))
            except GatedRepoError as error:
                raise _gated(pin.repo, os.environ.get("HF_ENDPOINT", "https://huggingface.co")) from error
            except (HfHubHTTPError, OSError) as error:
                first = str(error).strip().splitlines()[0]
                raise SynthgenError(
                    f"{pin.repo}: {file} was not fetched: {first}. What came is kept; the same command goes on."
                ) from error
            _check(path, told, f"{pin.repo}: {file}")
            seen += int(told["size"])
            progress.step(max(0, round(seen / 1e6) - progress.done), file)
        progress.step(max(0, whole - progress.done))
    _keep(_place(pin.name), asdict(pin))
    if stated:
        _keep(rights_file.place_of(_place(pin.name)), rights_file.told(stated))
    return folder(pin.name)


def _teller(progress: Progress) -> Any:
    """A progress bar of the kind that huggingface_hub asks for, which tells ours and draws nothing."""
    from huggingface_hub.utils import tqdm

    class Told(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **{**options, "disable": False, "file": open(os.devnull, "w")})  # noqa: SIM115
            self.base = progress.done

        def update(self, n: float | None = 1) -> bool | None:
            done = super().update(n)
            progress.step(max(0, round(self.base + self.n / 1e6) - progress.done))
            return done

    return Told


def _check(path: Path, told: Mapping[str, Any], what: str) -> None:
    """Raises SynthgenError, and removes the file, where it is not what the Hub promised."""
    found = file_hash.sha256(path) if "sha256" in told else _git_sha1(path)
    promised = told.get("sha256") or told.get("git_sha1")
    if found == promised:
        return
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise SynthgenError(
        f"{what} is not the file that was promised: its hash is {found[:12]}, wanted {str(promised)[:12]}. It was "
        "removed; the same command fetches it again."
    )


def _git_sha1(path: Path) -> str:
    """As git names a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _gated(repo: str, endpoint: str) -> RequestError:
    return RequestError(
        f"'{repo}' is gated: its owner wants to know who uses it. Accept its terms at {endpoint}/{repo}, then: "
        "hf auth login; and the same command again. Nothing was fetched."
    )


def _place(name: str) -> Path:
    return resources.home() / "pins" / f"{name.replace('/', '--').replace('@', '--at--')}.toml"


def _keep(place: Path, told: Mapping[str, Any]) -> None:
    import tomli_w

    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, tomli_w.dumps(json.loads(json.dumps(told))).encode())
