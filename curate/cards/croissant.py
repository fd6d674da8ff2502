"""Croissant 1.0 metadata of a mix: its files with their SHA-256, and its columns, as JSON-LD."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

NAMES = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty",
    "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
    "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in NAMES},
}
TYPES = {"string": "sc:Text", "double": "cr:Float64", "int32": "cr:Int32", "binary": "sc:ImageObject"}


def croissant(lock: Mapping[str, Any], columns: pa.Schema) -> dict[str, Any]:
    """The JSON-LD of a mix whose shards have these columns; `files` of the lock must have `sha256`.

    One record set a split. Addresses of files are relative to this document.
    """
    blend = lock["licenses"]["verdict"]
    ids = sorted({line["license"] or "unknown" for line in lock["licenses"]["table"]})
    splits = {"train": "shard-", "holdout": "holdout-"}
    files = {split: [f for f in lock["files"] if f["name"].startswith(name)] for split, name in splits.items()}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": lock["name"],
        "description": lock["recipe"]["about"] or f"{lock['rows']} preference pairs, mixed by curate",
        "identifier": lock["fingerprint"],
        "license": blend["license"] if blend["license"] != "other" else ids,
        "isBasedOn": [
            f"https://huggingface.co/datasets/{origin['repo']}"
            for origin in lock["origins"].values()
            if "/" in origin["repo"]
        ],
        "distribution": [node for split, found in files.items() if found for node in _files(split, found)],
        "recordSet": [_records(split, columns) for split, found in files.items() if found],
    }


def _files(split: str, files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": file["name"],
            "name": file["name"],
            "contentUrl": file["name"],
            "contentSize": f"{file['bytes']} B",
            "encodingFormat": "application/x-parquet",
            "sha256": file["sha256"],
        }
        for file in files
    ]
    together = {
        "@type": "cr:FileSet",
        "@id": f"{split}-files",
        "name": f"{split}-files",
        "encodingFormat": "application/x-parquet",
        "includes": files[0]["name"].replace("00000", "*"),
    }
    return [*objects, together]


def _records(split: str, columns: pa.Schema) -> dict[str, Any]:
    fields = [_field(split, (field.name,), field.type) for field in columns]
    return {"@type": "cr:RecordSet", "@id": split, "name": split, "field": fields}


def _field(split: str, path: tuple[str, ...], kind: pa.DataType) -> dict[str, Any]:
    """A column or, below it, a member of its structs; a list is a repeated field."""
    name = "/".join((split, *path))
    node: dict[str, Any] = {"@type": "cr:Field", "@id": name, "name": name}
    while pa.types.is_list(kind):
        node["repeated"], kind = True, kind.value_type
    if pa.types.is_struct(kind):
        members = [kind.field(i) for i in range(kind.num_fields)]
        node["subField"] = [_field(split, (*path, member.name), member.type) for member in members]
    else:
        node["dataType"] = TYPES[str(kind)]
    source: dict[str, Any] = {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": path[0]}}
    if len(path) > 1:
        source["transform"] = [{"jsonPath": member} for member in path[1:]]
    return {**node, "source": source}
