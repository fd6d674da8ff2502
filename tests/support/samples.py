"""The bundled samples and recipes, and a watcher of builds that says nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from curate.engines.base import Tick
from curate.mixing.quotas import Plan
from tests.support.paths import ROOT

SAMPLES, RECIPES = ROOT / "samples", sorted((ROOT / "recipes").glob("*.yaml"))


class Silent:
    def say(self, text: str) -> None:
        pass

    def plan(self, plan: Plan, basis: str) -> None:
        pass

    @contextmanager
    def progress(self, _stage: str, _total_bytes: int) -> Iterator[Callable[[Tick], None]]:
        yield lambda _tick: None
