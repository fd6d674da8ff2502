"""Whether the files of a pairs artefact are as recorded, and the images that its pairs show in the store."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.checksums import hash_once
from curate.engines.base import cpus
from curate.errors import WorkspaceError
from curate.images.packs import Packs
from curate.parquet import opened

Receipt = Mapping[str, Any]


def faults(directory: Path, receipts: Sequence[Receipt], images: Packs | None = None) -> dict[str, str]:
    """What is wrong with parts, by the file of the part. Every file is read once in a process.

    receipts   of the parts, as `curate.pairs.part` writes them
    images     the store that must have what the pairs show; None where that does not matter
    """

    def fault(receipt: Receipt) -> str:
        found = next(filter(None, (_differs(directory / name, xxh3) for name, xxh3 in recorded(receipt))), "")
        if found or images is None:
            return found
        lost = images.missing(media_keys(directory / receipt["file"]))
        return f"{lost:,} of its images {'is' if lost == 1 else 'are'} not in the store" if lost else ""

    with ThreadPoolExecutor(min(cpus(), 8)) as pool:  # hashing leaves the interpreter's lock alone
        found = pool.map(fault, receipts)
        return {receipt["file"]: what for receipt, what in zip(receipts, found, strict=True) if what}


def recorded(receipt: Receipt) -> Iterator[tuple[str, str]]:
    """(name, xxh3) of the files of a part; earlier versions did not record the hash of each."""
    if "xxh3" in receipt:
        yield receipt["file"], receipt["xxh3"]
    if "skips" in receipt:
        yield receipt["skips"]["file"], receipt["skips"]["xxh3"]


def _differs(path: Path, xxh3: str) -> str:
    if not path.is_file():
        return f"{path.name} is missing"
    return "" if hash_once(path) == xxh3 else f"{path.name} differs from its record"


def media_keys(part: Path) -> pa.Array:
    """The keys of all images that the pairs of a part show, each as often as it is shown."""
    with opened(part) as file:
        return keys_of(file.read(columns=["media"])["media"])


def keys_of(media: pa.ChunkedArray) -> pa.Array:
    """The keys in a column `media`."""
    return media.combine_chunks().flatten().field("keys").flatten()


def check(directory: Path, source: str, manifest: Mapping[str, Any]) -> None:
    """Raise WorkspaceError, with a hint that mends it, where a part of a finished artefact is not as recorded."""
    for name, what in faults(directory, manifest["parts"]).items():
        raise WorkspaceError(str(directory / name), what, "the pairs that were written", again(source))


def again(source: str) -> str:
    """The hint that mends damaged pairs."""
    return f"curate normalize {source}, or curate mix of its recipe, makes it again from the raw files"
