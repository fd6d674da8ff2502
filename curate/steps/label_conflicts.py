"""Pairs that contradict other pairs, of any source: A is better than B, and B, by way of none or more, than A."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl

from curate.arrays import I64
from curate.steps.base import DECISION
from curate.steps.corpus import Corpus, Sketch
from curate.steps.near_dedup import NearDedup
from curate.steps.near_keys import either_order_sketches, near_keys

Policy = Literal["drop_both", "keep_priority", "keep_majority"]
DECIDED = {name: DECISION[name] for name in ("index", "reason", "winner", "evidence")}
ROUNDS = 32
LEAST_OF = 8
"""Replies of a graph, at most, for which the fewest pairs that must go are computed."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConflicts:
    """Of pairs with one prompt and media whose preferences contradict each other, `policy` says which go.

    All pairs that prefer one reply to another are one *edge* of a graph of the replies to a prompt. Reasons:
    `reversed` where the opposite edge contradicts the pair, `cycle` where only a longer way does (A > B > C > A).

    policy: drop_both      every edge of a cycle goes, and nobody wins
    policy: keep_priority  edges are taken one by one, the one with the best pair (the smallest priority number,
                           then the larger order) first; an edge that would close a cycle with those taken goes,
                           and the best pair of that cycle is named as the winner
    policy: keep_majority  the same, but edges with more net votes come first (their pairs less those of the
                           opposite edge), then those with the best pair
    cycles                 false looks at opposite edges alone
    near                   0.8 counts pairs as comparisons of the same two replies where prompt, replies and media
                           are near-duplicates of at least this Jaccard similarity in either order, as `near_dedup`
                           finds them with its other settings; by default texts must be equal but for case and
                           white space

    Both `keep_` policies are greedy: what they keep has no cycle, and no dropped edge could be put back, but they
    may drop more pairs than the fewest that would do. Finding those is NP-hard (Karp 1972); among at most LEAST_OF
    replies it is done, and where more pairs go than need be, the evidence has both numbers.

    The evidence is a shortest cycle through the pair, or its first edges (`curate.steps.label_conflict_kernels`
    says how long that may take).

    Every pair that it sees is a vote, ties too unless `ties` comes before. For keep_majority it must come before
    `exact_duplicates`, which leaves one vote each; by default that also settles opposite pairs by priority (its
    reason `label_conflict`), and what comes later only finds longer cycles. After this step, `exact_duplicates`
    finds no conflict any more.
    """

    version: ClassVar[int] = 3
    policy: Policy = "keep_priority"
    cycles: bool = True
    near: float | None = field(default=None, metadata={"added": True})

    def __post_init__(self) -> None:
        _ = self._near

    @property
    def _near(self) -> NearDedup | None:
        return None if self.near is None else NearDedup(jaccard=self.near)

    @property
    def apart(self) -> bool:
        """Whether other prompts never matter: where near ones count, they do."""
        return self.near is None

    def sketches(self) -> tuple[Sketch, ...]:
        """None: key columns are enough, unless near ones count."""
        return either_order_sketches(self._near) if self._near else ()

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:
        """Return decisions about the pairs whose edge goes."""
        if self._near:
            keys = near_keys(keys, self._near, corpus)
        pairs = _trimmed(keys) if self.cycles else _opposed(keys)
        edges = _edges(pairs, [pool.label for pool in corpus.pools], by_votes=self.policy == "keep_majority")
        rows = [_Edge(*row) for row in edges.select(_Edge._fields).iter_rows()]
        lost = [one for graph in _graphs(rows, cycles=self.cycles) for one in _contradicted(graph, self.policy)]
        edges_lost = pl.DataFrame(lost, schema={"edge": pl.UInt32, **LOST}, orient="row")
        numbered = pairs.join(edges.select("edge", *EDGE), on=EDGE)
        return numbered.join(edges_lost, on="edge").select(
            pl.col(name).cast(kind) for name, kind in DECIDED.items()
        )


EDGE = ["prompt_key", "chosen_key", "rejected_key"]
LOST = {"reason": pl.String, "winner": pl.UInt32, "evidence": pl.String}


class _Edge(NamedTuple):
    """All pairs that prefer one reply to another; a smaller `edge` is a stronger one, `best` is its best pair."""

    edge: int
    prompt_key: int
    chosen_key: int
    rejected_key: int
    best: int
    best_rank: int
    votes: int
    sources: str


# ----------------------------------------------------------------------------------------------- all pairs at once


def _nodes(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs that may contradict another one, with a number for either reply to its prompt.

    Different replies rarely share a number, and then no harm is done: what is left over is looked at by keys.
    """
    several = pairs.filter(pl.col("prompt_key").is_duplicated() & (pl.col("chosen_key") != pl.col("rejected_key")))
    prompt = several["prompt_key"].to_numpy() * MULTIPLIER
    return several.with_columns(
        better=pl.Series(prompt ^ several["chosen_key"].to_numpy(), dtype=pl.UInt64),
        worse=pl.Series(prompt ^ several["rejected_key"].to_numpy(), dtype=pl.UInt64),
    )


def _trimmed(keys: pl.DataFrame) -> pl.DataFrame:
    """The pairs that may be on a cycle: those whose reply never loses, or never wins, are removed, round by round.

    After ROUNDS there may be more left than need be, which is not wrong.
    """
    pairs = _nodes(keys)
    for _ in range(ROUNDS):
        before = pairs.height
        pairs = pairs.join(pairs.select("worse").unique(), left_on="better", right_on="worse", how="semi")
        pairs = pairs.join(pairs.select("better").unique(), left_on="worse", right_on="better", how="semi")
        if pairs.height == before:
            break
    return pairs


def _opposed(keys: pl.DataFrame) -> pl.DataFrame:
    """The pairs whose opposite is there."""
    pairs = _nodes(keys)
    opposite = pairs.select("prompt_key", chosen_key="rejected_key", rejected_key="chosen_key")
    return pairs.join(opposite, on=EDGE, how="semi")


def _edges(pairs: pl.DataFrame, labels: list[str], *, by_votes: bool) -> pl.DataFrame:
    """The edges of these pairs, the strongest first; `sources` lists who prefers so, and how often."""
    ranked = pairs.sort("priority", "order", "index", descending=[False, True, False]).with_row_index("best_rank")
    names = pl.DataFrame(list(enumerate(labels)), schema={"pool": pl.UInt16, "label": pl.String}, orient="row")
    often = pl.when(pl.col("pairs") > 1).then(pl.format(" {}", "pairs")).otherwise(pl.lit(""))
    sources = (
        pairs.group_by(*EDGE, "pool")
        .agg(pairs=pl.len())
        .join(names, on="pool")
        .sort("pool")
        .group_by(EDGE, maintain_order=True)
        .agg(sources=(pl.col("label") + often).str.join(", "))
    )
    edges = ranked.group_by(EDGE, maintain_order=True).agg(
        pl.len().alias("votes"), pl.first("index").alias("best"), pl.first("best_rank")
    )
    opposite = edges.select("prompt_key", chosen_key="rejected_key", rejected_key="chosen_key", against="votes")
    edges = edges.join(opposite, on=EDGE, how="left").with_columns(
        net=pl.col("votes").cast(pl.Int64) - pl.col("against").fill_null(0)
    )
    order = ["net", "best_rank"] if by_votes else ["best_rank"]
    ordered = edges.join(sources, on=EDGE).sort(order, descending=[name == "net" for name in order])
    return ordered.with_row_index("edge")


# ------------------------------------------------------------------------------------------------ graph by graph


def _graphs(edges: Iterable[_Edge], *, cycles: bool) -> Iterator[list[_Edge]]:
    """The edges of each graph in which every edge is on a cycle, the strongest first."""
    prompts: dict[int, list[_Edge]] = {}
    for edge in edges:
        prompts.setdefault(edge.prompt_key, []).append(edge)
    for graph in prompts.values():
        group = _components(graph) if cycles else None
        found: dict[object, list[_Edge]] = {}
        for edge in graph:
            pair = edge.chosen_key, edge.rejected_key
            if group is None:
                found.setdefault((min(pair), max(pair)), []).append(edge)
            elif group[pair[0]] == group[pair[1]]:
                found.setdefault(group[pair[0]], []).append(edge)
        yield from found.values()


def _components(edges: Iterable[_Edge]) -> dict[int, int]:
    """For each reply one of its strongly connected component, by which that is known (Kosaraju, Sharir 1981)."""
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    for edge in edges:
        for reply in (edge.chosen_key, edge.rejected_key):
            after.setdefault(reply, [])
            before.setdefault(reply, [])
        after[edge.chosen_key].append(edge.rejected_key)
        before[edge.rejected_key].append(edge.chosen_key)
    component: dict[int, int] = {}
    for root in reversed(_finished(after)):
        stack = [root]
        while stack:
            reply = stack.pop()
            if reply not in component:
                component[reply] = root
                stack += before[reply]
    return component


def _finished(after: Mapping[int, list[int]]) -> list[int]:
    """The replies in the order in which a depth-first search leaves them."""
    order, seen = [], set()
    for root in after:
        stack = [(root, False)]
        while stack:
            reply, leaves = stack.pop()
            if leaves:
                order.append(reply)
            elif reply not in seen:
                seen.add(reply)
                stack.append((reply, True))
                stack += [(other, False) for other in after[reply] if other not in seen]
    return order


def _contradicted(graph: list[_Edge], policy: Policy) -> Iterator[tuple[int, str, int | None, str]]:
    """(edge, reason, winner, evidence) of the edges that go: those with a way back."""
    from curate.steps.label_conflict_kernels import ways_back  # numba

    numbers: dict[int, int] = {}
    better = np.array([numbers.setdefault(edge.chosen_key, len(numbers)) for edge in graph])
    worse = np.array([numbers.setdefault(edge.rejected_key, len(numbers)) for edge in graph])
    ranks = np.array([edge.best_rank for edge in graph])
    lengths, best, named = ways_back(better, worse, ranks, len(numbers), policy == "drop_both")
    least = _unneeded(graph, better, worse, lengths) if policy != "drop_both" else ""
    for at in np.flatnonzero(lengths).tolist():
        winner = None if policy == "drop_both" else graph[best[at]].best
        cycle = [graph[at], *(graph[i] for i in named[at].tolist() if i >= 0)]
        reason = "reversed" if lengths[at] == 1 else "cycle"
        yield graph[at].edge, reason, winner, _in_words(cycle, whole=len(cycle) > lengths[at]) + least


def _unneeded(graph: list[_Edge], better: I64, worse: I64, lengths: I64) -> str:
    """`; 3 pairs go, 1 would do` where the edges with a way back are not the fewest pairs; empty otherwise."""
    replies = int(max(better.max(), worse.max())) + 1
    if replies > LEAST_OF:
        return ""
    votes = [[0] * replies for _ in range(replies)]
    for edge, winner, loser in zip(graph, better.tolist(), worse.tolist(), strict=True):
        votes[winner][loser] = edge.votes
    gone = sum(edge.votes for edge, length in zip(graph, lengths.tolist(), strict=True) if length)
    least = _fewest(votes)
    return f"; {gone:,} pairs go, {least:,} would do" if gone > least else ""


def _fewest(votes: list[list[int]]) -> int:
    """The least number of votes that contradict an order of the replies, over all orders.

    By sets of replies: the worst of a set contradicts the votes that prefer it to the others (Lawler 1964).
    """
    least = [0] * (1 << len(votes))
    for members in range(1, len(least)):
        replies = [reply for reply in range(len(votes)) if members >> reply & 1]
        least[members] = min(
            least[members & ~(1 << worst)] + sum(votes[worst][other] for other in replies) for worst in replies
        )
    return least[-1]


def _in_words(cycle: list[_Edge], *, whole: bool) -> str:
    """The cycle as text, from the lost edge on: `prompt 00c0ffee00c0ffee: A > B (shp 2), B > A (hh_rlhf)`.

    Of a cycle that is not whole, the first edges.
    """
    names = ascii_uppercase[: len(cycle)]
    steps = zip(names, names[1:] + ("A" if whole else ascii_uppercase[len(cycle)]), cycle, strict=True)
    edges = ", ".join(f"{better} > {worse} ({edge.sources})" for better, worse, edge in steps)
    return f"prompt {cycle[0].prompt_key:016x}: {edges}" + ("" if whole else " and more")
