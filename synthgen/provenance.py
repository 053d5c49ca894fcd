"""What a picture came from: one lineage record, written into the picture and beside it, and read back.

The lineage is plain JSON with sorted keys; its id is the sha256 of the rest. It holds no clock time and no path, so the
same plan gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from synthgen import __version__
from synthgen.errors import RequestError, SynthgenError, UnreadableImage
from synthgen.types import Judgement, Picture, Verdict

SCHEMA = "synthgen.lineage/1"
CHUNK = "synthgen"  # key of the iTXt chunk that holds the lineage
XMP_CHUNK = "XML:com.adobe.xmp"
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Context:
    """What all pictures of a run have in common."""

    base: Mapping[str, str]  # id, sha256, license
    adapters: tuple[Mapping[str, Any], ...]  # each: name, sha256, weight, license, trigger, photos_digest
    verdict: Verdict
    pipeline: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]  # library -> version
    pose_license: str = "Apache-2.0"  # of the skeletons; the shipped library is our own
    plan: str = ""  # digest of the run's plan


def record(picture: Picture, context: Context, judgements: Sequence[Judgement] = ()) -> dict[str, Any]:
    """The lineage of one picture: plain values only, numbers finite, the seed as text.

    Raises SynthgenError where the pixels are no (h, w, 3) uint8 array.
    """
    job, verdict = picture.job, context.verdict
    height, width = _shape(picture.pixels)
    body = {
        "schema": SCHEMA,
        "synthetic": True,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "system": {"name": "synthgen", "version": __version__},
        "versions": context.versions,
        "pipeline": context.pipeline,
        "plan": context.plan,
        "base": context.base,
        "adapters": context.adapters,
        "settings": context.settings,
        "job": {"id": job.id, "index": job.index, "attempt": job.attempt, "category": job.category},
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "seed": str(job.seed),
        "requested": job.requested,
        "measured": _measured(judgements),
        "gates": [{"gate": item.gate, "accepted": item.accepted, "reason": item.reason} for item in judgements],
        "pose_license": context.pose_license,
        "license": {
            "use": verdict.use,
            "verdict": verdict.answer,
            "reasons": verdict.reasons,
            "conditions": verdict.conditions,
            "reading": verdict.reading,
            "assets": [asdict(asset) for asset in verdict.assets],
        },
        "width": width,
        "height": height,
        "pixel_sha256": pixel_sha256(picture.pixels),
    }
    lineage = _plain(body)
    return {"id": lineage_id(lineage), **lineage}


def lineage_id(lineage: Mapping[str, Any]) -> str:
    """sha256 over the canonical JSON of a lineage without its own id."""
    rest = {key: value for key, value in lineage.items() if key != "id"}
    return hashlib.sha256(canonical_json(rest).encode("utf-8")).hexdigest()


def pixel_sha256(pixels: Any) -> str:
    """sha256 over "HxWx3:" and the (h, w, 3) uint8 sRGB values row by row, whatever the file format around them."""
    height, width = _shape(pixels)
    return hashlib.sha256(f"{height}x{width}x3:".encode() + pixels.tobytes()).hexdigest()


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def png_bytes(picture: Picture, record: Mapping[str, Any]) -> bytes:
    """The picture as a PNG file with its lineage and an XMP packet inside. The same input gives the same bytes."""
    from PIL import Image, PngImagePlugin

    _shape(picture.pixels)
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(XMP_CHUNK, xmp(record))
    chunks.add_itxt(CHUNK, canonical_json(record))
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels, "RGB").save(buffer, "PNG", pnginfo=chunks, compress_level=6)
    return buffer.getvalue()


def read_png(path: Path) -> dict[str, Any]:
    """The lineage inside a picture, its own id checked. The pixels are not compared with it: see `pixel_sha256`.

    Raises UnreadableImage for a file that is no PNG, RequestError where there is no lineage or it was changed.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("PNG",)) as image:
            text = getattr(image, "text", {}).get(CHUNK)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage(f"{path} cannot be read as a PNG ({error}).") from error
    if text is None:
        raise RequestError(f"{path} holds no synthgen lineage: it was not made here, or its metadata was stripped.")
    try:
        lineage = json.loads(text)
        sound = isinstance(lineage, dict) and lineage.get("id") == lineage_id(lineage)
    except ValueError:
        sound = False
    if not sound:
        raise RequestError(f"{path}: the lineage inside was changed; its id does not fit its content.")
    return lineage


def xmp(record: Mapping[str, Any]) -> str:
    """An XMP packet that says in IPTC's words that an AI system made the picture, and which."""
    base, system = record["base"], record["system"]
    facts = {
        "DigitalSourceType": record["digital_source_type"],
        "AISystemUsed": f"{system['name']} with base {base.get('id', 'unknown')}",
        "AISystemVersionUsed": f"{system['version']}, base {base.get('sha256') or 'unverified'}",
    }
    lines = "\n".join(f"   <Iptc4xmpExt:{key}>{_xml(text)}</Iptc4xmpExt:{key}>" for key, text in facts.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">\n'
        f"{lines}\n"
        "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    )


def _xml(text: str) -> str:
    """Text that is safe between XML tags: escaped, and without the characters that XML 1.0 has no place for."""
    return escape(_NOT_XML.sub("\ufffd", str(text)))


def _shape(pixels: Any) -> tuple[int, int]:
    shape, kind = getattr(pixels, "shape", None), str(getattr(pixels, "dtype", type(pixels).__name__))
    if shape is None or len(shape) != 3 or shape[2] != 3 or kind != "uint8":
        raise SynthgenError(f"a picture has pixels of shape {shape} and kind {kind}; wanted (h, w, 3) uint8.")
    return int(shape[0]), int(shape[1])


def _measured(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """What the gates measured, by name; a name that two gates use stands with the gate's name before it."""
    measured: dict[str, Any] = {}
    for item in judgements:
        for name, value in item.measured.items():
            measured[name if name not in measured else f"{item.gate}_{name}"] = value
    return measured


def _plain(value: Any) -> Any:
    """The value in JSON's own types: numpy numbers as Python's, what is not finite or not Unicode as text."""
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, bool | int):
        return value
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float):
        return number if math.isfinite(number) else str(number)
    return number if isinstance(number, bool | int) else _plain(str(number))
