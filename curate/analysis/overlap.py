"""What sources have in common with each other and with eval sets: equal pairs, near-duplicates, images.

All of it from key columns and sketches that are cached beside the pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from curate import svg
from curate.arrays import U64
from curate.contamination.eval_sets import EvalSetLibrary
from curate.engines.base import Engine, Listener
from curate.errors import ConfigError
from curate.images.copies import LOOK_ALIKE, find_copies
from curate.images.packs import Packs
from curate.inputs import Inputs
from curate.inspect.targets import Target
from curate.near_duplicates.shared_by import MOST, shared_by
from curate.pairs.keys import load_keys
from curate.pairs.media_refs import image_refs
from curate.screening.screen import sketched
from curate.steps.corpus import Corpus
from curate.steps.decontaminate import Bound, Decontaminate
from curate.steps.near_dedup import NearDedup
from curate.steps.near_keys import either_order_search, either_order_sketches
from curate.tables import Table

KINDS = ("exact", "near", "image")
"""In what a pair can be another's:

exact  the same prompt and media and the same two replies, whichever is preferred
near   equal or nearly so, by a `near_dedup` step, whichever reply is preferred; of eval sets, a text found by a
       `decontaminate` step
image  an image of both, or a copy of one where that is asked for; of eval sets always a copy
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Pairs of each source, and by kind how many of the pairs of a source (row) the other (column) has too.

    Columns are the sources and then the eval sets; `exact` is nothing against these.
    """

    pairs: Mapping[str, int]
    evalsets: tuple[str, ...]
    counts: Mapping[str, Sequence[Sequence[int]]]

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [*self.pairs, *self.evalsets]

    def to_dict(self) -> dict[str, Any]:
        """Itself as JSON values: pairs, columns, and by kind the rows of counts."""
        counts = {kind: [list(row) for row in rows] for kind, rows in self.counts.items()}
        return {"pairs": dict(self.pairs), "columns": self.columns, "counts": counts}


def compare_targets(
    targets: Sequence[Target],
    evalsets: Sequence[str],
    near: NearDedup,
    inputs: Inputs,
    engine: Engine,
    listen: Listener | None = None,
    *,
    copies: bool = False,
) -> Overlap:
    """Compare every two targets, and each with the eval sets. Raises ConfigError for what is not there."""
    if len(targets) + len(evalsets) > MOST:
        raise ConfigError("overlap", f"{len(targets) + len(evalsets)} sets", f"at most {MOST}", "compare fewer")
    bound = _bound(evalsets, inputs) if evalsets else None
    sketches = [*either_order_sketches(near), *(bound.sketches() if bound else ())]
    pools = [target.pool for target in targets]
    corpus = sketched(pools, sketches, 0, engine, listen, inputs.workspace.images)
    pairs = _pairs(targets)
    found = {
        "exact": _exact(pairs),
        "near": _near(pairs, near, corpus),
        "image": _same_images(pairs, corpus, copies=copies),
    }
    if bound is not None:
        for kind, bits in _leaks(pairs, bound, corpus, len(targets), evalsets).items():
            found[kind] |= bits
    columns = len(targets) + len(evalsets)
    sizes = np.bincount(pairs["pool"].to_numpy(), minlength=len(targets)).tolist()
    return Overlap(
        pairs=dict(zip((target.label for target in targets), sizes, strict=True)),
        evalsets=tuple(evalsets),
        counts={kind: _counted(pairs, bits, len(targets), columns) for kind, bits in found.items()},
    )


def _bound(evalsets: Sequence[str], inputs: Inputs) -> Bound:
    hashes = inputs.hashes
    library = EvalSetLibrary(folders=inputs.eval_set_folders(), hashes=hashes)
    leaks: dict[str, Any] = dict.fromkeys(("prompt", "prompt_media", "response", "media_only"), "flag")
    unsure = ("passage", "stock_reply", "short_prompt", "image_look_alike")
    others: dict[str, Any] = dict.fromkeys(unsure, "keep")
    return Decontaminate(against=tuple(evalsets), **leaks, **others).bind(library, "overlap")


# ------------------------------------------------------------------------------------------ which sets have a pair


def _pairs(targets: Sequence[Target]) -> pl.DataFrame:
    """The pairs of all targets, each once: index, pool and its bit, part, position, keys."""
    frames = []
    for number, target in enumerate(targets):
        frame = load_keys(target.pool.directory, target.pool.parts)
        frame = frame if target.rows is None else frame[target.rows.unique().sort()]
        kept = frame.select("part", "position", "prompt_key", "chosen_key", "rejected_key")
        frames.append(kept.with_columns(pool=pl.lit(number, pl.UInt16), bit=pl.lit(1 << number, pl.UInt64)))
    return pl.concat(frames).with_row_index("index")


def _exact(pairs: pl.DataFrame) -> U64:
    chosen, rejected = pl.col("chosen_key"), pl.col("rejected_key")
    same = ["prompt_key", "low", "high"]
    marked = pairs.filter(pl.col("prompt_key").is_duplicated()).select(
        "index", "prompt_key", "bit", low=pl.min_horizontal(chosen, rejected),
        high=pl.max_horizontal(chosen, rejected),
    )  # fmt: skip
    held = marked.unique([*same, "bit"]).group_by(same).agg(bits=pl.col("bit").sum())
    return _by_index(marked.join(held, on=same), pairs.height)


def _same_images(pairs: pl.DataFrame, corpus: Corpus, *, copies: bool) -> U64:
    images = (
        image_refs(pairs, corpus.files())
        .select("index", image="key")
        .join(pairs.select("index", "bit"), on="index")
    )
    if copies:
        leaders = find_copies(images["image"].unique(), Packs(corpus.images), corpus.engine)
        leaders = leaders.filter(pl.col("how") != LOOK_ALIKE)
        of = leaders.select("of", image="key")
        images = images.join(of, on="image", how="left").with_columns(image=pl.coalesce("of", "image"))
    held = images.unique(["image", "bit"]).group_by("image").agg(bits=pl.col("bit").sum())
    return _by_index(images.join(held, on="image"), pairs.height)


def _near(pairs: pl.DataFrame, step: NearDedup, corpus: Corpus) -> U64:
    bits = pairs["bit"].to_numpy()
    if not pairs.height:
        return bits
    search = either_order_search(pairs.rename({"index": "rank"}), step, corpus)
    return shared_by(search, np.tile(bits, 2), corpus.engine, search.files[0].sketch.parent)[: pairs.height]


def _leaks(
    pairs: pl.DataFrame, bound: Bound, corpus: Corpus, first: int, evalsets: Sequence[str]
) -> dict[str, U64]:
    """By kind the eval sets that pairs hold something of; a pair counts for the set of its surest decision."""
    found = bound.decide(pairs.select("index", "pool", "part", "position"), corpus).select(
        "index",
        "reason",
        bits=pl.col("evidence")
        .str.extract(r"^(\S+)")
        .replace_strict({name: 1 << (first + i) for i, name in enumerate(evalsets)}, return_dtype=pl.UInt64),
    )
    reason = pl.col("reason")
    return {
        "near": _by_index(found.filter(reason != "media_only"), pairs.height),
        "image": _by_index(found.filter(reason.str.contains("media")), pairs.height),
    }


def _by_index(found: pl.DataFrame, height: int) -> U64:
    """The bits of every pair: all in rows with its index."""
    out = np.zeros(height, np.uint64)
    np.bitwise_or.at(out, found["index"].to_numpy(), found["bits"].to_numpy())
    return out


def _counted(pairs: pl.DataFrame, bits: U64, rows: int, columns: int) -> list[list[int]]:
    pools = pairs["pool"].to_numpy()
    has = [(bits >> np.uint64(column)) & np.uint64(1) for column in range(columns)]
    counts = np.stack([np.bincount(pools, weights=one, minlength=rows) for one in has], axis=1)
    for row in range(rows):
        counts[row, row] = 0  # what a source has twice is no overlap
    return [[int(count) for count in row] for row in counts]


# ------------------------------------------------------------------------------------------ table and heat map


def overlap_table(found: Overlap) -> Table:
    """One line for each source and set with something in common: pairs of the source, and their share of it."""
    names = [name for kind in KINDS for name in (kind, "share")]
    rows = []
    for i, (label, pairs) in enumerate(found.pairs.items()):
        for j, other in enumerate(found.columns):
            counts = [found.counts[kind][i][j] for kind in KINDS]
            if any(counts):
                rows.append((label, other, *(x for count in counts for x in (count, count / pairs))))
    return Table("overlap: pairs of the source that the other has too", ("source", "also in", *names), rows)


LEFT, TOP, RIGHT = 174, 130, 105
WIDEST, LEAST_WIDE = 44, 30  # pixels of a cell, and of one that has room for a number
FAINTEST, DARKEST = 10, 130  # of 255: numbers must be readable on it


def heat_map(found: Overlap, kind: str) -> str:
    """An SVG: the share of each source's pairs (row) that each other set (column) has too, in percent."""
    labels, columns = list(found.pairs), found.columns
    size = min(WIDEST, (svg.WIDTH - LEFT - RIGHT) / len(columns))
    body = []
    for j, name in enumerate(columns):
        x = LEFT + size * (j + 0.5)
        head = svg.text(x, TOP - 8, svg.fitted(name))
        body.append(f'<g transform="rotate(-45 {x:.1f} {TOP - 8})">{head}</g>')
    for i, label in enumerate(labels):
        y = TOP + size * i
        body.append(svg.beside(LEFT - 10, y + size / 2 + 4, label))
        for j, name in enumerate(columns):
            share = 0.0 if name == label else found.counts[kind][i][j] / max(found.pairs[label], 1)
            body.append(_cell(LEFT + size * j, y, size, share))
    return svg.svg(f"Overlap: {kind}, in percent of the row", TOP + size * len(labels) + 16, body)


def _cell(x: float, y: float, size: float, share: float) -> str:
    """Its colour grows with the square root: one in a hundred can be seen."""
    depth = max(FAINTEST, round(DARKEST * share**0.5))
    colour = svg.box(x + 1, y + 1, size - 2, size - 2, f"{svg.CHOSEN}{depth:02x}")
    if not share or size < LEAST_WIDE:
        return colour
    percent = f"{100 * share:.1f}" if share >= 0.001 else "<.1"
    return colour + svg.text(x + size / 2, y + size / 2 + 4, percent, "middle")
