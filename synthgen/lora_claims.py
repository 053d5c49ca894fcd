"""What the metadata of a LoRA file claims, and what of it may be passed on.

Every value is a stranger's text: it is shown and kept as a claim, cut to a length, never evaluated and never obeyed.
What looks like a path, an address or a person is left out of all that is written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from synthgen import tensor_file
from synthgen.errors import UnfitAdapter
from synthgen.lora import Lora
from synthgen.weights_hash import Hashes

FINGERPRINT = "synthgen.fingerprint"  # key under which our own files say the fingerprint of their tensors
MAX_CLAIM = 200  # characters
MAX_TRIGGER = 60
MOST_TAGS = 5
CLAIMS = {  # what is claimed -> the keys that claim it, the first that is there counts
    "title": ("modelspec.title", "ss_output_name"),
    "license": ("modelspec.license", "license"),
    "base": ("modelspec.architecture", "ss_base_model_version", "base_model"),
    "base_name": ("ss_sd_model_name",),
    "base_sha256": ("ss_new_sd_model_hash", "ss_sd_model_hash"),
    "rank": ("ss_network_dim",),
    "alpha": ("ss_network_alpha",),
}
_PATH = re.compile(r"[/\\]|^~|^[A-Za-z]:")
_PERSON = re.compile(r"@|://")


def claims(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the file says of itself: the keys of CLAIMS that it has, and `trigger_words`."""
    found: dict[str, Any] = {}
    for name, keys in CLAIMS.items():
        text = next((metadata[key] for key in keys if metadata.get(key)), "")
        if text:
            found[name] = shown(text)
    words = trigger_words(metadata)
    return {**found, "trigger_words": words} if words else found


def trigger_words(metadata: Mapping[str, str]) -> list[str]:
    """The phrase that the file names, else the tags that its training captions had most often."""
    phrase = metadata.get("modelspec.trigger_phrase", "")
    if phrase:
        return [shown(phrase)]
    counts: Counter[str] = Counter()
    for tags in (tensor_file.json_object(metadata.get("ss_tag_frequency", "")) or {}).values():
        if isinstance(tags, dict):
            counts.update({str(tag): count for tag, count in tags.items() if type(count) is int})
    return [shown(tag.strip()) for tag, _ in counts.most_common(MOST_TAGS)]


def shown(text: str) -> str:
    """A stranger's text in one printable line of at most MAX_CLAIM characters."""
    line = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * MAX_CLAIM])
    return " ".join(line.split())[:MAX_CLAIM]


def is_private(text: str) -> bool:
    """Whether a text looks like a path or an address."""
    return bool(_PATH.search(text) or _PERSON.search(text))


def kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """The claims that may be written into a card: short texts, without paths and addresses."""
    found = {name: value for name, value in claims(metadata).items() if isinstance(value, str)}
    # An architecture such as "stable-diffusion-v1/lora" has a slash and is no path.
    return {name: value for name, value in found.items() if not is_private(value.removesuffix("/lora"))}


def one_trigger(metadata: Mapping[str, str]) -> str:
    """The trigger phrase that the file names, where it can stand in a prompt as it is; else ""."""
    phrase = shown(metadata.get("modelspec.trigger_phrase", ""))
    plain = 0 < len(phrase) <= MAX_TRIGGER and not set("<>{}:") & set(phrase) and not is_private(phrase)
    return phrase if plain else ""


def contradictions(claimed: Mapping[str, Any], found: Lora, hashes: Hashes, alphas: Mapping[str, float]) -> list[str]:
    """Where what the file claims is not what its tensors are, a sentence each. The tensors count."""
    problems = []
    ranks = {str(part.rank) for part in found.parts}
    if str(claimed.get("rank", "")).isdigit() and ranks != {claimed["rank"]}:
        problems.append(f"it claims rank {claimed['rank']}; its tensors have {', '.join(sorted(ranks))}.")
    said = str(claimed.get("alpha", ""))
    if alphas and re.fullmatch(r"\d+(\.\d+)?", said) and {float(said)} != set(alphas.values()):
        told = ", ".join(f"{alpha:g}" for alpha in sorted(set(alphas.values())))
        problems.append(f"it claims alpha {said}; its tensors have {told}.")
    for key in ("modelspec.hash_sha256", "sshs_model_hash"):
        digest = found.metadata.get(key, "").lower().removeprefix("0x")
        if re.fullmatch("[0-9a-f]{64}", digest) and digest not in (hashes.data_sha256, hashes.sha256):
            problems.append(f"its {key} is of other tensors: it was changed after that was written.")
    return problems


def require_fingerprint(found: Lora, hashes: Hashes) -> None:
    """Raises UnfitAdapter where a file that states the fingerprint of its tensors holds others."""
    stated = found.metadata.get(FINGERPRINT, "")
    if stated and stated != hashes.fingerprint:
        raise UnfitAdapter(
            f"{found.path}: its tensors are not those that it was written with: their fingerprint is "
            f"{hashes.fingerprint[:12]}, the file says {shown(stated)[:12]}. Fetch it again. Nothing was loaded."
        )
