"""The result of a search as tables and sentences."""

from curate.ablation import halves, probe_agreement
from curate.ablation.effects import ALPHA
from curate.ablation.findings import chance, interval_in_points, points, stars
from curate.ablation.search import NATURAL, Outcome
from curate.tables import Table


def candidate_table(found: Outcome) -> Table:
    """The candidates: predicted, in the small runs and in the full ones, in points above the natural mix."""
    rows = [
        (
            one.name, points(one.predicted), points(one.small),
            f"{points(one.effect.difference)}{stars(one.effect.holm)}",
            interval_in_points(one.effect.interval), chance(one.effect.holm),
        )
        for one in found.candidates
    ]  # fmt: skip
    columns = ("candidate", "predicted", "small run", "confirmed", "95 %", "p, Holm")
    return Table("candidates: points above the natural mix, mean over domains", columns, rows)


def domain_table(found: Outcome) -> Table:
    """The confirmed gains on every domain, which are not tested one by one."""
    rows = [
        (one.name, *(f"{points(part.difference)} {interval_in_points(part.interval)}" for part in one.parts))
        for one in found.candidates
    ]
    names = tuple(part.measure for part in found.candidates[0].parts)
    return Table("confirmed gain by domain, in points (not tested)", ("candidate", *names), rows)


def rows_table(found: Outcome) -> Table:
    """The exact rows of every mix that was trained in full."""
    mixes = [(NATURAL, found.natural), *((one.name, one.rows) for one in found.candidates)]
    rows = [(name, *(counts[label] for label in found.search.within.labels)) for name, counts in mixes]
    return Table("rows of the mixes", ("mix", *found.search.within.labels), rows)


def method(found: Outcome) -> list[str]:
    """How to read the result, a sentence each."""
    search, tau = found.search, "not defined" if found.tau is None else f"{found.tau:.2f}"
    kind = "probes (heads on frozen features)" if search.template.probe else "small runs"
    cited = [probe_agreement.published().text()] if search.template.probe else []
    return [
        f"{len(found.seen.names)} {kind} of {search.small:,} rows; full mixes of {search.rows:,} rows.",
        f"{halves.STATED} {found.items:,} items confirm; runs of each mix: {found.seeds}.",
        "The confirmed gain and its interval are paired by item and by run, on items that the search did not use; "
        "the predicted gain and that of the small runs are of the items that chose the candidate, and too high.",
        f"The natural mix is left only for a gain with p < {ALPHA:g} after Holm's correction over the candidates.",
        f"Kendall's τ between the small and the full runs of these {len(found.candidates) + 1} mixes: {tau}; "
        f"below {probe_agreement.LEAST_TAU:g} nothing is recommended.",
        *cited,
    ]
