"""Pairs with a reply that declines to answer (English)."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.steps.base import Scorer, drop_if

WORD = r"(?:however|well|hello|hi|oh|okay|ok|wow|look|honestly|no|nope|but)[,.!]? ?"
APOLOGY = (
    r"(?:unfortunately,? ?"
    r"|(?:i am|i'm) (?:(?:very|really|so|deeply|truly|afraid) )*(?:sorry|afraid)(?: but| that)?[,.:;!—-]* ?"
    r"|(?:my )?(?:sorry|apologies)[,.:;!—-]* ?"
    r"|i (?:sincerely |do )?apologi[sz]e(?: but| that)?[,.:;!—-]* ?"
    r"|as an? (?:ai|artificial intelligence|large|language|responsible)[a-z ,-]{0,60}?,? ?"
    r"|thank you for [a-z ,']{0,60}[,.!]? ?)"
)
PREFACE = f"(?:{WORD}|{APOLOGY})"
"""What may come before the refusal itself; after an APOLOGY it need not say what is declined."""

CANNOT = (
    r"(?: am|'m| are|'re)?(?: just| simply| really| definitely| absolutely| certainly)? ?"
    r"(?:(?:can't|cannot|can not|won't|will not)(?: and will not)?(?: be able to)?"
    r"|(?:couldn't|could not) (?:possibly|ever|in good)|(?:must|have to|going to have to) (?:decline|refuse)"
    r"|decline|refuse|would rather not|'d rather not|(?:do not|don't) feel comfortable|not comfortable|unable to"
    r"|not able to|not allowed to|not willing to|not programmed (?:to|for)|not designed (?:to|for)"
    r"|not going to(?: answer| help| assist| tell you| give you| advise| provide| do that)?)\b"
)

ANSWER = (
    r"(?: to)?(?: in good conscience)?(?: directly)? ?"
    r"(?:answer(?:ing)?|comply|fulfil|fulfill|engage|participate|assist|aid (?:you|in|with)|help"
    r"(?:ing)?(?: you| with)"
    r"|do (?:that|this|so)\b|support(?:ing)?|provid(?:e|ing)|creat(?:e|ing)|generat(?:e|ing)|writ(?:e|ing)"
    r"|giv(?:e|ing) (?:you|(?:any |that )?advice|instructions|any)|tell(?:ing)? you|advis(?:e|ing)|discuss(?:ing)?"
    r"|(?:offer|share|sharing) (?:that|this|it|any|such|advice|details|instructions|information|personal|medical"
    r"|legal|financial)|complete (?:that|this|the|your) (?:request|task|prompt)|with (?:that|this|it|your)"
    r"|continue|respond|promote|condone|encourage|facilitate)"
)
"""What is declined, where there is no apology."""

OURS = r"(?: directly)? ?(?:answer|comply|assist|help you|help with|provide (?:you|that|this|any|instructions))"
"""What `we` decline: "we cannot create energy from nothing" is physics."""

ALONE = (
    r"i(?: must|'m going to have to| have to| would have to) (?:decline|refuse)\s*(?:[.,!;]|$)"
    r"|sorry,? (?:but )?no[.!]"
)
"""What says no without saying to what."""

OUT_OF_BOUNDS = (
    r"(?:(?:that's|that is|this is|it's|it is)(?: just| simply)? not|(?:this|that|it) isn't)"
    r" (?:something|the (?:type|kind|sort) of \w+) (?:that )?i(?:'m| am| can)(?: able to| allowed to| prepared to"
    r"| willing to| going to)? ?(?:help|assist|share|discuss|provide|offer|answer|talk about|tell|engage|support"
    r"|comfortable)"
    r"|(?:that's|that is|this is|it's|it is) (?:out of bounds|none of my business"
    r"|(?:outside|out|beyond)(?: of)? my (?:expertise|scope|bounds|ability|abilities)"
    r"|against my (?:rules|guidelines|programming|policy|policies|principles))\b"
    r"|it (?:would not|wouldn't) be (?:appropriate|ethical|right) (?:for me )?to (?:answer|help"
    r"|assist|provide|share)"
)
"""What is declined for what it is."""

REQUEST = (
    r" ?(?:(?:help(?:ing)?|assist(?:ing)?)(?: you)?(?: with (?:this|that|it|your \w+))?"
    r"|answer(?:ing)?(?: (?:this|that|it|such|your|any)(?: \w+){0,2})?|do (?:this|that|it) for you"
    r"|giv(?:e|ing) (?:you )?(?:any )?advice|tell(?:ing)? you(?: (?:that|why)| (?:what|which|where"
    r"|how to)\b[^.!?\n]*)?"
    r"|recommending(?: \w+){1,3}|support(?:ing)? your \w+|respond)\s*(?:[.,!;:—-]|$)"
)
"""What is declined beyond the beginning: nothing follows in the clause that would make it something else."""

LATER = (
    rf"[^\n]*(?:[,;:.!?] {{1,2}}|[ ][—-] ?)(?:and |but |so |that )?(?:(?:i'm |i am )?(?:very |really "
    rf"|so )?sorry,? (?:but )?)?"
    rf"(?:i{CANNOT}|i don't think (?:that )?i should){REQUEST}"
)
"""Where reasons come first: "That's fine, but I won't give advice". "Sure. I can't help you choose" is none."""

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
    "can't",
    "can’t",
    "cannot",
    "can not",
    "could not",
    "couldn",
    "won't",
    "won’t",
    "will not",
    "refuse",
    "decline",
    "comfortable",
    "unable",
    "not able",
    "not allowed",
    "not willing",
    "not programmed",
    "not designed",
    "not going",
    "rather not",
    "not something",
    "isn't",
    "isn’t",
    "not the ",
    "of bounds",
    "my ",
    "i should",
    "be appropriate",
    "be ethical",
    "be right",
    "sorry",
    "none of",
]
"""A refusal has one of these: looking for them is cheap."""

REFUSAL = _pattern(
    f"(?:(?:{WORD})*{APOLOGY}{PREFACE}*(?:i|we){CANNOT}"
    f"|{PREFACE}*(?:i{CANNOT}{ANSWER}|we{CANNOT}{OURS}"
    f"|i don't think (?:that )?i should{ANSWER}|{OUT_OF_BOUNDS})|{ALONE})"
)
ANSWERS = _pattern(f"(?:{PREFACE}*(?:i|we){CANNOT}(?:{HARMLESS}|{YET})|as an?{LISTED}(?:i|we){CANNOT})")
REFUSAL_LATER = _pattern(LATER)
AGREES = _pattern(
    rf"(?:(?:sure|yes|yeah|yep|of course|certainly|absolutely|great|happy|gladly)\b"
    rf"|[^\n]*\bi{CANNOT}(?:{HARMLESS}|{YET}))"
)


def refuses(text: pl.Expr) -> pl.Expr:
    """Whether a reply declines to answer."""
    opening = text.str.head(READ)
    opening = (
        pl.when(opening.str.contains_any(HINTS, ascii_case_insensitive=True)).then(opening).otherwise(pl.lit(""))
    )
    begins = opening.str.contains(REFUSAL) & ~text.str.contains(ANSWERS)
    return begins | (opening.str.contains(REFUSAL_LATER) & ~opening.str.contains(AGREES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Reasons `refusal_chosen` and, where `rejected` is true, `refusal_rejected`.

    A refusal is "I cannot help with that" at the beginning of the reply, or after reasons where nothing follows in
    its clause, or "I must refuse", "that's out of bounds". On 200 replies of real sets, read only after the
    first expressions had been written, it found 15 of 26 and nothing else (20 of 26 since).
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
