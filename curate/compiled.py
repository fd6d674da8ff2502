"""Compiles functions over arrays to machine code, once per version of this package and not once per run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import xxhash
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])

settings: Any = config
HERE = Path(__file__).parent


def _digest() -> str:
    """The content of this package's modules: numba's own stamp would miss a kernel from another one."""
    sources = sorted(HERE.glob("*.py"))
    return xxhash.xxh3_64_hexdigest(b"\0".join(path.read_bytes() for path in sources))


CACHE = HERE / "__pycache__" / _digest()


def compiled(function: F) -> F:
    """The function as machine code that runs without the interpreter's lock, compiled on its first call.

    It is kept beside the module where that can be written, else in the user's cache directory (numba's own
    choice); where neither can, it is compiled in every process.
    """
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(CACHE)
    try:
        return _compiled(function)
    finally:
        settings.CACHE_DIR = before


def _compiled(function: F) -> F:
    try:
        made: F = numba.njit(function, nogil=True, cache=True)
    except RuntimeError:  # nowhere to keep it
        made = numba.njit(function, nogil=True)
    return made
