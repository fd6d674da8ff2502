"""Pairs with a reply without content."""

import re
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.steps.base import Scorer, drop_if
from curate.text.invisible import INVISIBLE

PLACEHOLDERS = (
    "n/a", "n/a.", "n.a.", "na", "none", "null", "nan", "tbd", "todo", "placeholder",
    "not applicable", "no response", "no response.", "no output", "no reply",
)  # fmt: skip
"""Texts that are used in place of a reply; case does not matter."""

IN_BRACKETS = (
    "deleted", "removed", "redacted", "empty", "blank", "none", "null", "nan", "n/a", "no content", "no data",
    "no input", "no output", "no response", "no answer", "no reply", "no text", "unk", "eos", "pad",
    "s", "|endoftext|", "|im_end|", "|eot_id|",
)  # fmt: skip
"""The same in any brackets, with or without spaces between the words; case does not matter."""

DOTS, DASHES = r"[.…。．・·⋯]+", r"[-–—―_]+"
NOTHING = rf"[\s{INVISIBLE}]*"
EMPTY = f"^{NOTHING}$"
PLACEHOLDER = (
    rf"(?i)^{NOTHING}(?:{'|'.join(map(re.escape, PLACEHOLDERS))}"
    rf"|[\[<({{【（]/?(?:{'|'.join(map(re.escape, IN_BRACKETS))})[\]>)}}】）]".replace(r"\ ", "[ _-]?")
    + f"|(?:{DOTS}|{DASHES})(?:{NOTHING}(?:{DOTS}|{DASHES}))*){NOTHING}$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyReply:
    """Reasons `empty` (nothing that shows) and `placeholder` ("N/A", "[deleted]", "....." and the like, no more).

    White space and invisible characters (see curate.text.invisible) show nothing. Replies with media are kept.
    """

    version: ClassVar[int] = 2

    def scorer(self) -> Scorer | None:
        """Nothing expensive."""
        return None

    def reason(self) -> pl.Expr:
        """`empty`, `placeholder`."""
        replies = pl.col("chosen_text"), pl.col("rejected_text")
        only_text = pl.col("reply_media") == 0
        empty = pl.any_horizontal(reply.str.contains(EMPTY) for reply in replies)
        placeholder = pl.any_horizontal(reply.str.contains(PLACEHOLDER) for reply in replies)
        return pl.coalesce(drop_if(only_text & empty, "empty"), drop_if(only_text & placeholder, "placeholder"))
