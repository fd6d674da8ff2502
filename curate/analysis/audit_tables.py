"""A label audit as lines and tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.analysis.tables import interval
from curate.tables import Table

Facts = Mapping[str, Any]

STRATA = 5  # rulers in the table
ID_DIGITS = 10  # of a pair in a table; `curate why` takes them


def lines(record: Facts) -> list[str]:
    """Return how far the ranking can be trusted, and the rate of wrong labels where people reviewed some."""
    return [*_ranking(record), *_rate(record)]


def _ranking(record: Facts) -> Iterator[str]:
    yield f"{record['with_features']:,} of {record['pairs']:,} labelled pairs have features"
    yield (
        f"self-check: labels reversed at random would be found with AUROC {record['self_check']:.2f}; that says "
        "how well these features tell replies apart, not how many labels are wrong"
    )


def _rate(record: Facts) -> Iterator[str]:
    review = record["review"]
    if review is None:
        yield "wrong labels: not known before a review; --review 200 draws a sheet for people to read"
        return
    rate = review["rate"]
    yield (
        f"wrong labels: {rate['value']:.1%}, 95 % interval {interval(rate)}, by {review['labels']:,} reviewed of "
        f"{review['of']:,} pairs" + (f"; {review['bad']:,} were bad" if review["bad"] else "")
    )


def tables(record: Facts, suspects: Sequence[Facts]) -> Iterator[Table]:
    """Yield the sources with their diagnoses, the strata of rulers, and the most suspect pairs."""
    yield sources_table(record)
    yield strata_table(record)
    yield suspects_table(record, suspects)


def sources_table(record: Facts) -> Table:
    """How often models of the other sources, and of the source itself, agree with labels; what that means."""
    rates = record["review"]["rates"] if record["review"] else {}
    rows = []
    for label, one in record["sources"].items():
        rate = rates.get(label)
        wrong = f"{rate['value']:.1%} ({interval(rate)})" if rate else "not reviewed"
        agreements = (one[name]["value"] for name in ("others", "within"))
        rows.append((label, one["pairs"], *agreements, one["usual"], one["diagnosis"], wrong))
    columns = ("source", "pairs", "others agree", "itself agrees", "elsewhere", "diagnosis", "wrong labels")
    return Table("sources", columns, rows)


def strata_table(record: Facts) -> Table:
    """Where noise sits, by rulers: a contrast above 0 where the chosen reply has less of it. No rates."""
    rows = [(one["ruler"], one["pairs"][0], one["pairs"][2], one["contrast"]) for one in record["strata"][:STRATA]]
    return Table("noise by ruler, where the chosen reply has", ("ruler", "less", "more", "less - more"), rows)


def suspects_table(record: Facts, suspects: Sequence[Facts]) -> Table:
    """The most suspect pairs; `rank` is a score to sort by, a chance only after a review."""
    calibrated = record["review"] is not None
    rows = [
        (one["pair_id"][:ID_DIGITS], one["source"], one["wrong"], one["wrong_without_rulers"], one["text"])
        for one in suspects
    ]
    score = "chance" if calibrated else "score"
    return Table("most suspect pairs", ("pair", "source", score, "without rulers", "text"), rows)
