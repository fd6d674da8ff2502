"""HelpSteer2, preference subset: human preferences with a strength from -3 to 3; 0 is a tie.

Negative means response_1 is better. The subset is one file; the column `split` separates its train and
validation rows. Unverified: the `<extra_id_1>` markup of multi-turn prompts [U], and that rows of another split
than train are the validation prompts of the ratings set [U].

Evidence: the publisher's tree and loader (NVIDIA/NeMo-Aligner, examples/nlp/data/steerlm/
preprocess_helpsteer2_data.py) for the file, the column `split` and the sign of the strength.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from curate.errors import SkipRow
from curate.schema import Message
from curate.sources.base import Draft, Row, Source, message, number, reply, text

MARK = re.compile(r"\s*<extra_id_1>(User|Assistant)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`split`: rows of upstream's train split only, or all of them."""

    split: Literal["train", "all"] = "train"


def to_pairs(row: Row, options: Options) -> Iterator[Draft]:
    """One pair a row; a tie is a pair with margin 0.

    Skips: `other_split`, `strength_out_of_range`, `prompt_markup`.
    """
    if options.split == "train" and row["split"] != "train":
        raise SkipRow("other_split", repr(row["split"])[:80])
    strength = number(row, "preference_strength")
    if not -3 <= strength <= 3:
        raise SkipRow("strength_out_of_range", f"{strength:g}")
    first, second = reply(text(row, "response_1")), reply(text(row, "response_2"))
    chosen, rejected = (first, second) if strength <= 0 else (second, first)
    yield Draft(
        prompt=prompt_turns(text(row, "prompt")),
        chosen=chosen,
        rejected=rejected,
        margin=abs(strength),
        extra={"split": row["split"]},
    )


def prompt_turns(prompt: str) -> list[Message]:
    """A flattened prompt as turns: the user's first, then what each mark opens. Skips: `prompt_markup`."""
    first, *rest = MARK.split(prompt)
    turns = [message("user", first)]
    turns += [message(role.lower(), content) for role, content in zip(rest[::2], rest[1::2], strict=True)]
    if any("<extra_id_" in (turn.content[0].text or "") for turn in turns):
        raise SkipRow("prompt_markup", "a mark that opens no turn")
    return turns


SOURCE = Source(
    repo="nvidia/HelpSteer2",
    files=("preference/preference.jsonl.gz",),
    options=Options,
    license="cc-by-4.0",
    annotator="human",
    paper="arXiv:2410.01257",
    rows=7_118,
    pairs=6_766,
    max_skip=0.1,  # the validation rows are one in twenty
    reads=("split", "prompt", "response_1", "response_2", "preference_strength"),
    to_pairs=to_pairs,
)
