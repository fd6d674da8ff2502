"""Full-text search over all pairs: a pass over the pairs files in the background; hits are seen as they come."""

import re
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

import numpy as np

from curate import parquet
from curate.arrays import B8, series
from curate.errors import CurateError
from curate.mixing.shard_schema import SIDES
from curate.pairs.messages import Messages
from curate.web.browse.table import PairTable

CRITIQUES = ("chosen_critique", "rejected_critique")
WORKERS = 2
BATCH_ROWS = 512
LEAST_DIGITS = 6


def terms_of(query: str) -> list[str]:
    """The words of a query, and its parts in "quotes"; a pair has all of them."""
    return [quoted or word for quoted, word in re.findall(r'"([^"]+)"?|([^\s"]+)', query)]


def spellings(term: str) -> list[str]:
    """The term in the cases that it is likely to have; ASCII letters match in either case."""
    return [term] if term.isascii() else list(dict.fromkeys([term, term.lower(), term.upper(), term.title()]))


class Search:
    """The hits of one query: `hits` says of each row whether it is one, as far as the search has come.

    A pair is a hit where its prompt, replies and critiques together have every term, or where the query is the
    beginning of its id, of 6 digits or more.
    """

    def __init__(self, table: PairTable, query: str) -> None:
        self.hits: B8 = np.zeros(len(table), np.bool_)
        self.done = 0
        self.problem = ""
        self._table, self._terms = table, terms_of(query)
        self._lock = threading.Lock()
        self._stopped = False
        self._left: SimpleQueue[int] = SimpleQueue()
        for part in range(len(table.paths)):
            self._left.put(part)
        self._find_ids(query.strip().lower())
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        for thread in self._threads:
            thread.start()

    @property
    def finished(self) -> bool:
        """Whether all pairs were looked at."""
        return self.done >= len(self.hits)

    def stop(self) -> None:
        """End the search."""
        self._stopped = True

    def wait(self, seconds: float, enough: int) -> None:
        """Wait until so many hits are found, all pairs were looked at, or the time is up."""
        end = time.monotonic() + seconds
        while not (self.finished or self.problem) and time.monotonic() < end:
            if int(np.count_nonzero(self.hits)) >= enough:
                return
            time.sleep(0.01)

    def _find_ids(self, digits: str) -> None:
        if not LEAST_DIGITS <= len(digits) <= 32 or digits.strip("0123456789abcdef"):
            return
        low, high = (int(digits.ljust(32, fill), 16) for fill in "0f")
        upper, lower = self._table.id_hi, self._table.id_lo
        inside = (upper >= np.uint64(low >> 64)) & (upper <= np.uint64(high >> 64))
        rows = np.flatnonzero(inside)
        if len(digits) > 16:
            rows = rows[(lower[rows] >= np.uint64(low % 2**64)) & (lower[rows] <= np.uint64(high % 2**64))]
        self.hits[rows] = True

    def _work(self) -> None:
        try:
            while not self._stopped:
                self._search(self._left.get_nowait())
        except Empty:
            return
        except CurateError as error:
            self.problem = str(error)

    def _search(self, part: int) -> None:
        at = int(self._table.starts[part])
        with parquet.opened(self._table.paths[part]) as file:
            for group in range(file.num_row_groups):  # one at a time: a pass over all reads far ahead
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=[*SIDES, *CRITIQUES]):
                    if self._stopped:
                        return
                    self.hits[at : at + batch.num_rows] |= hits_in(batch, self._terms)
                    at += batch.num_rows
                    with self._lock:
                        self.done += batch.num_rows


def hits_in(batch: object, terms: Sequence[str]) -> B8:
    """Which pairs of a record batch have every term somewhere in their texts."""
    texts = [series(Messages(batch.column(side)).text()) for side in SIDES]  # type: ignore[attr-defined]
    texts += [series(batch.column(name)) for name in CRITIQUES]  # type: ignore[attr-defined]
    found = np.ones(len(texts[0]), np.bool_)
    for term in terms:
        some = np.zeros(len(found), np.bool_)
        for text in texts:
            if text.null_count() < len(text):
                hit = text.str.contains_any(spellings(term), ascii_case_insensitive=True)
                some |= hit.fill_null(False).to_numpy()
        found &= some
    return found
