"""Eval sets of one's own, without code: `evalsets/NAME.yaml` in a manifests directory, as sources have them.

An item is a row's right reply and its wrong ones. Items count under their `category`; those of one prompt, or of
one `group` where it is mapped, are one cluster. Every pattern of `files` is read.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import xxhash

from curate.errors import ConfigError, SkipRow
from curate.evalsets.base import EvalSet, Formula, Item, Options, mean, pair_trials, pooled
from curate.schema import MEDIA_BLOCKS, messages_digest
from curate.sources import generic
from curate.sources.base import Draft, Row

FOLDER = "evalsets"
ALL = "all"


def discover(manifests: Path | None) -> dict[str, Path]:
    """The users' eval sets of a manifests directory, by name; none if there is no such directory."""
    if manifests is None or not (manifests / FOLDER).is_dir():
        return {}
    return generic.discover(manifests / FOLDER)


def load(path: Path, bundled: Iterable[str]) -> EvalSet:
    """The eval set that a manifest describes. Raises ConfigError, also where a bundled one has its name."""
    if path.stem in bundled:
        raise ConfigError(str(path), f"the bundled eval set {path.stem} has this name", "another file name")
    source = generic.load(path)
    return EvalSet(
        name=path.stem,
        repo=source.repo,
        files=source.files,
        license=source.license,
        paper=source.paper,
        rows=0,
        to_item=OwnItem(source.to_pairs),
        trials=pair_trials,
        formulas=formulas,
        media=source.media,
        modality=source.modality,
        core=False,
        every_file=True,
        version=source.version,
    )


@dataclass(frozen=True, slots=True)
class OwnItem:
    """The item of a row by a generic adapter."""

    to_pairs: Callable[[Row], Iterable[Draft]]

    def __call__(self, row: Row) -> Item:
        """Skips: `no_pair`, `tie`, `several_right_replies`, `media_in_replies`, and those of the adapter."""
        drafts = list(self.to_pairs(row))
        if not drafts:
            raise SkipRow("no_pair")
        first = drafts[0]
        if any(draft.margin == 0 for draft in drafts):
            raise SkipRow("tie")
        if any((draft.prompt, draft.chosen) != (first.prompt, first.chosen) for draft in drafts):
            raise SkipRow("several_right_replies", "pairing: best_vs_worst gives one pair of a ranking")
        replies = (tuple(first.chosen), *(tuple(draft.rejected) for draft in drafts))
        if any(block.type in MEDIA_BLOCKS for reply in replies for turn in reply for block in turn.content):
            raise SkipRow("media_in_replies")
        prompt, category = tuple(first.prompt), first.category or ALL
        name = row.get("id")
        return Item(
            id="" if name is None else str(name), prompt=prompt, replies=replies, correct=(0,), category=category,
            subset=category, cluster=first.group or xxhash.xxh3_64_hexdigest(messages_digest(prompt)),
            media=tuple(first.media),
        )  # fmt: skip


def formulas(subsets: tuple[str, ...], _: Options) -> tuple[Formula, ...]:
    """The share over all items and, where there are several categories, of each and their mean."""
    parts = [f"category: {name}" for name in subsets]
    overall = pooled("overall", subsets)
    if len(subsets) < 2:
        return (overall,)
    return (
        overall,
        *(pooled(part, [name]) for part, name in zip(parts, subsets, strict=True)),
        mean("macro", parts),
    )
