"""Array types by what their elements are (U8 ... F64; B8 are booleans), and typed ways out of Arrow and frames."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
B8 = npt.NDArray[np.bool_]


def integer(cell: object) -> int:
    """Return a whole number that came out of a frame, where types are lost. Raises TypeError for anything else."""
    if not isinstance(cell, int | np.integer):
        raise TypeError(f"{cell!r} is not a whole number")
    return int(cell)


def series(array: Any) -> pl.Series:
    """Return an Arrow array as a series, without a copy where its type allows."""
    made = pl.from_arrow(array)
    assert isinstance(made, pl.Series)
    return made


def frame(table: Any) -> pl.DataFrame:
    """Return an Arrow table or record batch as a frame, without a copy where its types allow."""
    made = pl.from_arrow(table)
    assert isinstance(made, pl.DataFrame)
    return made
