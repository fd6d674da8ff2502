"""The sections made from the lock of a mix: funnel, composition, licences, lengths and margins."""

from collections.abc import Mapping
from typing import Any

from curate.cards.figures import plot
from curate.errors import WorkspaceError
from curate.html_report.charts import Bar, bars, flow
from curate.html_report.markup import Section, figure, fold, paragraph, percent, table, words
from curate.licenses import NO_ADVICE, known_id
from curate.lock_tables import funnel_table, reasons_table
from curate.tables import Table

Lock = Mapping[str, Any]


def contents(lock: Lock) -> list[Section]:
    """The sections made from a lock. Raises WorkspaceError for a lock without a summary, of an older version."""
    if "summary" not in lock:
        where, hint = f"lock of {lock['name']}", "delete the directory of the mix and run curate mix again"
        raise WorkspaceError(where, "it has no summary", "a lock of this version", hint)
    return [_funnel(lock), _composition(lock), _licenses(lock), _lengths(lock)]


def opening(lock: Lock) -> str:
    """The head of the page: the mix's name, its description, and its main figures."""
    funnel = lock["funnel"].values()
    figures = {
        "pairs in the mix": lock["rows"],
        "held out": lock["held_out"],
        "sources": sum(1 for account in funnel if account["mixed"]),
        "upstream rows": sum(account["rows"] for account in funnel),
        "rows skipped": sum(sum(account["skipped"].values()) for account in funnel),
        "pairs dropped": sum(sum(account["dropped"].values()) for account in funnel),
    }
    items = "".join(f"<div><dt>{words(name)}</dt><dd>{value:,}</dd></div>" for name, value in figures.items())
    about = paragraph(lock["recipe"]["about"]) if lock["recipe"]["about"] else ""
    return (
        f'<h1>{words(lock["name"])}</h1>\n{about}\n<dl class="figures">{items}</dl>\n'
        f'<p class="note">Fingerprint <code>{words(lock["fingerprint"])}</code>, built by curate '
        f"{words(lock['curate'])}, seed {lock['recipe']['seed']}.</p>"
    )


def _funnel(lock: Lock) -> Section:
    funnel = lock["funnel"]
    reasons = reasons_table(funnel)
    rows = [(label, what, reason.replace("/", " / "), count) for label, what, reason, count in reasons.rows]
    why = [table(Table("What was lost, and why", reasons.columns, rows))] if rows else []
    repeated = sum(account["mixed"] - account["selected"] for account in funnel.values())
    repeats = {"in the mix": f", {lock['rows']:,} with repeats"} if repeated else {}
    body = [
        paragraph(
            "Rows are the publisher's, pairs are ours. Nothing is lost without a reason: rows = skipped + those "
            "that gave pairs; pairs = dropped + kept; kept = held out + unused + those in the mix. Mixed counts "
            "repeats."
        ),
        figure(
            flow("Where the pairs went", {label: _ends(account) for label, account in funnel.items()}, repeats)
        ),
        table(funnel_table(funnel)._replace(title="Rows and pairs by source")),
        *why,
    ]
    return Section("funnel", "Funnel", "\n".join(body))


def _ends(account: Mapping[str, Any]) -> dict[str, int]:
    """The number of a source's pairs at each end of the funnel; those that were dropped, by step."""
    ends = {"in the mix": account["selected"], "held out": account["held_out"], "unused": account["unused"]}
    for reason, count in account["dropped"].items():
        step = f"dropped: {reason.partition('/')[0]}"
        ends[step] = ends.get(step, 0) + count
    return ends


def _composition(lock: Lock) -> Section:
    total = max(lock["rows"], 1)
    rows, drawn = [], []
    for label, account in lock["funnel"].items():
        origin, modality = lock["origins"][label], lock["summary"]["sources"][label]["modality"]
        share = account["mixed"] / total
        drawn.append(Bar(label, account["mixed"], f"{account['mixed']:,} ({percent(share)})"))
        rows.append(
            (label, origin["repo"], origin["annotator"] or "not stated", *modality.values(), percent(share))
        )
    columns = ("source", "dataset", "judged by", *lock["summary"]["all"]["modality"], "share")
    entries = [
        (line["label"], line["pool"], line["rows"], percent(line["share"]), line["epochs"])
        for line in lock["plan"]["sources"]
    ]
    body = [
        figure(bars("Pairs in the mix by source", drawn)),
        table(Table("Sources", columns, rows)),
        table(Table("Entries of the recipe", ("entry", "pool as kept", "rows", "share", "epochs"), entries)),
    ]
    return Section("composition", "Composition", "\n".join(body))


def _licenses(lock: Lock) -> Section:
    found = lock["licenses"]
    rows = [
        (line["label"], known_id(line["license"]), lock["origins"][line["label"]]["revision"] or "not pinned",
         line["pairs"], line["held_out"], percent(line["share"]))
        for line in found["table"]
    ]  # fmt: skip
    blend = found["verdict"]
    lines = {
        "commercial use": _with(blend["commercial"], blend["forbids_commercial"]),
        "parts not for commercial use": ", ".join(blend.get("parts_not_commercial", ())) or "none",
        "sharing a changed copy": _with(blend["redistribution"], blend["forbids_redistribution"]),
        "attribution required": blend["attribution"],
        "same licence for what is made of it": blend["share_alike"],
        "terms unknown": f"{blend['unknown_pairs']:,} of {blend['pairs']:,} pairs; that does not mean allowed",
        "in conflict": "; ".join(blend["conflicts"]) or "nothing",
    }
    body = [
        table(Table("Licences by source", ("source", "licence", "commit", "pairs", "held out", "share"), rows)),
        table(Table("The most restrictive terms of the blend", ("terms", "of the blend"), list(lines.items()))),
        f'<p class="note">{words(NO_ADVICE)}</p>',
    ]
    return Section("licences", "Licences", "\n".join(body))


def _with(blend: str, sources: list[str]) -> str:
    return f"{blend}, by {', '.join(sources)}" if sources else blend


def _lengths(lock: Lock) -> Section:
    summary, title = lock["summary"], ("lengths", "Lengths and margins")
    if not lock["rows"]:
        return Section(*title, paragraph("The mix has no pairs."))
    quantiles = [f"{q} %" for q in summary["quantiles"]]
    everything = {"all": summary["all"], **summary["sources"]}
    lengths = [(label, side, *figures[side]["quantiles"]) for label, figures in everything.items()
               for side in ("prompt", "chosen", "rejected") if figures["rows"]]  # fmt: skip
    margins = [(label, figures["margin"]["pairs"], *figures["margin"]["quantiles"])
               for label, figures in summary["sources"].items() if figures["margin"]]  # fmt: skip
    body = [
        paragraph(
            "Lengths are in bytes of UTF-8. In the plots by source a thick line goes from 25 to 75 %, a thin one "
            "from 5 to 95 %, and a dot is at 50 %. Margins are on each source's own scale."
        ),
        *(figure(drawing) for drawing in plot(lock).values()),
        fold("Lengths, in numbers", table(Table("Bytes that so many % of the pairs do not exceed",
                                                ("source", "part", *quantiles), lengths))),
    ]  # fmt: skip
    if margins:
        numbers = Table(
            "Margins that so many % of the pairs do not exceed", ("source", "pairs", *quantiles), margins
        )
        body.append(fold("Margins, in numbers", table(numbers)))
    return Section(*title, "\n".join(body))
