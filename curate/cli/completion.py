"""What the Tab key offers for the names that commands take; imports nothing that reads data."""

from collections.abc import Callable, Iterable
from pathlib import Path

from typer import Context

from curate import bundled
from curate.workspace import Workspace

Complete = Callable[[Context, str], list[str]]


def recipes(_: Context, incomplete: str) -> list[str]:
    """Offer the recipes that have a name."""
    return _beginning(incomplete, bundled.named("recipe"))


def ablations(_: Context, incomplete: str) -> list[str]:
    """Offer the ablations that have a name."""
    return _beginning(incomplete, bundled.named("ablation"))


def mixes(ctx: Context, incomplete: str) -> list[str]:
    """Offer the finished mixes of the workspace: by recipe, and name@fingerprint once an @ is typed."""
    root = _workspace(ctx).root / "mixes"
    finished = [path.parent for path in root.glob("*/*/lock.json")]
    if "@" in incomplete:
        return _beginning(incomplete, (f"{path.parent.name}@{path.name[:8]}" for path in finished))
    return _beginning(incomplete, (path.parent.name for path in finished))


def sources(ctx: Context, incomplete: str) -> list[str]:
    """Offer sources, the user's own among them."""
    from curate import sources as known

    return _beginning(incomplete, [*known.names(), *known.own(_manifests(ctx))])


def eval_sets(ctx: Context, incomplete: str) -> list[str]:
    """Offer eval sets, the user's own among them."""
    from curate import evalsets

    return _beginning(incomplete, [*evalsets.names(), *evalsets.own(_manifests(ctx))])


def any_of(*offers: Complete) -> Complete:
    """Offer what any of these does."""

    def offer(ctx: Context, incomplete: str) -> list[str]:
        return _beginning(incomplete, (name for one in offers for name in one(ctx, incomplete)))

    return offer


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _workspace(ctx: Context) -> Workspace:
    return Workspace(Path(ctx.params.get("workspace") or "data"))


def _manifests(ctx: Context) -> Path:
    return Path(ctx.params.get("manifests") or "manifests")
