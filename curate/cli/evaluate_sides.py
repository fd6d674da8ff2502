"""The part of curate evaluate that reads what is evaluated: models, and files of scores or verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from curate.cli.output import say
from curate.errors import ConfigError
from curate.evaluation import score_file, verdict_file, verdicts
from curate.evaluation.ensembles import is_ensemble
from curate.evaluation.items import LoadedEvalSet
from curate.evaluation.score_file import Scored
from curate.evaluation.verdicts import Judged, Rule

COLUMNS = (
    "JSONL, CSV or Parquet with columns benchmark, item (a key) or row (from 1), candidate (from 0), score; or "
    "unscored, a reason, for an item without scores."
)
NAMED = 3  # items without a score that are named one by one


@dataclass(frozen=True, slots=True)
class SideOptions:
    """What is evaluated: one model or file, or two that are compared."""

    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="A reward model or an ensemble.yaml; it is scored first."),
    ] = None
    scores: Annotated[Path | None, typer.Option("--scores", metavar="FILE", help=COLUMNS)] = None
    verdicts_file: Annotated[
        Path | None, typer.Option("--verdicts", metavar="FILE", help=verdict_file.COLUMNS)
    ] = None
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", metavar="A B", help="Two of them, models or score files, to test B against A."),
    ] = None

    @property
    def given(self) -> bool:
        """Whether a model or a file is named."""
        return self.compare is not None or any(self._single.values())

    @property
    def _single(self) -> dict[str, Path | None]:
        return {"--model": self.model, "--scores": self.scores, "--verdicts": self.verdicts_file}

    def sides(self, *, ensemble: bool) -> tuple[Path, ...]:
        """The directories of models and the files of scores, verdicts or an ensemble; none for --ensemble.

        Raises ConfigError unless exactly one option names what is evaluated, and names what it is for.
        """
        options = [*self._single.items(), ("--compare", self.compare), ("--ensemble", ensemble)]
        named = [name for name, value in options if value]
        if len(named) != 1:
            found = " and ".join(named) + " given" if named else "no scores"
            expected = "one of --model DIR, --scores FILE, --verdicts FILE, --compare A B, --ensemble"
            raise ConfigError("evaluate", found, expected)
        for name, path in self._single.items():
            if path is not None:
                _check_kind(name, path)
        return self.compare or tuple(path for path in self._single.values() if path is not None)


def _check_kind(option: str, path: Path) -> None:
    """Raise ConfigError for a file where the option takes a model, and the reverse."""
    if option == "--model" and not (path.is_dir() or is_ensemble(path)):
        raise ConfigError(option, f"{path} is no directory", "a reward model's", "--scores takes a file")
    if option != "--model" and path.is_dir():
        raise ConfigError(option, f"{path} is a directory", "a file", "--model takes a reward model")
    if option == "--verdicts" and not verdict_file.is_verdicts(path):
        found = f"{path.name} has no column of verdicts"
        raise ConfigError(option, found, verdict_file.COLUMNS, "--scores takes scores")


def check_missing(sides: Sequence[Path], *, allow_missing: bool) -> None:
    """Raise ConfigError where items may be missing and no file is read that could lack them."""
    if allow_missing and all(side.is_dir() or is_ensemble(side) for side in sides):
        raise ConfigError("--allow-missing", "given without a file of scores", "--scores, --verdicts or --compare")


class Side(NamedTuple):
    """One of the models or files that are evaluated.

    By eval set: its file; scores; why items have none, by key; the verdicts of a judge of two replies, and which
    items the file does not have, both by the items' positions.
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
