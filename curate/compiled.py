"""Compiles kernels, functions over arrays, to machine code: once for each version of them, not once per run.

Only modules that are called `*kernels.py` use it. They import numba, which takes half a second, so others import
them inside the functions that need them.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numba
import xxhash
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])

settings: Any = config
PACKAGE = Path(__file__).parent
IMPORT = re.compile(rb"^(?:from|import) curate\.([\w.]+)(?: import ([\w, ]+))?", re.MULTILINE)


def sources() -> list[Path]:
    """The modules whose content decides what the kernels do: all kernels, and what they import of this package."""
    kernels = sorted(PACKAGE.rglob("*kernels.py"))
    return sorted({Path(__file__), *kernels, *(path for kernel in kernels for path in _imported(kernel))})


def _imported(kernel: Path) -> Iterator[Path]:
    for module, names in IMPORT.findall(kernel.read_bytes()):
        place = PACKAGE.joinpath(*module.decode().split("."))
        paths = [place, *(place / name.strip() for name in names.decode().split(","))]
        yield from (path.with_suffix(".py") for path in paths if path.with_suffix(".py").is_file())


def _digest() -> str:
    """Identifies the content of `sources`: numba's own stamp covers one file, and kernels call those of others."""
    return xxhash.xxh3_64_hexdigest(b"\0".join(path.read_bytes() for path in sources()))


CACHE = PACKAGE / "__pycache__" / _digest()


def compiled(function: F) -> F:
    """Return the function as machine code that runs without the interpreter's lock, compiled on its first call.

    The code is cached beside the package where that can be written, else in the user's cache directory (numba's
    own choice); where neither can, the function is compiled in every process.
    """
    return _compiled(function)


def inlined(function: F) -> F:
    """Return the function as `compiled` does; in kernels its body takes the place of each call."""
    return _compiled(function, inline="always")


def _compiled(function: F, **options: Any) -> F:
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(CACHE)
    try:
        made: F = numba.njit(function, nogil=True, cache=True, **options)
    except RuntimeError:  # no directory can be written
        made = numba.njit(function, nogil=True, **options)
    finally:
        settings.CACHE_DIR = before
    return made
