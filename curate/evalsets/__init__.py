"""Eval sets (reward benchmarks): one file each, named as the eval set. Users' own are manifests (by_manifest)."""

import importlib
import pkgutil
from pathlib import Path

from curate.config import did_you_mean
from curate.errors import ConfigError
from curate.evalsets.base import EvalSet

SHARED = {"base", "by_manifest", "itemfile", "measures", "orders", "rmb"}  # modules that are no eval set


def names() -> list[str]:
    """The names of the bundled eval sets, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in SHARED)


def core() -> list[str]:
    """The eval sets that `all` means, sorted; every other one has to be named."""
    return [name for name in names() if get(name).core]


def own(manifests: Path | None) -> dict[str, Path]:
    """The user's own eval sets of a manifests directory, by name."""
    from curate.evalsets.by_manifest import discover

    return discover(manifests)


def get(name: str, where: str = "--eval-set", manifests: Path | None = None) -> EvalSet:
    """The eval set of that name, bundled or the user's own. Raises ConfigError with the closest names."""
    found = own(manifests)
    if name in found:
        from curate.evalsets.by_manifest import load

        return load(found[name], names())
    if name not in names():
        known = [*names(), *found]
        hint = did_you_mean(name, known, f"there are {', '.join(known)}", most=3)
        raise ConfigError(where, f"no eval set is called {name!r}", "a bundled eval set or a manifest", hint)
    evalset: EvalSet = importlib.import_module(f"curate.evalsets.{name}").EVALSET
    return evalset
