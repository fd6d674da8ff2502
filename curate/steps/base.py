"""What a step reads and returns.

A *row step* looks at one pair at a time and returns an expression over the VIEW columns: null keeps the pair,
a text is the reason. A *corpus step* looks at key columns of all kept pairs at once and returns decisions; where
keys are not enough it names *sketches* (see curate.steps.corpus), which are computed beforehand, and may read
those and the pairs files. A *score step* looks at the scores of the pairs of one pool. None of them filters,
counts or writes; `curate.screening.screen` does that, once, for all of them.

Steps are frozen dataclasses: their fields are what a recipe may set, their class name in snake_case is the name
they have in a recipe, and `version` goes up when a decision changes. Where it rests on something expensive
(a language, token counts), the step names a *scorer*; its columns are computed once per pairs file and cached, so
that changing a threshold costs nothing.

VIEW columns of a row step
    prompt_text, chosen_text, rejected_text   str   text of all turns (tool calls and reasoning too), by line
    breaks
    question                                  str   text of the last user turn of the prompt ("" if none)
    prompt_roles, chosen_roles, rejected_roles  list[str]
    chosen_key, rejected_key                  u64   equal where the replies are: roles, blocks and text
    media_blocks, media                       u32   image and video blocks in the dialogue; entries in `media`
    videos                                    u32   those of `media` that are videos
    reply_media                               u32   those of `media_blocks` that are in the two replies
    margin, chosen_score, rejected_score      f64   null when upstream has none
    chosen_critique, rejected_critique        str   null when upstream has none
    category, annotator, license              str   nullable

KEY columns of a corpus step, one row per kept pair
    index                                     u32   position among all pairs of the recipe; unique
    priority                                  u16   0 is the source that wins
    order                                     u64   keyed hash of the pair: larger wins inside one priority
    known                                     u8    how many of margin, scores and critiques the pair has
    prompt_key, chosen_key, rejected_key      u64   content, with the media and tools that it shows
    pool, part, position                      u16, u32, u32   the pair's row in `corpus.files()[pool][part]`
"""

from typing import ClassVar, Protocol

import polars as pl

from curate.steps.corpus import Corpus, Sketch

KEYS: dict[str, type[pl.DataType]] = {
    "index": pl.UInt32,
    "priority": pl.UInt16,
    "order": pl.UInt64,
    "known": pl.UInt8,
    "prompt_key": pl.UInt64,
    "chosen_key": pl.UInt64,
    "rejected_key": pl.UInt64,
    "pool": pl.UInt16,
    "part": pl.UInt32,
    "position": pl.UInt32,
}
"""The KEY columns with their types."""

DECISION = {
    "index": pl.UInt32,
    "reason": pl.String,
    "winner": pl.UInt32,
    "score": pl.Float64,
    "evidence": pl.String,
    "flag": pl.Boolean,
    "flip": pl.Boolean,
}
"""Columns of a corpus step's answer; winner is an `index`, null where there is none. The last five may be absent.

`evidence` is a short text for people: what was found where. A pair with a `flag` is kept, and what was found
is listed for review. A flag with a `flip` says that the replies of the pair change places in the shards. What a
score step finds may have a flag with a `weight`, the factor of the pair's loss in training.
"""


class Scorer(Protocol):
    """Computes expensive columns, a function of the view's text alone; a frozen dataclass too."""

    version: ClassVar[int]
    columns: ClassVar[dict[str, pl.DataType]]

    def score(self, view: pl.DataFrame) -> pl.DataFrame:
        """The `columns`, one row per row of the view."""
        ...


class RowStep(Protocol):
    """A step that judges one pair at a time."""

    version: ClassVar[int]

    def scorer(self) -> Scorer | None:
        """Return what computes the columns that `reason` needs beyond the VIEW, if any."""
        ...

    def reason(self) -> pl.Expr:
        """Return an expression over the columns of VIEW and scorer: null keeps, a text is the reason."""
        ...


class CorpusStep(Protocol):
    """A step that judges pairs against each other.

    One that looks at what images show has `pixels`, which is true: before it, pairs are dropped that show an image
    which cannot be decoded. One to which pairs with other prompt keys never matter has `apart`,
    which is true: it is given the pairs of some prompt keys at a time. Another may have `reads`, the names of the
    KEY columns that it needs besides `index`. One with `after_holdout`, which is true, is about training alone: it
    comes after all other steps, and what it decides does not hold for pairs that are held out.
    """

    version: ClassVar[int]

    def sketches(self) -> tuple[Sketch, ...]:
        """Return what must be computed of every pairs file before `decide` is called."""
        ...

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:
        """Return decisions (columns DECISION), in any order."""
        ...


class ScoreStep(Protocol):
    """A step that reads scores of pairs (curate.pairs.scores), after all others.

    It is given no pair that is held out, and none whose replies an earlier step exchanged: their scores are of the
    other preference.

    `scores` names them, and `wants` is the column of theirs that it cannot do without. With `at_random` as many
    pairs are treated as it would, whichever.
    """

    version: ClassVar[int]
    wants: ClassVar[str]

    @property
    def scores(self) -> str:
        """The name of the scores."""
        ...

    @property
    def at_random(self) -> bool:
        """Whether any pairs take the place of those that it finds."""
        ...

    def find(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Return what it finds in one pool: at, reason, score; and flag, flip and weight unless it drops that.

        `pairs` has the columns at, order (a keyed hash), chosen, rejected, margin and wrong; the last four are
        null where there is no score.
        """
        ...


Step = RowStep | CorpusStep | ScoreStep


def drop_if(condition: pl.Expr, reason: str) -> pl.Expr:
    """Return the reason where the condition holds, null elsewhere (also where the condition is null)."""
    return pl.when(condition).then(pl.lit(reason))
