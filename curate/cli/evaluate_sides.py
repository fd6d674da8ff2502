"""The part of curate evaluate that reads what is evaluated: files of scores or verdicts, anyone's or a model's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from curate.cli.output import say
from curate.errors import ConfigError
from curate.evaluation import score_file, verdict_file, verdicts
from curate.evaluation.items import LoadedEvalSet
from curate.evaluation.score_file import Scored
from curate.evaluation.verdicts import Judged, Rule

NAMED = 3  # items without a score that are named one by one


class Side(NamedTuple):
    """One of those that are evaluated.

    By eval set: its file; scores; why items have none, by key; what a judge of two replies said, and which items
    the file does not have, both by the items' positions.
    """

    given: Path
    files: Mapping[str, Path]
    scores: dict[str, list[list[float]]]
    unscored: dict[str, dict[str, str]]
    judged: dict[str, Mapping[int, Judged]]
    missing: dict[str, list[int]]


def read_side(
    given: Path,
    files: Mapping[str, Path],
    loaded: Sequence[LoadedEvalSet],
    rule: Rule,
    *,
    allow_unscored: bool,
    allow_missing: bool,
) -> Side:
    """Read the files of one side, and say on stderr what of them is not used or counts as wrong.

    Raises what the readers raise, and ConfigError for a rule of reading texts where there are none.
    """
    side = Side(given, files, {}, {}, {}, {})
    for path in dict.fromkeys(files.values()):
        wanted = {one.evalset.name: one.items for one in loaded if files[one.evalset.name] == path}
        if path.is_file() and verdict_file.is_verdicts(path):
            if rule != "strict":
                raise ConfigError("--rule", f"{path.name} has verdicts, not texts", "a generative model")
            scored = verdict_file.read(path, wanted, allow_missing=allow_missing)
        else:
            scored = score_file.read(path, wanted, allow_unscored=allow_unscored, allow_missing=allow_missing)
        for name, count in scored.other.items():
            say(f"{path.name}: {count:,} scores of {name} not used")
        for name, items in wanted.items():
            side.scores[name], side.judged[name] = scored.scores[name], scored.judged[name]
            if rule == "r1_reward":
                read = items, scored.judged[name], scored.scores[name]
                side.scores[name] = verdicts.published_scores(name, *read)
            side.unscored[name] = {items.keys[at]: why for at, why in scored.unscored[name].items()}
            side.missing[name] = scored.missing[name]
            _name_lacking(path, name, scored, items.keys)
    return side


def _name_lacking(path: Path, name: str, scored: Scored, keys: Sequence[str]) -> None:
    unscored = [f"{keys[at]}: {why}" for at, why in scored.unscored[name].items()]
    missing = [keys[at] for at in scored.missing[name]]
    for listed, what in ((unscored, "unscored, counted as wrong"), (missing, "missing, left out")):
        if listed:
            first = "; ".join(listed[:NAMED]) + ("; ..." if len(listed) > NAMED else "")
            say(f"{path.name}: {name}: {len(listed):,} of {len(keys):,} items {what}: {first}")


def without_missing(
    loaded: Sequence[LoadedEvalSet], sides: Sequence[Side]
) -> tuple[list[LoadedEvalSet], list[Side], dict[str, list[str]]]:
    """The eval sets and sides without the items that one side does not have, and the keys of these by eval set.

    Two sides are so compared on the same items.
    """
    kept, left_out = {}, {}
    for one in loaded:
        name, places = one.evalset.name, range(len(one.items.items))
        gone = {at for side in sides for at in side.missing[name]}
        kept[name] = [at for at in places if at not in gone]
        left_out[name] = [one.items.keys[at] for at in sorted(gone)]
    return (
        [replace(one, items=one.items.at(kept[one.evalset.name])) for one in loaded],
        [_at(side, kept) for side in sides],
        left_out,
    )


def _at(side: Side, kept: Mapping[str, Sequence[int]]) -> Side:
    """The side at these positions of each eval set."""
    scores = {name: [side.scores[name][at] for at in places] for name, places in kept.items()}
    judged: dict[str, Mapping[int, Judged]] = {
        name: {new: side.judged[name][at] for new, at in enumerate(places) if at in side.judged[name]}
        for name, places in kept.items()
    }
    return side._replace(scores=scores, judged=judged)
