"""The report of an ensemble: its members alone, the whole against the best of them, and without each of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from curate.evaluation import ensembles, metrics, score_file
from curate.evaluation.ensemble_scores import ItemScores, Joint
from curate.evaluation.ensembles import Ensemble, Fit
from curate.evaluation.items import KeyedItems, LoadedEvalSet
from curate.evaluation.metrics import Delta, Line
from curate.tables import Table


class MemberLines(NamedTuple):
    """The measures of one member on those items of an eval set that it scores as a member."""

    loaded: LoadedEvalSet
    path: Path
    items: int
    unscored: Mapping[str, str]
    lines: list[Line]


class LeftOut(NamedTuple):
    """The ensemble without one member (B) against the whole (A) on a headline measure."""

    path: Path
    delta: Delta


class Comparison(NamedTuple):
    """Measures of the members, the whole (B) against the best of them (A), and the whole without each of them."""

    members: list[MemberLines]
    best: dict[str, Path]
    deltas: list[Delta]
    left_out: list[LeftOut]


def compare(ensemble: Ensemble, loaded: Sequence[LoadedEvalSet], joint: Mapping[str, Joint]) -> Comparison:
    """Compare the whole with its parts.

    The best member of an eval set is the best by its first headline measure among those that score all its items;
    where none does, the whole is compared with none. Holm's correction is over the headline measures of all eval
    sets, and apart from these over all members that are left out. An item without scores counts as wrong.
    """
    out = Comparison([], {}, [], [])
    draws = metrics.draws_for(sum(len(one.evalset.headline) for one in loaded) * (1 + len(ensemble.paths)))
    left: list[LeftOut] = []
    for one in loaded:
        name, found = one.evalset.name, joint[one.evalset.name]
        whole = _filled(one.items, found.scores(ensemble))
        own = [_member(one, path, found.members[path]) for path in ensemble.paths]
        out.members.extend(member for member in own if member.items)
        best = _best(one, own)
        if best is not None:
            out.best[name] = best
            alone = _filled(one.items, found.members[best])
            out.deltas.extend(metrics.compare(one.evalset, one.items, alone, whole, one.options, draws=draws))
        for path in ensemble.paths if len(ensemble.paths) > 1 else ():
            rest = ensemble.without(path)
            if rest is not None:
                scores = _filled(one.items, found.scores(rest))
                deltas = metrics.compare(one.evalset, one.items, whole, scores, one.options, draws=draws)
                left.extend(LeftOut(path, delta) for delta in deltas if delta.headline)
    paired = zip(left, metrics.corrected([each.delta for each in left]), strict=True)
    out.left_out.extend(each._replace(delta=delta) for each, delta in paired)
    return out._replace(deltas=metrics.corrected(out.deltas))


def _filled(items: KeyedItems, found: ItemScores) -> list[list[float]]:
    """Scores of all items; one without scores is wrong."""
    return [found.scores.get(at) or score_file.as_wrong(item) for at, item in enumerate(items.items)]


def _member(loaded: LoadedEvalSet, path: Path, found: ItemScores) -> MemberLines:
    positions = sorted([*found.scores, *found.unscored])
    part = loaded.items.at(positions)
    scores = [found.scores.get(at) or score_file.as_wrong(loaded.items.items[at]) for at in positions]
    lines = metrics.evaluate(loaded.evalset, part, scores, loaded.options) if positions else []
    unscored = {loaded.items.keys[at]: why for at, why in found.unscored.items()}
    return MemberLines(loaded, path, len(positions), unscored, lines)


def _best(loaded: LoadedEvalSet, members: Sequence[MemberLines]) -> Path | None:
    """The first of the members that are best by the first headline measure, of those that score all items."""
    values = {}
    for member in members:
        known = {line.measure.name: line.measure.value for line in member.lines}
        value = known.get(loaded.evalset.headline[0])
        if member.items == len(loaded.items.items) and value is not None:
            values[member.path] = value
    return max(values, key=lambda path: values[path]) if values else None


def weights_table(ensemble: Ensemble, fits: Mapping[str, Sequence[Fit]]) -> Table:
    """The weight of each member in its route, and what it showed on held-out pairs."""
    labels = ensembles.names(ensemble.paths)
    measured = {(name, one.path): one for name, route in fits.items() for one in route}
    rows = []
    for name, route in ensemble.each.items():
        for member in route:
            one = measured.get((name, member.path))
            rows.append(
                (
                    labels[member.path], name or "all", f"{member.weight:.4f}",
                    metrics.percent(one.accuracy) if one else None, f"{one.margin:.4f}" if one else None,
                    f"{member.mean:.4f}", f"{member.std:.4f}",
                )
            )  # fmt: skip
    columns = ("member", "items", "weight", "accuracy", "margin", "mean", "std")
    return Table(f"ensemble: {ensemble.method}, {ensemble.scale} scores", columns, rows)


def left_out_tables(ensemble: Ensemble, left: Sequence[LeftOut]) -> list[Table]:
    """For each eval set, what the headline measures lose without each member, in percent and points."""
    labels = ensembles.names(ensemble.paths)
    tested = sum(one.delta.corrected is not None for one in left)
    tables = []
    for name in dict.fromkeys(one.delta.benchmark for one in left):
        rows = [
            (labels[one.path], *metrics.delta_row(one.delta), metrics.chance(one.delta.corrected))
            for one in left
            if one.delta.benchmark == name
        ]
        title = f"{name}: without a member (B) against the ensemble (A); corrected: Holm's p over {tested} tests"
        tables.append(Table(title, ("without", *metrics.DELTA_COLUMNS, "corrected"), rows))
    return tables
