"""Work that threads do ahead of the one that takes its results."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(pool: ThreadPoolExecutor | None, work: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[R]:
    """Yield work(item) for every item, in order, with up to `most` more items in progress at a time.

    Without a pool the items are worked on as their results are taken.
    """
    if pool is None:
        yield from map(work, items)
        return
    pending: deque[Future[R]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > most:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
