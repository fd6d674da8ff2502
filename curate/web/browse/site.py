"""What one server shows: a mix, a source, or the arms of an ablation, with labels and images."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from curate.errors import ConfigError
from curate.images.packs import Packs
from curate.inspect.artefacts import Mix, Pairs, arms, artefacts, find_mix, mixes, pools
from curate.inspect.show import find_target
from curate.pairs.files import places, rows_at
from curate.web.browse.cards import CardData
from curate.web.browse.labelling import LabelBook
from curate.web.browse.measures import add_cached_scores, add_rewards, add_sheets
from curate.web.browse.state import State
from curate.web.browse.table import NO_RANK, NONE, load_table
from curate.web.browse.view import View
from curate.workspace import Workspace

ROWS_KEPT = 400
ABOUT = ("source", "reason", "category", "license", "annotator", "media", "margin", "length_ratio", "label")
"""Facets that a card does not repeat: render.facts has them, or the replies show it."""
PLAIN = ("margin", "chosen_score", "rejected_score", "text_bytes")


@dataclass(frozen=True, slots=True)
class Target:
    """A mix, or the pairs of a source."""

    name: str
    found: Mix | Pairs


def targets(text: str | None, workspace: Workspace) -> list[Target]:
    """What `text` names: a mix, a source, or the arms of an ablation; without it the last mix or source.

    Raises ConfigError that lists what there is.
    """
    if text is None:
        newest: Sequence[Mix | Pairs] = [*mixes(workspace)[:1], *artefacts(workspace)[:1]]
        if not newest:
            raise ConfigError(
                str(workspace.root), "no mix and no pairs", "something to look at", "curate mix quickstart"
            )
        return [Target(newest[0].title, newest[0])]
    own = [name for name in arms(workspace) if name.partition("/")[0] == text]
    if own:
        return [Target(name.partition("/")[2], find_mix(name, workspace)) for name in own]
    found = find_target(text, workspace)
    return [Target(found.title, found)]


class Site:
    """The targets of a server by name, their labels and their images. Safe for threads."""

    def __init__(self, found: Sequence[Target], workspace: Workspace, book: LabelBook) -> None:
        self.workspace, self.book = workspace, book
        self.targets = {one.name: one for one in found}
        self.packs = Packs(workspace.images)
        self._views: OrderedDict[str, View] = OrderedDict()
        self._loading = threading.Lock()
        self._rows: OrderedDict[tuple[Path, int], dict[str, Any]] = OrderedDict()
        self._guard = threading.Lock()
        self._threads = ThreadPoolExecutor(2)

    @cached_property
    def title(self) -> str:
        """The name of what is shown."""
        return ", ".join(self.targets)

    def view(self, name: str = "") -> View:
        """The pairs of a target, loaded at its first use; those of the last two are kept."""
        name = name if name in self.targets else next(iter(self.targets))
        with self._loading:
            if name not in self._views:
                self._views[name] = self._load(self.targets[name].found)
                while len(self._views) > 2:
                    self._views.popitem(last=False)
            self._views.move_to_end(name)
            return self._views[name]

    def _load(self, found: Mix | Pairs) -> View:
        if isinstance(found, Pairs):
            table, mix = load_table({found.source: found}, None), None
        else:
            table, mix = load_table(pools(found, self.workspace), found), found
        add_cached_scores(table)
        add_rewards(table)
        add_sheets(table, self.workspace)
        return View(table, mix, self.book)

    def loaded(self) -> int:
        """Load the first target and count its facets; the number of its pairs."""
        view = self.view()
        view.facet_counts(State())
        return len(view.table)

    def knows(self, pair_id: str) -> bool:
        """Whether a target has this pair; of an ablation one that was looked at."""
        return any(view.table.rows_of(pair_id) for view in list(self._views.values()))

    def card_data(
        self, view: View, rows: Sequence[int], order: str = "", *, whole: bool = False
    ) -> list[CardData]:
        """The pairs of these rows with what is known of them."""
        pairs = self._read([view.table.place(row)[1:] for row in rows])
        return [self._one(view, row, pair, order, whole) for row, pair in zip(rows, pairs, strict=True)]

    def _one(self, view: View, row: int, pair: dict[str, Any], order: str, whole: bool) -> CardData:
        place = view.table.place(row)
        item = {"pair": pair, "at": f"{place.path.name}, row {place.position:,} from 0"}
        lost = self.decision(view, row)
        if lost is not None:
            item |= {"dropped": {**lost, "winner": None}, "lost_to": lost["winner"]}
        known = [*self._facts(view, row, order), *self._flag_evidence(view, row, pair["pair_id"])]
        return CardData(item=item, known=known, labels=self.book.of(pair["pair_id"]), whole=whole)

    @staticmethod
    def decision(view: View, row: int) -> dict[str, Any] | None:
        """Why the pair was dropped; None for one that was not."""
        facet = view.table.facets.get("reason")
        if facet is None or view.mix is None or not facet.codes[row]:
            return None
        label = view.table.place(row).label
        found = rows_at(view.mix.decisions(label), [int(view.table.decided[row])])[0]
        return {
            "label": label,
            **{name: found[name] for name in ("row", "step", "reason", "score", "evidence", "winner")},
        }

    @staticmethod
    def _facts(view: View, row: int, order: str) -> Iterator[tuple[str, str]]:
        table = view.table
        if table.rank is not None and table.rank[row] != NO_RANK:
            yield "row", f"{int(table.rank[row]):,} of the mix from 0"
        for name, facet in table.facets.items():
            value = facet.names[facet.codes[row]] if facet.names else NONE
            if name not in ABOUT and name not in table.numbers and value != NONE:
                yield name, value
        wanted = order.removeprefix("-")
        for name, values in table.numbers.items():
            if name == wanted or (name not in PLAIN and values[row] == values[row]):
                yield name, f"{float(values[row]):.4g}"
        if wanted not in table.numbers and (by := view.values(order)) is not None:
            yield wanted, f"{float(by[row]):.4g}"

    @staticmethod
    def _flag_evidence(view: View, row: int, pair_id: str) -> Iterator[tuple[str, str]]:
        flag = view.table.facets.get("flag")
        if flag is None or view.mix is None or not flag.codes[row]:
            return
        for found in rows_at(view.mix.review, places(view.mix.review, "pair_id", pair_id)):
            if found["fate"] == "flagged" and found["evidence"]:
                yield f"{found['step']}/{found['reason']}:", found["evidence"]

    def winner_of(self, view: View, row: int) -> dict[str, Any] | None:
        """The whole pair that a dropped one lost to; None where there is none, or its pairs are gone."""
        lost = self.decision(view, row)
        if lost is None or lost["winner"] is None:
            return None
        others = [other for other in view.table.rows_of(lost["winner"]) if other != row]
        kept = [other for other in others if not view.table.facets["reason"].codes[other]] or others
        return self._read([view.table.place(kept[0])[1:]])[0] if kept else None

    def _read(self, wanted: Sequence[tuple[Path, int]]) -> list[dict[str, Any]]:
        """Whole pairs in this order; each file is read once, two at a time."""
        with self._guard:
            found = {place: self._rows[place] for place in wanted if place in self._rows}
        of: dict[Path, list[int]] = {}
        for path, position in dict.fromkeys(wanted):
            if (path, position) not in found:
                of.setdefault(path, []).append(position)
        tasks = [(path, part) for path, positions in of.items() for part in _halved(positions)]
        for (path, positions), rows in zip(
            tasks, self._threads.map(lambda task: rows_at(*task), tasks), strict=True
        ):
            found |= {(path, position): row for position, row in zip(positions, rows, strict=True)}
        with self._guard:
            self._rows |= found
            while len(self._rows) > ROWS_KEPT:
                self._rows.popitem(last=False)
        return [found[place] for place in wanted]


def _halved(positions: Sequence[int]) -> list[list[int]]:
    """The positions, in file order, for two threads."""
    ordered = sorted(positions)
    middle = len(ordered) // 2
    return [part for part in (ordered[:middle], ordered[middle:]) if part]
