"""The held-out pairs of a mix as an eval set: two replies to a prompt, of which the chosen one is right."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import xxhash

from curate.errors import SkipRow
from curate.evalsets import itemfile
from curate.evalsets.base import EvalSet, Formula, Item, pair_trials, pooled
from curate.evalsets.itemfile import Question
from curate.evaluation.items import KeyedItems, unique_keys
from curate.hashing import fingerprint
from curate.images.store import ImageStore
from curate.schema import Message, from_fields
from curate.sources.base import Row
from curate.workspace import atomic

HOLDOUT = "holdout"
SAMPLE_VERSION = 1

READ = (
    "pair_id", "group_id", "source", "margin", "prompt", "chosen", "rejected", "chosen_critique",
    "rejected_critique",
)  # fmt: skip
"""The columns that an item is made from."""


def load(files: Sequence[Path]) -> KeyedItems:
    """The pairs of holdout files, without their media; labelled ties have no right reply and are left out."""
    items = [_item(pair) for pair in _pairs(files, READ)]
    return KeyedItems(items, unique_keys(item.id for item in items), range(1, len(items) + 1))


def items_file(files: Sequence[Path], items: KeyedItems, images: Path, folder: Path) -> Path:
    """The items file of these pairs, all or some of the files', with their media; made on first use."""
    path = folder / f"{HOLDOUT}-{fingerprint([itemfile.VERSION, list(items.keys)])}.parquet"
    if not path.exists():
        with atomic(path) as temporary:
            itemfile.write(temporary, HOLDOUT, _with_media(files, items, ImageStore(images)))
    return path


def sample(items: KeyedItems, wanted: Sequence[int], most: int) -> list[int]:
    """Up to `most` of the `wanted` positions, evenly over sources: of each the first by a hash of the pair's key.

    A source with fewer pairs gives all of them. A larger sample contains the smaller one.
    """
    ranks: Counter[str] = Counter()
    order = []
    for key, at in sorted(
        (xxhash.xxh3_64_intdigest(f"{SAMPLE_VERSION}:{items.keys[at]}".encode()), at) for at in wanted
    ):
        source = items.items[at].subset
        order.append((ranks[source], key, at))
        ranks[source] += 1
    return sorted(at for _, _, at in sorted(order)[:most])


def _pairs(files: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The pairs that are no ties."""
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(100, columns=list(columns)):
                yield from (pair for pair in batch.to_pylist() if pair["margin"] != 0)


def _item(pair: dict[str, Any]) -> Item:
    critiques = pair["chosen_critique"], pair["rejected_critique"]
    return Item(
        id=pair["pair_id"], prompt=_messages(pair["prompt"]), correct=(0,),
        replies=(_messages(pair["chosen"]), _messages(pair["rejected"])),
        category=pair["source"], subset=pair["source"], cluster=pair["group_id"],
        critiques=critiques if any(critiques) else (),
    )  # fmt: skip


def _messages(turns: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(from_fields(turn) for turn in turns)


def _with_media(files: Sequence[Path], items: KeyedItems, images: ImageStore) -> Iterator[Question]:
    keys = dict(zip(items.numbers, items.keys, strict=True))
    for number, pair in enumerate(_pairs(files, (*READ, "media")), 1):
        if number in keys:
            item = _item(pair)
            frames = [(one["kind"], tuple(images.read_many(one["keys"]))) for one in pair["media"]]
            media = tuple(data[0] if kind == "image" else data for kind, data in frames)
            yield Question(keys[number], item.prompt, item.replies, media, critiques=item.critiques)


def holdout_set(rows: int) -> EvalSet:
    """The held-out pairs as an eval set: accuracy over all and for each source."""
    return EvalSet(
        name=HOLDOUT, repo="", files=(), license=None, paper="", rows=rows, to_item=_no_row,
        trials=pair_trials, formulas=lambda subsets, _: _by_source(subsets),
    )  # fmt: skip


def _no_row(_: Row) -> Item:
    raise SkipRow("no_raw_rows")


def _by_source(subsets: Sequence[str]) -> tuple[Formula, ...]:
    return (pooled("all", subsets), *(pooled(name, [name]) for name in subsets))
