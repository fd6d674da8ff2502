"""The part of curate evaluate that reads the items of eval sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from curate import evalsets
from curate.cli.options import InputOptions
from curate.cli.output import say
from curate.errors import ConfigError
from curate.evalsets.base import EvalSet, Options
from curate.evaluation import items
from curate.evaluation.items import EvalSetFolders, LoadedEvalSet

SPLIT = "VL-RewardBench: official, r1_reward or unified_reward categories. JudgeBench: gpt or claude replies."


@dataclass(frozen=True, slots=True)
class ItemOptions:
    """How the eval sets are read, where not as by default."""

    split: Annotated[
        list[str] | None, typer.Option("--split", metavar="NAME", help=SPLIT + " Repeat for several eval sets.")
    ] = None
    prior_sets: Annotated[
        float | None,
        typer.Option(
            "--prior-sets", min=0, max=100, help="RewardBench: Prior Sets in percent, for the older overall."
        ),
    ] = None

    def load(self, names: Sequence[str], places: InputOptions, *, compared: bool) -> list[LoadedEvalSet]:
        """The eval sets of these names, each once; says on stderr what of them is missing.

        Raises ConfigError for an unknown name or an option that none of them reads, RawError without raw files.
        """
        sets = [evalsets.get(name, manifests=places.manifests) for name in dict.fromkeys(names)]
        splits = _splits(sets, self.split or [])
        self._check_prior(sets, compared=compared)
        folders = places.inputs.eval_set_folders()
        prior = None if self.prior_sets is None else self.prior_sets / 100
        options = [
            Options(split=one.split_of(Options(split=splits.get(one.name))), prior_sets=prior) for one in sets
        ]
        return [_loaded(one, own, folders) for one, own in zip(sets, options, strict=True)]

    def _check_prior(self, sets: Sequence[EvalSet], *, compared: bool) -> None:
        """Raise ConfigError where Prior Sets are given and nothing reads them."""
        if self.prior_sets is None:
            return
        if "rewardbench" not in {one.name for one in sets}:
            raise ConfigError("--prior-sets", "given without rewardbench", "--eval-set rewardbench")
        if compared:
            raise ConfigError(
                "--prior-sets", "given with --compare", "one of them", "it is the score of one model"
            )


def _splits(sets: Sequence[EvalSet], given: Sequence[str]) -> dict[str, str]:
    """The split of each eval set that one is given for. Raises ConfigError for one of none, and for two of one."""
    known = list(dict.fromkeys(split for one in sets for split in one.splits))
    for split in given:
        if split not in known:
            named = ", ".join(one.name for one in sets)
            raise ConfigError("--split", f"found {split!r} for {named}", f"one of {', '.join(known)}")
    found: dict[str, str] = {}
    for one in sets:
        own = [split for split in dict.fromkeys(given) if split in one.splits]
        if len(own) > 1:
            raise ConfigError("--split", f"{' and '.join(own)} for {one.name}", "one of them")
        if own:
            found[one.name] = own[0]
    return found


def _loaded(evalset: EvalSet, options: Options, folders: EvalSetFolders) -> LoadedEvalSet:
    """The eval set as read; skipped rows, and a count that is not the published one, are reported on stderr."""
    folder = folders.locate(evalset.name)
    folders.check(evalset, folder, options)
    loaded = items.load(evalset, folder, options)
    count, published = len(loaded.items.items), evalset.published(str(options.split))
    for reason, rows in loaded.skipped.most_common():
        say(f"{evalset.name}: {rows:,} rows skipped: {reason}")
    if published and count != published:
        say(f"{evalset.name}: {count:,} items, {published:,} published: not the whole eval set")
    return loaded
