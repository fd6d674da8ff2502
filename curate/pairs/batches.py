"""Pairs of many drafts at once: ids, keys and columns computed on Arrow buffers.

What is computed is what `curate.pairs.columns` computes of one draft, the truth in tests; drafts that are anything
but plain (tools, media in a reply, numbers without end, text that is not Unicode) go there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import xxhash

from curate.arrays import I64, U8, series
from curate.arrow_compute import pc
from curate.errors import SkipRow
from curate.pairs.columns import KNOWN, NO_MEDIA, NUMBERS, TEXTS, PairColumns, finish, group_id
from curate.schema import FIELD_BLOCKS, MEDIA, PAIRS_FILE, Media, media_digest
from curate.sources.base import Draft
from curate.sources.by_columns.base import Dialogues, DraftColumns, constant

SIDES = ("prompt", "chosen", "rejected")
OWN = ("annotator", "license")


class Odd(Exception):  # noqa: N818 - no error: the drafts are taken one by one
    """Some of the drafts are not plain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What the driver stamps on every pair of a source."""

    source: str
    license: str | None
    annotator: str | None
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where pairs come from: `rows` names the row of each, `row_of` [pairs] numbers the rows as they follow."""

    rows: Any
    row_of: I64

    @property
    def one_each(self) -> bool:
        """Whether no row gave several pairs."""
        return len(self.row_of) < 2 or bool((np.diff(self.row_of) != 0).all())


def places_of(name: str, numbers: I64) -> Any:
    """Where upstream rows are: `name:number`."""
    return pc.binary_join_element_wise(name, pa.array(numbers).cast(pa.string()), ":")


class GivenRow(NamedTuple):
    """A row's number, its drafts, and of each its media and their bytes."""

    number: int
    drafts: Sequence[Draft]
    media: Sequence[tuple[tuple[Media, ...], int]]


FEW = 16
"""So many rows with an odd one among them are taken one by one."""


def tables_of(
    stamp: Provenance, name: str, rows: Sequence[GivenRow], skips: dict[int, SkipRow]
) -> Iterator[tuple[Any, I64]]:
    """Tables of the rows' pairs, in order, with the row number of each pair; rows without any go to `skips`."""
    if not rows:
        return
    try:
        yield _of_plain(stamp, name, rows)
        return
    except Odd:
        pass
    if len(rows) <= FEW:
        yield _one_by_one(stamp, name, rows, skips)
    else:
        half = len(rows) // 2
        yield from tables_of(stamp, name, rows[:half], skips)
        yield from tables_of(stamp, name, rows[half:], skips)


def _of_plain(stamp: Provenance, name: str, rows: Sequence[GivenRow]) -> tuple[Any, I64]:
    drafts = gathered([draft for row in rows for draft in row.drafts])
    numbers = np.repeat([row.number for row in rows], [len(row.drafts) for row in rows])
    media = [media for row in rows for media, _ in row.media]
    sizes = [size for row in rows for _, size in row.media]
    places = Places(rows=places_of(name, numbers), row_of=numbers)
    return tabulated(stamp, drafts, places, media if any(media) else (), sizes), numbers


def _one_by_one(
    stamp: Provenance, name: str, rows: Sequence[GivenRow], skips: dict[int, SkipRow]
) -> tuple[Any, I64]:
    columns = PairColumns(stamp.source, stamp.license, stamp.annotator, stamp.revision)
    numbers = []
    for row in rows:
        try:
            drafts = zip(row.drafts, row.media, strict=True)
            found = [finish(stamp.source, draft, *media) for draft, media in drafts]
        except SkipRow as skip:
            skips[row.number] = skip
            continue
        numbers += [row.number] * len(found)
        for group, members in groupby(found, key=lambda pair: pair.draft.group):
            same = list(members)
            key = group_id(stamp.source, group, same)
            for pair in same:
                columns.add(f"{name}:{row.number}", key, pair)
    return columns.take(), np.array(numbers, np.int64)


def gathered(drafts: Sequence[Draft]) -> DraftColumns:
    """The drafts as columns. Raises Odd where some are not plain."""
    if any(draft.tools is not None for draft in drafts):
        raise Odd
    values = {name: _texts([getattr(draft, name) for draft in drafts]) for name in (*TEXTS, *OWN, "group")}
    values |= {name: _numbers([getattr(draft, name) for draft in drafts]) for name in NUMBERS}
    return DraftColumns(
        fits=np.ones(len(drafts), np.bool_),
        prompt=_dialogues([draft.prompt for draft in drafts]),
        chosen=_dialogues([draft.chosen for draft in drafts]),
        rejected=_dialogues([draft.rejected for draft in drafts]),
        extra=[draft.extra for draft in drafts] if any(draft.extra for draft in drafts) else (),
        **values,
    )


def _texts(values: list[Any]) -> Any:
    if not {*map(type, values)} <= {str, type(None)}:
        raise Odd
    try:
        return pa.array(values, pa.string())
    except (UnicodeEncodeError, pa.ArrowException):
        raise Odd from None


def _numbers(values: list[Any]) -> Any:
    if not {*map(type, values)} <= {float, int, type(None)}:
        raise Odd
    try:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    except OverflowError:
        raise Odd from None


def _dialogues(dialogues: Sequence[Sequence[Any]]) -> Dialogues:
    turns = list(chain.from_iterable(dialogues))
    blocks = list(chain.from_iterable([turn[1] for turn in turns]))
    return Dialogues(
        _offsets(dialogues),
        _offsets([turn[1] for turn in turns]),
        _texts([turn[0] for turn in turns]),
        _texts([block[0] for block in blocks]),
        _texts([block[1] for block in blocks]),
    )


def _offsets(lists: Sequence[Sequence[Any]]) -> Any:
    return np.cumsum([0, *map(len, lists)], dtype=np.int32)


def tabulated(
    stamp: Provenance,
    drafts: DraftColumns,
    places: Places,
    media: Sequence[tuple[Media, ...]],
    sizes: Sequence[int],
) -> Any:
    """The pairs as a table of PAIRS_FILE.

    media, sizes   of each draft: its media, and their bytes; both empty where no draft has any

    Raises Odd where some drafts are not plain.
    """
    _check_plain(drafts)
    digests = [_digests(getattr(drafts, side)) for side in SIDES]
    media_keys = _media_digests(media, len(places.row_of))
    extra = _extra(drafts.extra)
    fields = _fields(drafts, extra)
    ids = _combined(stamp.source, [*digests, media_keys, fields])
    words = [digest.view("<u8")[:, 0] for digest in (*digests, media_keys)]
    text_bytes = [_text_bytes(getattr(drafts, side)) for side in SIDES]
    count = len(ids)
    columns = {
        "pair_id": ids,
        "group_id": _groups(stamp.source, drafts.group, ids, places),
        "source": constant(stamp.source, count),
        "row": places.rows,
        **{side: getattr(drafts, side).array() for side in SIDES},
        "media": _media(media, count),
        **{name: _or_nulls(getattr(drafts, name), count, pa.float64()) for name in NUMBERS},
        **{name: _or_nulls(getattr(drafts, name), count, pa.string()) for name in TEXTS},
        "annotator": _stamped(drafts.annotator, stamp.annotator, count),
        "license": _stamped(drafts.license, stamp.license, count),
        "revision": _stamped(None, stamp.revision, count),
        "tools": pa.nulls(count, pa.string()),
        "extra": pa.array(extra, pa.string()) if extra else pa.nulls(count, pa.string()),
        "prompt_key": words[0] ^ words[3],
        "chosen_key": words[1],
        "rejected_key": words[2],
        "text_bytes": sum(text_bytes),
        "chosen_bytes": text_bytes[1],
        "rejected_bytes": text_bytes[2],
        "media_bytes": np.array(sizes, np.uint64) if sizes else np.zeros(count, np.uint64),
        "reply_media": np.zeros(count, np.uint16),
        "has_fields": np.zeros(count, np.bool_),
        "known": sum(_known(getattr(drafts, name), count) for name in KNOWN),
    }
    return pa.table([_array(columns[field.name], field.type) for field in PAIRS_FILE], schema=PAIRS_FILE)


def _check_plain(drafts: DraftColumns) -> None:
    for name in NUMBERS:
        column = getattr(drafts, name)
        if column is not None and not np.isfinite(column.fill_null(0).to_numpy(zero_copy_only=False)).all():
            raise Odd
    if drafts.chosen.has_media() or drafts.rejected.has_media():
        raise Odd
    kinds = pa.concat_arrays([pc.unique(getattr(drafts, side).kinds) for side in SIDES])
    if not {*kinds.to_pylist()}.isdisjoint(FIELD_BLOCKS):
        raise Odd


def _array(values: Any, kind: Any) -> Any:
    array = values if isinstance(values, pa.Array) else pa.array(np.ascontiguousarray(values))
    return array if array.type == kind else array.cast(kind)


def _or_nulls(column: Any, count: int, kind: Any) -> Any:
    return pa.nulls(count, kind) if column is None else column


def _stamped(own: Any, of_source: str | None, count: int) -> Any:
    """What a draft says itself, else what is so of its source; an empty text says nothing."""
    stamped = pa.nulls(count, pa.string()) if of_source is None else constant(of_source, count)
    if own is None or own.null_count == count:
        return stamped
    return pc.if_else(pc.fill_null(pc.not_equal(own, ""), False), own, stamped)


def _known(column: Any, count: int) -> Any:
    if column is None:
        return np.zeros(count, np.uint8)
    return column.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)


# ------------------------------------------------------------------------------------------------------- digests


def _digests(dialogues: Dialogues) -> U8:
    """`schema.messages_digest` of each dialogue [n, 16]."""
    return np.frombuffer(_hashed(_content(dialogues)), np.uint8).reshape(-1, 16)


def _content(dialogues: Dialogues) -> Any:
    """The text that identifies each dialogue."""
    turns = _turns(dialogues)
    if (np.diff(dialogues.turns) == 1).all():
        return turns
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(dialogues.turns), turns), "")


def _turns(dialogues: Dialogues) -> Any:
    """The part of it for each turn."""
    counts, kinds, texts = np.diff(dialogues.blocks), dialogues.kinds, dialogues.texts
    if (counts == 1).all() and not texts.null_count and len(kind := pc.unique(kinds)) == 1:  # nearly always
        return _block_texts(_turn_heads(dialogues.roles, f"1;{kind[0]}"), texts)
    blocks = _block_texts(kinds, texts)
    if texts.null_count:
        blocks = pc.if_else(texts.is_valid(), blocks, pc.binary_join_element_wise(kinds, "!", ""))
    content = pc.binary_join(pa.ListArray.from_arrays(pa.array(dialogues.blocks), blocks), "")
    heads = _turn_heads(dialogues.roles, "")
    return pc.binary_join_element_wise(heads, pa.array(counts).cast(pa.string()), ";", content, "")


def _block_texts(heads: Any, texts: Any) -> Any:
    """Each text after its head and its length; media have none."""
    lengths = pc.utf8_length(texts).cast(pa.string())
    return pc.binary_join_element_wise(heads, lengths, ":", texts, "", null_handling="replace")


def _turn_heads(roles: Any, more: str) -> Any:
    coded = roles.dictionary_encode()
    names = pa.array([f"m{len(role)}:{role}{more}" for role in coded.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(coded.indices, names).dictionary_decode()


def _hashed(texts: Any) -> bytes:
    """xxh3-128 of each text, one after another."""
    digest = xxhash.xxh3_128_digest
    return b"".join([digest(piece) for piece in _pieces(texts)])


def _pieces(texts: Any) -> Iterator[memoryview]:
    """The bytes of each text; nulls have none."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset).tolist()
    data = memoryview(texts.buffers()[2] or b"")
    return (data[start:stop] for start, stop in pairwise(offsets))


def _media_digests(media: Sequence[tuple[Media, ...]], count: int) -> U8:
    if not media:
        return np.broadcast_to(np.frombuffer(NO_MEDIA, np.uint8), (count, 16))
    return np.frombuffer(b"".join(map(media_digest, media)), np.uint8).reshape(-1, 16)


def _extra(extra: Sequence[Any]) -> list[str | None]:
    """The JSON of each, None where there is none. Raises Odd where one is no JSON."""
    try:
        return [orjson.dumps(one, option=orjson.OPT_SORT_KEYS).decode() if one else None for one in extra]
    except orjson.JSONEncodeError:
        raise Odd from None


def _fields(drafts: DraftColumns, extra: Sequence[str | None]) -> U8:
    """`schema.fields_digest` of each draft [n, 16]: what is stored beside its dialogues."""
    columns = [getattr(drafts, name) for name in (*NUMBERS, *TEXTS, *OWN)]
    count = len(drafts.prompt.turns) - 1
    nulls: list[Any] = [None] * count
    lists = [
        nulls if column is None or column.null_count == count else series(column).to_list() for column in columns
    ]
    lists.append(list(extra) or nulls)
    if all(values is nulls for values in lists):
        return np.broadcast_to(np.frombuffer(_hash_of((None,) * len(lists)), np.uint8), (count, 16))
    return np.frombuffer(b"".join(map(_hash_of, zip(*lists, strict=True))), np.uint8).reshape(-1, 16)


def _hash_of(fields: tuple[Any, ...]) -> bytes:
    return xxhash.xxh3_128_digest(orjson.dumps(fields))


def _combined(source: str, parts: Sequence[Any]) -> Any:
    """`schema.combine` of the parts [n, k] of each pair, as an array of 32 hex digits."""
    count = len(parts[0])
    head = np.frombuffer(source.encode() + b"\0", np.uint8)
    whole = np.concatenate([np.broadcast_to(head, (count, len(head))), *parts], axis=1)
    data, width, digest = whole.data.cast("B"), whole.shape[1], xxhash.xxh3_128_hexdigest
    return pa.array([digest(data[at : at + width]) for at in range(0, count * width, width)], pa.string())


def _groups(source: str, names: Any, ids: Any, places: Places) -> Any:
    """`columns.group_id` of each pair."""
    count = len(ids)
    if names is not None and names.null_count == 0:
        return _hexed(pc.binary_join_element_wise(f"{source}\0named group", names, ""))
    if (names is None or names.null_count == count) and places.one_each:
        digits = np.frombuffer(ids.buffers()[2], np.uint8, 32 * count, 32 * ids.offset).reshape(count, 32)
        row = np.broadcast_to(np.frombuffer(b"row", np.uint8), (count, 3))
        return _combined(source, [row, digits])
    found: list[str] = []
    listed = series(names).to_list() if names is not None else [None] * count
    of_row = zip(places.row_of.tolist(), listed, ids.to_pylist(), strict=True)
    for (_, name), members in groupby(of_row, key=lambda one: one[:2]):
        same = [pair_id for _, _, pair_id in members]
        text = f"named group{name}" if name is not None else "row" + "".join(sorted(same))
        found += [xxhash.xxh3_128_hexdigest(f"{source}\0{text}".encode())] * len(same)
    return pa.array(found, pa.string())


def _hexed(texts: Any) -> Any:
    return pa.array([xxhash.xxh3_128_hexdigest(piece) for piece in _pieces(texts)], pa.string())


def _text_bytes(dialogues: Dialogues) -> Any:
    """The UTF-8 size of each dialogue's text."""
    sizes = pc.binary_length(dialogues.texts).fill_null(0).to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return np.diff(before[dialogues.blocks[dialogues.turns]])


def _media(media: Sequence[tuple[Media, ...]], count: int) -> Any:
    if not media:
        return pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), pa.array([], MEDIA.value_type))
    items = list(chain.from_iterable(media))
    keys = pa.ListArray.from_arrays(
        pa.array(_offsets([item.keys for item in items])),
        pa.array(list(chain.from_iterable([item.keys for item in items])), pa.string()),
    )
    kinds = pa.array([item.kind for item in items], pa.string())
    return pa.ListArray.from_arrays(
        pa.array(_offsets(media)), pa.StructArray.from_arrays([kinds, keys], fields=list(MEDIA.value_type))
    )
