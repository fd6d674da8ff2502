"""Processes that are ours alone, the command line and its workers: they start without what only others need.

Importing `curate` in another program changes nothing of this.
"""

import gc
import os
import sys


def start() -> None:
    """Begin a process, before numpy is loaded: collect no garbage until `loaded`, and let idle threads sleep.

    Looking for garbage among modules took .17 s of a start, threads of numpy's BLAS that spin .06 s, and
    pydantic's search of all installed packages for plugins .01 s.
    """
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # they wait 2**16 cycles for another call


def loaded() -> None:
    """Go on when the modules are loaded, which are never freed: from now on garbage is collected, without them.

    Without `start` before, as in a program that calls the command line itself, this changes nothing.
    """
    if gc.isenabled():
        return
    _arrow_without_pandas()
    gc.freeze()
    gc.enable()


class _NoPandas:
    """A finder that finds no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        """Raise ModuleNotFoundError for pandas; leave all else to the other finders."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _arrow_without_pandas() -> None:
    """Let Arrow, if it is loaded, make its first array as where pandas is not installed.

    For that array it looks once for pandas, to tell its series from lists: loading it takes .27 s. `to_pandas`
    looks again, and works.
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
