"""Skywork-Reward-Preference-80K v0.2: HelpSteer2, OffsetBias, WildGuard and Magpie pairs, curated.

v0.2 leaves out the Magpie pairs of v0.1 that overlap with RewardBench. Rows of `magpie_ultra` leak
chat-template tokens into their text [third-party code]; a reward model could learn the leak instead of the
answer, and what such a text would be without it is not known, so a dialogue with any such token is a skip by
default. Unverified: how many rows that is, which side it favours, and the licence [U].

Evidence: the card of v0.2 (columns, counts, what was removed); a public training script replaces the tokens in
`magpie_ultra` rows, and others read the two dialogues as they are.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from curate.errors import SkipRow
from curate.schema import Message
from curate.sources.base import Draft, Row, Source, text
from curate.sources.messages import split_dialogue

TOKENS = re.compile(r"<\|(?:im_start|im_end|im_sep|eot_id|eom_id|start_header_id|end_header_id|begin_of_text"
                    r"|end_of_text|endoftext)\|>")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`chat_tokens`: what becomes of a row whose text holds chat-template tokens."""

    chat_tokens: Literal["skip", "keep"] = "skip"


def to_pairs(row: Row, options: Options) -> Iterator[Draft]:
    """One pair a row, its part of the mixture as category. Skips: `chat_tokens`, those of `split_dialogue`."""
    prompt, chosen, rejected = split_dialogue(row["chosen"], row["rejected"])
    if options.chat_tokens == "skip":
        _check([*prompt, *chosen, *rejected])
    yield Draft(prompt=prompt, chosen=chosen, rejected=rejected, category=text(row, "source"))


def _check(messages: Sequence[Message]) -> None:
    for turn in messages:
        for block in turn.content:
            if found := TOKENS.search(block.text or ""):
                raise SkipRow("chat_tokens", found[0])


SOURCE = Source(
    repo="Skywork/Skywork-Reward-Preference-80K-v0.2",
    files=("data/train-*.parquet",),
    options=Options,
    paper="arXiv:2410.18451",
    rows=77_016,
    pairs=77_016,
    max_skip=0.35,  # magpie_ultra, where the tokens leak, is about three rows in ten
    reads=("chosen", "rejected", "source"),
    to_pairs=to_pairs,
)
