"""What an eval set is: a row becomes an item, and scores of its replies become named numbers with counts.

Every official metric is written in two parts. `trials` compares scores and gives credits, each counted under a
subset; formulas then say which shares of credits the eval set reports. Formulas are linear in the subsets' means,
so that a bootstrap can evaluate them on thousands of resamples at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import xxhash

from curate.errors import SkipRow
from curate.schema import Block, Message, messages_digest
from curate.sources.base import MediaSource, Row, number, reply, text, user, with_media


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of an eval set: a prompt with its candidate replies.

    id        upstream's own, which may repeat; `key` is the handle that tells items apart
    correct   positions of the replies that are right; scores are given in the order of `replies`
    category  upstream's word for the kind of question; `subset` is what the metric counts the item under
    cluster   items of one cluster are not independent, so the bootstrap draws whole clusters
    critiques  what upstream says of each reply, None where it says nothing of one; () if it says nothing at all
    """

    id: str
    prompt: tuple[Message, ...]
    replies: tuple[tuple[Message, ...], ...]
    correct: tuple[int, ...]
    category: str
    subset: str
    cluster: str
    media: tuple[MediaSource, ...] = ()
    critiques: tuple[str | None, ...] = ()

    @property
    def key(self) -> str:
        """The id and a hash of prompt and replies, such as `mathverse_12#0f3a5b7c9d1e2f30`."""
        digest = xxhash.xxh3_64(messages_digest(self.prompt))
        for one in self.replies:
            digest.update(messages_digest(one))
        return f"{self.id}#{digest.hexdigest()}"

    @property
    def wrong(self) -> tuple[int, ...]:
        """Positions of the replies that are not right."""
        return tuple(i for i in range(len(self.replies)) if i not in self.correct)


Scores = Sequence[Sequence[float]]
"""For every item, in order, one finite score for every reply, in order."""


class Trial(NamedTuple):
    """One comparison: the credit it earned (0 to 1; a margin may be below 0) and whether scores were equal."""

    subset: str
    cluster: str
    credit: float
    tie: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A number that an eval set reports, from subsets' means and from formulas before it.

    pooled    mean over all trials of the named subsets; those without trials add nothing
    weighted  weighted mean of the named values; unknown where one of them is
    present   the same over those values that are known
    sum       the weighted sum, not divided by the weights; unknown where one of the values is
    given     (weight, value) pairs that enter `weighted` from outside
    """

    name: str
    terms: Mapping[str, float]
    kind: Literal["pooled", "weighted", "present", "sum"] = "pooled"
    given: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which of several ways to compute the published numbers of an eval set is used.

    split       one of the eval set's `splits`; None for its first
    prior_sets  RewardBench: a Prior Sets score (0 to 1), to get the overall of the older leaderboard as well
    """

    split: str | None = None
    prior_sets: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSet:
    """One reward benchmark: its files, its facts, its items and its metric.

    files     glob patterns relative to the raw directory; the first that matches gives the files, since the
              same eval set is shipped as Parquet by some and as JSON by others. `{split}` is a data split's name
    splits    what `Options.split` may name, the first by default: ways to sort the items into categories, or data
              splits that are files of their own
    rows      items as published, of the first split; 0 where that is unknown
    rows_of   items as published of the other data splits
    every_file  whether all patterns of `files` give files, and each must
    version   of a manifest that describes the eval set: it changes with what the manifest makes of a row
    core      whether `all` stands for it too, as for the seven that recipes are published against
    media     glob patterns of the archives and directories with media
    to_item   the item of a row; raises SkipRow for a row that is none
    trials    (items, scores) -> trials
    formulas  (subsets that have trials, options) -> what is reported; parts come before what is made of them
    headline  the one or two of these that the eval set is quoted by; all others are parts
    """

    name: str
    repo: str
    files: tuple[str, ...]
    license: str | None
    paper: str
    rows: int
    to_item: Callable[[Row], Item]
    trials: Callable[[Sequence[Item], Scores], list[Trial]]
    formulas: Callable[[tuple[str, ...], Options], tuple[Formula, ...]]
    headline: tuple[str, ...] = ("overall",)
    media: tuple[str, ...] = ()
    modality: Literal["text", "image", "video"] = "text"
    splits: tuple[str, ...] = ("official",)
    rows_of: Mapping[str, int] = field(default_factory=dict)
    core: bool = True
    every_file: bool = False
    version: int | None = None

    def split_of(self, options: Options) -> str:
        """The split that the options name; the first where they name none, or one of another eval set."""
        return options.split if options.split in self.splits else self.splits[0]

    @property
    def layouts(self) -> dict[str, tuple[str, ...]]:
        """The patterns of `files` for each data split; of one name where all splits are the same files."""
        names = (self.splits[0], *self.rows_of)
        return {name: tuple(pattern.replace("{split}", name) for pattern in self.files) for name in names}

    def published(self, split: str) -> int:
        """Items as published of one split."""
        return self.rows_of.get(split, self.rows)

    def layout(self, split: str) -> tuple[str, ...]:
        """The patterns of `files` for one split."""
        return self.layouts.get(split, self.layouts[self.splits[0]])


def pooled(name: str, subsets: Iterable[str]) -> Formula:
    """The share over all trials of the subsets."""
    return Formula(name=name, terms=dict.fromkeys(subsets, 1.0))


def mean(name: str, parts: Iterable[str]) -> Formula:
    """The plain mean of the parts, whatever their sizes."""
    return Formula(name=name, terms=dict.fromkeys(parts, 1.0), kind="weighted")


def beats(item: Item, scores: Sequence[float]) -> Trial:
    """Whether the lowest right reply scores strictly above the highest wrong one; equal scores are a wrong tie."""
    right, wrong = min(scores[i] for i in item.correct), max(scores[i] for i in item.wrong)
    return Trial(item.subset, item.cluster, float(right > wrong), right == wrong)


def pair_trials(items: Sequence[Item], scores: Scores) -> list[Trial]:
    """One strict comparison for each item."""
    return [beats(item, row) for item, row in zip(items, scores, strict=True)]


def texts(values: object, column: str) -> list[str]:
    """A list of replies. Skips: `<column>_not_a_list_of_texts`, `<column>_empty`."""
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise SkipRow(f"{column}_not_a_list_of_texts", type(values).__name__)
    if not values:
        raise SkipRow(f"{column}_empty")
    return list(values)


def name_of(row: Row, column: str) -> str:
    """An id as text, whether upstream counts or names. Skip `<column>_missing` where it is null."""
    value = row[column]
    if value is None:
        raise SkipRow(f"{column}_missing")
    return value if isinstance(value, str) else str(int(number(row, column)))


def question(row: Row, column: str) -> tuple[Message, ...]:
    """A prompt of one user turn."""
    return tuple(user(text(row, column)))


def with_its_media(
    prompt: Sequence[Message], media: Sequence[MediaSource]
) -> tuple[tuple[Message, ...], tuple[MediaSource, ...]]:
    """A prompt of one user turn with its media in place of its placeholders.

    No item is lost: where placeholders and media do not match, the text stays as it is, after the media.
    """
    try:
        turns, ordered = with_media(prompt, media)
    except SkipRow as skip:
        if skip.reason != "placeholder_mismatch":
            raise
        blocks = tuple(Block(item.kind, None) for item in media)
        return tuple(Message(turn.role, blocks + turn.content) for turn in prompt), tuple(media)
    return tuple(turns), tuple(ordered)


def answers(*contents: str) -> tuple[tuple[Message, ...], ...]:
    """Replies of one assistant turn each."""
    return tuple(tuple(reply(content)) for content in contents)
