"""Pairs with a reply that declines to answer (English)."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.steps.base import Scorer, drop_if

PREFACE = (
    r"(?:(?:unfortunately|however|well|hello|hi|oh|okay|ok|wow|look|honestly|no|nope)[,.!]? ?"
    r"|(?:i am|i'm) (?:(?:very|really|so|deeply|truly|afraid) )*(?:sorry|afraid)(?: but| that)?[,.:;!—-]* ?"
    r"|(?:my )?(?:sorry|apologies)[,.:;!—-]* ?"
    r"|i (?:sincerely |do )?apologi[sz]e(?: but| that)?[,.:;!—-]* ?"
    r"|as an? (?:ai|artificial intelligence|large|language|responsible)[a-z ,-]{0,60}?,? ?"
    r"|thank you for [a-z ,']{0,60}[,.!]? ?"
    r"|but,? ?)"
)
"""What may come before the refusal itself."""

ADVERB = r"(?: just| simply| really| definitely| absolutely| certainly)?"

CANNOT = (
    rf"(?: am|'m| are|'re)?{ADVERB} ?"
    r"(?:can't|cannot|can not|(?:couldn't|could not) (?:possibly|ever|in good)|won't|will not"
    r"|(?:must|have to|would have to) (?:decline|refuse)|decline|refuse to"
    r"|(?:do not|don't) feel comfortable|not comfortable|unable to|not able to|not allowed to"
    r"|not programmed (?:to|for)|not designed (?:to|for)"
    r"|not going to (?:answer|help|assist|tell you|give you|advise|provide|do that))\b"
)

ANSWER = (
    r"(?: to)?(?: in good conscience)?(?: directly)? ?"
    r"(?:answer(?:ing)?|comply|fulfil|fulfill|engage|participate|assist|help(?:ing)?(?: you| with)"
    r"|do (?:that|this|so)|support(?:ing)?|provid(?:e|ing)|creat(?:e|ing)|generat(?:e|ing)|writ(?:e|ing)"
    r"|giv(?:e|ing) (?:you|(?:any |that )?advice|instructions|any)|tell(?:ing)? you|advis(?:e|ing)"
    r"|recommend(?:ing)?|offer|share|sharing|discuss(?:ing)?|continue|complete|respond|promote|condone|encourage"
    r"|facilitate)"
)
"""What is declined, where there is no apology."""

OURS = r"(?: directly)? ?(?:answer|comply|assist|help you|help with|provide (?:you|that|this|any|instructions))"
"""What `we` decline: "we cannot create energy from nothing" is physics."""

REFUSE = (
    r"i (?:must|have to|would have to) (?:decline|refuse)|i refuse to (?:answer|help|assist|do|tell|give|provide)"
)

OUT_OF_BOUNDS = (
    r"(?:that's|that is|this is|it's|it is)(?: just| simply)? (?:not something (?:that )?i(?:'m| am| can)"
    r"|out of bounds|(?:outside|out|beyond)(?: of)? my (?:expertise|scope|bounds|ability|abilities)"
    r"|against my (?:rules|guidelines|programming|policy|policies|principles)"
    r"|not (?:the (?:type|kind|sort) of \w+ i(?:'m| am| can)))"
    r"|(?:this|that|it) isn't (?:something (?:that )?i(?:'m| am| can)|the (?:type|kind|sort) of \w+ i(?:'m"
    r"| am| can))"
)
"""What is declined for what it is."""

AFTER_A_CLAUSE = (
    r"[^.!?\n]*(?:, | [—-] ?|; )(?:and |but |so |that )?(?:i (?:can't|cannot|won't|will not)(?: really)?"
    r"|i(?:'m| am) not (?:comfortable|able to|allowed to|going to|willing to))"
    r"(?: be able to)? ?(?:speak to (?:that|what)|respond\b|answer(?:ing)?\b|help you\b|help with (?:that"
    r"|this)|assist (?:you|with)"
    r"|give (?:you )?(?:any )?advice|tell you\b|recommend(?:ing)?\b|support your)"
)
"""Where a clause comes first: "That's fine, but I won't give advice"."""

AFTER_A_SENTENCE = (
    r"[^.!?\n]*[.!] (?:but )?(?:[^.!?:\n]*: )?(?:i (?:can't|cannot|won't|will not)"
    r"|i(?:'m| am) not (?:able to|allowed to|going to|willing to))"
    r" (?:help you|help with (?:that|this)|assist (?:you|with)|answer (?:that|this|your)|tell you (?:how"
    r"|which|what|where)"
    r"|provide (?:you|that|this|any|instructions)|do that for you)\b"
)
"""Where a short sentence comes first: "You're welcome. But I will not tell you which"."""

APOLOGY_LATER = (
    r"[^\n]*[.!?] {1,2}(?:i'm |i am )(?:very |really |so )?(?:sorry|afraid),? (?:but )?i(?:'m not able to"
    r"|'m unable to"
    r"| can't| cannot| won't| will not) (?:help|answer|assist|tell you|provide|do that|do this)\b"
)
"""Where reasons come first, and then an apology."""

SHOULD_NOT = (
    r"(?:[^.!?\n]*,? (?:and|but|so) )?i don't think (?:that )?i should (?:help|answer|assist|tell you|provide)\b"
)

OPENING = "(?is)^[^a-z]{0,8}"

HARMLESS = (
    r"(?: quite| really| fully| entirely| just)? ?(?:understand|hear|make out|follow|agree|disagree|imagine"
    r"|believe|remember|recall|think of|wait|blame|thank|stress|emphasi[sz]e|overstate|help but|keep you|relate"
    r"|be more|recommend (?:[a-z']+ ){0,4}(?:enough|highly|more)|tell you how (?:much|happy|glad|sorry|many"
    r"|often))\b"
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


READ = 240
"""The characters of a reply in which a refusal must be; they also bound the work of the expressions above."""

HINTS = [
    *("can't", "can’t", "cannot", "can not", "n't possibly", "could not", "couldn", "won't", "won’t", "will not"),
    *("refuse", "decline", "comfortable", "unable", "not able", "not allowed", "programmed", "designed"),
    *(
        "not going",
        "not willing",
        "not something",
        "isn't",
        "isn’t",
        "not the ",
        "of bounds",
        " my ",
        "i should",
        "sorry",
    ),
]
"""A refusal has one of these: looking for them is cheap."""

REFUSAL = _pattern(
    f"(?:{PREFACE}+i{CANNOT}|{PREFACE}*(?:i{CANNOT}{ANSWER}|we{CANNOT}{OURS}|{REFUSE}|{OUT_OF_BOUNDS}"
    f"|{AFTER_A_CLAUSE}|{AFTER_A_SENTENCE}|{APOLOGY_LATER}|{SHOULD_NOT})|sorry,? (?:but )?no[.,!])"
)
ANSWERS = _pattern(f"(?:{PREFACE}*(?:i|we){CANNOT}(?:{HARMLESS}|{YET})|as an?{LISTED}(?:i|we){CANNOT})")


def refuses(text: pl.Expr) -> pl.Expr:
    """Whether a reply declines to answer."""
    opening = text.str.head(READ)
    opening = (
        pl.when(opening.str.contains_any(HINTS, ascii_case_insensitive=True)).then(opening).otherwise(pl.lit(""))
    )
    return opening.str.contains(REFUSAL) & ~text.str.contains(ANSWERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Reasons `refusal_chosen` and, where `rejected` is true, `refusal_rejected`.

    A refusal is "I cannot help with that" at the beginning of the reply, with or without an apology, clause or
    short sentence before it, or "I must refuse", "that's out of bounds". On 200 replies of real sets, read only
    after the expressions had been written it found 15 of 26 and nothing else (20 of 26 since).
    An apology alone is none ("I'm sorry to hear that"), nor is "I couldn't quite hear you" or an answer that comes
    after all ("I cannot write code. However, here is an example"). Straight and curly apostrophes count alike.
    """

    version: ClassVar[int] = 3
    rejected: bool = False

    def scorer(self) -> Scorer | None:
        """Nothing expensive."""
        return None

    def reason(self) -> pl.Expr:
        """`refusal_chosen`, `refusal_rejected`."""
        sides = ("chosen", "rejected") if self.rejected else ("chosen",)
        return pl.coalesce(drop_if(refuses(pl.col(f"{side}_text")), f"refusal_{side}") for side in sides)
