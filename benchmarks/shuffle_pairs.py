"""Pairs files of made-up words for benchmarks/shuffle.py.

python shuffle_pairs.py DIR PAIRS TEXT    `TEXT` bytes of text a pair
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.pairs.part import PARQUET
from curate.schema import BLOCK, MESSAGES, PAIRS_FILE

SOURCES = {"alpha": 0.6, "beta": 0.3, "gamma": 0.1}
SIDES = {"prompt": 0.2, "chosen": 0.4, "rejected": 0.4}
PART, BATCH = 100_000, 4096


def make(root: Path, pairs: int, text: int) -> None:
    """Pairs files of three sources, of made-up Zipfian words, `text` bytes a pair (lognormal)."""
    letters = pool(np.random.default_rng(7))
    for source, (name, share) in enumerate(SOURCES.items()):
        (root / name).mkdir(parents=True)
        left, number = round(pairs * share), 0
        while left:
            rng, rows = np.random.default_rng([source, number]), min(left, PART)
            with pq.ParquetWriter(root / name / f"part-{number:05}.parquet", PAIRS_FILE, **PARQUET) as writer:
                for first in range(0, rows, BATCH):
                    writer.write_table(table(rng, letters, min(BATCH, rows - first), text, name))
            left, number = left - rows, number + 1


def pool(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Words to cut texts from."""
    lengths = rng.integers(2, 10, 50_000)
    alphabet = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    weights = 1 / np.arange(1, 27)
    letters = rng.choice(alphabet, int(lengths.sum()), p=weights / weights.sum())
    ends = np.cumsum(lengths)
    words = [letters[end - length : end].tobytes() for end, length in zip(ends, lengths, strict=True)]
    often = 1 / np.arange(1, len(words) + 1)
    chosen = rng.choice(len(words), 8_000_000, p=often / often.sum())
    return np.frombuffer(b" ".join(words[i] for i in chosen), np.uint8)


def table(rng: np.random.Generator, letters: np.ndarray[Any, Any], rows: int, text: int, source: str) -> pa.Table:
    """Some pairs."""
    sides = {name: texts(rng, letters, rows, text * share) for name, share in SIDES.items()}
    lengths = {name: np.diff(np.frombuffer(some.buffers()[1], np.int32)) for name, some in sides.items()}
    columns: dict[str, Any] = {
        "pair_id": ids(rng, rows),
        "group_id": ids(rng, rows),
        "source": same(rows, source),
        "row": pa.array([f"train.jsonl:{i}" for i in range(rows)]),
        "margin": pa.array(rng.integers(1, 4, rows).astype(float)),
        "category": same(rows, "helpfulness"),
        "annotator": same(rows, "human"),
        "license": same(rows, "cc-by-4.0"),
        "revision": same(rows, "0123456789abcdef" * 2),
        "text_bytes": sum(lengths.values()),
        "chosen_bytes": lengths["chosen"],
        "rejected_bytes": lengths["rejected"],
        "known": np.ones(rows, np.uint8),
        "media": pa.array([[]] * rows, PAIRS_FILE.field("media").type),
    }
    columns |= {name: messages(some, "user" if name == "prompt" else "assistant") for name, some in sides.items()}
    columns |= {name: rng.integers(0, 1 << 63, rows) for name in ("prompt_key", "chosen_key", "rejected_key")}
    columns |= {name: np.zeros(rows, np.uint8) for name in ("media_bytes", "reply_media", "has_fields")}
    made = [columns.get(field.name, pa.nulls(rows, field.type)) for field in PAIRS_FILE]
    made = [one if isinstance(one, pa.Array) else pa.array(one) for one in made]
    return pa.Table.from_arrays(
        [one.cast(field.type) for one, field in zip(made, PAIRS_FILE, strict=True)], schema=PAIRS_FILE
    )


def texts(rng: np.random.Generator, letters: np.ndarray[Any, Any], rows: int, mean: float) -> pa.Array:
    """Texts of lognormal lengths, cut from the words."""
    lengths = np.clip(rng.lognormal(np.log(mean) - 0.32, 0.8, rows), 10, 40 * mean).astype(np.int64)
    starts = rng.integers(0, len(letters) - lengths.max(), rows)
    cut = [letters[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.concatenate(cut)))


def ids(rng: np.random.Generator, rows: int) -> pa.Array:
    """Random ids of 32 hex digits."""
    digits = rng.bytes(16 * rows).hex().encode()
    offsets = np.arange(0, 32 * rows + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(digits))


def same(rows: int, text: str) -> pa.Array:
    """One text in every row."""
    return pa.repeat(pa.scalar(text), rows)


def messages(content: pa.Array, role: str) -> pa.Array:
    """Dialogues of one turn."""
    one = pa.array(np.arange(len(content) + 1, dtype=np.int32))
    blocks = pa.StructArray.from_arrays([same(len(content), "text"), content], fields=list(BLOCK))
    turns = pa.StructArray.from_arrays(
        [same(len(content), role), pa.ListArray.from_arrays(one, blocks)], fields=list(MESSAGES.value_type)
    )
    return pa.ListArray.from_arrays(one, turns, type=MESSAGES)


if __name__ == "__main__":
    root, rows, size = sys.argv[1:]
    make(Path(root), int(rows), int(size))
