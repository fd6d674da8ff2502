"""Scores of ensembles: their members score the items of their routes, and the sums are a score file like any.

<workspace>/scores/ENSEMBLE-ID/EVALSET-ID.jsonl      written anew each time from the members' scores
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from curate.checksums import published
from curate.errors import ConfigError
from curate.evaluation import ensembles, held_out, score_file, score_model
from curate.evaluation.ensembles import KINDS, Ensemble, Fit, Kind, Member, Method
from curate.evaluation.items import KeyedItems, LoadedEvalSet
from curate.evaluation.score_model import Writing
from curate.hashing import Hashes, fingerprint
from curate.workspace import Workspace

PAIRS = 1000
"""How many held-out pairs weights are measured on, evenly over sources (BaseReward, section 5.2)."""


class ItemScores(NamedTuple):
    """Scores of items by their positions, and why others have none."""

    scores: dict[int, list[float]]
    unscored: dict[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Items to score, under the name of their eval set, and what writes the items file of some of them."""

    name: str
    items: KeyedItems
    file: Callable[[KeyedItems], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorers:
    """Where models are run: their items files and scores are kept in the workspace."""

    workspace: Workspace
    hashes: Hashes
    max_tokens: int

    def of(self, loaded: LoadedEvalSet) -> Questions:
        """The items of an eval set."""

        def file(items: KeyedItems) -> Path:
            return score_model.items_file(replace(loaded, items=items), self.workspace, self.hashes)

        return Questions(name=loaded.evalset.name, items=loaded.items, file=file)

    def of_held_out(self, files: Sequence[Path]) -> Questions:
        """The held-out pairs of a mix's files."""

        def file(items: KeyedItems) -> Path:
            return held_out.items_file(files, items, self.workspace.images, self.workspace.cache / "items")

        return Questions(name=held_out.HOLDOUT, items=held_out.load(files), file=file)

    def member(
        self, path: Path, questions: Iterable[Questions], wanted: Mapping[str, Sequence[int]]
    ) -> dict[str, ItemScores]:
        """A member's scores of the wanted positions of each of the questions, by name; a model is run for them.

        Raises RawError for a score file that lacks some, and what the scorer raises.
        """
        those = {one.name: one for one in questions if wanted.get(one.name)}
        if not path.is_dir():
            items = {name: one.items for name, one in those.items()}
            needed = {name: frozenset(wanted[name]) for name in those}
            found = score_file.read(path, items, allow_unscored=True, needed=needed)
            return {name: _at(wanted[name], wanted[name], found, name) for name in those}
        parts = {name: one.items.at(wanted[name]) for name, one in those.items()}
        wanted_files = {name: one.file(parts[name]) for name, one in those.items()}
        files = score_model.score_items(
            path, wanted_files, self.workspace, self.hashes, max_tokens=self.max_tokens
        )
        out = {}
        for name, part in parts.items():
            found = score_file.read(files[name], {name: part}, allow_unscored=True)
            out[name] = _at(wanted[name], range(len(part.items)), found, name)
        return out

    def identity(self, ensemble: Ensemble) -> str:
        """What an ensemble's scores depend on, besides the items."""

        def facts(member: Member) -> list[object]:
            path = member.path
            same = score_model.model_id(path, self.hashes) if path.is_dir() else self.hashes.of(path)
            return [same, member.weight, member.mean, member.std]

        return fingerprint({name: [facts(one) for one in route] for name, route in ensemble.each.items()})


def _at(positions: Sequence[int], places: Sequence[int], found: score_file.Scored, name: str) -> ItemScores:
    """What was read for the items at `positions`, which are at `places` in what was read."""
    scores, unscored = {}, {}
    for at, place in zip(positions, places, strict=True):
        if place in found.unscored[name]:
            unscored[at] = found.unscored[name][place]
        else:
            scores[at] = found.scores[name][place]
    return ItemScores(scores, unscored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """The members' scores of one eval set's items; `routes` has the route of each item."""

    routes: Sequence[str]
    members: Mapping[Path, ItemScores]

    def scores(self, ensemble: Ensemble) -> ItemScores:
        """The ensemble's scores; an item that a member of its route cannot score has none."""
        labels = ensembles.names(ensemble.paths)
        whole = ItemScores({}, {})
        for at, name in enumerate(self.routes):
            route = [member for member in ensemble.each[name] if member.weight]
            lacking = [one.path for one in route if at in self.members[one.path].unscored]
            if lacking:
                whole.unscored[at] = f"{labels[lacking[0]]}: {self.members[lacking[0]].unscored[at]}"
            else:
                whole.scores[at] = ensembles.combined(route, [self.members[one.path].scores[at] for one in route])
        return whole


def join(ensemble: Ensemble, questions: Sequence[Questions], scorers: Scorers) -> dict[str, Joint]:
    """Let each member score the items of its routes. Raises ConfigError for a kind of items without a route."""
    routes = {one.name: [ensemble.route(ensembles.kind_of(item)) for item in one.items.items] for one in questions}
    members = {}
    for path in ensemble.paths:
        own = {name for name, route in ensemble.each.items() if path in [one.path for one in route]}
        wanted = {name: [at for at, route in enumerate(of) if route in own] for name, of in routes.items()}
        members[path] = scorers.member(path, questions, wanted)
    nothing = ItemScores({}, {})
    return {
        name: Joint(routes=of, members={path: found.get(name, nothing) for path, found in members.items()})
        for name, of in routes.items()
    }


def score_files(
    given: Path, evalsets: Sequence[LoadedEvalSet], workspace: Workspace, *, max_tokens: int, writing: Writing
) -> Mapping[str, Path]:
    """The score file of each eval set, whatever is given: a model's directory, an ensemble's file, a score file.

    `writing` is for a model's directory. Raises ConfigError, RawError, and TrainError if the scorer fails.
    """
    if given.is_dir():
        return score_model.score_files(given, evalsets, workspace, max_tokens=max_tokens, writing=writing)
    if not ensembles.is_ensemble(given):
        return {one.evalset.name: given for one in evalsets}
    scorers = Scorers(workspace=workspace, hashes=Hashes(workspace.cache), max_tokens=max_tokens)
    ensemble, questions = ensembles.read(given), [scorers.of(one) for one in evalsets]
    return publish(ensemble, questions, join(ensemble, questions, scorers), scorers)


def publish(
    ensemble: Ensemble, questions: Sequence[Questions], joint: Mapping[str, Joint], scorers: Scorers
) -> Mapping[str, Path]:
    """Write the ensemble's score file of each of the questions."""
    folder = scorers.workspace.scores / scorers.identity(ensemble)
    files = {}
    for one in questions:
        path = folder / f"{one.name}-{fingerprint(list(one.items.keys))}.jsonl"
        with published(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            stream.writelines(_lines(one, joint[one.name].scores(ensemble)))
        files[one.name] = path
    return files


def _lines(questions: Questions, found: ItemScores) -> Iterable[str]:
    for at, key in enumerate(questions.items.keys):
        about = {"benchmark": questions.name, "item": key}
        rows: list[dict[str, object]] = [
            {**about, "candidate": i, "score": score} for i, score in enumerate(found.scores.get(at, ()))
        ]
        for row in rows or [{**about, "unscored": found.unscored[at]}]:
            yield json.dumps(row, ensure_ascii=False) + "\n"


# --- weights


def fitted(
    ensemble: Ensemble, method: Method, pairs: Questions, scorers: Scorers
) -> tuple[Ensemble, dict[str, list[Fit]]]:
    """The ensemble with weights, means and deviations from held-out pairs, and what each route's members showed.

    A route is fitted on PAIRS of the pairs of its own kinds, evenly over sources; a pair that one of its members
    cannot score counts for none. Raises ConfigError where no pair is left.
    """
    fits = {}
    for name, route in ensemble.each.items():
        wanted = held_out.sample(pairs.items, _of_route(ensemble, name, pairs), PAIRS)
        found = [scorers.member(one.path, [pairs], {pairs.name: wanted}).get(pairs.name) for one in route]
        shared = [at for at in wanted if all(one is not None and at in one.scores for one in found)]
        if not shared:
            where = f"--weights-on, for {name}" if name else "--weights-on"
            raise ConfigError(where, f"{len(wanted):,} held-out pairs, none that all members can score", "some")
        fits[name] = [
            ensembles.fit(one.path, [scores.scores[at] for at in shared], ensemble.scale)
            for one, scores in zip(route, found, strict=True)
            if scores is not None
        ]
        ensemble = ensemble.mapped(name, ensembles.weighted(route, fits[name], method))
        facts = {"pairs": len(shared), "sources": len({pairs.items.items[at].subset for at in shared})}
        ensemble = replace(ensemble, fitted={**(ensemble.fitted or {}), name or "all": facts})
    return ensemble, fits


def sampled(pairs: Questions) -> list[int]:
    """The pairs that `fitted` may take, whatever the routes: a score file with these is enough."""
    routes: list[set[Kind]] = [set(KINDS), *({kind} for kind in KINDS), {"image", "video"}]
    kinds = [ensembles.kind_of(item) for item in pairs.items.items]
    taken = (
        held_out.sample(pairs.items, [at for at, kind in enumerate(kinds) if kind in some], PAIRS)
        for some in routes
    )
    return sorted({at for some in taken for at in some})


def _of_route(ensemble: Ensemble, name: str, pairs: Questions) -> list[int]:
    """The positions of the pairs that go a route; pairs of kinds without a route are left out."""
    return [at for at, item in enumerate(pairs.items.items) if ensemble.route_of(ensembles.kind_of(item)) == name]
