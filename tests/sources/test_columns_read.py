"""A bundled source that declares the columns it reads (`Source.reads`) reads no other."""

import contextlib
from typing import Any

import pytest

from curate import sources
from curate.errors import SkipRow
from curate.rawfiles.row_files import row_files
from curate.rawfiles.rows import rows, slices
from curate.sources.base import Row
from tests.support.paths import ROWS


class NotedRow(Row):
    """A row that notes which columns are asked for."""

    def __init__(self, row: Row, read: set[str]) -> None:
        super().__init__(row)
        self.file, self.context, self.read = row.file, row.context, read

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def columns_read(name: str) -> set[str]:
    """The columns that a source reads in the rows of its tests, with its default options."""
    source, raw = sources.get(name), ROWS / name
    options, read = source.options() if source.options else None, set[str]()
    for part in slices(raw, row_files(source, raw, options)):
        for _, row in rows(part):
            if isinstance(row, Row):
                with contextlib.suppress(SkipRow):
                    list(source.to_pairs(NotedRow(row, read), *([options] if options else [])))
    return read


@pytest.mark.parametrize("name", [name for name in sources.names() if sources.get(name).reads is not None])
def test_only_declared_columns_are_read(name):
    assert columns_read(name) <= set(sources.get(name).reads or ())


def test_the_columns_that_a_source_reads_are_noted():
    assert columns_read("helpsteer3") >= {"context", "response1", "response2", "overall_preference"}
