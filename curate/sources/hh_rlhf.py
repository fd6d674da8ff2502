"""Anthropic HH-RLHF: transcripts that share a dialogue and differ in the last reply, chosen by crowd workers.

A side is one text, "\\n\\nHuman: ...\\n\\nAssistant: ...". Only those two marks, after an empty line, open a
turn: role words also occur inside turns ("... drag kings.  Human: Then how ..."). Measured on the 2,312 rows of
harmless-base test: 5 rows whose prompts differ, 4 empty last replies, 9 rows with two turns of one role in a
row. The first are skips; what is left of the others (four and four) are pairs, for the steps to judge.
`red-team-attempts` holds no preferences and is never read. The malformed mark "\\n\\nHum:" is left in the text:
what follows it may be anything.

Evidence: the files themselves (anthropics/hh-rlhf), and allenai/open-instruct
(scripts/data/preferences/hh-harmless.py), which drops what is a skip or a step's business here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curate.errors import RawError, SkipRow
from curate.schema import Message
from curate.sources.base import Draft, Row, RowFile, Source, text
from curate.sources.by_columns.base import DraftColumns, RowBatch, constant
from curate.sources.by_columns.messages import split_sides
from curate.sources.by_columns.transcripts import transcripts
from curate.sources.messages import split_turns, transcript

Subset = Literal["harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which directories to read, and which split of each."""

    subsets: tuple[Subset, ...] = ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")
    split: Literal["train", "test"] = "train"

    def __post_init__(self) -> None:
        if not self.subsets or len(set(self.subsets)) < len(self.subsets):
            raise ValueError("subsets must name at least one subset, each once")


def row_files(raw: Path, options: Options) -> list[RowFile]:
    """One file per subset. Raises RawError for a subset without its file."""
    out = []
    for subset in options.subsets:
        path = raw / subset / f"{options.split}.jsonl.gz"
        if not path.is_file():
            raise RawError(str(path), "no such file", f"the subset {subset}", "fetch it or take it out of subsets")
        out.append(RowFile(path=path, context={"subset": subset}))
    return out


def to_pairs(row: Row, _: Options) -> Iterator[Draft]:
    """One pair a row, its subset as category.

    Skips: `not_a_transcript` (no mark at the very start), `no_reply`, `prompts_differ`.
    """
    prompt, chosen, rejected = split_turns(_turns(row, "chosen"), _turns(row, "rejected"))
    yield Draft(prompt=prompt, chosen=chosen, rejected=rejected, category=row.context["subset"])


def _turns(row: Row, column: str) -> list[Message]:
    """The turns of a side; here the first mark stands after an empty line too."""
    side = text(row, column)
    if not side.startswith("\n\n"):
        raise SkipRow("not_a_transcript", repr(side)[:80])
    return transcript(side)


def columns(batch: RowBatch, _: Options) -> DraftColumns:
    """`to_pairs` by columns."""
    left, right = (transcripts(batch.texts(side)) for side in ("chosen", "rejected"))
    sides = split_sides(left, right, batch.all())
    return DraftColumns(**sides._asdict(), category=constant(batch.context["subset"], int(sides.fits.sum())))


SOURCE = Source(
    repo="Anthropic/hh-rlhf",
    row_files=row_files,
    options=Options,
    license="mit",
    annotator="human",
    paper="arXiv:2204.05862",
    reads=("chosen", "rejected"),
    to_pairs=to_pairs,
    columns=columns,
)
