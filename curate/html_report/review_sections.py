"""The sections on decisions with evidence: leaks of eval sets, and flagged pairs, which stay in the pool."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from curate.contamination.findable import Findable, findable_table
from curate.contamination.strengths import strength_table
from curate.html_report.markup import Section, fold, paragraph, table
from curate.inspect.artefacts import Mix
from curate.pairs.files import column
from curate.tables import Table

DECONTAMINATE = "decontaminate"
COLUMNS = ("fate", "pool", "row", "pair_id", "step", "reason", "score", "evidence")
REASONS = {
    "prompt_media": "the prompt and the image of one item",
    "prompt": "the prompt of an item",
    "response": "a reply of an item",
    "passage": "a text of an item without its question: a passage that the item quotes",
    "stock_reply": "a reply of an item that is given to many questions",
    "short_prompt": "likely a short prompt of an item: a few words around it, or one changed",
    "media_only": "an image of an item, under another question",
    "image_look_alike": "a page or chart that cannot be told from an image of an item",
}
"""The meaning of the reasons of decontaminate, from the surest to the least sure."""


def review_sections(mix: Mix, most: int) -> list[Section]:
    """Sections on decontamination and other flagged pairs; `most` of each reason are listed, the surest first."""
    found = pl.DataFrame(column(mix.review, *COLUMNS)) if mix.review.exists() else None
    return [_decontamination(mix.lock, found, most), _flagged(found, most)]


def _decontamination(lock: Mapping[str, Any], found: pl.DataFrame | None, most: int) -> Section:
    name, title = "decontamination", "Decontamination"
    if DECONTAMINATE not in dict(lock["recipe"]["steps"]) or found is None:
        missing = "Not done: the recipe has no step decontaminate, so the mix may contain items of eval sets."
        return Section(name, title, paragraph(missing))
    leaks = found.filter(pl.col("step") == DECONTAMINATE)
    sought = _sought(lock)
    if not leaks.height:
        return Section(name, title, paragraph("No item of an eval set was found.") + sought)
    counts = leaks.group_by("reason", "fate").len()
    number = {(reason, fate): n for reason, fate, n in counts.iter_rows()}
    rows = [
        (reason, meaning, *(number.get((reason, fate), 0) for fate in ("dropped", "flagged")))
        for reason, meaning in REASONS.items()
    ]
    sets = [
        (name, counts["dropped"], counts["flagged"]) for name, counts in lock.get("decontamination", {}).items()
    ]
    body = [
        sought,
        table(Table("Reasons", ("reason", "what the pair has", "pairs dropped", "flagged"), rows)),
        table(
            Table("Eval sets, by the surest decision about a pair", ("eval set", "pairs dropped", "flagged"), sets)
        ),
        *(_listed(reason, leaks.filter(pl.col("reason") == reason), most) for reason in REASONS),
    ]
    return Section(name, title, "\n".join(filter(None, body)))


def _sought(lock: Mapping[str, Any]) -> str:
    """What can be found, and how well."""
    shares = [facts["share"] for name, facts in lock["steps"] if name == DECONTAMINATE and "share" in facts]
    counted = {
        name: Findable(**{key: facts[key] for key in Findable.__dataclass_fields__})
        for name, facts in lock.get("decontamination", {}).items()
        if "by_words" in facts
    }
    tables = [strength_table(DECONTAMINATE, share) for share in shares]
    tables += [findable_table(DECONTAMINATE, counted)] if counted else []
    return "\n".join(map(table, tables))


def _flagged(found: pl.DataFrame | None, most: int) -> Section:
    name, title = "flagged", "Flagged pairs"
    other = None if found is None else found.filter(pl.col("fate") == "flagged", pl.col("step") != DECONTAMINATE)
    if other is None or not other.height:
        return Section(name, title, paragraph("No other step flagged a pair."))
    kinds = other.select("step", "reason").unique(maintain_order=True).rows()
    lists = [
        _listed(f"{step}/{reason}", other.filter(pl.col("step") == step, pl.col("reason") == reason), most)
        for step, reason in kinds
    ]
    return Section(
        name,
        title,
        "\n".join([paragraph("These pairs stay in the pool of the mix; they are listed for review."), *lists]),
    )


def _listed(title: str, found: pl.DataFrame, most: int) -> str:
    """The surest decisions of one kind, with their evidence."""
    if not found.height:
        return ""
    evidence = found.select("pair_id", "pool", "row", "fate", "score", "evidence").head(most)
    listed = table(Table(f"{title}: evidence", ("pair", *evidence.columns[1:]), evidence.rows()))
    rest = "" if found.height <= most else paragraph(f"{found.height - most:,} more are in review.parquet.")
    return fold(f"{title}: {found.height:,} found", listed + rest)
