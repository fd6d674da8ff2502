"""Lines of nested rows, read into types."""

import numpy as np
import pyarrow as pa
import pytest

from curate.rawfiles.column_use import ColumnUse
from curate.rawfiles.typed_json import TypedLines, nested_deep

TYPES = {"a": pa.string(), "list": pa.list_(pa.struct([("x", pa.float64()), ("skip", pa.null())]))}


def test_which_lines_may_be_too_deep():
    lines = [b"{}", b'{"a": ' + b"[" * 600 + b"]" * 600 + b"}", b'["[", {}]']
    data = np.frombuffer(b"\n".join(lines) + b"\n", np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    assert nested_deep(data, ends).tolist() == [False, True, False]


@pytest.mark.parametrize("block", [b"{}\n{}\n", b'{"other": 1}\n'])
def test_lines_without_a_column_that_is_read_are_left_to_the_row_reader(block: bytes):
    assert TypedLines(ColumnUse(), TYPES).read(block) is None


def test_lines_of_the_types_become_columns_and_others_nulls():
    use = ColumnUse()
    reader = TypedLines(use, TYPES)
    block = b"""{"a": "b", "odd name": [1], "list": [{"x": 1, "skip": {"y": []}}, null]}
{"a": 5, "odd name": 1, "list": null}
{"list": []}
{"a": "c", "new": 1}
"""
    batch = reader.read(block)
    assert batch.to_pydict() == {"a": ["b", None, None, None], "list": [[{"x": 1.0}, None], None, [], None]}
    assert [*use.seen] == ["a", "odd name", "list"], (
        "the column of the last line is noted when that is read by itself"
    )
    use.row({"new": 1})
    assert reader.read(block).to_pydict()["a"] == ["b", None, None, "c"]


@pytest.mark.parametrize("block", [b"\n", b"{}\n\n", b"{}", b"[]\n", b" {}\n"])
def test_lines_that_begin_no_object_are_left_to_the_reader_of_rows(block):
    assert TypedLines(ColumnUse(), TYPES).read(block) is None
