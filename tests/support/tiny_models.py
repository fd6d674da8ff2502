"""Tiny checkpoints for tests, each written once a session."""

import functools
import tempfile
from pathlib import Path

from trainer import tiny_models

_HOLDER = tempfile.TemporaryDirectory(prefix="curate-tiny-")


@functools.cache
def checkpoint(kind: str, seed: int = 0, hidden: int = 64, layers: int = 2) -> Path:
    """A directory with a tiny checkpoint of this kind; do not write into it."""
    name = f"{kind}-{seed}-{hidden}-{layers}"
    return tiny_models.save(kind, Path(_HOLDER.name) / name, seed=seed, hidden=hidden, layers=layers)
