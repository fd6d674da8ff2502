"""The sections that need a pass over the pairs: rulers and faults of the mix, overlap and agreement of sources."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate import evalsets, steps
from curate.analysis import overlap
from curate.analysis.agreement import agreement
from curate.analysis.doctor import ALL, Settings, examine
from curate.analysis.near_labels import near_labels
from curate.analysis.rulers import RULERS
from curate.analysis.tables import AGREEMENT_COLUMNS, agreement_row, interval, tables
from curate.engines.base import Engine, Listener
from curate.html_report.charts import Dot, dots
from curate.html_report.markup import Section, Shade, figure, fold, heat, paragraph, percent, table
from curate.inputs import Inputs
from curate.inspect.artefacts import Mix
from curate.inspect.targets import find
from curate.screening.screen import sketched
from curate.steps.near_dedup import NearDedup
from curate.steps.near_keys import either_order_sketches
from curate.tables import Table

KINDS = {
    "exact": "the same prompt, media and two replies, whichever is preferred",
    "near": "the same pair or nearly so, whichever reply is preferred; of an eval set, texts of an item",
    "image": "an image of both; of an eval set, also a copy of one",
}
"""What the kinds of curate.analysis.overlap mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The doctor's numbers of the mix, and overlap and agreement of its sources before anything was dropped."""

    found: Mapping[str, Any]
    overlap: overlap.Overlap
    agreement: pl.DataFrame


def examined(mix: Mix, inputs: Inputs, engine: Engine, listen: Listener | None = None) -> Examined:
    """Examine the pairs of a mix. Results are cached beside the pairs; the caller holds the workspace.

    Near-duplicates are found with the recipe's settings; eval sets are those that it decontaminates against.
    Raises ConfigError where their raw files are missing.
    """
    targets = find([str(mix.directory)], inputs)
    whole = [dataclasses.replace(target, rows=None) for target in targets]
    listed = dict(mix.lock["recipe"]["steps"])
    near = steps.build("near_dedup", listed.get("near_dedup") or {}, mix.title)
    assert isinstance(near, NearDedup)
    both = NearDedup(jaccard=near.jaccard)  # agreement is about both replies, whatever the recipe compares
    corpus = sketched([target.pool for target in whole], either_order_sketches(both), 0, engine, listen)
    against = _evalsets((listed.get("decontaminate") or {}).get("against", ()))
    return Examined(
        found=examine(targets, Settings(), engine, listen),
        overlap=overlap.compare_targets(whole, against, near, inputs, engine, listen),
        agreement=agreement(near_labels(whole, both, corpus)),
    )


def _evalsets(against: Sequence[str] | str) -> list[str]:
    return evalsets.core() if against == "all" else list(against)


def sections(known: Examined | None) -> list[Section]:
    """The sections rulers, faults, overlap and agreement; where these were not computed, how to compute them."""
    titles = {"rulers": "Rulers", "faults": "Faults", "overlap": "Overlap", "agreement": "Agreement"}
    if known is None:
        missing = paragraph("Not computed: run curate report without --quick.")
        return [Section(name, title, missing) for name, title in titles.items()]
    bodies = (_rulers(known.found), _faults(known.found), _overlap(known.overlap), _agreement(known.agreement))
    return [Section(*names, "\n".join(body)) for names, body in zip(titles.items(), bodies, strict=True)]


# ------------------------------------------------------------------------------------------------- the doctor's


def _rulers(found: Mapping[str, Any]) -> Iterator[str]:
    sources = found["sources"]
    every: Mapping[str, Any] = sources.get(ALL) or next(iter(sources.values()), {"rulers": {}})
    differing = {name: ruler for name, ruler in every["rulers"].items() if ruler["differs"]["hits"]}
    if not differing:
        yield paragraph("No pair of the mix has replies that differ in anything that a ruler measures.")
        return
    yield paragraph(
        "A ruler is one number of a reply. If it alone separates chosen from rejected replies, a reward model "
        "could learn this. It wins a pair whose chosen reply has more of it; 0.5 is chance level. Ties, and pairs "
        "on which it is equal, do not count. Intervals are 95 % intervals: one in 20 misses 0.5 by chance alone."
    )
    over = f"the mean of {len(sources) - 1} sources" if ALL in sources else "the whole mix"
    drawn = [Dot(name, *(ruler["wins"][x] for x in ("value", "low", "high"))) for name, ruler in differing.items()]
    yield figure(dots(f"Share of pairs that each ruler wins, {over}", drawn))
    labels = [label for label in sources if label != ALL]
    rows = [(name, [_wins(sources[label]["rulers"].get(name)) for label in labels]) for name in differing]
    yield heat("Share of pairs that each ruler wins, by source", "ruler", labels, rows)
    yield fold("What each ruler measures", table(Table("Rulers", ("ruler", "measures"), list(RULERS.items()))))
    yield from _folded(found, lambda title: title.endswith(": rulers"), "Rulers with their intervals")


def _wins(ruler: Mapping[str, Any] | None) -> Shade:
    if ruler is None or not ruler["differs"]["hits"]:
        return Shade("–")
    wins = ruler["wins"]
    return Shade(
        f"{wins['value']:.2f}", 2 * (wins["value"] - 0.5), f"{interval(wins)}, {wins['clusters']:,} clusters"
    )


def _faults(found: Mapping[str, Any]) -> Iterator[str]:
    sources = found["sources"]
    labels = [label for label in sources if label != ALL]
    names = dict.fromkeys(x for label in labels for x, fault in sources[label]["faults"].items() if fault["hits"])
    if names:
        yield paragraph("The share of the pairs in the mix that have each fault; some may be intended.")
        rows = [(name, [_fault(sources[label]["faults"].get(name)) for label in labels]) for name in names]
        yield heat("Faults by source", "fault", labels, rows)
    else:
        yield paragraph("No fault was found in the pairs of the mix.")
    yield from _folded(found, lambda title: title.endswith(": faults"), "Faults with their intervals")
    rest = ("numbers", "categories", "languages", "images")
    yield from _folded(found, lambda title: title in rest, "Scores, categories and images")


def _fault(fault: Mapping[str, Any] | None) -> Shade:
    if fault is None or not fault["hits"]:
        return Shade("")
    return Shade(percent(fault["value"]), -(fault["value"] ** 0.5), f"{int(fault['hits']):,} of {fault['of']:,}")


def _folded(found: Mapping[str, Any], wanted: Any, title: str) -> Iterator[str]:
    parts = [table(one) for one in tables(found) if one.rows and wanted(one.title)]
    if parts:
        yield fold(title, "\n".join(parts))


# ------------------------------------------------------------------------------------------ between sources


def _overlap(found: overlap.Overlap) -> Iterator[str]:
    yield paragraph(
        "The share of the pairs of each source (row) that another set (column) has too, before any were dropped."
    )
    for kind, meaning in KINDS.items():
        rows = [
            (label, [_share(found, kind, i, j) for j in range(len(found.columns))])
            for i, label in enumerate(found.pairs)
        ]
        if any(shade.text for _, shades in rows for shade in shades):
            yield heat(f"Overlap, {kind}: {meaning}", "share of", found.columns, rows)
        else:
            yield paragraph(f"Overlap, {kind} ({meaning}): none.")


def _share(found: overlap.Overlap, kind: str, row: int, column: int) -> Shade:
    count, pairs = found.counts[kind][row][column], list(found.pairs.values())[row]
    if not count:
        return Shade("")
    return Shade(percent(count / pairs), (count / pairs) ** 0.5, f"{count:,} of {pairs:,} pairs")


def _agreement(found: pl.DataFrame) -> Iterator[str]:
    yield paragraph(
        "How often two sources prefer the same of two replies to the same prompt, where both have labels, before "
        "any pairs were dropped. Ties are no labels. A source with itself: how often all its labels of a "
        "comparison are the same, where copies can be told from second labels."
    )
    if not found.height:
        yield paragraph("No two sources label the same replies, and none labels any twice.")
        return
    known = {(row["left"], row["right"]): row for row in found.to_dicts()}
    names = list(dict.fromkeys(name for pair in known for name in pair))
    rows = [
        (one, [_agree(known.get((one, other)) or known.get((other, one))) for other in names]) for one in names
    ]
    yield heat("Agreement", "agreement", names, rows)
    numbers = [agreement_row(row) for row in found.to_dicts()]
    yield fold(
        "Agreement, in numbers", table(Table("Comparisons that two sources share", AGREEMENT_COLUMNS, numbers))
    )


def _agree(row: Mapping[str, Any] | None) -> Shade:
    if row is None or row["share"] is None:
        return Shade("")
    return Shade(percent(row["share"]), 2 * (row["share"] - 0.5), f"{row['shared']:,} shared, {interval(row)}")
