"""Tells stock replies: texts that assistants give to many questions, and that identify none of them."""

import re
from itertools import islice

MOST = 80
"""A reply of more words says something."""

SHARE = 0.9
"""A stock reply consists of STOCK words to this share, at least."""

WORDS = re.compile(r"[a-z]+")

STOCK = frozenset(
    """
    a able about above absolutely accurate additional address again against ai all allow allowed also always
    am an and another answer answers any anyone anything apologies apologize appreciate appropriate are as
    ask asking assist assistance assistant at available aware away based be because been before being
    believe best better both but by can cannot capable certain certainly clarify clear come comfortable
    comply concern concerns confusion consider contact contain content context continue conversation could
    couldn create current currently cutoff d data date day depend depends designed detail details did didn
    different difficult discuss do does doesn doing don done easy either else encourage engage enjoy enough
    ensure ethical even ever every everyone everything example experience experiences explain fact feel
    feelings few find first follow following for free friendly from fulfill full further future general
    generate get give given glad go goes going good great guidelines had happy hard harm harmful has have
    haven having he hear hello help helpful helping her here hesitate hi him his hope how however human i
    idea if ignore illegal image images important in inappropriate include individual inform information
    instead intended interesting into involve involves is isn issue issues it its itself just keep kind know
    knowledge language last later law laws learn legal let life like little ll look looking lot m made make
    many matter may me mean meaning mention message might mind mistake model models more most much must my
    myself name need needs never new nice no none not nothing now of offensive offer ok okay on once one
    only open opinion opinions opportunity or order other others our out over own particular people perhaps
    person personal please pleasure point policy polite position positive possible prefer programmed
    programming proper properly provide provided providing purpose purposes question questions rather re
    read ready real really reason reasons regarding relevant rely remember rephrase reply request requests
    respectful response responses right safe safety said same say see seek seems sense sensitive should
    shouldn similar simply since so some someone something sorry sort sounds speak specific standards still
    subject such suggest suitable support sure t take talk task tasks tell text than thank thanks that the
    their them then there these they thing things think this those thoughts through time to today together
    told too topic topics trained training true try trying turn type unable under understand understanding
    understood unfortunately up upon us use used useful user uses using varies various vary ve very violate
    violates want wanted was way ways we welcome well were what whatever when where whether which while who
    whole why will willing wish with within without won wonderful word words work world would wouldn write
    wrong yes yet you your yours yourself
    """.split()  # noqa: SIM905 - a list of 500 words
)
"""Words of English that are found in replies to any question; no word of a subject is among them."""


def is_stock(reply: str) -> bool:
    """Whether a reply, in English, has hardly a word that depends on what was asked."""
    words = [found[0] for found in islice(WORDS.finditer(reply.lower()), MOST + 1)]
    if not 0 < len(words) <= MOST:
        return False
    common = sum(word in STOCK for word in words)
    return len("".join(words)) > len(reply) / 2 and common >= SHARE * len(words)
