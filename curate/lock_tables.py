"""Tables of a lock: the funnel, the reasons, the shards."""

from collections.abc import Mapping, Sequence
from typing import Any

from curate.tables import Table

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
