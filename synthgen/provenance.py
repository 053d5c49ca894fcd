"""What a picture came from: one lineage record, written into the picture and beside it, and read back.

The lineage is plain JSON with sorted keys; its id is the sha256 of the rest. It holds no clock time, no path and no
signature, so the same plan gives the same lineage. A prompt counts in the id by its own sha256: the lineage that is
published without its prompts has the id of the one in the store. `synthgen.marks` signs what is written here.
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
from xml.sax.saxutils import escape, unescape

from synthgen import __version__
from synthgen.errors import RequestError, SynthgenError, UnreadableImage
from synthgen.types import Judgement, Picture, Verdict

SCHEMA = "synthgen.lineage/1"
XMP_CHUNK = "XML:com.adobe.xmp"  # key of the iTXt chunk in which a PNG holds its XMP packet
FORMATS = ("PNG", "JPEG", "WEBP")
JPEG_XMP_BYTES = 65_504  # a JPEG segment has 65,533 bytes, of which the XMP name takes 29
PRIVATE = ("prompt", "negative_prompt")  # left out of published marks unless asked for
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"  # drawn into a photo
_XMP_LINEAGE = re.compile(r"<synthgen:lineage>([^<]*)</synthgen:lineage>")
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
    notice: str = ""  # what a domain wants every record to say


def record(picture: Picture, context: Context, judgements: Sequence[Judgement] = ()) -> dict[str, Any]:
    """The lineage of one picture: plain values only, numbers finite, the seed as text.

    Raises SynthgenError where the pixels are no (h, w, 3) uint8 array.
    """
    job, verdict = picture.job, context.verdict
    height, width = _shape(picture.pixels)
    body = {
        "schema": SCHEMA,
        "synthetic": True,
        "digital_source_type": COMPOSITE if picture.guide.into else DIGITAL_SOURCE_TYPE,
        "system": {"name": "synthgen", "version": __version__},
        "versions": context.versions,
        **({"notice": context.notice} if context.notice else {}),
        "pipeline": context.pipeline,
        "plan": context.plan,
        "base": context.base,
        "adapters": context.adapters,
        "settings": context.settings,
        **({"drawn": picture.drawn} if picture.drawn else {}),
        **({"guides": picture.guide.told} if picture.guide.told else {}),
        **({"watermark": picture.watermark} if picture.watermark else {}),
        "job": {"id": job.id, "index": job.index, "attempt": job.attempt, "category": job.category},
        "prompt": job.prompt,
        "prompt_sha256": _text_sha256(_plain(job.prompt)),
        "negative_prompt": job.negative_prompt,
        "negative_prompt_sha256": _text_sha256(_plain(job.negative_prompt)),
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
    """sha256 over the canonical JSON of a lineage without its own id; a prompt that is there counts by its sha256."""
    rest = {key: value for key, value in lineage.items() if key != "id" and key not in PRIVATE}
    rest |= {f"{key}_sha256": _text_sha256(str(lineage[key])) for key in PRIVATE if key in lineage}
    return hashlib.sha256(canonical_json(rest).encode("utf-8")).hexdigest()


def published(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """The lineage without its prompts; their digests, and so its id, stay."""
    return {key: value for key, value in lineage.items() if key not in PRIVATE}


def pixel_sha256(pixels: Any) -> str:
    """sha256 over "HxWx3:" and the (h, w, 3) uint8 sRGB values row by row, whatever the file format around them."""
    height, width = _shape(pixels)
    return hashlib.sha256(f"{height}x{width}x3:".encode() + pixels.tobytes()).hexdigest()


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def png_bytes(picture: Picture, record: Mapping[str, Any]) -> bytes:
    """The picture as a PNG file with its lineage inside, not signed. The same input gives the same bytes."""
    return encoded(picture.pixels, record, "PNG")


def encoded(pixels: Any, lineage: Mapping[str, Any], kind: str, writer: str = "") -> bytes:
    """A picture file with an XMP packet that holds the lineage, not signed. The same input gives the same bytes.

    pixels   (h, w, 3) uint8 sRGB
    lineage  with its prompts or without, see `published`
    kind     one of FORMATS. JPEG (quality 95, whole chroma) changes pixels; WebP is lossless.
    writer   who wrote the prompts; told only where the lineage has them
    """
    from PIL import Image, PngImagePlugin

    _shape(pixels)
    image, buffer, packet = Image.fromarray(pixels, "RGB"), io.BytesIO(), xmp(lineage, writer)
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(XMP_CHUNK, packet)
        image.save(buffer, "PNG", pnginfo=chunks, compress_level=3)  # 6: an eighth smaller, thrice the time
    elif kind == "JPEG":
        if len(packet.encode("utf-8")) > JPEG_XMP_BYTES:
            raise SynthgenError("the lineage is too long for a JPEG's XMP segment. Write PNG or WebP instead.")
        image.save(buffer, "JPEG", quality=95, subsampling=0, xmp=packet.encode("utf-8"))
    elif kind == "WEBP":
        image.save(buffer, "WEBP", lossless=True, xmp=packet.encode("utf-8"))
    else:
        raise SynthgenError(f"a picture cannot be marked as {kind}; wanted one of {', '.join(FORMATS)}.")
    return buffer.getvalue()


def read(path: Path | bytes) -> dict[str, Any]:
    """The lineage inside a PNG, JPEG or WebP file or its bytes, its own id checked; nothing else is: see `verify`.

    Raises UnreadableImage for a file that is no picture, RequestError where there is no lineage or it was changed.
    """
    from PIL import Image, UnidentifiedImageError

    file, path = (io.BytesIO(path), Path("the picture")) if isinstance(path, bytes) else (path, path)
    try:
        with Image.open(file, formats=FORMATS) as image:
            packet = image.info.get("xmp", b"")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage(f"{path} cannot be read as PNG, JPEG or WebP ({error}).") from error
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)
    found = _XMP_LINEAGE.search(text)
    if found is None:
        raise RequestError(f"{path} holds no synthgen lineage: it was not made here, or its metadata was stripped.")
    try:
        lineage = json.loads(unescape(found[1]))
        sound = isinstance(lineage, dict) and lineage.get("id") == lineage_id(lineage)
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        raise RequestError(f"{path}: the lineage inside was changed; its id does not fit its content.")
    return dict(lineage)


def xmp(lineage: Mapping[str, Any], writer: str = "") -> str:
    """An XMP packet that says in IPTC's words that an AI system made the picture, and which, and holds the lineage.

    Source: IPTC Photo Metadata 2025.1, https://iptc.org/news/2025/11 (names second-hand).
    """
    base, system = lineage["base"], lineage["system"]
    facts = {
        "DigitalSourceType": lineage["digital_source_type"],
        "AISystemUsed": f"{system['name']} with base {base.get('id', 'unknown')}",
        "AISystemVersionUsed": f"{system['version']}, base {base.get('sha256') or 'unverified'}",
    }
    if "prompt" in lineage:
        without = f" (without: {lineage['negative_prompt']})" if lineage.get("negative_prompt") else ""
        facts["AIPromptInformation"] = f"{lineage['prompt']}{without}"
        if writer:
            facts["AIPromptWriterName"] = writer
    lines = "\n".join(f"   <Iptc4xmpExt:{key}>{_xml(text)}</Iptc4xmpExt:{key}>" for key, text in facts.items())
    plain = escape(json.dumps(lineage, sort_keys=True, separators=(",", ":")))  # ASCII: XML has no place for some of it
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        ' xmlns:synthgen="urn:synthgen:lineage/1/">\n'
        f"{lines}\n"
        f"   <synthgen:lineage>{plain}</synthgen:lineage>\n"
        "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    )


def _xml(text: str) -> str:
    """Text that is safe between XML tags: escaped, and without the characters that XML 1.0 has no place for."""
    return escape(_NOT_XML.sub("\ufffd", str(text)))


def _text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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
    """The value in JSON's own types: numpy numbers as Python's, what other readers would lose as text.

    As text: numbers that are not finite, whole ones from 2**63, and those beyond 1e99 (c2pa 0.38 reads them as "/").
    """
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    number = value.item() if hasattr(value, "item") else value
    if number is None or isinstance(number, bool):
        return number
    if isinstance(number, int):
        return number if -(2**63) <= number < 2**63 else str(number)
    if isinstance(number, float):
        return number if number == 0 or (math.isfinite(number) and 1e-99 < abs(number) < 1e99) else str(number)
    return _plain(str(number))
