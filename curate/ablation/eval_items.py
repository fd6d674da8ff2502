"""What every arm is scored on, the same items for all: the baseline's held-out pairs, and eval sets."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from curate import evalsets
from curate.errors import ConfigError
from curate.evalsets.base import EvalSet, Formula, Options, Trial, pooled
from curate.evaluation import held_out, items, metrics, score_file
from curate.evaluation.held_out import HOLDOUT
from curate.evaluation.items import EvalSetFolders, KeyedItems
from curate.evaluation.score_model import items_file
from curate.hashing import Hashes
from curate.workspace import atomic

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


def holdout(mix: Path, images: Path, folder: Path) -> EvalItems | None:
    """The held-out pairs of a mix, their items file made on first use; None where it holds none out."""
    files = sorted(mix.glob("holdout-*.parquet"))
    items = held_out.load(files)
    if not items.items:
        return None
    file = held_out.items_file(files, items, images, folder)
    return EvalItems(evalset=held_out.holdout_set(len(items.items)), options=Options(), items=items, file=file)


def check_fetched(names: Sequence[str], folders: EvalSetFolders) -> None:
    """Raise ConfigError for an unknown eval set and for one without files; no item is read."""
    for name in names:
        evalset, folder = evalsets.get(name, manifests=folders.manifests), folders.locate(name)
        if not items.has_rows(evalset, folder, Options()):
            raise ConfigError("--eval-set", f"no files of {name} in {folder}", "", f"curate fetch {name}")


def eval_sets(names: Sequence[str], folders: EvalSetFolders) -> list[EvalItems]:
    """The eval sets of these names; without names, all whose files are in `folders`, the user's own among them.

    Raises ConfigError for an unknown name or a named one without files, RawError for damaged files, and what
    `EvalSetFolders.locate` raises.
    """
    check_fetched(names, folders)
    hashes = Hashes(folders.workspace.cache)
    out = []
    for name in dict.fromkeys(names or [*evalsets.names(), *evalsets.own(folders.manifests)]):
        evalset, options = evalsets.get(name, manifests=folders.manifests), Options()
        folder = folders.locate(name)
        if not items.has_rows(evalset, folder, options):
            continue
        folders.check(evalset, folder, options)
        loaded = items.load(evalset, folder, options)
        file = items_file(loaded, folders.workspace, hashes)
        out.append(EvalItems(evalset=evalset, options=options, items=loaded.items, file=file))
    return out
