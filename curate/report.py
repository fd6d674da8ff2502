"""Facts as tables: the plan, the funnel, the reasons. Columns and rows, no printing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # `curate --help` needs no arrays
    from curate.quotas import Plan
    from curate.sketches.banding import Banding


class Table(NamedTuple):
    """A titled table; `footer` is empty or one more row of totals."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    footer: tuple[Any, ...] = ()


def plan_table(plan: "Plan", basis: str) -> Table:
    """Rows, share and epochs per entry of a recipe."""
    rows = [(line.label, line.pool, line.rows, plan.share(line), line.epochs) for line in plan.lines]
    return Table(
        f"plan ({basis})",
        ("source", "pool", "rows", "share", "epochs"),
        rows,
        ("", "", "" if plan.rows is None else plan.rows, "", ""),
    )


def curve_table(name: str, banding: "Banding") -> Table:
    """The S-curve of a step that looks for near-duplicates, and the misses to be expected."""
    title = f"{name}: what {banding.bands} bands of {banding.rows} min-hashes find"
    return Table(title, ("jaccard", "compared", "missed"), list(banding.curve()))


FUNNEL = ("rows", "skipped", "pairs", "dropped", "kept", "held out", "unused", "mixed")


def funnel_table(funnel: Mapping[str, Mapping[str, Any]]) -> Table:
    """One line per source: where its rows and pairs went."""
    rows = [(label, *_counts(account)) for label, account in funnel.items()]
    totals = tuple(sum(column) for column in zip(*(row[1:] for row in rows), strict=True))
    return Table("funnel", ("source", *FUNNEL), rows, ("all", *totals))


def _counts(account: Mapping[str, Any]) -> tuple[int, ...]:
    return (
        account["rows"], sum(account["skipped"].values()), account["pairs"], sum(account["dropped"].values()),
        account["kept"], account["held_out"], account["unused"], account["mixed"],
    )  # fmt: skip


def reasons_table(funnel: Mapping[str, Mapping[str, Any]]) -> Table:
    """One line per source and reason: what was lost, and why."""
    rows = [
        (label, what, reason, count)
        for label, account in funnel.items()
        for what, stage in (("rows", "skipped"), ("pairs", "dropped"))
        for reason, count in account[stage].items()
    ]
    return Table("lost", ("source", "what", "reason", "count"), rows)


def shards_table(files: Sequence[Mapping[str, Any]]) -> Table:
    """One line per file of a mix."""
    rows = [(file["name"], file["rows"], file["bytes"]) for file in files]
    return Table("files", ("file", "rows", "bytes"), rows)
