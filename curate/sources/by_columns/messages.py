"""Column functions over message lists, `chosen` and `rejected` as whole dialogues: `split_dialogue` by columns."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curate.arrays import B8, I32, I64
from curate.arrow_compute import pc
from curate.sources.by_columns.base import Dialogues, Misfit, RowBatch, as_texts, present
from curate.sources.messages import READ_KEYS, ROLE_NAMES


class Turns(NamedTuple):
    """A column of message lists: row i has the turns from starts[i] to before starts[i + 1].

    plain   [turns] whether the turn is one text under a role that we know
    """

    starts: I64
    roles: Any
    texts: Any
    plain: B8

    def counts(self) -> I64:
        """How many turns each row has."""
        return np.diff(self.starts)


def turns_of(column: Any) -> Turns:
    """The turns of a column. Raises Misfit where it is no list of messages with role and content as text."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not is_list or not pa.types.is_struct(column.type.value_type):
        raise Misfit
    values = column.values
    names = [field.name for field in column.type.value_type]
    if len(set(names)) < len(names) or not {"role", "content"} <= set(names):
        raise Misfit
    fields = dict(zip(names, values.flatten(), strict=True))
    roles, known = _roles(as_texts(fields["role"]))
    texts = as_texts(fields["content"])
    plain = known & texts.is_valid().to_numpy(zero_copy_only=False)
    for name in READ_KEYS & fields.keys():
        plain &= fields[name].is_null().to_numpy(zero_copy_only=False)
    return Turns(column.offsets.to_numpy().astype(np.int64), roles, texts, plain)


def _roles(roles: Any) -> tuple[Any, B8]:
    """Our names of the roles, and whether each is known."""
    coded = roles.dictionary_encode()
    ours = [_role(name) for name in coded.dictionary.to_pylist()]
    names = pa.DictionaryArray.from_arrays(coded.indices, pa.array(ours, pa.string())).dictionary_decode()
    return names, names.is_valid().to_numpy(zero_copy_only=False)


def _role(name: str) -> str | None:
    plain = name.strip().lower()
    return None if plain == "function_call" else ROLE_NAMES.get(plain)


def whole_columns(turns: Turns, fits: B8) -> tuple[B8, Dialogues]:
    """(which of the rows fit, their dialogues): all turns, as `turns` of each row."""
    fits = fits & _all_plain(turns)
    rows = np.flatnonzero(fits)
    at, ends = _spans(turns, rows, turns.counts()[rows])
    return fits, _dialogues(turns, at, ends.astype(np.int32))


class Sides(NamedTuple):
    """Which rows of a batch fit, and their dialogues: fields of `DraftColumns`."""

    fits: B8
    prompt: Dialogues
    chosen: Dialogues
    rejected: Dialogues


def split_columns(batch: RowBatch, fits: B8) -> Sides:
    """The columns `chosen` and `rejected` as `split_dialogue` of each row; `fits`: rows that fit otherwise."""
    chosen, rejected = (batch.column(name) for name in ("chosen", "rejected"))
    return split_sides(turns_of(chosen), turns_of(rejected), fits & present(chosen, rejected))


def split_sides(left: Turns, right: Turns, fits: B8) -> Sides:
    """As `split_turns` of each row."""
    counts = left.counts()
    fits = fits & (counts == right.counts()) & (counts > 0) & _all_plain(left) & _all_plain(right)
    fits &= _ends_with_assistant(left) & _ends_with_assistant(right)
    fits[fits] &= _same_prompts(left, right, fits)
    rows = np.flatnonzero(fits)
    return Sides(fits, _prompts(left, rows), _replies(left, rows), _replies(right, rows))


def _all_plain(turns: Turns) -> B8:
    odd = np.concatenate([[0], np.cumsum(~turns.plain)])
    return np.asarray(odd[turns.starts[1:]] == odd[turns.starts[:-1]])


def _ends_with_assistant(turns: Turns) -> B8:
    is_reply = pc.fill_null(pc.equal(turns.roles, "assistant"), False).to_numpy(zero_copy_only=False)
    if not len(is_reply):
        return np.zeros(len(turns.starts) - 1, np.bool_)
    return np.asarray(is_reply[np.maximum(turns.starts[1:] - 1, 0)] & (turns.counts() > 0))


def _before_last(turns: Turns, rows: I64) -> tuple[I64, I64]:
    """(the turns of these rows but the last of each, offsets of the rows in them)."""
    return _spans(turns, rows, turns.counts()[rows] - 1)


def _spans(turns: Turns, rows: I64, counts: I64) -> tuple[I64, I64]:
    """(so many first turns of each of these rows, offsets of the rows in them)."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    shift = np.repeat(turns.starts[rows] - ends[:-1], counts)
    return np.arange(ends[-1]) + shift, ends


def _same_prompts(left: Turns, right: Turns, fits: B8) -> B8:
    """Of the rows that fit so far, whether both sides share all turns but the last."""
    rows = np.flatnonzero(fits)
    (ours, ends), (theirs, _) = _before_last(left, rows), _before_last(right, rows)
    same = pc.and_(
        pc.equal(left.texts.take(pa.array(ours)), right.texts.take(pa.array(theirs))),
        pc.equal(left.roles.take(pa.array(ours)), right.roles.take(pa.array(theirs))),
    ).to_numpy(zero_copy_only=False)
    different = np.concatenate([[0], np.cumsum(~same)])
    return np.asarray(different[ends[1:]] == different[ends[:-1]])


def _prompts(turns: Turns, rows: I64) -> Dialogues:
    at, ends = _before_last(turns, rows)
    return _dialogues(turns, at, ends.astype(np.int32))


def _replies(turns: Turns, rows: I64) -> Dialogues:
    return _dialogues(turns, turns.starts[rows + 1] - 1, np.arange(len(rows) + 1, dtype=np.int32))


def _dialogues(turns: Turns, at: I64, offsets: I32) -> Dialogues:
    places = pa.array(at)
    return Dialogues.of_turns(offsets, turns.roles.take(places), turns.texts.take(places))
