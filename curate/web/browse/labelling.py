"""The labels that people give on the page: in memory by pair, appended to the file; sides shuffled when blind."""

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xxhash

from curate.errors import ConfigError
from curate.labels import WORDS, Agreement, Label, Word, agreed, agreements, append_label, latest, now, read_labels
from curate.web.browse.table import Facet, PairTable

UNLABELLED = "not labelled"
DISAGREED = "labellers disagree"
NAMES = [UNLABELLED, *WORDS, DISAGREED]


class LabelBook:
    """The labels of a file. `version` goes up with each that is given here, or found there by `refresh`.

    Safe for threads of one process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = 0
        self._latest: dict[str, dict[str, Label]] = {}
        self._given: list[str] = []
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if others have changed it: another process labels too, or somebody deleted it.

        Raises ConfigError where a line is no label.
        """
        with self._lock:
            if (stamp := self._stamp_now()) == self._stamp:
                return
            found = latest(read_labels(self.path) if stamp else [])
            changed = [
                one for one in self._latest.keys() | found.keys() if self._latest.get(one) != found.get(one)
            ]
            self._latest, self._stamp = found, stamp
            self._given += changed
            self.version += len(changed)

    def _stamp_now(self) -> tuple[int, int, int] | None:
        """Which file it is, its size, and when it was written; None where there is none."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ConfigError(str(self.path), str(error.strerror).lower(), "a label file") from None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def add(self, pair_id: str, label: Word | None, note: str, who: str) -> None:
        """Append a label to the file. Raises ValueError for what may not be in one."""
        row = Label(pair_id=pair_id, label=label, note=note, who=who, when=now())
        with self._lock:
            before = self._stamp_now()
            size = append_label(self.path, row) + (before[1] if before else 0)
            if before == self._stamp and (after := self._stamp_now()) and after[1] == size:
                self._stamp = after  # no other process has written; otherwise it is read again
            self._latest[pair_id] = {**self._latest.get(pair_id, {}), who: row}
            self._given.append(pair_id)
            self.version += 1

    def of(self, pair_id: str) -> dict[str, Label]:
        """What each person says of a pair at last."""
        with self._lock:
            return self._latest.get(pair_id, {})

    def rows(self) -> list[Label]:
        """What each person says of each pair at last."""
        with self._lock:
            return [row for by in self._latest.values() for row in by.values()]

    @property
    def agreements(self) -> list[Agreement]:
        """The agreement of every two labellers."""
        return agreements(self.rows())

    def counts(self) -> dict[str, int]:
        """How many pairs each person has labelled."""
        return dict(sorted(Counter(row.who for row in self.rows() if row.label is not None).items()))

    def names(self, since: int | None) -> tuple[int, dict[str, str]]:
        """The version now, and the facet's value of each pair labelled after version `since`; None: of all."""
        with self._lock:
            changed = set(self._latest) if since is None else set(self._given[since:])
            of = {pair_id: self._latest.get(pair_id, {}) for pair_id in changed}
            version = self.version
        words = agreed(row for by in of.values() for row in by.values())
        return version, {pair_id: self._name(by, words.get(pair_id)) for pair_id, by in of.items()}

    @staticmethod
    def _name(by: Mapping[str, Label], word: Word | None) -> str:
        if not any(row.label for row in by.values()):
            return UNLABELLED
        return word or DISAGREED


class LabelFacet:
    """The labels of a book as a facet of one table, renewed as people label."""

    def __init__(self, book: LabelBook, table: PairTable) -> None:
        self._book, self._table = book, table
        self._codes = np.zeros(len(table), np.uint16)
        self._version: int | None = None
        self._lock = threading.Lock()

    def now(self) -> Facet:
        """The facet as of the last label."""
        with self._lock:
            if self._version != self._book.version:
                self._version, named = self._book.names(self._version)
                codes = {pair_id: NAMES.index(name) for pair_id, name in named.items()}
                self._table.put(self._codes, codes, str(self._book.path))
            return Facet(self._codes, NAMES)


def is_swapped(pair_id: str, who: str) -> bool:
    """Whether the rejected reply is at the left for this person when sides are shuffled: for half of the pairs."""
    return bool(xxhash.xxh3_64_intdigest(f"{pair_id} {who}".encode(errors="surrogatepass")) & 1)
