"""pyarrow.compute, imported when a function of it is first called: a finished mix is found without it."""

from importlib import import_module
from typing import Any


class _Compute:
    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module("pyarrow.compute"), name)
        setattr(self, name, value)
        return value


pc: Any = _Compute()
"""The functions and options of pyarrow.compute."""
