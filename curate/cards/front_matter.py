"""The YAML at the head of a card, as the Hub reads it; a function of the lock."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from curate.mixing import shard_schema

Lock = Mapping[str, Any]

CODE = re.compile(r"multilingual|code|[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")  # of a language, as in BCP 47
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def front_matter(lock: Lock) -> dict[str, Any]:
    """What the Hub reads at the head of a card."""
    blend = lock["licenses"]["verdict"]
    name = {"license_name": blend["license_name"]} if blend["license"] == "other" else {}
    used = [label for label, facts in lock["funnel"].items() if facts["mixed"] or facts["held_out"]]
    return {
        "pretty_name": lock["name"],
        "license": blend["license"],
        **name,
        "language": _languages(lock, used),
        "task_categories": ["text-generation", *(["image-text-to-text"] if has_media(lock) else [])],
        "tags": ["preference", "reward-model", "rlhf", "dpo", "curate", *_modalities(lock)],
        "size_categories": [next((word for limit, word in SIZES if lock["rows"] < limit), "10M<n<100M")],
        "configs": [{"config_name": "default", "data_files": _data_files(lock)}],
        "dataset_info": _dataset_info(lock),
    }


def _languages(lock: Lock, labels: Iterable[str]) -> list[str]:
    """The languages that the language step keeps; without one, those that the sources declare, if they are codes.

    The Hub refuses a card with any other.
    """
    kept = (dict(lock["recipe"]["steps"]).get("language") or {}).get("keep")
    declared = [language for label in labels for language in lock["origins"][label]["languages"]]
    return [name for name in dict.fromkeys(kept or declared) if CODE.fullmatch(name)]


def _modalities(lock: Lock) -> list[str]:
    both = (lock["summary"]["all"]["modality"], lock["summary"]["held_out"]["modality"])
    return [name for name in both[0] if any(counts[name] for counts in both)]


def has_media(lock: Lock) -> bool:
    """Whether any pair of the mix or the holdout has an image or a video."""
    return _modalities(lock) not in ([], ["text"])


def columns(lock: Lock) -> pa.Schema:
    """The Arrow schema of the shards."""
    embedded = lock["recipe"]["shards"]["media"] == "embed" and has_media(lock)
    fields, text = lock.get("message_fields", False), lock.get("content") == "text"
    return shard_schema.columns(
        embed=embedded,
        messages=shard_schema.message_type(fields=fields, text=text),
        weighted=any("weighted" in facts for facts in lock["funnel"].values()),
    )


def splits(lock: Lock) -> dict[str, list[Mapping[str, Any]]]:
    """The files of each split that has any: `train` and `holdout`."""
    names = {"train": "shard-", "holdout": "holdout-"}
    found = {split: [f for f in lock["files"] if f["name"].startswith(name)] for split, name in names.items()}
    return {split: files for split, files in found.items() if files}


def _data_files(lock: Lock) -> list[dict[str, str]]:
    patterns = {"train": "shard-*.parquet", "holdout": "holdout-*.parquet"}
    return [{"split": split, "path": patterns[split]} for split in splits(lock)]


def _dataset_info(lock: Lock) -> dict[str, Any]:
    """Sizes are those of the files: their texts are compressed, their images are as they came."""
    sizes = {split: sum(file["bytes"] for file in files) for split, files in splits(lock).items()}
    return {
        "features": [_feature(field.name, field.type) for field in columns(lock)],
        "splits": [
            {"name": split, "num_bytes": sizes[split], "num_examples": sum(file["rows"] for file in files)}
            for split, files in splits(lock).items()
        ],
        "download_size": sum(sizes.values()),
        "dataset_size": sum(sizes.values()),
    }


def _feature(name: str, kind: pa.DataType) -> dict[str, Any]:
    """One column as `datasets` writes it in YAML."""
    return {"name": name, **_kind(kind)}


def _kind(kind: pa.DataType) -> dict[str, Any]:
    if kind == shard_schema.IMAGES.type.value_type:
        return {"dtype": "image"}
    if pa.types.is_list(kind):
        inner = _kind(kind.value_type)
        return {"list": inner.get("struct", inner.get("dtype"))}
    if pa.types.is_struct(kind):
        return {"struct": [_feature(kind.field(i).name, kind.field(i).type) for i in range(kind.num_fields)]}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind))}
