"""One file per dataset, named as the source. A user's own sources are manifests that name an adapter."""

import importlib
import pkgutil
from pathlib import Path

from curate.config import did_you_mean
from curate.errors import ConfigError
from curate.sources.base import Source

HELPERS = {"arena", "base", "by_columns", "generic", "images", "messages", "ranking"}  # modules that adapters use


def names() -> list[str]:
    """The bundled sources, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in HELPERS)


def own(manifests: Path | None) -> dict[str, Path]:
    """The user's own sources: manifests in that directory that name an adapter."""
    if manifests is None or not manifests.is_dir():
        return {}
    from curate.sources import generic

    return generic.discover(manifests)


def get(name: str, manifests: Path | None = None, where: str = "source") -> Source:
    """The source of that name, the user's own before the bundled. Raises ConfigError with the closest names."""
    found = own(manifests)
    if name in found:
        from curate.sources import generic

        return generic.load(found[name])
    if name not in names():
        hint = did_you_mean(name, [*names(), *found], "curate sources lists them", most=3)
        raise ConfigError(where, f"no source is called {name!r}", "a bundled source or a manifest", hint)
    source: Source = importlib.import_module(f"curate.sources.{name}").SOURCE
    return source
