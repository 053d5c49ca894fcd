"""The marks on a picture file: XMP with the lineage, then a signed C2PA manifest, put on last; and what a file shows.

A mark says who made a picture as long as it is there. Whoever re-saves the file takes it off, and a manifest of his own
is "Valid" too: only a signature under a pinned authority counts, and the store knows a picture without its marks.
An invisible mark in the pixels is no business of this module, see `synthgen.watermark`.
"""

from __future__ import annotations

import functools
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from synthgen import __version__, interrupt, provenance, signing
from synthgen.errors import RequestError

LINEAGE, ENCODING, MINING = "org.synthgen.lineage", "org.synthgen.encoding", "cawg.training-mining"
MINING_USES = ("cawg.ai_generative_training", "cawg.ai_training", "cawg.ai_inference", "cawg.data_mining")
MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
NO_NETWORK = {"remote_manifest_fetch": False, "ocsp_fetch": False}
# Checking what was just signed takes three times as long as signing; `Marker` does it once, at its start.
SIGN = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": False, **NO_NETWORK},
}


@dataclass(frozen=True)
class Found:
    """What a picture file shows of where it comes from, by itself."""

    kind: str  # PNG, JPEG, WEBP; "" for anything else
    state: str = ""  # of the manifest: "" where there is none, else Invalid, Valid or Trusted
    signer: str = ""
    problem: str = ""  # why the state is Invalid
    lineage: Mapping[str, Any] | None = None  # as the manifest says; not to be believed unless the state is Trusted
    pixel_sha256: str = ""  # of this encoding, as the manifest says


class Marker:
    """Marks pictures with one identity. Not shared between processes."""

    def __init__(self, who: signing.Identity, prompts: bool = False, writer: str = "") -> None:
        """Tries the identity, so that a certificate that readers refuse is told before anything is drawn.

        prompts  whether prompts are published
        writer   who wrote them, for IPTC's AIPromptWriterName
        Raises RequestError where the certificate cannot be used.
        """
        self._who, self._prompts, self._writer = who, prompts, writer
        signing.signer(who)
        blank = io.BytesIO()
        _blank().save(blank, "PNG")
        found = examine(self._signed(blank.getvalue(), "PNG", []), who.chain)
        if found.state != "Trusted":
            raise RequestError(
                f"readers would refuse pictures signed with this certificate ({found.problem or 'not trusted'}). Its "
                "file needs the authority's certificate after it, and it the key usage digitalSignature, an authority "
                "key identifier, and e-mail protection, document signing or C2PA claim signing as its extended key "
                "usage. Nothing was made."
            )

    def mark(self, pixels: Any, lineage: Mapping[str, Any], kind: str = "PNG") -> bytes:
        """A picture file with all marks. Pixels and lineage do not depend on the signature, which is never the same.

        pixels   (h, w, 3) uint8 sRGB
        lineage  the record of `provenance.record`
        kind     one of provenance.FORMATS; see `provenance.encoded` for what each does to pixels
        """
        told = dict(lineage) if self._prompts else provenance.published(lineage)
        plain = provenance.encoded(pixels, told, kind, self._writer)
        shown = lineage["pixel_sha256"] if kind == "PNG" else _pixel_sha256(plain)
        encoding = {"lineage_id": lineage["id"], "pixel_sha256": shown}
        assertions = [
            {"label": LINEAGE, "data": told, "kind": "Json"},
            {"label": ENCODING, "data": encoding, "kind": "Json"},
            {"label": MINING, "data": {"entries": _mining(lineage)}},
        ]
        return self._signed(plain, kind, assertions, str(lineage["digital_source_type"]))

    def _signed(
        self, plain: bytes, kind: str, assertions: list[dict[str, Any]], source: str = provenance.DIGITAL_SOURCE_TYPE
    ) -> bytes:
        import c2pa

        created = {
            "action": "c2pa.created",
            "digitalSourceType": source,
            "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "softwareAgent": {"name": "synthgen", "version": __version__},
        }
        manifest = {
            "claim_generator_info": [{"name": "synthgen", "version": __version__}],
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [created]}}, *assertions],
        }
        signed = io.BytesIO()
        try:
            with interrupt.held():  # the library reads and writes through callbacks
                builder = c2pa.Builder(json.dumps(manifest), _context(json.dumps(SIGN)))
                builder.sign(signing.signer(self._who), MIME[kind], io.BytesIO(plain), signed)
        except c2pa.C2paError as error:
            if cause := signing.failure(self._who):
                raise cause from error
            raise RequestError(f"the picture could not be signed with this certificate ({error}).") from error
        return signed.getvalue()


def examine(data: bytes, anchors: bytes) -> Found:
    """What a file shows by itself. A broken manifest is a state, not an error.

    data     a picture file, of whoever's making
    anchors  PEM certificates; only what is signed under one of them is Trusted
    """
    import c2pa

    kind = kind_of(data)
    if not kind:
        return Found("")
    trust = {"trust_config": "\n".join(signing.PURPOSES)}
    if anchors:
        trust["trust_anchors"] = anchors.decode("ascii")
    context = _context(json.dumps({"version": 1, "verify": NO_NETWORK, "trust": trust}))
    try:
        with interrupt.held(), c2pa.Reader(MIME[kind], io.BytesIO(data), context=context) as reader:
            told, state = json.loads(reader.json()), str(reader.get_validation_state())
    except c2pa.C2paError as error:
        absent = isinstance(error, c2pa.C2paError.ManifestNotFound) or "no JUMBF data found" in str(error)
        return Found(kind) if absent else Found(kind, "Invalid", problem=f"its manifest cannot be read: {error}")
    except ValueError as error:
        return Found(kind, "Invalid", problem=f"its manifest cannot be read: {error}")
    failures = told.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    problem = "; ".join(sorted({str(item.get("code")) for item in failures} - {"signingCredential.untrusted"}))
    manifests = told.get("manifests", {})
    active = manifests.get(told.get("active_manifest"), {})
    signature = active.get("signature_info", {})
    names = [str(signature[key]) for key in ("common_name", "issuer") if signature.get(key)]
    encoding = _assertion([active], ENCODING) or {}
    return Found(
        kind, state, " of ".join(dict.fromkeys(names)), problem, _assertion([active, *manifests.values()], LINEAGE),
        str(encoding.get("pixel_sha256", "")),
    )  # fmt: skip


def kind_of(data: bytes) -> str:
    """PNG, JPEG or WEBP by the first bytes, else ""."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def _context(settings: str) -> Any:
    """The library's context of this process: a forked one makes its own."""
    return _context_of(settings, os.getpid())


@functools.lru_cache(maxsize=8)
def _context_of(settings: str, process: int) -> Any:
    import c2pa

    return c2pa.Context.from_json(settings)


def _assertion(manifests: list[Mapping[str, Any]], label: str) -> Mapping[str, Any] | None:
    """The first assertion with this label, the active manifest's before those of what it was made from."""
    for manifest in manifests:
        for assertion in manifest.get("assertions", []):
            if assertion.get("label") == label and isinstance(assertion.get("data"), dict):
                found: Mapping[str, Any] = assertion["data"]
                return found
    return None


def _mining(lineage: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """May others train on the picture: only what the verdict was asked for and allowed outright is allowed."""
    said = lineage["license"]
    if (said["use"], said["verdict"]) == ("dataset-release", "allow"):
        return {use: {"use": "allowed"} for use in MINING_USES}
    why = f"licence verdict for use '{said['use']}': {said['verdict']}; reasons and conditions in {LINEAGE}"
    return {use: {"use": "constrained", "constraint_info": why} for use in MINING_USES}


def _pixel_sha256(plain: bytes) -> str:
    """Of the pixels that come out of a file of our own making."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(plain)) as image:
        return provenance.pixel_sha256(np.asarray(image))


def _blank() -> Any:
    from PIL import Image

    return Image.new("RGB", (16, 16))
