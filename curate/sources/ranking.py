"""From the scores of k replies to pairs: the three pairings.

best_vs_worst   one pair: the highest score against the lowest
all_unequal     every two replies whose scores differ
adjacent        neighbours in the order from best to worst, where their scores differ
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import Literal

import xxhash

from curate.errors import SkipRow

Pairing = Literal["best_vs_worst", "all_unequal", "adjacent"]


def pairings(scores: Sequence[float], how: Pairing, texts: Sequence[str] = ()) -> list[tuple[int, int]]:
    """(better, worse) positions, the best first; higher scores win, and equal scores never make a pair.

    Among replies of one score the one whose text has the smaller hash comes first, so that shuffling the
    replies upstream changes no pair; without `texts` their position decides. Where lower numbers are better,
    pass them negated. Skips: `fewer_than_two_replies`, `score_not_finite`, and `all_tied`: replies that
    all tie have no order, and a pair made of two of them would be an arbitrary one.
    """
    if len(scores) < 2:
        raise SkipRow("fewer_than_two_replies", f"{len(scores)}")
    if not all(isfinite(score) for score in scores):
        raise SkipRow("score_not_finite", repr(list(scores))[:80])
    if min(scores) == max(scores):
        raise SkipRow("all_tied", f"{len(scores)} replies score {scores[0]:g}")
    order = _best_first(scores, texts)
    if how == "best_vs_worst":
        # the worst is the first of its level too: which one comes last there would depend on how many tie
        return [(order[0], next(i for i in order if scores[i] == scores[order[-1]]))]
    if how == "adjacent":
        return [(i, j) for i, j in pairwise(order) if scores[i] > scores[j]]
    return [(i, j) for at, i in enumerate(order) for j in order[at + 1 :] if scores[i] > scores[j]]


def _best_first(scores: Sequence[float], texts: Sequence[str]) -> list[int]:
    if not texts:
        return sorted(range(len(scores)), key=lambda i: -scores[i])
    # the driver refuses text that is not Unicode; here its order must only be the same every time
    hashes = [xxhash.xxh3_64_intdigest(t.encode("utf-8", "surrogatepass")) for t in texts]
    return sorted(range(len(scores)), key=lambda i: (-scores[i], hashes[i], texts[i]))
