"""The file format of a min-hash sketch."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SLOTS = 128

ROW = np.dtype([("same", np.uint64), ("media", np.uint64), ("slots", np.uint16, (SLOTS,))])
"""One pair of a sketch file, 272 bytes.

same    equal where the shingles of the named sides are, each as often; a sum, so that order does not matter
media   equal where the media are, in their order; 0 where there are none
slots   16 bits of each least hash: two that are not equal look so once in 65,536 times
"""


def read(path: Path) -> npt.NDArray[Any]:
    """The ROWs of a sketch file, mapped and not copied."""
    rows: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    return rows
