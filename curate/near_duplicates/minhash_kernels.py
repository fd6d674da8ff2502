"""The kernels of curate.near_duplicates.minhash."""

from typing import Any

import numpy as np

from curate.arrays import I32, I64, U8, U16, U64
from curate.compiled import compiled
from curate.near_duplicates.sketch_format import SLOTS
from curate.text import shingle_kernels, shingles
from curate.text.buffers import EMPTY, Texts, frozen, strings
from curate.text.word_kernels import mix

VACANT = np.uint64((1 << 64) - 1)
HASH_BITS = np.uint64(55)  # of a shingle, below the number of the pass, which counts first
HASH = np.uint64((1 << 55) - 1)
BIN_BITS = np.uint64(7)  # 2**7 = SLOTS
BIN = np.uint64(SLOTS - 1)
SLOT_SHIFT = np.uint64(64 - 7)


def of_texts(texts: Texts, columns: int, shingle: int) -> tuple[U64, U16]:
    """(same, slots) of every pair: see minhash.ROW."""
    pairs = len(texts.starts[0]) - 1
    same, slots = np.empty(pairs, np.uint64), np.empty((pairs, SLOTS), np.uint16)
    _of_texts(*texts, columns, shingle, shingles.room(texts, columns), same, slots)
    return same, slots


@compiled
def _of_texts(
    data: tuple[U8, U8, U8],
    offsets: tuple[I32, I32, I32],
    starts: tuple[I64, I64, I64],
    columns: int,
    shingle: int,
    most: int,
    same: U64,
    slots: U16,
) -> None:
    hashes, begins, ends = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    found, least = np.empty(most, np.uint64), np.empty(SLOTS, np.uint64)
    for pair in range(len(same)):
        count = shingle_kernels.of_pair(data, offsets, starts, columns, pair, shingle, hashes, begins, ends, found)
        total = np.uint64(0)
        for i in range(count):
            total += found[i]
        same[pair] = total
        fill(found, count, least)
        for slot in range(SLOTS):
            slots[pair, slot] = np.uint16(least[slot])


@compiled
def fill(found: U64, count: int, least: U64) -> None:
    """The least hash of each slot over `count` shingles, at least one."""
    least[:] = VACANT
    for i in range(count):
        value = found[i]
        slot, rest = value & BIN, (value & shingle_kernels.CONTENT) >> BIN_BITS
        if rest < least[slot]:
            least[slot] = rest
    vacant, turn = np.sum(least == VACANT), 0
    while vacant:
        turn += 1
        vacant -= _fill_vacant(found, count, least, turn)


@compiled
def _fill_vacant(found: U64, count: int, least: U64, turn: int) -> int:
    """Throw all shingles again; slots that an earlier turn filled stay as they are. How many were filled."""
    seed, floor, filled = mix(np.uint64(turn)), np.uint64(turn) << HASH_BITS, 0
    for i in range(count):
        value = mix(found[i] ^ seed)
        slot = value >> SLOT_SHIFT if turn < SLOTS else np.uint64(turn - SLOTS)
        if least[slot] >= floor:
            filled += least[slot] == VACANT
            least[slot] = min(least[slot], floor | (value & HASH))
    return filled


def of_media(column: Any) -> U64:
    """A key of the media of every pair; 0 where there are none."""
    media = column.values
    lists = media.field("keys")
    kinds, keys = strings(media.field("kind")), strings(lists.values)
    entries, lengths = column.offsets.to_numpy(), lists.offsets.to_numpy() if len(lists) else EMPTY[1]
    out = np.empty(len(column), np.uint64)
    _of_media(*kinds, *keys, frozen(lengths), frozen(entries), out)
    return out


@compiled
def _of_media(
    kind_offsets: I32, kind_data: U8, key_offsets: I32, key_data: U8, lengths: I32, entries: I32, out: U64
) -> None:
    for pair in range(len(out)):
        value = np.uint64(0)
        for entry in range(entries[pair], entries[pair + 1]):
            value = _bytes(value + np.uint64(1), kind_data, kind_offsets[entry], kind_offsets[entry + 1])
            for key in range(lengths[entry], lengths[entry + 1]):
                value = _bytes(value, key_data, key_offsets[key], key_offsets[key + 1])
        out[pair] = value


@compiled
def _bytes(value: np.uint64, data: U8, start: int, end: int) -> np.uint64:
    for at in range(start, end):
        value = (value ^ np.uint64(data[at])) * shingle_kernels.BASE
    return mix(value + np.uint64(end - start))
