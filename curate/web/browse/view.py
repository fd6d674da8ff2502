"""Which pairs a state shows, and how many have each value of each facet; kept for the next page."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from curate.arrays import B8, F32, U32
from curate.inspect.artefacts import Mix
from curate.pairs.files import column
from curate.web.browse.labelling import LabelBook, LabelFacet
from curate.web.browse.measures import RULER, ruler_difference, rulers_known
from curate.web.browse.search import Search
from curate.web.browse.state import PAGE, State
from curate.web.browse.table import Facet, PairTable, counts

T = TypeVar("T")
WAIT = 0.12  # seconds for which a page waits for a search
KEPT = 12  # lists of rows, orders and counts
SEARCHES = 3
LABEL = "label"


class Progress(NamedTuple):
    """How far a search has come, in pairs; `problem` says why it ended early."""

    done: int
    of: int
    problem: str


class Page(NamedTuple):
    """A page: the rows of its pairs, the number of all that fit, and how far the search is, if there is one."""

    rows: list[int]
    total: int
    progress: Progress | None


class _Cache:
    """The last `most` values by key; the least recently used is evicted. Safe for threads."""

    def __init__(self, most: int, on_evict: Callable[[Any], None] = lambda _: None) -> None:
        self._most, self._on_evict = most, on_evict
        self._values: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                found: T = self._values[key]
                return found
        made = make()
        with self._lock:
            self._values[key] = made
            while len(self._values) > self._most:
                self._on_evict(self._values.popitem(last=False)[1])
        return made


class View:
    """The pairs of a mix or a source as states show them. Safe for threads."""

    def __init__(self, table: PairTable, mix: Mix | None, book: LabelBook) -> None:
        self.table, self.mix, self.book = table, mix, book
        self.rulers = rulers_known(table)
        self._label_facet = LabelFacet(book, table)
        self._masks, self._orders, self._counts = _Cache(KEPT), _Cache(3), _Cache(200)
        self._searches = _Cache(SEARCHES, Search.stop)

    @property
    def orders(self) -> list[str]:
        """The names of all orders besides that of the mix or the files."""
        return [*self.table.numbers, *(f"{RULER}{name}" for name in self.rulers)]

    def facets(self) -> dict[str, Facet]:
        """The facets by name; that of labels changes as people label."""
        return {**self.table.facets, LABEL: self._label_facet.now()}

    def show(self, state: State) -> Page:
        """The page of a state, after a short wait where a search is not finished."""
        search = self._search(state)
        if search is not None:
            search.wait(WAIT, state.page * PAGE)
        rows = self._rows(state, search)
        first = (state.page - 1) * PAGE
        progress = None if search is None else Progress(search.done, len(search.hits), search.problem)
        return Page(rows[first : first + PAGE].tolist(), len(rows), progress)

    def facet_counts(self, state: State) -> Mapping[str, list[tuple[str, int]]]:
        """For each facet how many pairs have each value, of those that fit all the other filters."""
        search = self._search(state)
        found = {}
        for name, facet in self.facets().items():
            others = tuple((facet_name, value) for facet_name, value in state.filters if facet_name != name)
            labelled = self.book.version if name == LABEL else self._labels(others)
            key = (name, others, state.query, state.prompt, state.cluster, labelled)

            def make(facet: Facet = facet, others: tuple[tuple[str, str], ...] = others) -> list[tuple[str, int]]:
                return counts(facet, self._mask(State(filters=others, prompt=state.prompt, cluster=state.cluster),
                                                search))  # fmt: skip

            found[name] = make() if search is not None and not search.finished else self._counts.get(key, make)
        return found

    def _labels(self, filters: tuple[tuple[str, str], ...]) -> int:
        """The version of the labels that these filters look at; 0 where they look at none."""
        return self.book.version if any(name == LABEL for name, _ in filters) else 0

    def _search(self, state: State) -> Search | None:
        return self._searches.get(state.query, lambda: Search(self.table, state.query)) if state.query else None

    def _rows(self, state: State, search: Search | None) -> U32:
        """All rows of a state in its order."""
        key = (state.filters, state.query, state.order, state.prompt, state.cluster, self._labels(state.filters))

        def make() -> U32:
            order, mask = self._order(state.order), self._mask(state, search)
            return order if mask is None else order[mask[order]]

        return make() if search is not None and not search.finished else self._masks.get(key, make)

    def _mask(self, state: State, search: Search | None) -> B8 | None:
        """Which rows fit the filters, and are hits; None for all."""
        facets, masks = self.facets(), []
        for name, values in state.wanted.items():
            masks.append(_has(facets[name], values) if name in facets else np.zeros(len(self.table), np.bool_))
        if search is not None:
            masks.append(search.hits.copy())
        if state.prompt:
            masks.append(self._of_prompt(state.prompt))
        if state.cluster:
            masks.append(self._of_cluster(state.cluster))
        if not masks:
            return None
        for more in masks[1:]:
            masks[0] &= more
        return masks[0]

    def _of_prompt(self, pair_id: str) -> B8:
        mask = np.zeros(len(self.table), np.bool_)
        for row in self.table.rows_of(pair_id)[:1]:
            mask[self.table.same_prompt(row)] = True
        return mask

    def _of_cluster(self, pair_id: str) -> B8:
        """The pair, and those that lost to it."""
        mask = np.zeros(len(self.table), np.bool_)
        mask[self.table.rows_of(pair_id)] = True
        mask[self.losers(pair_id)] = True
        return mask

    def losers(self, pair_id: str) -> list[int]:
        """The rows of the pairs that lost to this one."""
        if self.mix is None:
            return []
        found: list[int] = []
        for label in self.table.pools:
            decided = column(self.mix.decisions(label), "winner", "part", "position")
            some = decided.filter(np.equal(decided["winner"].to_numpy(zero_copy_only=False), pair_id))
            first = self.table.labels.index(label)
            places = zip(some["part"].to_pylist(), some["position"].to_pylist(), strict=True)
            found += [int(self.table.starts[first + part]) + position for part, position in places]
        return found

    def values(self, order: str) -> F32 | None:
        """The number that an order goes by, of every pair; None where there is none of this name."""
        name = order.removeprefix("-")
        if name in self.table.numbers:
            return self.table.numbers[name]
        ruler = name.removeprefix(RULER)
        if name.startswith(RULER) and ruler in self.rulers:
            return self._orders.get(name, lambda: ruler_difference(self.table, ruler))
        return None

    def _order(self, order: str) -> U32:
        values = self.values(order)
        if values is None:
            return self.table.order
        down = order.startswith("-")
        # what is not a number is last in either direction
        return self._orders.get((order,), lambda: np.argsort(-values if down else values).astype(np.uint32))


def _has(facet: Facet, values: list[str]) -> B8:
    wanted = np.array([name in values for name in facet.names] or [False])
    mask: B8 = wanted[facet.codes]
    return mask
