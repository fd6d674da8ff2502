"""Ensembles: several reward models that score as one, all together or each its own kind of items.

    method: accuracy                 how the weights were made: mean, accuracy or margin
    scale: raw                       or standardised
    members:                         or `routes:`, with such a list for each of text, image, video
    - model: ../runs/a/final         a model's directory, or `scores:` with a score file
      weight: 0.52
    - scores: b.jsonl
      weight: 0.48

A reply's score is the weighted mean of its members' scores, with `scale: standardised` of (score - mean) / std.
Paths are relative to the file.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import yaml

from curate import config
from curate.errors import ConfigError
from curate.evalsets.base import Item
from curate.workspace import atomic

Method = Literal["mean", "accuracy", "margin"]
Scale = Literal["raw", "standardised"]
Kind = Literal["text", "image", "video"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of an ensemble, or its score file: its weight, and the mean and deviation of its scores."""

    model: str | None = None
    scores: str | None = None
    weight: float = 1.0
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if (self.model is None) == (self.scores is None):
            raise ValueError("expected one of model and scores")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight: found {self.weight}; expected a finite number of at least 0")
        if not math.isfinite(self.mean):
            raise ValueError(f"mean: found {self.mean}; expected a finite number")
        if not 0 < self.std < math.inf:
            raise ValueError(f"std: found {self.std}; expected a finite number above 0")

    @property
    def path(self) -> Path:
        """The model's directory or the score file."""
        return Path(self.model or self.scores or "")

    @classmethod
    def of(cls, path: Path) -> "Member":
        """The member that a path names. Raises ConfigError for an ensemble, and where there is no file."""
        if is_ensemble(path):
            raise ConfigError(str(path), "an ensemble as a member", "models and score files", "name its members")
        if not path.exists():
            raise ConfigError(str(path), "no such file or directory", "a model's directory, or a score file")
        return cls(model=str(path)) if path.is_dir() else cls(scores=str(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The members of an ensemble: `members` score every item, or `routes` names those of each kind of items.

    `fitted` says on what weights, means and deviations were measured.
    """

    method: Method = "mean"
    scale: Scale = "raw"
    fitted: dict[str, Any] | None = None
    members: tuple[Member, ...] = ()
    routes: dict[str, tuple[Member, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.members) == bool(self.routes):
            raise ValueError("expected one of members and routes")
        for name, route in self.each.items():
            if name and name not in KINDS:
                raise ValueError(f"routes: found {name}; expected some of {', '.join(KINDS)}")
            _check_route(f"routes.{name}" if name else "members", route)

    @property
    def each(self) -> Mapping[str, tuple[Member, ...]]:
        """The members of each route; "" is the route of all items."""
        return self.routes or {"": self.members}

    @property
    def paths(self) -> list[Path]:
        """The members, each once."""
        return list(dict.fromkeys(member.path for route in self.each.values() for member in route))

    def route_of(self, kind: Kind) -> str | None:
        """The route of items of this kind, None if there is none; a video without its own goes where images go."""
        names = ("",) if self.members else (kind, "image") if kind == "video" else (kind,)
        return next((name for name in names if name in self.each), None)

    def route(self, kind: Kind) -> str:
        """The same. Raises ConfigError where there is none."""
        name = self.route_of(kind)
        if name is None:
            found = f"items of kind {kind}, and routes of {', '.join(self.routes)} alone"
            hint = f"--route {kind}=MEMBER"
            raise ConfigError("ensemble", found, "a route for every kind of items", hint)
        return name

    def without(self, path: Path) -> "Ensemble | None":
        """The ensemble without one member; None where a route would have none, or none with a weight."""
        left = {name: tuple(one for one in route if one.path != path) for name, route in self.each.items()}
        if not all(any(member.weight for member in route) for route in left.values()):
            return None
        return replace(self, members=left[""]) if "" in left else replace(self, routes=left)

    def mapped(self, route: str, members: Sequence[Member]) -> "Ensemble":
        """The ensemble with these members in one route."""
        if route == "":
            return replace(self, members=tuple(members))
        return replace(self, routes={**self.routes, route: tuple(members)})


def _check_route(where: str, route: Sequence[Member]) -> None:
    paths = [member.path for member in route]
    double = [str(path) for path in paths if paths.count(path) > 1]
    if double:
        raise ValueError(f"{where}: found {double[0]} twice; expected each member once")
    if not any(member.weight for member in route):
        raise ValueError(f"{where}: found no member with a weight; expected a weight above 0")


def kind_of(item: Item) -> Kind:
    """The kind of an item: video or image where its dialogue has one, else text."""
    blocks = {block.type for turns in (item.prompt, *item.replies) for turn in turns for block in turn.content}
    return "video" if "video" in blocks else "image" if "image" in blocks else "text"


def is_ensemble(path: Path) -> bool:
    """Whether a path names an ensemble's file: by its suffix, `.yaml` or `.yml`."""
    return path.suffix in SUFFIXES and not path.is_dir()


def read(path: Path) -> Ensemble:
    """The ensemble of a file, its members' paths as they are found from here. Raises ConfigError."""
    found = config.load(path, Ensemble)
    return _moved(found, lambda member: os.path.normpath(path.parent / member))


def write(path: Path, ensemble: Ensemble) -> None:
    """Publish an ensemble as a file; its members' paths become relative to it."""
    directory = path.absolute().parent
    moved = _moved(ensemble, lambda member: os.path.relpath(member, directory))
    with atomic(path) as temporary:
        temporary.write_text(yaml.safe_dump(plain(moved), sort_keys=False, allow_unicode=True), encoding="utf-8")


def plain(ensemble: Ensemble) -> dict[str, Any]:
    """The ensemble as its file has it: without what says nothing."""
    table: dict[str, Any] = {"method": ensemble.method, "scale": ensemble.scale}
    if ensemble.fitted:
        table["fitted"] = ensemble.fitted
    lists = {name: [_plain_member(one, ensemble.scale) for one in route] for name, route in ensemble.each.items()}
    return table | ({"members": lists[""]} if "" in lists else {"routes": lists})


def _plain_member(member: Member, scale: Scale) -> dict[str, Any]:
    left_out = ("mean", "std") if scale == "raw" else ()
    return {name: value for name, value in asdict(member).items() if value is not None and name not in left_out}


def _moved(ensemble: Ensemble, move: Any) -> Ensemble:
    def moved(member: Member) -> Member:
        where = move(member.path)
        return replace(member, model=where) if member.model is not None else replace(member, scores=where)

    for name, route in ensemble.each.items():
        ensemble = ensemble.mapped(name, [moved(member) for member in route])
    return ensemble


# --- scores


def combined(route: Sequence[Member], scores: Sequence[Sequence[float]]) -> list[float]:
    """The weighted mean of the members' scores of each reply: [members, replies] -> [replies]."""
    total = math.fsum(member.weight for member in route)
    return [
        math.fsum(
            member.weight * (score - member.mean) / member.std for member, score in zip(route, column, strict=True)
        )
        / total
        for column in zip(*scores, strict=True)
    ]


class Fit(NamedTuple):
    """What a member showed on held-out pairs; the margin is of its scores as they are combined."""

    path: Path
    accuracy: float
    margin: float
    mean: float
    std: float


def fit(path: Path, scores: Sequence[Sequence[float]], scale: Scale) -> Fit:
    """Measure a member on held-out pairs, each with the scores of its chosen and its rejected reply.

    Mean and standard deviation are over both replies of all pairs; with scale `raw` they are 0 and 1. Raises
    ConfigError where scores are all equal and have to be standardised.
    """
    mean, std = 0.0, 1.0
    if scale == "standardised":
        flat = [score for pair in scores for score in pair]
        mean = math.fsum(flat) / len(flat)
        std = math.sqrt(math.fsum((score - mean) ** 2 for score in flat) / len(flat))
        if std == 0:
            raise ConfigError(str(path), "all its scores of held-out pairs are equal", "scores that differ")
    margins = [(chosen - rejected) / std for chosen, rejected in scores]
    right = sum(margin > 0 for margin in margins)
    return Fit(path, right / len(margins), math.fsum(margins) / len(margins), mean, std)


def weighted(members: Sequence[Member], fits: Sequence[Fit], method: Method) -> list[Member]:
    """The members with the weights that a method gives them on held-out pairs: normalised, they add up to 1.

    `mean` gives all the same, `accuracy` each its accuracy, `margin` its mean margin. Raises ConfigError for a
    mean margin that is not above 0.
    """
    if method == "margin":
        for one in fits:
            if one.margin <= 0:
                found = f"a mean margin of {one.margin:.4g} on the held-out pairs"
                raise ConfigError(str(one.path), found, "one above 0", "leave it out, or --ensemble accuracy")
    raw = [1.0 if method == "mean" else cast(float, getattr(one, method)) for one in fits]
    total = math.fsum(raw)
    if total == 0:
        raise ConfigError("ensemble", "no member is right about any held-out pair", "an accuracy above 0")
    return [
        replace(member, weight=weight / total, mean=one.mean, std=one.std)
        for member, weight, one in zip(members, raw, fits, strict=True)
    ]


def names(paths: Sequence[Path]) -> dict[Path, str]:
    """Short names of members: the shortest end of each path that no other path has."""
    return {path: next(name for name in _ends(path) if _is_unique(name, path, paths)) for path in paths}


def _ends(path: Path) -> Iterator[str]:
    for length in range(1, len(path.parts) + 1):
        yield str(Path(*path.parts[-length:]))


def _is_unique(name: str, path: Path, paths: Sequence[Path]) -> bool:
    length = len(Path(name).parts)
    return name == str(path) or not any(
        other != path and other.parts[-length:] == path.parts[-length:] for other in paths
    )
