"""Croissant 1.1 with RAI fields: croissant.json beside metadata.csv and images/, provenance in PROV-O.

`mlcroissant.Dataset("croissant.json")` reads the records. RAI has no word for synthetic collection, so the text of
`rai:dataCollection` says it and the type is "Others". https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from synthgen import __version__, file_hash, labelled_set, photo_table
from synthgen.export_pictures import Place
from synthgen.export_set import ExportSet
from synthgen.ledger import write_whole
from synthgen.types import FoundPicture

LOAD = """
import mlcroissant

records = mlcroissant.Dataset("croissant.json").records("pictures")
first = next(iter(records))["pictures/image"]
"""
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]

MIMES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


def check(export: ExportSet) -> None:
    """Every set goes out as Croissant."""


def write(export: ExportSet, folder: Path) -> Place:
    """images/<picture>, metadata.csv, then croissant.json with the table's sha256."""
    table = folder / "metadata.csv"
    with export.table(table) as add:
        for picture in export.pictures:
            export.place(picture, folder / "images" / picture.name)
            add(picture, f"images/{picture.name}")
    text = json.dumps(_metadata(export, file_hash.sha256(table)), indent=1, ensure_ascii=False)
    (folder / "croissant.json").write_text(text + "\n", encoding="utf-8")
    return lambda picture: (f"images/{picture.name}", "")


def without(folder: Path, jobs: Collection[str]) -> None:
    """The table without the rows of these jobs, and its new sha256 where croissant.json tells it."""
    table, about = folder / "metadata.csv", folder / "croissant.json"
    photo_table.drop(table, jobs)
    told = json.loads(about.read_text(encoding="utf-8"))
    for item in told["distribution"]:
        if item.get("@id") == table.name:
            item["sha256"] = file_hash.sha256(table)
    write_whole(about, json.dumps(told, indent=1, ensure_ascii=False).encode("utf-8") + b"\n")


def recognises(folder: Path) -> bool:
    """A croissant.json beside a table of pictures."""
    return (folder / "croissant.json").is_file() and (folder / "metadata.csv").is_file()


def read(folder: Path) -> Iterator[FoundPicture]:
    """The rows of metadata.csv, which is where such a set has its records; other layouts need their own reader."""
    yield from labelled_set.found(folder)


def _metadata(export: ExportSet, table_sha256: str) -> dict[str, Any]:
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": export.name,
        "description": f"{len(export.pictures)} synthetic pictures labelled by '{export.label}', made with synthgen.",
        "conformsTo": CONFORMS_TO,
        "version": "1.0.0",
        "datePublished": export.created[:10],
        "dateCreated": export.created[:10],
        "license": list(export.licenses),
        "usageInfo": f"licence verdict for use '{export.verdict.use}': {export.verdict.answer}; see LICENSE",
        "creator": {"@type": "sc:Organization", "name": "made with synthgen"},
        "citeAs": f"{export.name}, synthetic pictures made with synthgen {__version__}, {export.created[:10]}",
        "isLiveDataset": False,
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": f"synthgen {__version__}, plan {', '.join(str(run['plan']) for run in export.runs)}",
        },
        "prov:wasDerivedFrom": [
            {"@type": "prov:Entity", "prov:label": f"{item.kind} '{item.name}'", "sc:license": item.license,
             "sc:sha256": item.sha256}
            for item in export.assets
        ],
        **_rai(export),
        "distribution": _distribution(table_sha256, export.ending),
        "recordSet": [_records(export)],
    }  # fmt: skip


def _rai(export: ExportSet) -> dict[str, Any]:
    """What Croissant's RAI vocabulary asks; only what the records say."""
    still = ", ".join(f"{count} {key}(s)" for key, count in export.shared.items()) or "nothing that is recorded"
    asked = [name.removeprefix("requested_") for name in export.columns if name.startswith("requested_")]
    measured = [name for name in export.columns if name.startswith("measured_")]
    return {
        "rai:dataCollection": "No picture was collected: a diffusion model made all of them from a plan of labels.",
        "rai:dataCollectionType": ["Others"],
        "rai:dataAnnotationProtocol": [
            f"Columns requested_* say what was asked for: {', '.join(asked)}.",
            f"Columns measured_* say what was found in the picture: {', '.join(measured) or 'nothing was measured'}.",
            "The label is what was asked for; whether a picture shows it was not checked by a person.",
        ],
        "rai:machineAnnotationTools": [f"synthgen {__version__}"],
        "rai:dataUseCases": [f"asked for: {export.verdict.use} (licence verdict: {export.verdict.answer})"],
        "rai:dataLimitations": [
            "Synthetic: accuracy on them is not accuracy on real pictures until that was measured. Not for diagnosis.",
            f"Several splits share: {still}.",
        ],
        "rai:dataBiases": ["Values of each label are even by plan, which is not how they are spread in the world."],
        "rai:personalSensitiveInformation": ["Pictured people do not exist. No personal data is in the table."],
    }


def _distribution(table_sha256: str, suffix: str) -> list[dict[str, Any]]:
    table = {
        "@type": "cr:FileObject",
        "@id": "metadata.csv",
        "name": "metadata.csv",
        "contentUrl": "metadata.csv",
        "encodingFormat": "text/csv",
        "sha256": table_sha256,
    }
    images = {
        "@type": "cr:FileSet",
        "@id": "images",
        "name": "images",
        "encodingFormat": MIMES[suffix],
        "includes": f"images/*{suffix}",
    }
    return [table, images]


def _records(export: ExportSet) -> dict[str, Any]:
    fields = [_column("file_name", False), *(_column(name, numeric) for name, numeric in export.columns.items())]
    # the pictures are joined by name: mlcroissant's full paths begin where it was started, not where the set lies; it
    # asks the files' own names for a match, too, and warns of every one that has none
    fields[0]["source"]["transform"] = {"regex": "^(?:images/)?(.+)$"}
    fields[0]["references"] = {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "filename"}}
    image = {
        "@type": "cr:Field",
        "@id": "pictures/image",
        "name": "image",
        "dataType": "sc:ImageObject",
        "source": {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "content"}},
    }
    return {"@type": "cr:RecordSet", "@id": "pictures", "name": "pictures", "field": [*fields, image]}


def _column(name: str, numeric: bool) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"pictures/{name}",
        "name": name,
        "dataType": "sc:Float" if numeric else "sc:Text",
        "source": {"fileObject": {"@id": "metadata.csv"}, "extract": {"column": name}},
    }
