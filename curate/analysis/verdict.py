"""The conclusions of an examination: what is wrong, how sure that is, and what to do about it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from curate.analysis.doctor import ALL, Examination
from curate.analysis.faults import CONTRADICTED, OVERUSED, REPEATED
from curate.analysis.tables import interval

FEWEST = 30
"""Clusters below which nothing is concluded."""
OPPOSED, COMMON, SHORTCUT = 0.5, 0.01, 0.6
"""Agreement below which sources contradict each other; pairs above which a fault counts; how often a ruler must
win."""

REMEDIES = {
    REPEATED: "the steps exact_duplicates and near_dedup keep one of them",
    CONTRADICTED: "the step label_conflicts decides which label stays",
    OVERUSED: "no step drops them: read some with curate show, and lower the quota of the source",
    "ties/tie": "the step ties drops them",
    "truncation": "train with a larger max_length, or drop them with the step truncation",
}
"""What to do about a fault that is not named after the step that drops it."""


class Concern(NamedTuple):
    """Something that may be wrong: what, how sure, what to do; `weight` orders concerns."""

    weight: float
    what: str
    sure: str
    remedy: str

    def lines(self) -> list[str]:
        """Itself in three lines."""
        return [f"wrong: {self.what}", f"sure:  {self.sure}", f"do:    {self.remedy}"]

    def to_dict(self) -> dict[str, str]:
        """Itself as JSON values."""
        return {"what": self.what, "sure": self.sure, "do": self.remedy}


def concerns(found: Examination) -> list[Concern]:
    """Return what the examination finds wrong, the gravest first: labels, then faults, then shortcuts.

    Only what a 95 % interval over FEWEST clusters or more makes likely counts.
    """
    listed = [*_disagreements(found), *_faults(found), *_shortcuts(found)]
    return sorted(listed, key=lambda concern: -concern.weight)


def verdict(found: Examination, top: int = 1) -> list[str]:
    """Return three lines for each of the `top` gravest concerns, and how many more there are."""
    listed = concerns(found)
    if not listed:
        pairs = sum(figures["pairs"] for label, figures in found["sources"].items() if label != ALL)
        return [
            "wrong: nothing that these checks look for",
            f"sure:  of {pairs:,} pairs; fewer than {FEWEST} clusters of a source say nothing",
            "do:    read some pairs: curate show",
        ]
    lines = [line for concern in listed[:top] for line in concern.lines()]
    rest = len(listed) - top
    return [*lines, f"{rest} more: --top {len(listed)} lists them"] if rest > 0 else lines


def _disagreements(found: Examination) -> Iterator[Concern]:
    for row in found["agreement"]:
        low, high = row["low"], row["high"]
        if row["left"] != row["right"] and high is not None and row["prompts"] >= FEWEST and high < OPPOSED:
            yield Concern(
                3 - row["share"],
                f"{row['left']} and {row['right']} prefer opposite replies: they agree in {row['share']:.0%} of "
                f"{row['agreeing'] + row['opposed']:,} comparisons that both have",
                f"95 % interval {low:.0%} to {high:.0%}, {row['prompts']:,} prompts",
                "one of them may have its columns swapped: read pairs of both with curate show",
            )


def _faults(found: Examination) -> Iterator[Concern]:
    for label, figures in _sources(found):
        for name, share in figures["faults"].items():
            if share["low"] is not None and share["low"] >= COMMON and share["clusters"] >= FEWEST:
                kind = name.partition("/")[0]
                yield Concern(
                    1 + share["value"],
                    f"{label}: {share['value']:.1%} of pairs have the fault {name} ({share['hits']:,} pairs)",
                    _sure(share),
                    REMEDIES.get(name) or REMEDIES.get(kind) or f"the step {kind} drops them",
                )


def _shortcuts(found: Examination) -> Iterator[Concern]:
    sources = list(_sources(found))
    intervals = sum(len(figures["rulers"]) for _, figures in sources)
    for label, figures in sources:
        for name, ruler in figures["rulers"].items():
            wins, differs = ruler["wins"], ruler["differs"]["value"]
            if (
                wins["low"] is None
                or wins["clusters"] < FEWEST
                or max(wins["value"], 1 - wins["value"]) < SHORTCUT
            ):
                continue
            if not (wins["low"] > 0.5 or wins["high"] < 0.5):
                continue
            share = max(wins["value"], 1 - wins["value"])
            yield Concern(
                abs(wins["value"] - 0.5) * differs,
                f"{label}: {_reply(name, more=wins['value'] > 0.5)} is preferred in {share:.0%} of the pairs "
                f"where they differ in it ({differs:.0%} of all); a reward model could learn this",
                f"{_sure(wins)}; {intervals:,} intervals are compared here, one in 20 misses by chance",
                f"ask whether it helps: curate ablate --recipe RECIPE --preset PRESET --dataset {label}",
            )


def _reply(ruler: str, *, more: bool) -> str:
    """The reply that a ruler prefers: `the longer reply`, `the reply with fewer list items`."""
    if ruler == "longer":
        return "the longer reply" if more else "the shorter reply"
    if ruler == "first":
        return "the reply that the judge saw first" if more else "the reply that the judge saw last"
    if ruler == "refusal":
        return "the reply that declines to answer" if more else "the reply that answers"
    if ruler == "as_an_ai":
        return "the reply that says 'as an AI'" if more else "the reply that does not say 'as an AI'"
    return f"the reply with {'more' if more else 'less'} {ruler.replace('_', ' ')}"


def _sources(found: Examination) -> Iterator[tuple[str, Examination]]:
    return ((label, figures) for label, figures in found["sources"].items() if label != ALL)


def _sure(share: Any) -> str:
    return f"95 % interval {interval(share)}, {share['clusters']:,} clusters"
