"""Processes that are ours alone, the command line and workers: they start without what only others need.

Importing `curate` in another program changes nothing of this.
"""

import gc
import os
import sys


def blas_sleeps() -> None:
    """Let the threads of numpy's BLAS sleep between calls: spinning took .06 s of each start. Before numpy
    loads."""
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # 2**16 cycles


class _NoPandas:
    """A finder that finds no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        """Raise ModuleNotFoundError for pandas; leave all else to the other finders."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def arrow_without_pandas() -> None:
    """Let Arrow take it that its first array is asked for where pandas is not installed, if Arrow is loaded.

    Its first array looks for pandas, to know its series as such, and loading it takes .27 s. `to_pandas` works as
    ever.
    """
    if "pyarrow" not in sys.modules or "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


def keep_loaded() -> None:
    """Exempt what is loaded from collection, and collect from now on: of modules nothing is ever freed."""
    gc.freeze()
    gc.enable()
