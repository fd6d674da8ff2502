"""The results of an ablation as tables and plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.ablation.arms import Arm
from curate.ablation.effects import Effect
from curate.ablation.eval_items import EvalItems, title
from curate.ablation.findings import Findings, chance, interval_in_points, points, stars
from curate.evaluation.held_out import HOLDOUT
from curate.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of an arm, over all its seeds; None where it is not known."""

    runs: int
    pairs: int
    dropped: int
    tokens: int | None
    seconds: float
    flops: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An ablation's results and costs; `facts` as in `ablation.json`; `probe` is the agreement with full runs."""

    facts: Mapping[str, Any]
    arms: Sequence[Arm]
    eval_sets: Sequence[EvalItems]
    found: Findings
    costs: Mapping[str, Cost]
    unscored: Mapping[str, int]
    probe: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        costs = {arm: {name: getattr(cost, name) for name in cost.__slots__} for arm, cost in self.costs.items()}
        means = {arm.name: dict(self.means(arm.name)) for arm in self.arms}
        plain = {"ablation": dict(self.facts), "probe": self.probe, **self.found.to_dict()}
        return plain | {"means": means, "costs": costs, "unscored": dict(self.unscored)}

    def columns(self) -> list[tuple[str, str]]:
        """(eval set, measure) of the table's columns: those of the paper's Table 4, others, held-out pairs."""
        by_name = {eval_set.name: eval_set for eval_set in self.eval_sets}
        others = sorted({*by_name} - {*ORDER, HOLDOUT})
        ordered = [*(name for name in ORDER if name in by_name), *others]
        pairs = [(name, measure) for name in ordered for measure in by_name[name].compared(())]
        return [*pairs, *([(HOLDOUT, "all")] if HOLDOUT in by_name else [])]

    def value(self, arm: str, column: tuple[str, str]) -> Effect | None:
        """An arm's value in a column, with its interval."""
        return next((one for one in self.found.values[arm] if (one.eval_set, one.measure) == column), None)

    def delta(self, arm: str, column: tuple[str, str]) -> Effect | None:
        """An arm's difference from the baseline in a column, tested or not."""
        every = [*self.found.tests, *self.found.details]
        return next(
            (
                one for one in every
                if (one.arm, one.eval_set, one.measure) == (arm, *column) and one.against == "baseline"
            ),
            None,
        )  # fmt: skip

    def means(self, arm: str) -> list[tuple[str, float]]:
        """The plain mean of each modality's columns, where there are two or more."""
        out = []
        for heading, columns in self.modalities().items():
            values = [found.value for column in columns if (found := self.value(arm, column)) is not None]
            if len(values) == len(columns):
                out.append((heading, sum(values) / len(values)))
        return out

    def modalities(self) -> dict[str, list[tuple[str, str]]]:
        """The columns that a mean is over, by its heading."""
        kinds: dict[str, list[tuple[str, str]]] = {"multimodal mean": [], "text mean": []}
        modality_of = {eval_set.name: eval_set.evalset.modality for eval_set in self.eval_sets}
        for eval_set, measure in self.columns():
            if eval_set != HOLDOUT:
                modality = modality_of[eval_set]
                kinds["text mean" if modality == "text" else "multimodal mean"].append((eval_set, measure))
        return {heading: columns for heading, columns in kinds.items() if len(columns) > 1}


ORDER = (
    "vl_rewardbench", "mm_rlhf_rewardbench", "multimodal_rewardbench",
    "rewardbench", "rm_bench", "rewardbench2", "judgebench",
)  # fmt: skip


def suggestion_table(report: Report) -> Table:
    """One line for each arm: what to do, and why."""
    found = report.found.suggestions
    rows = [(one.about, one.arm, one.suggestion, one.reason, one.elsewhere or None) for one in found]
    return Table("suggestions", ("about", "arm", "suggestion", "why", "on the other half"), rows)


def accuracy_table(report: Report, *, intervals: bool = False) -> Table:
    """Arms and measures in percent; beside each value its difference from the baseline, with stars."""
    columns = report.columns()
    means = [heading for heading, _ in report.means(report.arms[0].name)]
    rows = []
    for arm in report.arms:
        values = dict(report.means(arm.name))
        cells = [_cell(report, arm.name, column, intervals=intervals) for column in columns]
        rows.append(
            (arm.name, *cells, *(f"{100 * values[name]:.1f}" if name in values else None for name in means))
        )
    return Table("accuracy", ("arm", *(title(*column) for column in columns), *means), rows)


def _cell(report: Report, arm: str, column: tuple[str, str], *, intervals: bool = False) -> str | None:
    value, delta = report.value(arm, column), report.delta(arm, column)
    if value is None:
        return None
    text = f"{100 * value.value:.1f}{f' {interval_in_points(value.interval)}' if intervals else ''}"
    return text if delta is None else f"{text} ({points(delta.difference)}{stars(delta.holm)})"


def test_table(report: Report) -> Table:
    """Every tested difference with its interval, its p values, and the smallest detectable difference."""
    rows = [
        (
            one.arm, _measure(one),
            f"{100 * one.value:.1f}", f"{100 * one.other:.1f}", points(one.difference),
            interval_in_points(one.interval), None if one.gained is None else f"{one.gained}/{one.lost}", one.test,
            chance(one.p),
            f"{chance(one.holm)}{stars(one.holm)}", f"{100 * one.detectable:.1f}",
            f"{100 * one.detectable_holm:.1f}",
        )
        for one in report.found.tests
    ]  # fmt: skip
    columns = ("arm", "measure", "arm %", "other %", "Δ", "95 %", "only arm/other", "test", "p", "Holm", "MDD",
               "MDD, Holm")  # fmt: skip
    return Table("differences", columns, rows)


def _measure(one: Effect) -> str:
    return title(one.eval_set, one.measure) + AGAINST[one.against]


AGAINST = {"baseline": "", "chance": " above chance", "random": " over random"}
"""What is added to the name of a measure that is not compared with the baseline."""


def brief_table(report: Report) -> Table:
    """The tested differences in columns that fit a terminal."""
    rows = [
        (one.arm, _measure(one), f"{points(one.difference)}{stars(one.holm)}", interval_in_points(one.interval),
         chance(one.holm), f"{100 * one.detectable_holm:.1f}")
        for one in report.found.tests
    ]  # fmt: skip
    return Table("differences, in points", ("arm", "measure", "Δ", "95 %", "p, Holm", "detectable"), rows)


def detectable_table(report: Report) -> Table:
    """For each measure the trials, and the difference that would be detected four times out of five."""
    rows = []
    tests = [one for one in report.found.tests if one.against == "baseline"]
    for column in dict.fromkeys((one.eval_set, one.measure) for one in tests):
        own = [one for one in tests if (one.eval_set, one.measure) == column]
        trials, clusters = sorted({one.trials or 0 for one in own}), sorted({one.clusters for one in own})
        alone, holm = sorted(one.detectable for one in own), sorted(one.detectable_holm for one in own)
        counts = (" to ".join(f"{n:,}" for n in dict.fromkeys((x[0], x[-1]))) for x in (trials, clusters))
        rows.append((title(*column), *counts, own[0].seeds, _span(alone), _span(holm)))
    columns = ("measure", "trials", "clusters", "seeds", "detectable", "after Holm")
    return Table("smallest detectable difference (80 % power), in points", columns, rows)


def _span(values: Sequence[float]) -> str:
    low, high = 100 * values[0], 100 * values[-1]
    return f"{low:.1f}" if high - low < 0.05 else f"{low:.1f} to {high:.1f}"


def source_table(report: Report) -> Table:
    """Held-out accuracy of every arm on every source, in percent, with the difference from the baseline."""
    held = [
        one for one in report.found.values[report.arms[0].name] if one.eval_set == HOLDOUT and one.measure != "all"
    ]
    columns = [(one.eval_set, one.measure) for one in held]
    rows: list[tuple[Any, ...]] = [("pairs", *(str(one.trials) for one in held))]
    rows += [(arm.name, *(_cell(report, arm.name, column) for column in columns)) for arm in report.arms]
    return Table("held-out pairs by source (not tested)", ("arm", *(one.measure for one in held)), rows)


def cost_table(report: Report) -> Table:
    """The cost of every arm."""
    rows = [
        (
            arm.name, report.facts["arms"][arm.name]["rows"], cost.runs, cost.pairs, cost.dropped, cost.tokens,
            f"{cost.seconds:,.0f}", None if cost.flops is None else f"{cost.flops:.2e}",
        )
        for arm in report.arms
        if (cost := report.costs.get(arm.name)) is not None
    ]  # fmt: skip
    columns = ("arm", "pairs of the mix", "runs", "pairs trained", "dropped", "tokens", "seconds", "FLOPs")
    return Table("cost", columns, rows)


def tables(report: Report) -> list[Table]:
    """All tables, the most important first."""
    found = [
        suggestion_table(report),
        accuracy_table(report, intervals=True),
        test_table(report),
        detectable_table(report),
    ]
    return [*found, source_table(report), cost_table(report)]
