"""The index of what must be kept out: built once for the same items, then mapped into memory by every process.

    <cache>/contamination/<fingerprint>/index.json      written last: it means finished
        entries.parquet     of, key, pictures, images      one row per protected item
        documents.parquet   kind, words, text, entries, parts, stock, quoted      every distinct text once
        images.parquet      key, entry; the images themselves are packs in pictures/
        *.npy               n-grams of the documents (see NGrams)

A *document* is a text of an item: a prompt, a reply, or a user's text that may be either. Its *context* is the
prompt that it belongs to. An n-gram that occurs in many contexts is boilerplate and identifies nothing.
"""

import functools
import json
import shutil
from collections.abc import Callable, Sequence
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
from curate.contamination.collected import QUOTED, REPLY, Collected
from curate.contamination.grams import CHANGED, EDITED, LEAST, SHORT, Documents, Table
from curate.contamination.protected import FLOOR, ProtectedSet, ProtectedSets
from curate.errors import WorkspaceError
from curate.hashing import Hashes, fingerprint
from curate.images.packs import Packs
from curate.images.store import ImageStore, PackWriter
from curate.text import words

VERSION = 4
PICTURES = "pictures"

RARE, COMMON = 10, 100
"""An n-gram counts fully if it occurs in at most RARE contexts of the index, and not at all from COMMON on."""

SHARED = 0.08
"""The share of a document's rare n-grams that makes it a candidate: low, as a changed word takes five with it, and
of three in ten changed words one n-gram in six is left."""

BITS = 8
"""The least number of bits of the bit table for each n-gram."""

STRICT = 4

ENOUGH = 0.999
"""The share of a document that counts as all of it."""

FEW = 4
"""A document with fewer rare n-grams than this is looked up by all of its n-grams."""


def protected_sets(sets: Sequence[ProtectedSet], cache: Path, hashes: Hashes) -> ProtectedSets:
    """The sets, with a fingerprint of their content and of how it is indexed."""
    limits = [grams.SIZE, grams.SHORT, grams.LONG, EDITED, RARE, COMMON, SHARED, FLOOR, STRICT, QUOTED]
    versions = [VERSION, words.VERSION, *limits]
    facts = [[one.name, one.facts(hashes)] for one in sets]
    hashes.save()
    return ProtectedSets(fingerprint=fingerprint([versions, facts]), sets=tuple(sets), cache=cache)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index in memory.

    near              the runs of three words of short prompts
    packed            the documents as arrays for the kernels; `documents` the same as a frame
    rarity            for each n-gram, from 0 (boilerplate of the index) to 1
    own               document i has the n-grams own[packed.firsts[i]:packed.firsts[i + 1]]
    """

    table: Table
    near: Table
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

TABLES = ("bits", *Table._fields[2:])
NEAR = "near_"
ARRAYS = (*TABLES, *(f"{NEAR}{name}" for name in TABLES), "rarity", "own", "firsts", "places")
FRAMES = ("entries", "documents", "images")
FILES = (*(f"{name}.npy" for name in ARRAYS), *(f"{name}.parquet" for name in FRAMES))


def is_built(protected: ProtectedSets) -> bool:
    """Whether the index is there, if perhaps damaged."""
    return (protected.directory / "index.json").exists()


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

    facts = json.loads((directory / "index.json").read_text(encoding="utf-8"))
    frames: dict[str, Any] = {name: pl.read_parquet(directory / f"{name}.parquet") for name in FRAMES}
    return _assembled(array, frames, facts)


def _assembled(array: Callable[[str], Any], frames: dict[str, Any], facts: dict[str, Any]) -> Index:
    from curate.contamination.grams_kernels import least_of, parts_of_all  # numba

    table, near = (
        Table(array(f"{start}bits"), facts[f"{start}shift"], *(array(f"{start}{name}") for name in TABLES[1:]))
        for start in ("", NEAR)
    )
    lengths = frames["documents"]["words"].to_numpy().astype(np.int64)
    texts = frames["documents"]["text"].to_arrow().cast(pa.large_string())
    _, offsets, text = texts.buffers()
    rarities, own = array("rarity"), array("own")
    data = np.frombuffer(text, np.uint8)
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    runs, runs_from, sentences, sentences_from = parts_of_all(data, starts)
    firsts, weights = array("firsts"), np.ascontiguousarray(rarities[own])
    packed = Documents(
        words=lengths,
        firsts=firsts,
        places=array("places"),
        runs=runs,
        runs_from=runs_from,
        sentences=sentences,
        sentences_from=sentences_from,
        weights=weights,
        least=least_of(weights, firsts, needed(lengths, FLOOR)),
    )
    return Index(table=table, near=near, packed=packed, rarity=rarities, own=own, **frames)


def in_memory(protected: ProtectedSets) -> Index:
    """The index without its images, made of the items and written nowhere: enough to count what can be found."""
    collected = _collect(protected, None)
    arrays, shifts = _arrays(collected)
    return _assembled(arrays.__getitem__, collected.frames(), shifts)


def needed(lengths: I64, share: float) -> F32:
    """The share of a document that must be found, by its length in words; `share` is that of a long one.

    ENOUGH where it has fewer than EDITED words; from EDITED to twice as many, it falls linearly to `share`, from
    where 1 / STRICT of what may be missing must be found too.
    """
    strict = np.clip(2 - lengths / EDITED, 0, 1) * (1 - share) / STRICT
    return np.where(lengths < EDITED, ENOUGH, share + strict).astype(np.float32)


def build(protected: ProtectedSets) -> None:
    """Write the index of all items."""
    with ImageStore(protected.directory / PICTURES).writer() as writer:
        collected = _collect(protected, writer)
    arrays, shifts = _arrays(collected)
    for name, array in arrays.items():
        with published(protected.directory / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, array)
    for name, frame in collected.frames().items():
        with published(protected.directory / f"{name}.parquet") as temporary:
            frame.write_parquet(temporary)
    write_record(protected.directory / "index.json", {**shifts, **collected.facts()})


def _collect(protected: ProtectedSets, writer: PackWriter | None) -> Collected:
    collected = Collected(writer)
    for one in protected.sets:
        for item in one.items():
            collected.add(item)
    return collected


def _arrays(collected: Collected) -> tuple[dict[str, npt.NDArray[Any]], dict[str, int]]:
    """ARRAYS, and the shifts of both tables."""
    arrays, shift = _ngrams(collected)
    near, near_shift = _runs(collected)
    return (
        {**arrays, **{f"{NEAR}{name}": array for name, array in near.items()}},
        {"shift": shift, f"{NEAR}shift": near_shift},
    )


def _ngrams(collected: Collected) -> tuple[dict[str, npt.NDArray[Any]], int]:
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


def _runs(collected: Collected) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """The arrays of the runs of three words of short prompts that are about no picture, and the table's shift."""
    from curate.contamination.grams_kernels import runs_of  # numba

    lengths = np.asarray(collected.lengths, np.int64)
    short = [
        number
        for number, (kind, _) in enumerate(collected.texts)
        if kind != REPLY and LEAST <= lengths[number] < EDITED and not collected.pictures[number] - {""}
    ]
    data = [np.frombuffer(collected.texts[number][1].encode(errors="replace"), np.uint8) for number in short]
    found = [runs_of(one, 0, len(one)) for one in data]
    hashes = np.concatenate([np.zeros(0, np.uint64), *found])
    owners = np.repeat(np.array(short, np.int64), [len(one) for one in found])
    unique, number = np.unique(hashes, return_inverse=True)
    own = _contexts(number, np.asarray(collected.contexts, np.int64)[owners], len(unique))[number] < COMMON
    starts, documents = _postings(number[own], owners[own], len(unique))
    table, shift = _table(unique, starts, documents)
    kept = np.bincount(documents, minlength=len(lengths))
    needs = _needs(documents, lengths)
    needs[:, 0] = np.where(lengths < SHORT, kept, np.maximum(kept - CHANGED, 1))
    return {**table, "needs": needs}, shift


def rarity(counts: I64, rare: float, common: float) -> F32:
    """1 for counts up to `rare`, 0 from `common` on, and between them by the logarithm: what an n-gram weighs."""
    falling = np.log(np.maximum(counts / rare, 1)) / np.log(common / rare)
    weights: F32 = np.clip(1 - falling, 0, 1).astype(np.float32)
    return weights


def _occurrences(collected: Collected) -> tuple[U64, U16, I64]:
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
    distinct = _distinct(number << 32 | contexts)
    return np.bincount(distinct >> 32, minlength=most)


def _postings(number: I64, owners: I64, most: int) -> tuple[I64, U32]:
    """(where each n-gram's documents begin, its documents, each once)."""
    distinct = _distinct(number << 32 | owners)
    counts = np.bincount(distinct >> 32, minlength=most)
    return np.concatenate([[0], np.cumsum(counts)]), (distinct & 0xFFFFFFFF).astype(np.uint32)


def _distinct(values: I64) -> I64:
    """The values, ascending, each once: faster than numpy's `unique`, which hashes them first."""
    ordered = np.sort(values)
    distinct: I64 = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return distinct


def _needs(documents: U32, lengths: I64) -> U16:
    """For each document how many of its n-grams a text must have, and how far apart two of them may be."""
    from curate.text.cover_kernels import room  # numba

    distinct = np.bincount(documents, minlength=len(lengths))
    some = np.ceil(SHARED * distinct)
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
