"""What every arm is asked, the same items for all: the baseline's held-out pairs, and reward benchmarks."""

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
from curate.evaluation.items import Questions
from curate.evaluation.score_model import Asked, items_file
from curate.hashing import Hashes, fingerprint
from curate.hub.receipts import fetched
from curate.images.store import ImageStore
from curate.schema import Block, Message
from curate.sources.base import Row
from curate.workspace import Workspace, atomic

HOLDOUT = "holdout"
COLUMNS = {"mm_rlhf_rewardbench": ("acc", "acc+")}
"""The measures that are compared, where that is not `overall`."""

TITLES = {
    "vl_rewardbench": "VL", "mm_rlhf_rewardbench": "MM-RLHF", "multimodal_rewardbench": "MMRB",
    "rewardbench": "RB", "rewardbench2": "RB2", "rm_bench": "RMB", "judgebench": "JudgeBench",
}  # fmt: skip
"""Short names for the columns of a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """An eval set, or the held-out pairs, as it is asked: its questions, and their file for the scorer."""

    evalset: EvalSet
    options: Options
    questions: Questions
    items: Path

    @property
    def name(self) -> str:
        """The eval set's name."""
        return self.evalset.name

    @property
    def seed(self) -> int:
        """The bootstrap's seed."""
        return metrics.seed_of(self.name)

    def beside(self, folder: Path) -> "Exam":
        """The same exam with its items file in a folder, as a second name of the file where the disk allows it."""
        path = folder / self.items.name
        if not path.exists():
            with atomic(path) as temporary:
                try:
                    temporary.hardlink_to(self.items)
                except OSError:
                    shutil.copyfile(self.items, temporary)
        return replace(self, items=path)

    def scores(self, path: Path) -> "Answers":
        """A score file; an item without scores counts as wrong, and is counted."""
        scored = score_file.read(path, {self.name: self.questions}, allow_unscored=True)
        return Answers(scored.scores[self.name], len(scored.unscored[self.name]))

    def trials(self, scores: Sequence[Sequence[float]]) -> list[Trial]:
        """The comparisons that the scores decide."""
        return self.evalset.trials(self.questions.items, scores)

    def formulas(self, sources: set[str] | None) -> tuple[Formula, ...]:
        """What is compared: official headline measures; of held-out pairs others' and a dataset's own, or all."""
        subsets = tuple(dict.fromkeys(item.subset for item in self.questions.items))
        if self.name == HOLDOUT:
            return _sides(subsets, sources)
        trials = self.trials([[0.0] * len(item.replies) for item in self.questions.items])
        found = tuple(dict.fromkeys(trial.subset for trial in trials))
        return self.evalset.formulas(found, self.options)

    def compared(self, formulas: Sequence[Formula]) -> tuple[str, ...]:
        """Names of the measures that are tested; the other formulas are what these are made of."""
        if self.name == HOLDOUT:
            return tuple(formula.name for formula in formulas)
        return COLUMNS.get(self.name, ("overall",))


class Answers(NamedTuple):
    """Scores in the order of the items, and how many items have none."""

    scores: list[list[float]]
    unscored: int


def title(exam: str, measure: str) -> str:
    """The heading of a column."""
    short = TITLES.get(exam, exam)
    return short if measure == "overall" else f"{short} {measure.capitalize() if exam != HOLDOUT else measure}"


def _sides(subsets: Sequence[str], sources: set[str] | None) -> tuple[Formula, ...]:
    if sources is None:
        return (pooled("all", subsets),)
    own, others = [name for name in subsets if name in sources], [name for name in subsets if name not in sources]
    return tuple(pooled(name, names) for name, names in (("others", others), ("own", own)) if names)


# --- held-out pairs


def holdout(mix: Path, images: Path, folder: Path) -> Exam | None:
    """The held-out pairs of a mix as an exam, its items file made on first use; None where it holds none out.

    Labelled ties have no right reply and are not asked.
    """
    files = sorted(mix.glob("holdout-*.parquet"))
    pairs = [pair for pair in _pairs(files, ("pair_id", "group_id", "source", "margin")) if pair["margin"] != 0]
    if not pairs:
        return None
    items = [_item(pair) for pair in _pairs(files, TOLD) if pair["margin"] != 0]
    keys = _numbered([pair["pair_id"] for pair in pairs])
    path = folder / f"{HOLDOUT}-{fingerprint([itemfile.VERSION, keys])}.parquet"
    if not path.exists():
        with atomic(path) as temporary:
            itemfile.write(temporary, HOLDOUT, _asked(files, keys, ImageStore(images)))
    questions = Questions(items, keys, range(1, len(items) + 1))
    return Exam(evalset=_evalset(len(items)), options=Options(), questions=questions, items=path)


TOLD = ("pair_id", "group_id", "source", "margin", "prompt", "chosen", "rejected")


def _pairs(files: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(100, columns=list(columns)):
                yield from batch.to_pylist()


def _numbered(names: Sequence[str]) -> list[str]:
    """Copies of a pair that say the same are told apart by their number."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return out


def _item(pair: dict[str, Any]) -> Item:
    return Item(
        id=pair["pair_id"], prompt=_messages(pair["prompt"]), correct=(0,),
        replies=(_messages(pair["chosen"]), _messages(pair["rejected"])),
        category=pair["source"], subset=pair["source"], cluster=pair["group_id"],
    )  # fmt: skip


def _messages(turns: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(
        Message(turn["role"], tuple(Block(block["type"], block["text"]) for block in turn["content"]))
        for turn in turns
    )


def _asked(files: Sequence[Path], keys: Sequence[str], images: ImageStore) -> Iterator[Question]:
    pairs = (pair for pair in _pairs(files, (*TOLD, "media")) if pair["margin"] != 0)
    for key, pair in zip(keys, pairs, strict=True):
        item = _item(pair)
        frames = [(one["kind"], tuple(images.read_many(one["keys"]))) for one in pair["media"]]
        media = tuple(data[0] if kind == "image" else data for kind, data in frames)
        yield Question(key, item.prompt, item.replies, media)


def _evalset(rows: int) -> EvalSet:
    """The held-out pairs as an eval set: accuracy for each source."""
    return EvalSet(
        name=HOLDOUT, repo="", files=(), license=None, paper="", rows=rows, to_item=_no_row,
        trials=pair_trials, formulas=lambda subsets, _: _by_source(subsets),
    )  # fmt: skip


def _no_row(_: Row) -> Item:
    raise SkipRow("no_raw_rows")


def _by_source(subsets: Sequence[str]) -> tuple[Formula, ...]:
    return (pooled("all", subsets), *(pooled(name, [name]) for name in subsets))


# --- benchmarks


def benchmarks(names: Sequence[str], raw: Path | None, workspace: Workspace) -> list[Exam]:
    """The named benchmarks; without names, those whose files lie under `raw` or in the workspace.

    Raises ConfigError for a name that is none, RawError for one whose files are not there or damaged.
    """
    hashes = Hashes(workspace.cache)
    wanted = [evalsets.get(name) for name in dict.fromkeys(names or evalsets.names())]
    out = []
    for evalset in wanted:
        folder = _folder(evalset, raw, workspace)
        if folder is None and not names:
            continue
        if folder is None:
            where = workspace.raw(evalset.name)
            raise ConfigError(
                "--benchmark", f"no files of {evalset.name} in {where}", "", f"curate fetch {evalset.name}"
            )
        options = Options()
        questions = items.load(evalset, folder, options).questions
        asked = Asked(evalset=evalset, options=options, folder=folder, questions=questions)
        out.append(Exam(evalset=evalset, options=options, questions=questions,
                        items=items_file(asked, workspace, hashes)))  # fmt: skip
    return out


def _folder(evalset: EvalSet, raw: Path | None, workspace: Workspace) -> Path | None:
    there = fetched(workspace, evalset.name)
    places = [*([raw / evalset.name] if raw else []), *([there.directory] if there else []),
              workspace.raw(evalset.name)]  # fmt: skip
    patterns = evalset.layout(evalset.split_of(Options()))
    return next((place for place in places if any(any(place.glob(one)) for one in patterns)), None)
