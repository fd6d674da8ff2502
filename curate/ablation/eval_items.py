"""What every arm is scored on, the same items for all: the baseline's held-out pairs, and eval sets."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from curate import evalsets
from curate.errors import ConfigError, SkipRow
from curate.evalsets import itemfile
from curate.evalsets.base import EvalSet, Formula, Item, Options, Trial, pair_trials, pooled
from curate.evalsets.itemfile import Question
from curate.evaluation import items, metrics, score_file
from curate.evaluation.items import EvalSetFolders, KeyedItems, unique_keys
from curate.evaluation.score_model import items_file
from curate.hashing import Hashes, fingerprint
from curate.images.store import ImageStore
from curate.schema import Message, from_fields
from curate.sources.base import Row
from curate.workspace import atomic

HOLDOUT = "holdout"
COLUMNS = {"mm_rlhf_rewardbench": ("acc", "acc+")}
"""The measures that are compared, where that is not `overall`."""

TITLES = {
    "vl_rewardbench": "VL", "mm_rlhf_rewardbench": "MM-RLHF", "multimodal_rewardbench": "MMRB",
    "rewardbench": "RB", "rewardbench2": "RB2", "rm_bench": "RMB", "judgebench": "JudgeBench",
}  # fmt: skip
"""Short names for the columns of a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalItems:
    """An eval set, or the held-out pairs as one: its items, and their file for the scorer."""

    evalset: EvalSet
    options: Options
    items: KeyedItems
    file: Path

    @property
    def name(self) -> str:
        """The eval set's name."""
        return self.evalset.name

    @property
    def seed(self) -> int:
        """The bootstrap's seed."""
        return metrics.seed_of(self.name)

    def beside(self, folder: Path) -> "EvalItems":
        """The same with its items file in `folder`, as a hard link where the file system allows it."""
        path = folder / self.file.name
        if not path.exists():
            with atomic(path) as temporary:
                try:
                    temporary.hardlink_to(self.file)
                except OSError:
                    shutil.copyfile(self.file, temporary)
        return replace(self, file=path)

    def scores(self, path: Path) -> "ItemScores":
        """Read a score file; an item without scores counts as wrong, and is counted."""
        scored = score_file.read(path, {self.name: self.items}, allow_unscored=True)
        return ItemScores(scored.scores[self.name], len(scored.unscored[self.name]))

    def trials(self, scores: Sequence[Sequence[float]]) -> list[Trial]:
        """The comparisons that the scores decide."""
        return self.evalset.trials(self.items.items, scores)

    def formulas(self, sources: set[str] | None) -> tuple[Formula, ...]:
        """Measures to compare: the official ones; of held-out pairs all, or `others` and `own` by `sources`."""
        subsets = tuple(dict.fromkeys(item.subset for item in self.items.items))
        if self.name == HOLDOUT:
            return _own_and_others(subsets, sources)
        trials = self.trials([[0.0] * len(item.replies) for item in self.items.items])
        found = tuple(dict.fromkeys(trial.subset for trial in trials))
        return self.evalset.formulas(found, self.options)

    def compared(self, formulas: Sequence[Formula]) -> tuple[str, ...]:
        """Names of the measures that are tested; the other formulas are what these are made of."""
        if self.name == HOLDOUT:
            return tuple(formula.name for formula in formulas)
        return COLUMNS.get(self.name, ("overall",))


class ItemScores(NamedTuple):
    """Scores in the order of the items, and how many items have none."""

    scores: list[list[float]]
    unscored: int


def title(evalset: str, measure: str) -> str:
    """The heading of a column."""
    short = TITLES.get(evalset, evalset)
    if measure == "overall":
        return short
    return f"{short} {measure if evalset == HOLDOUT else measure.capitalize()}"


def _own_and_others(subsets: Sequence[str], sources: set[str] | None) -> tuple[Formula, ...]:
    if sources is None:
        return (pooled("all", subsets),)
    own, others = [name for name in subsets if name in sources], [name for name in subsets if name not in sources]
    return tuple(pooled(name, names) for name, names in (("others", others), ("own", own)) if names)


# --- held-out pairs

READ = ("pair_id", "group_id", "source", "margin", "prompt", "chosen", "rejected")
"""The columns that an item is made from."""


def holdout(mix: Path, images: Path, folder: Path) -> EvalItems | None:
    """The held-out pairs of a mix, their items file made on first use; None where it holds none out.

    Labelled ties have no right reply and are left out.
    """
    files = sorted(mix.glob("holdout-*.parquet"))
    items = [_item(pair) for pair in _pairs(files, READ)]
    if not items:
        return None
    keys = unique_keys(item.id for item in items)
    path = folder / f"{HOLDOUT}-{fingerprint([itemfile.VERSION, keys])}.parquet"
    if not path.exists():
        with atomic(path) as temporary:
            itemfile.write(temporary, HOLDOUT, _with_media(files, keys, ImageStore(images)))
    keyed = KeyedItems(items, keys, range(1, len(items) + 1))
    return EvalItems(evalset=holdout_set(len(items)), options=Options(), items=keyed, file=path)


def _pairs(files: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The pairs that are no ties."""
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(100, columns=list(columns)):
                yield from (pair for pair in batch.to_pylist() if pair["margin"] != 0)


def _item(pair: dict[str, Any]) -> Item:
    return Item(
        id=pair["pair_id"], prompt=_messages(pair["prompt"]), correct=(0,),
        replies=(_messages(pair["chosen"]), _messages(pair["rejected"])),
        category=pair["source"], subset=pair["source"], cluster=pair["group_id"],
    )  # fmt: skip


def _messages(turns: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(from_fields(turn) for turn in turns)


def _with_media(files: Sequence[Path], keys: Sequence[str], images: ImageStore) -> Iterator[Question]:
    for key, pair in zip(keys, _pairs(files, (*READ, "media")), strict=True):
        item = _item(pair)
        frames = [(one["kind"], tuple(images.read_many(one["keys"]))) for one in pair["media"]]
        media = tuple(data[0] if kind == "image" else data for kind, data in frames)
        yield Question(key, item.prompt, item.replies, media)


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


# --- eval sets


def eval_sets(names: Sequence[str], folders: EvalSetFolders) -> list[EvalItems]:
    """The eval sets of these names; without names, all whose files are in `folders`.

    Raises ConfigError for an unknown name or a named one without files, RawError for damaged files, and what
    `EvalSetFolders.locate` raises.
    """
    hashes = Hashes(folders.workspace.cache)
    out = []
    for name in dict.fromkeys(names or evalsets.names()):
        evalset, options = evalsets.get(name), Options()
        folder = folders.locate(name)
        if not items.has_rows(evalset, folder, options):
            if not names:
                continue
            raise ConfigError("--eval-set", f"no files of {name} in {folder}", "", f"curate fetch {name}")
        loaded = items.load(evalset, folder, options)
        file = items_file(loaded, folders.workspace, hashes)
        out.append(EvalItems(evalset=evalset, options=options, items=loaded.items, file=file))
    return out
