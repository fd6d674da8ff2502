"""The way back of every edge of a graph: compiled, as one prompt may have tens of thousands of pairs."""

from typing import Any

import numpy as np

from curate.compiled import compiled

SHOWN = 12
"""So many edges of a way are named."""


@compiled
def ways_back(better: Any, worse: Any, ranks: Any, replies: int, whole: bool) -> Any:
    """For each edge the shortest way from its worse reply to its better one, by the earlier edge first.

    `better` and `worse` [n] are numbers below `replies`. Ways lead over the edges before that have no way back
    themselves; with `whole`, over all edges, each of which has one: there none is looked for beyond SHOWN edges.
    Else a search looks at each edge once at most, so there may be n * n looks where cycles are long: about ten
    seconds for 50,000 pairs of one prompt that are a chain and its shortcuts back, less for other shapes tried.

    Returns lengths [n], 0 where there is no way, SHOWN + 1 where it was not looked for any further; best [n], the
    edge of the way with the smallest of `ranks` [n], else -1; and shown [n, SHOWN], its first edges, then -1.
    """
    n = len(better)
    lengths, best, shown = np.zeros(n, np.int64), np.full(n, -1), np.full((n, SHOWN), -1)
    first, last, after = np.full(replies, -1), np.full(replies, -1), np.full(n, -1)
    came, depth, seen, queue = np.full((4, replies), -1)
    for edge in range(n if whole else 0):
        _take(edge, better[edge], first, last, after)
    for edge in range(n):
        _search(
            edge, better[edge], worse[edge], SHOWN if whole else n, worse, first, after, came, depth, seen, queue
        )
        reply = better[edge]
        if seen[reply] == edge:
            lengths[edge], best[edge] = depth[reply], came[reply]
            while depth[reply]:
                step = came[reply]
                if ranks[step] < ranks[best[edge]]:
                    best[edge] = step
                if depth[reply] <= SHOWN:
                    shown[edge, depth[reply] - 1] = step
                reply = better[step]
        elif whole:
            lengths[edge] = SHOWN + 1
        else:
            _take(edge, reply, first, last, after)
    return lengths, best, shown


@compiled
def _take(edge: int, reply: int, first: Any, last: Any, after: Any) -> None:
    """Append the edge to those that lead on from the reply."""
    if first[reply] < 0:
        first[reply] = edge
    else:
        after[last[reply]] = edge
    last[reply] = edge


@compiled
def _search(
    edge: int, end: int, start: int, most: int, worse: Any, first: Any, after: Any,
    came: Any, depth: Any, seen: Any, queue: Any,
) -> None:  # fmt: skip
    """Breadth first, until `end` is seen or `most` edges away: `seen` is `edge` for replies that are."""
    seen[start], depth[start], queue[0] = edge, 0, start
    at, size = 0, 1
    while at < size and seen[end] != edge and depth[queue[at]] < most:
        reply = queue[at]
        at += 1
        step = first[reply]
        while step >= 0:
            other = worse[step]
            if seen[other] != edge:
                seen[other], depth[other], came[other] = edge, depth[reply] + 1, step
                queue[size] = other
                size += 1
            step = after[step]
