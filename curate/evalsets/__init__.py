"""Eval sets (reward benchmarks): one file each, named as the eval set."""

import importlib
import pkgutil

from curate.config import did_you_mean
from curate.errors import ConfigError
from curate.evalsets.base import EvalSet

SHARED = {"base", "itemfile", "measures", "orders", "rmb"}  # modules that are no eval set


def names() -> list[str]:
    """The names of the bundled eval sets, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in SHARED)


def core() -> list[str]:
    """The eval sets that `all` stands for, sorted; every other one is named."""
    return [name for name in names() if get(name).core]


def get(name: str, where: str = "--eval-set") -> EvalSet:
    """The eval set of that name. Raises ConfigError with the closest names."""
    if name not in names():
        hint = did_you_mean(name, names(), f"there are {', '.join(names())}", most=3)
        raise ConfigError(where, f"no eval set is called {name!r}", "a bundled eval set", hint)
    evalset: EvalSet = importlib.import_module(f"curate.evalsets.{name}").EVALSET
    return evalset
