"""One file per reward benchmark; the file's name is the benchmark's name."""

import importlib
import pkgutil

from curate.config import did_you_mean
from curate.errors import ConfigError
from curate.evalsets.base import EvalSet

VERBS = {"base", "itemfile", "measures"}  # what benchmarks are written with


def names() -> list[str]:
    """The bundled benchmarks, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in VERBS)


def get(name: str, where: str = "--benchmark") -> EvalSet:
    """The benchmark of that name. Raises ConfigError with the closest names."""
    if name not in names():
        hint = did_you_mean(name, names(), f"there are {', '.join(names())}", most=3)
        raise ConfigError(where, f"no benchmark is called {name!r}", "a bundled benchmark", hint)
    evalset: EvalSet = importlib.import_module(f"curate.evalsets.{name}").EVALSET
    return evalset
