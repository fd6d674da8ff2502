"""Which pairs are held out: whole groups, and with them every pair about the same prompt, of any source.

Groups that share a prompt are one *cluster*, whatever upstream calls them: a prompt is in the holdout or in the
mix, never in both. Prompts are the same where their `prompt_key` is: texts, media and tools.
"""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import polars as pl

from curate.arrays import B8, I64, U64
from curate.errors import InfeasibleError
from curate.order import descending, order_key
from curate.recipe import Holdout, Recipe

VERSION = 2
"""Goes up when the same recipe holds out other pairs; part of the fingerprint of a mix that has a holdout."""

HOLDOUT_ORDER = 1 << 63
"""The number given to `order_key` for clusters: the order of a cluster is independent of that of its pairs."""


def hold_out(recipe: Recipe, frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.Series]:
    """For every pool, which of its rows are held out.

    `frames` have the key columns `group` and `prompt_key`. Clusters are gone through in keyed order; each is held
    out that still fits into the rows allowed of every source that it has rows of.
    """
    labels = [pool.label for pool in recipe.pools]
    sizes = [len(frames[label]) for label in labels]
    held: B8 = np.zeros(sum(sizes), np.bool_)
    if recipe.holdout is not None and len(held):
        numbers = {name: i for i, name in enumerate(dict.fromkeys(pool.source for pool in recipe.pools))}
        source = np.repeat([numbers[pool.source] for pool in recipe.pools], sizes)
        rows = pl.concat([frames[label].select("group", "prompt_key") for label in labels])
        cluster = clusters(rows["group"].to_numpy(), rows["prompt_key"].to_numpy())
        held = _held(cluster, source, _allowed(recipe.holdout, np.bincount(source)), recipe.seed)
    return {
        label: pl.Series(some, dtype=pl.Boolean)
        for label, some in zip(labels, np.split(held, np.cumsum(sizes)[:-1]), strict=True)
    }


def without_holdout(recipe: Recipe, pools: Mapping[str, int | None]) -> dict[str, int | None]:
    """Return the pairs per pool that a holdout of full size leaves; None where not known.

    What is held out of a source is taken from its pools in proportion. Raises InfeasibleError if nothing is left.
    """
    free = dict(pools)
    if recipe.holdout is None:
        return free
    for name in {pool.source for pool in recipe.pools}:
        labels = [pool.label for pool in recipe.pools if pool.source == name]
        sizes = [pools[label] for label in labels]
        known = np.array([size for size in sizes if size is not None], np.int64)
        if len(known) == len(sizes) and known.sum():
            allowed = min(int(_allowed(recipe.holdout, known.sum(keepdims=True))[0]), int(known.sum()))
            free |= {
                label: size - int(-(-allowed * size // known.sum()))
                for label, size in zip(labels, known.tolist(), strict=True)
            }
    check_rest(
        recipe,
        sum(size or 0 for size in pools.values()),
        sum(1 if size is None else size for size in free.values()),
    )
    return free


def check_rest(recipe: Recipe, pairs: int, left: int) -> None:
    """Raise InfeasibleError where a holdout takes all of so many pairs."""
    if recipe.holdout is not None and pairs and not left:
        raise InfeasibleError(
            f"{recipe.where}.holdout",
            f"takes all {pairs:,} pairs",
            "a mix with pairs in it",
            "hold out less, such as holdout: {share: 0.05}",
        )


def _allowed(holdout: Holdout, rows: I64) -> I64:
    """How many rows may be held out of each source, of which there are so many."""
    if holdout.rows_per_source is not None:
        return np.full(len(rows), holdout.rows_per_source, np.int64)
    share = Fraction(str(holdout.share))
    return np.array([int(share * count) for count in rows.tolist()], np.int64)


def clusters(group: U64, prompt: U64) -> U64:
    """Return the cluster of each row, named by the smallest of its groups."""
    shared = pl.col("prompt").is_duplicated()
    edges = pl.DataFrame({"group": group, "prompt": prompt}).filter(shared).unique().filter(shared)
    if edges.is_empty():
        return group
    names, at = np.unique(edges["group"].to_numpy(), return_inverse=True)
    prompts = np.unique(edges["prompt"].to_numpy(), return_inverse=True)[1]
    label = _joined(at, prompts)
    place = np.minimum(np.searchsorted(names, group), len(names) - 1)
    found: U64 = np.where(names[place] == group, names[label[place]], group)
    return found


def _joined(groups: I64, prompts: I64) -> I64:
    """The smallest group of the cluster of each group; a group and a prompt of one position belong together."""
    label = np.arange(int(groups.max()) + 1)
    while True:
        smallest = np.full(int(prompts.max()) + 1, len(label))
        np.minimum.at(smallest, prompts, label[groups])
        joined = label.copy()
        np.minimum.at(joined, groups, smallest[prompts])
        joined = joined[joined]  # so that a chain of groups takes few rounds
        if (joined == label).all():
            return label
        label = joined


def _held(cluster: U64, source: I64, allowed: I64, seed: int) -> B8:
    """Which rows are held out: those of the clusters that fit, in keyed order."""
    names, codes = np.unique(cluster, return_inverse=True)
    ranked = descending(order_key(names, names, seed, HOLDOUT_ORDER), lambda: (names,))
    rank = np.empty(len(names), np.int64)
    rank[ranked] = np.arange(len(names))
    lines, rows = np.unique(source * len(names) + rank[codes], return_counts=True)  # by source, then by rank
    fits = fitting(lines % len(names), lines // len(names), rows, allowed)
    held: B8 = fits[rank[codes]]
    return held


def fitting(rank: I64, source: I64, rows: I64, allowed: I64) -> B8:
    """Going through clusters in the order of their ranks, which fit into what is left of every source's `allowed`.

    A line (rank, source, rows) has the number of rows of one source in a cluster; by source, then by rank.
    """
    fits: B8 = np.zeros(int(rank.max(initial=-1)) + 1, np.bool_)
    left = allowed.copy()
    while len(rank):
        large = np.zeros(len(fits), np.bool_)
        large[rank[rows > left[source]]] = True
        rank, source, rows = (values[~large[rank]] for values in (rank, source, rows))
        sums = np.cumsum(rows)
        begins = np.append(0, sums)[np.searchsorted(source, source)]  # what earlier sources add up to
        over = sums - begins > left[source]
        first = int(rank[over].min()) if over.any() else len(fits)
        taken = rank < first
        fits[rank[taken]] = True
        left -= np.bincount(source[taken], rows[taken], len(left)).astype(np.int64)
        rank, source, rows = (values[~taken] for values in (rank, source, rows))
    return fits
