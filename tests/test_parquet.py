"""A Parquet file that is missing or damaged is one error; a batch has a bounded size."""

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate import parquet
from curate.errors import WorkspaceError
from curate.text import buffers


def texts(path):
    return [batch.rows for batch in buffers.batches(path, ("prompt", "chosen", "rejected"))]


def test_a_missing_file_says_how_to_get_it(tmp_path):
    path = tmp_path / "part-00000.parquet"
    with pytest.raises(WorkspaceError) as error:
        texts(path)
    assert str(error.value) == f"{path}: no such file; expected a pairs file"
    assert error.value.hint == "run curate normalize again"


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_file_says_so_wherever_the_damage_is(tmp_path, cut):
    path = tmp_path / "part-00000.parquet"
    table = pa.table({"text": [hashlib.sha256(bytes([i])).hexdigest() for i in range(256)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    if cut:
        del data[-20:]
    else:
        middle = len(data) // 3
        data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(WorkspaceError) as error:
        list(parquet.batches(path, ["text"], 1 << 20, 100))
    assert str(error.value).startswith(f"{path}: damaged (")
    assert "\n" not in str(error.value)
    assert error.value.hint == "delete it and run again"


def test_a_column_that_is_not_there_is_damage(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with (
        pytest.raises(WorkspaceError, match=r"x.parquet: damaged \(.*\); expected a Parquet file"),
        parquet.opened(path, "a Parquet file") as file,
    ):
        file.read(columns=["a"])["b"]


def test_a_disk_error_is_not_damage(tmp_path):
    with pytest.raises(IsADirectoryError), parquet.checked(tmp_path):
        open(tmp_path)  # noqa: SIM115 - it raises


@pytest.mark.parametrize(
    ("most_bytes", "most_rows", "sizes"),
    [(1 << 30, 4, [4, 4, 2]), (1 << 30, 100, [10]), (1, 100, [1] * 10)],
)
def test_batches_are_bounded_by_rows_and_by_bytes(tmp_path, most_bytes, most_rows, sizes):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [f"{i:0100}" for i in range(10)]}), path)
    assert [batch.num_rows for batch in parquet.batches(path, ["a"], most_bytes, most_rows)] == sizes
    assert parquet.count_rows(path) == 10
