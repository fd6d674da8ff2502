"""The index of what must be kept out: built once for the same items, then mapped into memory by every process.

    <cache>/contamination/<fingerprint>/index.json      written last: it means finished
        entries.parquet     of, key, pictures, images      one row per protected item
        documents.parquet   kind, words, text, entries, parts      every distinct text once
        images.parquet      key, entry; the images themselves are packs in pictures/
        *.npy               n-grams of the documents (see NGrams)

A *document* is a text of an item: a prompt, a reply, or a user's text that may be either. Its *context* is the
prompt that it belongs to. An n-gram that occurs in many contexts is boilerplate and identifies nothing.
"""

import functools
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from curate.arrays import F32, I64, U8, U16, U32, U64
from curate.checksums import made_again, published, record, usable, write_record
from curate.contamination import grams
from curate.contamination.grams import EDITED, LONG, Documents, Table
from curate.contamination.protected import FLOOR, ProtectedItem, ProtectedSet, ProtectedSets
from curate.errors import WorkspaceError
from curate.hashing import Hashes, fingerprint
from curate.images.decode import BadImage
from curate.images.packs import Packs
from curate.images.store import ImageStore, PackWriter
from curate.text import words

VERSION = 3
PICTURES = "pictures"

PROMPT, REPLY, TEXT = 0, 1, 2
"""Kinds of documents."""

RARE, COMMON = 10, 100
"""An n-gram counts fully if it occurs in at most RARE contexts of the index, and not at all from COMMON on."""

SHARED, THINNED = 0.2, 0.15
"""The share of a document's rare n-grams that makes it a candidate: low, as a changed word takes five with it.

Lower still where only some n-grams are in the index: these are few, and a changed word takes fewer with it."""

BITS = 8
"""The least number of bits of the bit table for each n-gram."""

ENOUGH = 0.999
"""The share of a document that counts as all of it."""

FEW = 4
"""A document with fewer rare n-grams than this is looked up by all of its n-grams."""

DOCUMENTS: dict[str, Any] = {
    "kind": pl.UInt8,
    "words": pl.UInt32,
    "text": pl.String,
    "entries": pl.List(pl.UInt32),
    "parts": pl.List(pl.UInt16),
    "pictures": pl.UInt32,
}
"""`parts` says which prompt, reply or text of the item it is; `pictures` how many different ones it is about."""


def protected_sets(sets: Sequence[ProtectedSet], cache: Path, hashes: Hashes) -> ProtectedSets:
    """The sets, with a fingerprint of their content and of how it is indexed."""
    versions = [VERSION, words.VERSION, grams.SIZE, grams.SHORT, grams.LONG, EDITED, RARE, COMMON, SHARED]
    facts = [[one.name, one.facts(hashes)] for one in sets]
    hashes.save()
    return ProtectedSets(fingerprint=fingerprint([versions, facts]), sets=tuple(sets), cache=cache)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index in memory.

    packed            the documents as arrays for the kernels; `documents` the same as a frame
    rarity            for each n-gram, from 0 (boilerplate of the index) to 1
    own               document i has the n-grams own[packed.firsts[i]:packed.firsts[i + 1]]
    """

    table: Table
    packed: Documents
    rarity: F32
    own: U32
    entries: pl.DataFrame
    documents: pl.DataFrame
    images: pl.DataFrame


def load(protected: ProtectedSets) -> Index:
    """The index, built on first use, and again where it is damaged; what is loaded stays in memory."""
    if protected.directory not in _checked or not (protected.directory / "index.json").exists():
        if not _is_whole(protected.directory):
            shutil.rmtree(protected.directory, ignore_errors=True)
            build(protected)
        _checked.add(protected.directory)
    return _load(protected.directory)


_checked: set[Path] = set()

ARRAYS = ("bits", *Table._fields[2:], "rarity", "own", "firsts", "places")
FRAMES = ("entries", "documents", "images")
FILES = (*(f"{name}.npy" for name in ARRAYS), *(f"{name}.parquet" for name in FRAMES))


def _is_whole(directory: Path) -> bool:
    """Whether the index is finished, and its files and pictures are as they were written."""
    if record(directory / "index.json") is None or not all(usable(directory / name) for name in FILES):
        return False
    try:
        pictures = Packs(directory / PICTURES)
        damaged = next(filter(None, (Packs.fault(pictures.folder, name) for name in pictures.names)), None)
    except WorkspaceError as error:
        damaged = str(error)
    if damaged:
        made_again(directory, damaged)
    return not damaged


@functools.lru_cache(maxsize=2)
def _load(directory: Path) -> Index:
    def array(name: str) -> Any:
        return np.asarray(np.load(directory / f"{name}.npy", mmap_mode="r"))  # a plain array of the mapped file

    shift = json.loads((directory / "index.json").read_text(encoding="utf-8"))["shift"]
    table = Table(array("bits"), shift, *(array(name) for name in Table._fields[2:]))
    frames: dict[str, Any] = {name: pl.read_parquet(directory / f"{name}.parquet") for name in FRAMES}
    lengths = frames["documents"]["words"].to_numpy().astype(np.int64)
    texts = frames["documents"]["text"].to_arrow().cast(pa.large_string())
    _, offsets, text = texts.buffers()
    rarities, own = array("rarity"), array("own")
    packed = Documents(
        text=np.frombuffer(text, np.uint8),
        starts=np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1],
        words=lengths,
        firsts=array("firsts"),
        places=array("places"),
        weights=np.ascontiguousarray(rarities[own]),
        floors=needed(lengths, FLOOR),
    )
    return Index(table=table, packed=packed, rarity=rarities, own=own, **frames)


def needed(lengths: I64, share: float) -> F32:
    """The share of a document that must be found, by its length in words; `share` is that of a long one.

    ENOUGH where it has fewer than EDITED words; from EDITED to twice as many, it falls linearly to `share`.
    """
    strict = np.clip(2 - lengths / EDITED, 0, 1) * (1 - share) / 2
    return np.where(lengths < EDITED, ENOUGH, share + strict).astype(np.float32)


def build(protected: ProtectedSets) -> None:
    """Write the index of all items."""
    with ImageStore(protected.directory / PICTURES).writer() as writer:
        collected = _Collected(writer)
        for one in protected.sets:
            for item in one.items():
                collected.add(item)
    arrays, shift = _ngrams(collected)
    for name, array in arrays.items():
        with published(protected.directory / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, array)
    for name, frame in collected.frames().items():
        with published(protected.directory / f"{name}.parquet") as temporary:
            frame.write_parquet(temporary)
    write_record(protected.directory / "index.json", {"shift": shift, **collected.facts()})


class _Collected:
    """The items read so far: every text once; images go to the writer."""

    def __init__(self, writer: PackWriter) -> None:
        self._writer = writer
        self.entries: list[tuple[str, str, int, int]] = []
        self.numbers: dict[tuple[int, int], int] = {}
        self.texts: list[tuple[int, str]] = []
        self.holders: list[list[int]] = []
        self.parts: list[list[int]] = []
        self.contexts: list[int] = []
        self.lengths: list[int] = []
        self.pictures: list[set[str]] = []
        self.images: list[tuple[str, int]] = []

    def add(self, item: ProtectedItem) -> None:
        """Take one more item."""
        number = len(self.entries)
        keys = list(self._pictures(item, number))
        # items of one id are about the same picture, where the pictures themselves are not here
        about = ",".join(keys) if keys else item.key.partition("#")[0] if item.pictures else ""
        documents: list[int] = []
        for kind, texts in ((PROMPT, item.prompts), (REPLY, item.replies), (TEXT, item.texts)):
            for part, text in enumerate(texts):
                documents.append(self._text(kind, text, number, part, documents[0] if documents else None))
        for document in documents:
            self.pictures[document].add(f"{item.of}:{about}" if about else "")
        self.entries.append((item.of, item.key, item.pictures, len(keys)))

    def _text(self, kind: int, text: str, number: int, part: int, context: int | None) -> int:
        from curate.contamination.grams_kernels import whole_of  # numba

        data = np.frombuffer(text.encode(errors="replace"), np.uint8)
        key = (kind, int(whole_of(data, 0, len(data))))
        if key not in self.numbers:
            self.numbers[key] = len(self.texts)
            self.texts.append((kind, text))
            for column in (self.holders, self.parts):
                column.append([])
            self.contexts.append(self.numbers[key] if context is None else context)
            self.pictures.append(set())
        document = self.numbers[key]
        self.holders[document].append(number)
        self.parts[document].append(part)
        return document

    def _pictures(self, item: ProtectedItem, number: int) -> Iterable[str]:
        for data in item.images:
            try:
                key = self._writer.put(data, strict=True).key
            except BadImage:
                continue  # an eval set may have images that we would not train on
            self.images.append((key, number))
            yield key

    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables of the index."""
        schema: dict[str, Any] = {"of": pl.String, "key": pl.String, "pictures": pl.UInt32, "images": pl.UInt32}
        return {
            "entries": pl.DataFrame(self.entries, schema=schema, orient="row"),
            "documents": pl.DataFrame(
                {
                    "kind": [kind for kind, _ in self.texts],
                    "words": self.lengths,
                    "text": [text for _, text in self.texts],
                    "entries": self.holders,
                    "parts": self.parts,
                    "pictures": [len(pictures - {""}) for pictures in self.pictures],
                },
                schema=DOCUMENTS,
            ),
            "images": pl.DataFrame(self.images, schema={"key": pl.String, "entry": pl.UInt32}, orient="row"),
        }

    def facts(self) -> dict[str, Any]:
        """What is in the index, by set: its items, and how many of them lack pictures."""
        frame = self.frames()["entries"]
        some = frame.group_by("of", maintain_order=True).agg(
            entries=pl.len(), without_pictures=(pl.col("images") < pl.col("pictures")).sum()
        )
        return {"documents": len(self.texts), "images": len(self.images), "sets": some.to_dicts()}


def _ngrams(collected: _Collected) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """The arrays of the index's n-grams, and the table's shift."""
    hashes, places, owners = _occurrences(collected)
    lengths = np.asarray(collected.lengths, np.int64)
    unique, number = np.unique(hashes, return_inverse=True)
    contexts = _contexts(number, np.asarray(collected.contexts, np.int64)[owners], len(unique))
    # boilerplate is kept only where a document has little else, as its picture may identify it
    own = (contexts[number] < COMMON) | (lengths[owners] < EDITED)
    kept = np.zeros(len(unique), np.bool_)
    kept[number[own]] = True
    number, places, owners = (np.cumsum(kept) - 1)[number[own]], places[own], owners[own]
    contexts = contexts[kept]
    # a document is found by its rare n-grams; by all of them where it has few rare ones
    rare = contexts[number] <= RARE
    few = np.bincount(owners[rare], minlength=len(lengths)) < FEW
    leading = rare | few[owners]
    starts, documents = _postings(number[leading], owners[leading], len(contexts))
    table, shift = _table(unique[kept], starts, documents)
    return {
        **table,
        "needs": _needs(documents, lengths),
        "rarity": rarity(contexts, RARE, COMMON),
        "firsts": np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(lengths)))]),
        "own": number.astype(np.uint32),
        "places": places,
    }, shift


def rarity(counts: I64, rare: float, common: float) -> F32:
    """1 for counts up to `rare`, 0 from `common` on, and between them by the logarithm: what an n-gram weighs."""
    falling = np.log(np.maximum(counts / rare, 1)) / np.log(common / rare)
    weights: F32 = np.clip(1 - falling, 0, 1).astype(np.float32)
    return weights


def _occurrences(collected: _Collected) -> tuple[U64, U16, I64]:
    """(hash, place, document) of all n-grams, by document and place; fills in how long documents are."""
    from curate.contamination.grams_kernels import grams_of  # numba

    hashes, places, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint16)], []
    for _, text in collected.texts:
        data = np.frombuffer(text.encode(errors="replace"), np.uint8)
        count, found, begins = grams_of(data, 0, len(data))
        hashes.append(found)
        places.append(begins)
        counts.append(len(found))
        collected.lengths.append(int(count))
    return np.concatenate(hashes), np.concatenate(places), np.repeat(np.arange(len(counts)), counts)


def _contexts(number: I64, contexts: I64, most: int) -> I64:
    """For each n-gram, in how many contexts it occurs."""
    distinct = np.unique(number << 32 | contexts)
    return np.bincount(distinct >> 32, minlength=most)


def _postings(number: I64, owners: I64, most: int) -> tuple[I64, U32]:
    """(where each n-gram's documents begin, its documents, each once)."""
    distinct = np.unique(number << 32 | owners)
    counts = np.bincount(distinct >> 32, minlength=most)
    return np.concatenate([[0], np.cumsum(counts)]), (distinct & 0xFFFFFFFF).astype(np.uint32)


def _needs(documents: U32, lengths: I64) -> U16:
    """For each document how many of its n-grams a text must have, and how far apart two of them may be."""
    from curate.text.cover_kernels import room  # numba

    distinct = np.bincount(documents, minlength=len(lengths))
    some = np.ceil(np.where(lengths > LONG, THINNED, SHARED) * distinct)
    needs: U32 = np.empty((len(lengths), 2), np.uint32)
    needs[:, 0] = np.where(lengths < EDITED, distinct, some)
    needs[:, 1] = [room(int(length)) for length in lengths]
    return np.clip(needs, 1, 65535).astype(np.uint16)


def _table(hashes: U64, starts: I64, documents: U32) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """The arrays `bits`, `cells` and `lists` of a Table, and its shift."""
    from curate.contamination.grams_kernels import fill  # numba

    size = 1 << max(6, int(BITS * len(hashes) // 8).bit_length())
    shift = 64 - (8 * size).bit_length() + 1
    bits: U8 = np.zeros(size, np.uint8)
    cells: U64 = np.zeros((1 << max(6, int(1.4 * len(hashes)).bit_length()), 2), np.uint64)
    some = np.diff(starts)
    lists: U32 = np.zeros(max(1, int((some[some > 1] + 2).sum())), np.uint32)
    fill(hashes, starts, documents, bits, shift, cells, lists)
    return {"bits": bits, "cells": cells, "lists": lists}, shift
