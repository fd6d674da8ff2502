"""Pairs gathered column by column and handed over as Arrow tables: a table of dicts costs more than the parse."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import xxhash

from curate.arrow_compute import pc
from curate.errors import SkipRow
from curate.schema import (
    BLOCK,
    FIELD_BLOCKS,
    MEDIA_BLOCKS,
    MESSAGES,
    PAIRS_FILE,
    Media,
    Message,
    combine,
    fields_digest,
    media_digest,
    messages_digest,
)
from curate.sources.base import Draft


class Finished(NamedTuple):
    """A draft with its media resolved to store keys, ready to become a row of a pairs file.

    `digests` are those of prompt, chosen, rejected and the prompt's media, for the key columns.
    """

    pair_id: str
    draft: Draft
    media: tuple[Media, ...]
    media_bytes: int
    extra: str | None
    digests: tuple[bytes, bytes, bytes, bytes]
    reply_media: int
    has_fields: bool


NUMBERS = ("margin", "chosen_score", "rejected_score")
TEXTS = ("chosen_critique", "rejected_critique", "category")
LABELS = (*TEXTS, "annotator", "license", "group")
KNOWN = (*NUMBERS, "chosen_critique", "rejected_critique")
NO_MEDIA = media_digest(())


def finish(source: str, draft: Draft, media: tuple[Media, ...], media_bytes: int) -> Finished:
    """Identify a draft.

    Skips: `not_unicode`, `number_not_finite`, `extra_not_json`, and `<field>_not_text` for a critique, category,
    annotator, licence or group that is no text.
    """
    numbers = [_number(draft.margin), _number(draft.chosen_score), _number(draft.rejected_score)]
    texts = [draft.chosen_critique, draft.rejected_critique, draft.category, draft.annotator, draft.license]
    _check_texts(draft, texts)
    try:
        extra = orjson.dumps(draft.extra, option=orjson.OPT_SORT_KEYS).decode() if draft.extra else None
        texts.append(extra)
        if draft.tools is not None:  # pairs without tools keep the ids that they had before there was the column
            texts.append(draft.tools)
        if draft.group is not None:
            draft.group.encode()
        prompt, chosen, rejected = map(messages_digest, (draft.prompt, draft.chosen, draft.rejected))
        media_key = media_digest(media) if media else NO_MEDIA
        pair_id = combine(source, prompt, chosen, rejected, media_key, fields_digest(numbers, texts))
    except (UnicodeEncodeError, orjson.JSONEncodeError) as error:
        if isinstance(error, orjson.JSONEncodeError) and "UTF-8" not in str(error):  # bytes, or nested too deep
            raise SkipRow("extra_not_json", str(error)[:80]) from None
        raise SkipRow("not_unicode", "the file is not UTF-8 there, or escapes half a character") from None
    in_replies = 0
    if media and (in_replies := sum(map(_media_blocks, (draft.chosen, draft.rejected)))):
        prompt_media, chosen_media, rejected_media = _shares(draft, media)
        media_key = media_digest(prompt_media)
        chosen, rejected = _with(chosen, chosen_media), _with(rejected, rejected_media)
    if draft.tools is not None:
        prompt = xxhash.xxh3_128_digest(prompt + draft.tools.encode())
    has_fields = draft.tools is not None or any(map(_has_fields, (draft.prompt, draft.chosen, draft.rejected)))
    digests = (prompt, chosen, rejected, media_key)
    return Finished(pair_id, draft, media, media_bytes, extra, digests, in_replies, has_fields)


def _check_texts(draft: Draft, texts: Sequence[str | None]) -> None:
    """Skip a row whose fields are no texts: `texts` in the order of LABELS, and the group."""
    for name, value in zip(LABELS, (*texts, draft.group), strict=True):
        if value is not None and not isinstance(value, str):
            raise SkipRow(f"{name}_not_text", type(value).__name__)


def _media_blocks(turns: Sequence[Message]) -> int:
    return sum(block[0] in MEDIA_BLOCKS for turn in turns for block in turn[1])


def _has_fields(turns: Sequence[Message]) -> bool:
    return any(block[0] in FIELD_BLOCKS for turn in turns for block in turn[1])


def _shares(draft: Draft, media: tuple[Media, ...]) -> list[tuple[Media, ...]]:
    """The media of prompt, chosen and rejected. Raises SkipRow where blocks and media do not match."""
    ends = list(itertools.accumulate(_media_blocks(side) for side in (draft.prompt, draft.chosen, draft.rejected)))
    if ends[-1] != len(media):
        raise SkipRow("placeholder_mismatch", f"{ends[-1]} media blocks, {len(media)} media")
    return [media[first:last] for first, last in itertools.pairwise([0, *ends])]


def _with(digest: bytes, media: Sequence[Media]) -> bytes:
    """A reply's digest with its media; a reply without any keeps its own."""
    return xxhash.xxh3_128_digest(digest + media_digest(media)) if media else digest


def _number(value: float | None) -> float | None:
    if value is None:
        return None
    if not math.isfinite(value):
        raise SkipRow("number_not_finite")
    return float(value)


def group_id(source: str, group: str | None, pairs: Sequence[Finished]) -> str:
    """The group that upstream names, or the row itself: all pairs it gave, whatever their order."""
    if group is not None:
        return combine(source, b"named group", group.encode())
    return combine(source, b"row", *sorted(pair.pair_id.encode() for pair in pairs))


class PairColumns:
    """Collects pairs and gives them as tables of PAIRS_FILE."""

    def __init__(self, source: str, license: str | None, annotator: str | None, revision: str | None) -> None:  # noqa: A002
        self._source, self._license, self._annotator, self._revision = source, license, annotator, revision
        self._rows: list[str] = []
        self._groups: list[str] = []
        self._pairs: list[Finished] = []

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, row: str, group: str, pair: Finished) -> None:
        """Append one pair."""
        self._rows.append(row)
        self._groups.append(group)
        self._pairs.append(pair)

    def take(self) -> pa.Table:
        """What was collected since the last time, as one table."""
        pairs, drafts = self._pairs, [pair.draft for pair in self._pairs]
        columns: dict[str, Any] = {
            "pair_id": [pair.pair_id for pair in pairs],
            "group_id": self._groups,
            "source": [self._source] * len(pairs),
            "row": self._rows,
            "media": [[{"kind": item.kind, "keys": item.keys} for item in pair.media] for pair in pairs],
            "annotator": [draft.annotator or self._annotator for draft in drafts],
            "license": [draft.license or self._license for draft in drafts],
            "revision": [self._revision] * len(pairs),
            "tools": [draft.tools for draft in drafts],
            "extra": [pair.extra for pair in pairs],
            "reply_media": [pair.reply_media for pair in pairs],
            "has_fields": [pair.has_fields for pair in pairs],
            "known": [sum(getattr(draft, name) is not None for name in KNOWN) for draft in drafts],
            "media_bytes": [pair.media_bytes for pair in pairs],
            **{name: [getattr(draft, name) for draft in drafts] for name in (*NUMBERS, *TEXTS)},
            **_keys(pairs),
        }
        columns["prompt"], prompt_bytes = _dialogues([draft.prompt for draft in drafts])
        for name in ("chosen", "rejected"):
            columns[name], columns[f"{name}_bytes"] = _dialogues([getattr(draft, name) for draft in drafts])
        columns["text_bytes"] = prompt_bytes + columns["chosen_bytes"] + columns["rejected_bytes"]
        self._rows, self._groups, self._pairs = [], [], []
        arrays = [_array(columns[field.name], field.type) for field in PAIRS_FILE]
        return pa.table(arrays, schema=PAIRS_FILE)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _keys(pairs: Sequence[Finished]) -> dict[str, Any]:
    """The key columns: the first 8 bytes of the digests (`key64`), all at once."""

    def words(position: int) -> Any:
        return np.frombuffer(b"".join(pair.digests[position] for pair in pairs), "<u8")[::2]

    prompt, chosen, rejected, media = (words(position) for position in range(4))
    return {"prompt_key": prompt ^ media, "chosen_key": chosen, "rejected_key": rejected}


def _dialogues(dialogues: Sequence[Sequence[Message]]) -> tuple[pa.Array, Any]:
    """A MESSAGES column, and the UTF-8 size of each dialogue's text."""
    turns = list(itertools.chain.from_iterable(dialogues))
    blocks = list(itertools.chain.from_iterable([turn[1] for turn in turns]))
    of_turn, of_dialogue = _offsets([turn[1] for turn in turns]), _offsets(dialogues)
    texts = pa.array([block[1] for block in blocks], pa.string())
    kinds = pa.array([block[0] for block in blocks], pa.string())
    content = pa.ListArray.from_arrays(of_turn, pa.StructArray.from_arrays([kinds, texts], fields=list(BLOCK)))
    roles = pa.array([turn[0] for turn in turns], pa.string())
    messages = pa.StructArray.from_arrays([roles, content], fields=list(MESSAGES.value_type))
    sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return pa.ListArray.from_arrays(of_dialogue, messages), np.diff(before[of_turn[of_dialogue]])


def _offsets(lists: Sequence[Sequence[Any]]) -> Any:
    return np.cumsum([0, *map(len, lists)], dtype=np.int32)
