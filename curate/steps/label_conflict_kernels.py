"""Kernels that find the way back of every edge of a graph: one prompt may have tens of thousands of pairs."""

from typing import Any, NamedTuple

import numpy as np

from curate.compiled import compiled

NAMED = 12
"""How many edges of a way are named at most."""


class Graph(NamedTuple):
    """The edges that ways may lead over.

    worse         of each edge its worse reply
    first, last   of each reply its first and last edge that leads on, else -1
    after         of each edge the next one that leads on from the same reply, else -1
    """

    worse: Any
    first: Any
    last: Any
    after: Any


class Search(NamedTuple):
    """What a search has found, by reply: valid where `seen` is the edge that is searched for.

    came   the edge that led there
    depth  how many edges away it is
    queue  the replies in the order in which they were seen
    """

    came: Any
    depth: Any
    seen: Any
    queue: Any


@compiled
def ways_back(better: Any, worse: Any, ranks: Any, replies: int, whole: bool) -> Any:
    """Return for each edge the shortest way from its worse reply to its better one, by the earlier edge first.

    `better` and `worse` [n] are numbers below `replies`. Ways lead over the edges before that have no way back
    themselves; with `whole`, over all edges, each of which has one: none is searched beyond NAMED edges then.
    Else a search visits each edge once at most, so there may be n * n visits where cycles are long: about ten
    seconds for 50,000 pairs of one prompt that are a chain and its shortcuts back, less for other shapes tried.

    Lengths [n] are 0 where there is no way, NAMED + 1 where the search ended before; best [n] is the edge of the
    way with the smallest of `ranks` [n], else -1; named [n, NAMED] has its first edges, then -1.
    """
    n = len(better)
    lengths, best, named = np.zeros(n, np.int64), np.full(n, -1), np.full((n, NAMED), -1)
    graph = Graph(worse, np.full(replies, -1), np.full(replies, -1), np.full(n, -1))
    came, depth, seen, queue = np.full((4, replies), -1)
    search = Search(came, depth, seen, queue)
    for edge in range(n if whole else 0):
        _add(edge, better[edge], graph)
    for edge in range(n):
        _search(edge, better[edge], worse[edge], NAMED if whole else n, graph, search)
        reply = better[edge]
        if seen[reply] == edge:
            lengths[edge], best[edge] = depth[reply], came[reply]
            while depth[reply]:
                step = came[reply]
                if ranks[step] < ranks[best[edge]]:
                    best[edge] = step
                if depth[reply] <= NAMED:
                    named[edge, depth[reply] - 1] = step
                reply = better[step]
        elif whole:
            lengths[edge] = NAMED + 1
        else:
            _add(edge, reply, graph)
    return lengths, best, named


@compiled
def _add(edge: int, reply: int, graph: Graph) -> None:
    """Append the edge to those that lead on from the reply."""
    if graph.first[reply] < 0:
        graph.first[reply] = edge
    else:
        graph.after[graph.last[reply]] = edge
    graph.last[reply] = edge


@compiled
def _search(edge: int, end: int, start: int, most: int, graph: Graph, search: Search) -> None:
    """Search breadth first, until `end` is seen or `most` edges away."""
    came, depth, seen, queue = search
    seen[start], depth[start], queue[0] = edge, 0, start
    at, size = 0, 1
    while at < size and seen[end] != edge and depth[queue[at]] < most:
        reply = queue[at]
        at += 1
        step = graph.first[reply]
        while step >= 0:
            other = graph.worse[step]
            if seen[other] != edge:
                seen[other], depth[other], came[other] = edge, depth[reply] + 1, step
                queue[size] = other
                size += 1
            step = graph.after[step]
