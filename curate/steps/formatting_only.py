"""Pairs whose replies say the same in another layout."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.steps.base import Scorer, drop_if
from curate.text.invisible import bare, plain

SPACE = r"\s+"
MARKS = (
    (r"(?m)^[ \t]*(?:-{3,}|\*{3,}|_{3,}|={3,})[ \t]*$", ""),  # rules and underlined headings
    (r"(?m)^[ \t]*(?:(?:[-*+•]|#{1,6}|>+)[ \t]+)+", ""),  # bullets, headings, quotes, in any nesting
    (r"\B\*{1,3}([^\s*](?:[^*\n]*[^\s*])?)\*{1,3}\B", "$1"),  # emphasis, not 2*3 or a**b
    ("`+", ""),
)
"""What counts as a markdown mark, and what stays. Only signs that carry no meaning go: -5 is not 5."""

LOOKS = (16, 256)  # characters at the ends that rule most pairs out before a whole text is rewritten
EDGE = "".join(char for char in map(chr, range(0x3001)) if char.isspace()) + "*-_=#`>+•"  # all that ever goes
NOT_WORD = r"\W_"  # neither white space nor any mark is a word character, so words must agree


@dataclass(frozen=True, slots=True, kw_only=True)
class FormattingOnly:
    """Reasons `invisible`, `whitespace`, `markdown`: the replies are equal but for their layout.

    invisible    characters that do not show (see curate.text.invisible), and accents composed or not
    whitespace   these and white space
    markdown     these and marks

    Marks are emphasis by asterisks, back-ticks, and at line starts headings, bullets, quotes and rules. Replies
    that are equal already in every character and block are for `identical`; replies with media are kept.
    """

    version: ClassVar[int] = 2

    def scorer(self) -> Scorer | None:
        """Nothing expensive."""
        return None

    def reason(self) -> pl.Expr:
        """`invisible`, `whitespace`, `markdown`."""
        # an expression would rewrite every reply; map_batches lets the few candidates be picked out first
        replies = pl.struct("chosen_text", "rejected_text")
        same = replies.map_batches(_reasons, return_dtype=pl.String)
        differ = pl.col("chosen_key") != pl.col("rejected_key")
        return pl.when(differ & (pl.col("reply_media") == 0)).then(same)


def _reasons(replies: pl.Series) -> pl.Series:
    texts = replies.struct.unnest().with_row_index("at")
    chosen, rejected = pl.col("chosen_text"), pl.col("rejected_text")
    alike = texts
    for at_end in (False, True):
        alike = alike.filter(_same_edge(chosen, rejected, at_end=at_end))
    for look in LOOKS:
        alike = alike.filter(_agree(_words(chosen.str.head(look)), _words(rejected.str.head(look))))
        alike = alike.filter(_agree(_words(chosen.str.tail(look)), _words(rejected.str.tail(look)), at_end=True))
    left, right = pl.col("left"), pl.col("right")
    judged = alike.with_columns(left=plain(chosen), right=plain(rejected)).select(
        "at",
        pl.coalesce(
            drop_if((left == right) & (chosen != rejected), "invisible"),  # else the blocks differ
            drop_if(_squeeze(left) == _squeeze(right), "whitespace"),
            drop_if(_squeeze(_unmarked(left)) == _squeeze(_unmarked(right)), "markdown"),
        ).alias("reason"),
    )
    return texts.select("at").join(judged, on="at", how="left", maintain_order="left")["reason"]


def _squeeze(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(SPACE, "")


def _unmarked(text: pl.Expr) -> pl.Expr:
    for pattern, kept in MARKS:
        text = text.str.replace_all(pattern, kept)
    return text


def _same_edge(left: pl.Expr, right: pl.Expr, *, at_end: bool) -> pl.Expr:
    """Whether the first (last) characters that are never removed agree, or are too far in to be compared."""
    look = LOOKS[0]
    if at_end:
        edges = [bare(text.str.tail(look)).str.strip_chars_end(EDGE).str.tail(1) for text in (left, right)]
    else:
        edges = [bare(text.str.head(look)).str.strip_chars_start(EDGE).str.head(1) for text in (left, right)]
    return (edges[0] == edges[1]) | (edges[0] == "") | (edges[1] == "")


def _words(text: pl.Expr) -> pl.Expr:
    return bare(text, NOT_WORD)


def _agree(left: pl.Expr, right: pl.Expr, *, at_end: bool = False) -> pl.Expr:
    """Whether one of the two texts begins, or ends, with the other."""
    if at_end:
        return left.str.ends_with(right) | right.str.ends_with(left)
    return left.str.starts_with(right) | right.str.starts_with(left)
