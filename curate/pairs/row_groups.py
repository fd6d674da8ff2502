"""Pairs -> row groups of a pairs file."""

from typing import Any

import numpy as np
import pyarrow as pa

from curate.arrays import I64


class RowGroups:
    """Writes pairs in row groups: one ends with the row with which it has `size` pairs."""

    def __init__(self, file: Any, size: int) -> None:
        self._file, self._size = file, size
        self._held: list[Any] = []
        self._count = 0

    def add(self, table: Any, numbers: I64) -> None:
        """Append the pairs of some rows; `numbers` are those of the rows."""
        while self._count + len(numbers) >= self._size:
            cut = int(np.searchsorted(numbers, numbers[self._size - self._count - 1], "right"))
            self._held.append(table.slice(0, cut))
            self.end()
            table, numbers = table.slice(cut), numbers[cut:]
        if len(numbers):
            self._held.append(table)
            self._count += len(numbers)

    def end(self) -> None:
        """Write what is held."""
        if self._held:
            self._file.write_table(pa.concat_tables(self._held).combine_chunks())
        self._held, self._count = [], 0
