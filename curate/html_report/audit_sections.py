"""The sections of label audits: what they found of the mix's sources, and the pairs that are most suspect."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.analysis.audit_charts import charts
from curate.analysis.audit_files import audits, read_audit, read_pairs
from curate.analysis.audit_tables import lines, sources_table, strata_table
from curate.html_report.markup import Section, figure, paragraph, table
from curate.html_report.pair_cards import Pictures, cards, every_item
from curate.images.store import ImageStore
from curate.inspect import render
from curate.inspect.artefacts import Mix, Pairs, pools
from curate.inspect.show import Item
from curate.pairs.files import column, rows_at
from curate.workspace import Workspace

SUSPECTS = 50
MEANING = (
    "Pairs by how likely their label is wrong to a reader of frozen features. The order is for reading: such a "
    "reader is itself often wrong, and no label should be dropped for its place here."
)


def audit_sections(mix: Mix, workspace: Workspace) -> Iterator[Section]:
    """Yield a section for each finished audit of pairs that the mix was made from, by name."""
    own = {pairs.directory: pairs for pairs in pools(mix, workspace).values()} if audits(workspace) else {}
    for place in audits(workspace):
        record = read_audit(place)
        audited = {label: workspace.pairs(one["source"], one["pairs"]) for label, one in record["pools"].items()}
        if set(audited.values()) & set(own):
            found = list(
                _suspects(place, record, {label: own[path] for label, path in audited.items() if path in own})
            )
            yield Section(
                f"audit-{place.name}", f"Label audit: {place.name}", _body(place, record, found, workspace)
            )


def _body(place: Path, record: Mapping[str, Any], found: list[Item], workspace: Workspace) -> str:
    labels = render.media_labels(every_item(found), workspace.images)
    pairs = cards(found, Pictures(ImageStore(workspace.images), labels), labels, f"audit-{record['name']}")
    texts = [paragraph(line) for line in (*lines(record), MEANING)]
    return "\n".join(
        [
            *texts,
            table(sources_table(record)),
            table(strata_table(record)),
            *map(figure, charts(read_pairs(place, record), record).values()),
            f'<div class="pairs">\n{pairs}\n</div>',
        ]
    )


def _suspects(place: Path, record: Mapping[str, Any], of: Mapping[str, Pairs]) -> Iterator[Item]:
    measure = "chance" if record["review"] else "score"
    listed = read_pairs(place, record).drop_nulls("wrong").filter(pl.col("source").is_in(list(of)))
    for number, row in enumerate(listed.head(SUSPECTS).iter_rows(named=True), 1):
        path, at = _place(of[row["source"]], row["at"])
        yield {"pair": rows_at(path, [at])[0], "at": f"suspect {number}, {measure} {row['wrong']:.3f}"}


def _place(pairs: Pairs, at: int) -> tuple[Path, int]:
    for path in pairs.parts:
        height = column(path, "pair_id").num_rows
        if at < height:
            return path, at
        at -= height
    raise AssertionError("a row that no part has")
