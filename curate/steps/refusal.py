"""Pairs with a reply that declines to answer (English)."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.steps.base import Scorer, drop_if

PREFACE = (
    r"(?:(?:unfortunately|however|well|hello|hi),? ?"
    r"|(?:i am|i'm) (?:(?:very|really|so|deeply|truly|afraid) )*(?:sorry|afraid)(?: but| that)?[,.:;!—-]* ?"
    r"|(?:my )?(?:sorry|apologies)[,.:;!—-]* ?"
    r"|i (?:sincerely |do )?apologi[sz]e(?: but| that)?[,.:;!—-]* ?"
    r"|as an? (?:ai|artificial intelligence|large|language|responsible)[a-z ,-]{0,60}?,? ?"
    r"|thank you for [a-z ,']{0,60}[,.!]? ?"
    r"|but,? ?)"
)
"""What may come before the refusal itself."""

CANNOT = (
    r"(?:i|we)(?: am|'m| are|'re)?(?: just| simply| really)? ?"
    r"(?:can't|cannot|can not|(?:couldn't|could not) (?:possibly|ever|in good)|won't|will not"
    r"|must decline|have to decline|decline"
    r"|(?:do not|don't) feel comfortable|not comfortable|unable to|not able to|not allowed to"
    r"|not programmed to|not designed to|not going to (?:answer|help|assist|tell you|do that))\b"
)

ANSWER = (
    r"(?: to)?(?: in good conscience)?(?: directly)? ?"
    r"(?:answer|comply|fulfil|fulfill|engage|participate|assist|help(?: you| with)|do (?:that|this|so)|support"
    r"|provid(?:e|ing)|creat(?:e|ing)|generat(?:e|ing)|writ(?:e|ing)|giv(?:e|ing) (?:you|advice|instructions|any)"
    r"|offer|share|discuss|continue|complete|respond|promote|condone|encourage|facilitate)"
)
"""What is declined, where there is no apology."""

OPENING = "(?is)^[^a-z]{0,8}"

HARMLESS = (
    r"(?: quite| really| fully| entirely| just)? ?(?:understand|hear|make out|follow|agree|disagree|imagine"
    r"|believe|remember|recall|think of|wait|blame|thank|stress|emphasi[sz]e|overstate|help but|keep you|relate"
    r"|be more)\b"
)
"""What nobody declines who cannot do it: those who have not heard, disagree, or can hardly wait."""

YET = (
    r"[^\n]{0,300}[.,;:!] ?(?:however|but|nevertheless|nonetheless|that said|still|instead),? "
    r"(?:here (?:is|are)|here's|below|based on|one (?:possible|way|option|approach|solution)|in general|generally"
    r"|according to|the following|some (?:experts|investors|people|sources|studies)"
    r"|i can (?:give|provide|offer|show|share) (?:you )?(?:with )?(?:an example|a sample|an outline"
    r"|(?:some )?(?:general )?guidance on how))\b"
)
"""How an answer goes on that only begins like a refusal."""

LISTED = r"[^.!?]{0,80}\b(?:things?|tasks?|what|why|if|when|where|ways?)(?: that)? "
"""Before `CANNOT`: the reply is about what cannot be done."""


def _pattern(words: str) -> str:
    """A regular expression in which apostrophes may be curly and spaces any white space."""
    return f"{OPENING}{words}".replace("'", "['’]").replace(" ", r"\s")


REFUSAL = _pattern(f"(?:{PREFACE}+{CANNOT}|{CANNOT}{ANSWER})")
ANSWERS = _pattern(f"(?:{PREFACE}*{CANNOT}(?:{HARMLESS}|{YET})|as an?{LISTED}{CANNOT})")


def refuses(text: pl.Expr) -> pl.Expr:
    """Whether a reply declines to answer."""
    return text.str.contains(REFUSAL) & ~text.str.contains(ANSWERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Reasons `refusal_chosen` and, where `rejected` is true, `refusal_rejected`.

    A refusal is "I cannot help with that" at the beginning of the reply, with or without an apology before it.
    An apology alone is none ("I'm sorry to hear that"), nor is "I couldn't quite hear you" or an answer that comes
    after all ("I cannot write code. However, here is an example"). Straight and curly apostrophes count alike.
    """

    version: ClassVar[int] = 2
    rejected: bool = False

    def scorer(self) -> Scorer | None:
        """Nothing expensive."""
        return None

    def reason(self) -> pl.Expr:
        """`refusal_chosen`, `refusal_rejected`."""
        sides = ("chosen", "rejected") if self.rejected else ("chosen",)
        return pl.coalesce(drop_if(refuses(pl.col(f"{side}_text")), f"refusal_{side}") for side in sides)
