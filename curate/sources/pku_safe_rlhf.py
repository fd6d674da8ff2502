"""PKU-SafeRLHF: two replies to one question with two labels by people, which is more helpful and which is safer.

The labels are independent and may contradict each other: `label` chooses the one that makes the pair, and the
other is kept in `extra`. `safer_response_id` is filled also where both replies are safe or both are not.

Evidence: columns by public code that reads the current revision (`better_response_id`, `safer_response_id`,
`is_response_0_safe`, `response_0_harm_category` with 19 flags, `response_0_severity_level`); an older revision
had a boolean `is_response_0_safer`, and reading it fails there. Files by the publisher's tree:
`data/<model>/train.jsonl` of Alpaca-7B, Alpaca2-7B and Alpaca3-8B. Unverified: the exact count, about 73.9k rows
of train. Only train is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, reply, text, user

COLUMNS = {"helpful": "better_response_id", "safe": "safer_response_id"}
OTHER = {
    "helpful": ("chosen_is_safer", "safer_response_id"),
    "safe": ("chosen_is_more_helpful", "better_response_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`label`: the preference that makes the pair, the more helpful reply or the safer one."""

    label: Literal["helpful", "safe"] = "helpful"


def to_pairs(row: Row, options: Options) -> Iterator[Draft]:
    """One pair a row. Skips: `label_unknown`."""
    best = row[COLUMNS[options.label]]
    if isinstance(best, bool) or best not in (0, 1):
        raise SkipRow("label_unknown", repr(best)[:80])
    yield Draft(
        prompt=user(text(row, "prompt")),
        chosen=reply(text(row, f"response_{best}")),
        rejected=reply(text(row, f"response_{1 - best}")),
        category=_harm(row.get(f"response_{1 - best}_harm_category")),
        extra=_extra(row, best, options.label),
    )


def _harm(flags: Any) -> str | None:
    """The harms of the rejected reply, by the names of the flags that are set."""
    found = [name for name, value in flags.items() if value is True] if isinstance(flags, dict) else []
    return ", ".join(found) or None


def _extra(row: Row, best: int, label: str) -> dict[str, Any]:
    name, column = OTHER[label]
    facts = {"label": label, "prompt_source": row.get("prompt_source"), name: _agrees(row.get(column), best)}
    for side, number in (("chosen", best), ("rejected", 1 - best)):
        facts |= {
            f"{side}_model": row.get(f"response_{number}_source"),
            f"{side}_is_safe": row.get(f"is_response_{number}_safe"),
            f"{side}_severity": row.get(f"response_{number}_severity_level"),
        }
    return {name: value for name, value in facts.items() if value is not None}


def _agrees(other: Any, best: int) -> bool | None:
    return None if isinstance(other, bool) or other not in (0, 1) else other == best


SOURCE = Source(
    repo="PKU-Alignment/PKU-SafeRLHF",
    files=("data/*/train.jsonl",),
    options=Options,
    license="cc-by-nc-4.0",
    annotator="human",
    paper="arXiv:2406.15513",
    reads=(
        "prompt",
        "prompt_source",
        "response_0",
        "response_1",
        "response_0_source",
        "response_1_source",
        "is_response_0_safe",
        "is_response_1_safe",
        "response_0_harm_category",
        "response_1_harm_category",
        "response_0_severity_level",
        "response_1_severity_level",
        "better_response_id",
        "safer_response_id",
    ),
    to_pairs=to_pairs,
)
