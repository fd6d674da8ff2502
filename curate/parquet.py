"""Read Parquet files of a workspace: a missing or damaged one is an error, batches have a bounded size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import WorkspaceError

Kind = Literal["a pairs file", "a Parquet file"]

VERIFY = "curate verify names every file that differs"
HINTS: dict[Kind, tuple[str, str]] = {
    "a pairs file": ("run curate normalize again", "delete it and run again"),
    "a Parquet file": (VERIFY, VERIFY),
}
"""What to do where a file is missing, and where it is damaged."""


@contextmanager
def checked(path: Path, kind: Kind = "a pairs file") -> Iterator[None]:
    """Read the file inside this block: it raises WorkspaceError if the file is missing or damaged."""
    missing, damaged = HINTS[kind]
    try:
        yield
    except FileNotFoundError:
        raise WorkspaceError(str(path), "no such file", kind, missing) from None
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the bytes
            raise
        first = str(error).split("\n", 1)[0][:120]
        raise WorkspaceError(str(path), f"damaged ({first})", kind, damaged) from None


@contextmanager
def opened(path: Path, kind: Kind = "a pairs file", *, mapped: bool = False) -> Iterator[pq.ParquetFile]:
    """The open file. Raises WorkspaceError if it is missing or damaged, also while it is read.

    `mapped` saves a copy of the bytes of files that are not compressed.
    """
    with checked(path, kind), pq.ParquetFile(path, memory_map=mapped) as file:
        yield file


def count_rows(path: Path) -> int:
    """The number of rows of a pairs file. Raises WorkspaceError as `opened`."""
    with opened(path) as file:
        rows: int = file.metadata.num_rows
        return rows


def batches(
    path: Path, columns: Sequence[str], most_bytes: int, most_rows: int, kind: Kind = "a pairs file"
) -> Iterator[Any]:
    """Record batches of a file: at most `most_rows` rows, and about `most_bytes` by the widest row group.

    Raises WorkspaceError as `opened`.
    """
    with opened(path, kind) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        widest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
        rows = max(1, min(most_rows, int(most_bytes / max(widest, 1))))
        yield from file.iter_batches(rows, columns=list(columns))
