"""Hugging Face parquet: data/<split>-NNNNN-of-NNNNN.parquet with the pictures' bytes inside.

`datasets.load_dataset("parquet", ...)`, pandas and pyarrow open it. The column `image` is {bytes, path} with the bytes
as they were; `label` is a ClassLabel. https://huggingface.co/docs/datasets/about_dataset_features
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthgen import splits
from synthgen.errors import RequestError
from synthgen.export_pictures import ExportPicture, Place
from synthgen.export_set import ExportSet
from synthgen.types import FoundPicture

LOAD = """
from datasets import load_dataset

splits = load_dataset("parquet", data_dir="data")
first = splits["train"][0]["image"]
"""
GROUP_ROWS, GROUP_BYTES = 100, 64_000_000  # pictures in memory at once, and in one row group
SHARD_BYTES = 500_000_000


def check(export: ExportSet) -> None:
    """Every set goes out as parquet."""


def write(export: ExportSet, folder: Path) -> Place:
    """Shards of about SHARD_BYTES, each a run of whole row groups."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(export)
    (folder / "data").mkdir()
    shards, counts = array("l", [0]) * len(export.pictures), {}  # the shard's number by the picture's
    for split in export.splits:
        groups, number = _groups(export, split), 0
        group = next(groups, None)
        while group:
            size = 0
            with parquet.ParquetWriter(folder / "data" / f"{split}-{number:05d}", schema) as writer:
                while group and size <= SHARD_BYTES:
                    writer.write_table(pa.Table.from_pylist([row for _, row in group], schema))
                    for picture, row in group:
                        shards[picture.number] = number
                        size += len(row["image"]["bytes"])
                    group = next(groups, None)
            number += 1
        counts[split] = number
        for at in range(number):
            (folder / "data" / f"{split}-{at:05d}").rename(folder / _shard(split, at, number))
    return lambda picture: (_shard(picture.split, shards[picture.number], counts[picture.split]), picture.name)


def recognises(folder: Path) -> bool:
    """Parquet files at the top or under data/."""
    return bool(_files(folder))


def read(folder: Path) -> Iterator[FoundPicture]:
    """Row by row; the split is told by the file's name, class names by the metadata that `datasets` writes.

    Raises RequestError where there is no column of pictures.
    """
    from pyarrow import parquet

    for path in _files(folder):
        file = parquet.ParquetFile(path)
        image = next((name for name in ("image", "img", "picture") if name in file.schema_arrow.names), "")
        if not image:
            raise RequestError(f"{path} has no column 'image'. Nothing was brought in.")
        names = _class_names(file.schema_arrow)
        split = splits.normal(path.stem.split("-")[0])
        for batch in file.iter_batches(GROUP_ROWS):
            for number, row in enumerate(batch.to_pylist()):
                picture = row.pop(image)
                stored = picture if isinstance(picture, dict) else {"bytes": picture}
                cells = {key: _text(value, names.get(key)) for key, value in row.items()}
                yield FoundPicture(
                    Path(str(stored.get("path") or f"{path.stem}-{number}.png")).name,
                    stored.get("bytes") or b"",
                    split=splits.normal(cells.get("split", "")) or split,
                    cells=cells,
                )


def _schema(export: ExportSet) -> Any:
    import pyarrow as pa

    fields: list[tuple[str, Any]] = [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    for name, numeric in export.columns.items():
        if name == "label":
            fields.append((name, pa.int64()))
            features[name] = {"names": list(export.classes), "_type": "ClassLabel"}
        else:
            fields.append((name, pa.float64() if numeric else pa.string()))
            features[name] = {"dtype": "float64" if numeric else "string", "_type": "Value"}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _row(export: ExportSet, picture: ExportPicture) -> dict[str, Any]:
    stored = {"bytes": export.data(picture), "path": picture.name}  # a base name: a path of this machine is nobody's
    return {"image": stored, **export.cells(picture), "label": export.classes.index(picture.label)}


def _groups(export: ExportSet, split: str) -> Iterator[list[tuple[ExportPicture, dict[str, Any]]]]:
    """The pictures of a split with their rows, as many together as are held at once."""
    group: list[tuple[ExportPicture, dict[str, Any]]] = []
    size = 0
    for picture in export.pictures.of(split):
        row = _row(export, picture)
        group.append((picture, row))
        size += len(row["image"]["bytes"])
        if len(group) == GROUP_ROWS or size > GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _shard(split: str, number: int, of: int) -> str:
    return f"data/{split}-{number:05d}-of-{of:05d}.parquet"


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.parquet"), *folder.glob("data/*.parquet")])


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Column -> its class names, as `datasets` states them."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: [str(one) for one in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _text(value: Any, names: list[str] | None) -> str:
    if value is None or isinstance(value, bytes | dict | list):
        return ""
    if names and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return str(value)
