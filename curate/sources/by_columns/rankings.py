"""Column functions over rankings: lists of scored replies, of which the best and the worst become a pair."""

from typing import Any

import numpy as np
import pyarrow as pa

from curate.arrays import B8, F64, I64


def widest(rankings: Any, scores: Any, plain: B8, fits: B8) -> tuple[B8, list[Any]]:
    """(which rows fit, the best replies of those and the worst): `best_vs_worst` where none tie at either end.

    rankings   a column of lists of replies
    scores     of all replies; `plain` says which of them are as they should be
    fits       rows that fit otherwise
    """
    starts = rankings.offsets.to_numpy().astype(np.int64)
    odd = np.concatenate([[0], np.cumsum(~plain)])
    fits = fits & rankings.is_valid().to_numpy(zero_copy_only=False) & (np.diff(starts) > 1)
    fits &= np.diff(odd[starts]) == 0
    rows = np.flatnonzero(fits)
    values: F64 = scores.fill_null(0).to_numpy(zero_copy_only=False)
    ends, alone = [], np.ones(len(rows), np.bool_)
    for signed in (values, -values):  # of replies that tie, their content decides: the adapter's business
        best, once = _first_best(signed, starts[rows], starts[rows + 1])
        ends.append(best)
        alone &= once
    fits[rows] = alone
    return fits, [pa.array(end[alone]) for end in ends]


def _first_best(values: F64, begins: I64, ends: I64) -> tuple[I64, B8]:
    """(where the largest value of each run is, whether it is there once)."""
    counts = ends - begins
    edges = np.concatenate([[0], np.cumsum(counts)])
    at = np.arange(edges[-1]) + np.repeat(begins - edges[:-1], counts)
    if not len(at):
        return at, np.ones(0, np.bool_)
    is_best = values[at] == np.repeat(np.maximum.reduceat(values[at], edges[:-1]), counts)
    times = np.add.reduceat(is_best.astype(np.int64), edges[:-1])
    run = np.repeat(np.arange(len(begins)), counts)[is_best]
    _, first = np.unique(run, return_index=True)
    return at[is_best][first], times == 1
